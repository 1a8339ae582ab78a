//! What `keelson up` says, needs and leaves alone, and that `keelson down` leaves nothing, on a cluster with nodes.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;
use chaos::client::Method;
use chaos::nodes::{Pod, page, wait_for_pods};
use chaos::process::{self, Child, Command, Signal};
use chaos::{Cluster, Machine, Need, Options};
use serde_json::Value;

/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(90);

/// How long something may take that is only waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a node takes to tell of an image that is new.
const IMAGES_TOLD: Duration = Duration::from_secs(30);

/// All images that nodes have with it: the sample's, and that of every pod's sandbox.
const IMAGES: [&str; 2] = ["keelson/hello:1", "keelson/pause:1"];

/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Collections whose objects nobody writes while nothing happens.
const QUIET: &[&str] = &["/api/v1/nodes", "/api/v1/pods", "/api/v1/services", "/apis/apps/v1/deployments"];

fn with_nodes(nodes: usize) -> Options {
    Options { nodes, ..Options::default() }
}

async fn items(cluster: &Cluster, path: &str) -> Result<Vec<Value>> {
    let list = cluster.any_client()?.request(Method::GET, path, None).await?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// Everything that an `up` could start, make or write anew: processes, containers and objects.
async fn state(cluster: &Cluster) -> Result<BTreeMap<String, String>> {
    let mut state = BTreeMap::new();
    for entry in std::fs::read_dir(cluster.directory().join("run"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "pid") {
            let pid = process::read_pid(&path).with_context(|| format!("{} has ended", path.display()))?;
            state.insert(path.display().to_string(), pid.to_string());
        }
    }
    for at in 1..=cluster.nodes().addresses()?.len() {
        let node = format!("node-{at}");
        let all = cluster.nodes().docker(&node, &["ps", "--all", "--quiet", "--no-trunc"]).await?;
        state.insert(format!("containers of {node}"), all);
    }
    for path in QUIET {
        for object in items(cluster, path).await? {
            let meta = &object["metadata"];
            let name = format!("{path} {}/{}", meta["namespace"], meta["name"]);
            state.insert(name, meta["resourceVersion"].to_string());
        }
    }
    Ok(state)
}

/// Whether every node tells of all its images: it looks at them now and then, and writes what is new.
async fn images_are_told(cluster: &Cluster) -> Result<bool> {
    let nodes = items(cluster, "/api/v1/nodes").await?;
    let tells = |node: &Value| {
        let told = node["status"]["images"].to_string();
        IMAGES.iter().all(|image| told.contains(image))
    };
    Ok(nodes.iter().all(tells))
}

/// Waits until nothing changes by itself any more: what follows from the last pod's being ready may be on its way.
async fn settled(cluster: &Cluster) -> Result<BTreeMap<String, String>> {
    let deadline = env::monotonic() + IMAGES_TOLD + PATIENCE;
    while !images_are_told(cluster).await? {
        ensure!(env::monotonic() < deadline, "nodes do not tell of {IMAGES:?}");
        env::sleep(LOOK_EVERY * 20).await;
    }
    let mut before = state(cluster).await?;
    loop {
        env::sleep(LOOK_EVERY * 20).await;
        let after = state(cluster).await?;
        if before == after {
            return Ok(after);
        }
        ensure!(env::monotonic() < deadline, "it does not come to rest: {before:?} {after:?}");
        before = after;
    }
}

/// The lines below `title` that are set in.
fn below<'a>(said: &'a str, title: &str) -> Result<Vec<&'a str>> {
    let (_, rest) =
        said.split_once(&format!("{title}\n")).with_context(|| format!("no {title:?}: {said}"))?;
    Ok(rest.lines().map_while(|line| line.strip_prefix("  ")).collect())
}

/// Runs lines in one shell, as they were printed.
async fn typed(lines: &[&str]) -> Result<String> {
    let script = format!("set -e\n{}\n", lines.join("\n"));
    process::run(Command::new("sh").args(["-c", &script]).env_remove("KUBECONFIG"), COMMAND_TIMEOUT).await
}

async fn check_summary(said: &str) -> Result<()> {
    let [address] = below(said, "the sample application answers at")?[..] else {
        anyhow::bail!("no address: {said}")
    };
    ensure!(address.starts_with("http://") && page(address).await?.starts_with("hello from"), "{address}");
    let [export, commands @ ..] = &below(said, "to try:")?[..] else {
        anyhow::bail!("nothing to try: {said}")
    };
    ensure!(export.starts_with("export KUBECONFIG=") && commands.len() == 3, "{said}");
    let expected = [
        &["hello-", "1/1", "node-1"][..],
        &["deployment.apps/shop would be created", "3 pods", "node-2"],
        &["master-1", "master-3", "leader"],
    ];
    for (command, expected) in commands.iter().zip(expected) {
        let shown = typed(&[export, command]).await?;
        for word in expected {
            ensure!(shown.contains(word), "{command}: {word:?} is not in\n{shown}");
        }
    }
    Ok(())
}

/// Waits until so many hollow nodes are ready beside the two real ones.
async fn hollow_are_ready(cluster: &Cluster, count: usize) -> Result<()> {
    let deadline = env::monotonic() + PATIENCE;
    loop {
        let nodes = items(cluster, "/api/v1/nodes").await?;
        let is_ready = |node: &&Value| {
            let mut all = node["status"]["conditions"].as_array().into_iter().flatten();
            all.any(|one| one["type"] == "Ready" && one["status"] == "True")
        };
        let ready: Vec<_> =
            nodes.iter().filter(is_ready).map(|node| node["metadata"]["name"].to_string()).collect();
        if ready.len() == count + 2 && ready.iter().filter(|name| name.contains("hollow-")).count() == count {
            return Ok(());
        }
        ensure!(env::monotonic() < deadline, "not ready: {ready:?} of {}", nodes.len());
        env::sleep(LOOK_EVERY).await;
    }
}

#[test]
fn what_up_prints_works_and_a_further_up_changes_nothing() {
    chaos::run(&chaos::programs!(), &[Need::Engines], async |machine| {
        let cluster = Cluster::prepare(machine, with_nodes(2))?;
        let said = cluster.up().await?;
        check_summary(&said).await?;

        let client = cluster.any_client()?;
        let all_ready = |pods: &[Pod]| pods.len() == 2 && pods.iter().all(|pod| pod.is_ready);
        wait_for_pods(&client, PATIENCE, "both pods of the sample", all_ready).await?;

        // It is the same whether it is asked for what is there, or for nothing.
        let before = settled(&cluster).await?;
        for arguments in [&[][..], &["--nodes", "2", "--sample"]] {
            let again = process::run(cluster.keelson("up").args(arguments), COMMAND_TIMEOUT).await?;
            ensure!(again == said, "a further up tells something else: {again}");
            let after = state(&cluster).await?;
            ensure!(before == after, "a further up changed something: {before:?} {after:?}");
        }

        // Hollow nodes come beside them, more and none when asked for, and end with everything else.
        let hollow = async |nodes: &str| {
            process::run(cluster.keelson("up").args(["--hollow-nodes", nodes]), COMMAND_TIMEOUT).await
        };
        hollow("3").await?;
        hollow_are_ready(&cluster, 3).await?;
        hollow("5").await?;
        hollow_are_ready(&cluster, 5).await?;
        let running = cluster.pid("hollow")?;
        hollow("0").await?;
        ensure!(!process::is_alive(running), "hollow nodes that nobody wants any more run on");
        hollow("1").await?;
        let hollow = cluster.pid("hollow")?;
        cluster.down().await?;
        ensure!(!process::is_alive(hollow), "hollow nodes outlived keelson down");
        Ok(())
    });
}

#[test]
fn down_ends_what_an_engine_that_was_killed_left() {
    chaos::run(&chaos::programs!(), &[Need::Engines], async |machine| {
        let cluster = Cluster::start(machine, with_nodes(1)).await?;
        let all_ready = |pods: &[Pod]| pods.len() == 2 && pods.iter().all(|pod| pod.is_ready);
        wait_for_pods(&cluster.any_client()?, PATIENCE, "both pods of the sample", all_ready).await?;
        let ids = cluster.nodes().docker("node-1", &["ps", "--quiet"]).await?;
        let inspect = ["inspect", "--format", "{{.State.Pid}}"].into_iter().chain(ids.split_whitespace());
        let pids = cluster.nodes().docker("node-1", &inspect.collect::<Vec<_>>()).await?;
        let containers: Vec<u32> = pids.lines().map(str::parse).collect::<Result<_, _>>()?;
        ensure!(containers.len() >= 4, "two pods have four containers: {pids}");
        let shims = chaos::nodes::processes_naming("containerd-shim")?;

        // As a machine that runs out of memory does it: nobody is left who looks after them.
        let containerd = cluster.nodes().engine_directory("node-1")?.join("containerd/containerd.pid");
        let killed = [
            cluster.pid("node-1")?,
            cluster.pid("node-1-engine")?,
            process::read_pid(&containerd).context("containerd runs")?,
        ];
        for pid in killed {
            process::signal(pid, Signal::KILL)?;
            process::wait_gone(pid, PATIENCE).await?;
        }
        ensure!(containers.iter().all(|pid| process::is_alive(*pid)), "containers ended with their engine");
        let left = cluster.leftovers().await?;
        ensure!(left.iter().filter(|one| one.contains("containerd-shim")).count() >= 4, "{left:?} {shims:?}");

        // One of them is in no shim's care either.
        let shim = left.iter().find(|one| one.contains("containerd-shim")).context("a shim")?;
        process::signal(shim.split(' ').nth(1).context("its pid")?.parse()?, Signal::KILL)?;
        cluster.down().await?;
        let outlived: Vec<_> = containers.iter().filter(|pid| process::is_alive(**pid)).collect();
        ensure!(outlived.is_empty(), "containers outlived keelson down: {outlived:?}");
        cluster.up().await.context("up goes on from there")?;
        cluster.down().await.map(drop)
    });
}

/// An engine as a user of the machine has one, with a container that runs.
struct OwnEngine {
    running: Child,
    socket: String,
}

impl OwnEngine {
    async fn start(folder: &Path) -> Result<Self> {
        let place = |name: &str| folder.join(name).display().to_string();
        let root = folder.join("image/bin");
        std::fs::create_dir_all(&root)?;
        std::fs::copy("/bin/busybox", root.join("busybox"))?;
        let socket = format!("unix://{}", place("socket"));
        let mut dockerd = Command::new("dockerd");
        dockerd.args([
            "--data-root",
            &place("data"),
            "--exec-root",
            &place("exec"),
            "--pidfile",
            &place("pid"),
        ]);
        dockerd.args(["--host", &socket, "--bridge", "none", "--iptables=false"]);
        let log = std::fs::File::create(folder.join("log"))?;
        dockerd.stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let engine = Self { running: dockerd.spawn().context("starting an engine")?, socket };
        let deadline = env::monotonic() + PATIENCE;
        while let Err(error) = engine.docker(&["version"]).await {
            ensure!(env::monotonic() < deadline, "the engine does not answer: {error:#}");
            env::sleep(LOOK_EVERY).await;
        }
        let archive = place("image.tar");
        let mut tar = Command::new("tar");
        process::run(tar.args(["-C", &place("image"), "-cf", &archive, "."]), COMMAND_TIMEOUT).await?;
        engine.docker(&["import", &archive, "mine:1"]).await?;
        let sleep = ["/bin/busybox", "sleep", "1000"];
        engine.docker(&[&["run", "-d", "--network", "none", "mine:1"][..], &sleep].concat()).await?;
        Ok(engine)
    }

    async fn docker(&self, arguments: &[&str]) -> Result<String> {
        let mut docker = Command::new("docker");
        process::run(docker.args(["--host", &self.socket]).args(arguments), COMMAND_TIMEOUT).await
    }

    /// All that it has: containers with their processes, images, networks.
    async fn has(&self) -> Result<[String; 3]> {
        let ids = self.docker(&["ps", "--all", "--quiet"]).await?;
        let shown = ["inspect", "--format", "{{.Id}} {{.State.Pid}} {{.State.StartedAt}}"];
        let containers = [&shown[..], &ids.split_whitespace().collect::<Vec<_>>()].concat();
        let images =
            self.docker(&["images", "--all", "--no-trunc", "--format", "{{.Repository}} {{.ID}}"]).await?;
        let networks = self.docker(&["network", "ls", "--quiet", "--no-trunc"]).await?;
        Ok([self.docker(&containers).await?, images, networks])
    }

    async fn stop(mut self) -> Result<()> {
        let ids = self.docker(&["ps", "--quiet"]).await?;
        self.docker(&[&["kill"][..], &ids.split_whitespace().collect::<Vec<_>>()].concat()).await?;
        let pid = self.running.id().context("it runs")?;
        process::signal(pid, Signal::TERM)?;
        env::timeout(PATIENCE, self.running.wait()).await.context("the engine does not end")??;
        Ok(())
    }
}

#[test]
fn the_engine_of_the_machines_user_is_left_alone() {
    chaos::run(&chaos::programs!(), &[Need::Engines], async |machine| {
        let place = machine.directory()?;
        let engine = OwnEngine::start(&place).await?;
        let before = engine.has().await?;
        let cluster = Cluster::start(machine, with_nodes(1)).await?;
        ensure!(engine.has().await? == before, "keelson up changed the user's engine");
        // What is left of an engine is looked for among all processes.
        process::signal(cluster.pid("node-1-engine")?, Signal::KILL)?;
        cluster.down().await?;
        ensure!(engine.has().await? == before, "keelson down changed the user's engine");
        engine.stop().await?;
        machine.remove(&place);
        Ok(())
    });
}

/// Runs `keelson up` where only these programs are found, and expects that it says why it does not.
async fn refused(
    machine: &Machine,
    directory: &Path,
    programs: &[&str],
    arguments: &[&str],
) -> Result<String> {
    let place = machine.directory()?;
    for program in programs {
        let is_it = |directory: &std::path::PathBuf| directory.join(program).exists();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).find(is_it).with_context(|| format!("no {program}"))?;
        symlink(found.join(program), place.join(program))?;
    }
    let mut up = Command::new(&machine.programs.keelson);
    up.arg("up").arg("--dir").arg(directory).args(arguments).env("PATH", &place);
    let ended = process::capture(&mut up, COMMAND_TIMEOUT).await?;
    machine.remove(&place);
    ended.failure()
}

/// The names of all files below a directory, each with its inode and time of change.
fn files(directory: &Path) -> Result<Vec<(String, u64, i64, i64)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let facts = std::fs::symlink_metadata(&path)?;
        found.push((path.display().to_string(), facts.ino(), facts.mtime(), facts.mtime_nsec()));
        if facts.is_dir() {
            found.extend(files(&path)?);
        }
    }
    found.sort();
    Ok(found)
}

fn check_says(said: &str, expected: &[&str], unexpected: &[&str]) -> Result<()> {
    ensure!(expected.iter().all(|word| said.contains(word)), "{expected:?} is not all in {said}");
    ensure!(!unexpected.iter().any(|word| said.contains(word)), "one of {unexpected:?} is in {said}");
    Ok(())
}

#[test]
fn what_the_machine_lacks_is_said_before_anything_is_changed() {
    chaos::run(&chaos::programs!(), &[Need::Engines], async |machine| {
        let parent = machine.directory()?;
        let directory = parent.join("new");
        let nodes = ["--nodes", "1", "--sample"];
        let said = refused(machine, &directory, &[], &nodes).await?;
        check_says(&said, &["lacks", "setsid", "ip,", "dockerd", "docker,", "nft", "nsenter", "tar"], &[])?;
        check_says(&said, &["apt-get install", "docker.io", "iproute2", "nftables"], &[])?;
        let programs = ["sh", "setsid", "ip", "unshare", "nft", "nsenter"];
        let said = refused(machine, &directory, &programs, &nodes).await?;
        check_says(&said, &["dockerd", "docker.io"], &["ip,", "nft", "nsenter", "setsid"])?;
        let said = refused(machine, &directory, &["sh", "setsid"], &[]).await?;
        check_says(&said, &["ip", "iproute2"], &["docker", "nft"])?;
        let said = refused(machine, &directory, &["sh"], &["--network", "loopback"]).await?;
        check_says(&said, &["setsid", "util-linux"], &["iproute2"])?;
        ensure!(!directory.exists(), "{} was made", directory.display());

        // What is in the directory counts, whatever is asked for.
        let options = Options { masters: 1, ..with_nodes(1) };
        let cluster = Cluster::start(machine, options).await?;
        cluster.down().await?;
        let before = files(cluster.directory())?;
        let said = refused(machine, cluster.directory(), &["sh", "setsid", "ip"], &[]).await?;
        check_says(&said, &["dockerd", "docker,", "nft", "tar"], &["setsid", "ip,"])?;
        ensure!(before == files(cluster.directory())?, "a refused up changed files");
        machine.remove(&parent);
        Ok(())
    });
}

#[test]
fn what_the_kernel_refuses_is_said_before_anything_is_changed() {
    chaos::run(&chaos::programs!(), &[Need::Engines], async |machine| {
        let parent = machine.directory()?;
        let directory = parent.join("new");
        // Root of a container that is not privileged.
        for (capability, refused) in [("sys_admin", "network namespaces"), ("net_admin", "bridges")] {
            let mut up = Command::new("setpriv");
            up.args([&format!("--bounding-set=-{capability}"), &format!("--inh-caps=-{capability}")]);
            up.arg(&machine.programs.keelson).args(["up", "--nodes", "1", "--dir"]).arg(&directory);
            let said = process::capture(&mut up, COMMAND_TIMEOUT).await?.failure()?;
            check_says(&said, &[refused, "Operation not permitted", "privileged"], &[])?;
        }
        ensure!(!directory.exists(), "{} was made", directory.display());
        machine.remove(&parent);
        Ok(())
    });
}

#[test]
fn what_needs_root_is_said_before_anything_is_changed() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let cluster = Cluster::prepare(machine, Options { unprivileged: true, ..Options::default() })?;
        let directory = cluster.directory();
        for arguments in [&["--nodes", "1"][..], &["--nodes", "2", "--sample"], &["--network", "bridge"]] {
            let ended = process::capture(cluster.keelson("up").args(arguments), COMMAND_TIMEOUT).await?;
            let said = ended.failure()?;
            ensure!(said.contains("need root"), "{arguments:?}: {said}");
        }
        let made: Vec<_> = files(directory)?.into_iter().map(|(path, ..)| path).collect();
        ensure!(made == [directory.join("keelson").display().to_string()], "something was made: {made:?}");
        Ok(())
    });
}
