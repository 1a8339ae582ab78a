//! `keelson up`.

use std::path::Path;

use anyhow::{Context, bail};
use base::env;

use super::cluster_file::{ClusterFile, MasterAddress, Network};
use super::hollow;
use super::host::{Command, Host, Signal, command};
use super::needs;
use super::nodes;
use super::plumbing::{self, Names};
use super::process::{Process, Running};
use super::sample;
use super::summary::{self, Commands, counted};
use super::wait::{Api, Watched, wait_for_end, wait_for_identity};
use super::{ClusterDir, UpOptions, load};
use crate::kubeconfig::{self, Context as KubeContext};
use crate::pki::{ADMIN_GROUP, ADMIN_USER};
use base::files;

/// What an ordinary user is told, who did not ask for nodes because of what they need.
const NO_NODES: &str =
    "\nno node runs pods here: nodes need root. As root, in another directory: --nodes 2 --sample\n";

/// The balancer's name among processes.
pub const BALANCER: &str = "balancer";

/// How a master that does not run is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Boot {
    /// It makes the cluster.
    Init,
    /// It joins the cluster.
    Join,
    /// It goes on as what its data directory says.
    Resume,
}

/// How each master starts, given which of them have an identity: the first makes the cluster only if
/// nobody knows of one.
fn boots(identified: &[bool]) -> Vec<Boot> {
    let anybody = identified.contains(&true);
    let boot = |(number, identified): (usize, &bool)| match (identified, anybody, number) {
        (true, _, _) => Boot::Resume,
        (false, false, 0) => Boot::Init,
        (false, _, _) => Boot::Join,
    };
    identified.iter().enumerate().map(boot).collect()
}

/// Starts what is missing of the cluster in a directory and returns when it serves, with what to tell
/// the user.
///
/// # Errors
/// Says what did not start, and which log tells why.
pub async fn up(host: &dyn Host, options: &UpOptions) -> anyhow::Result<String> {
    needs::check_up(host, options, load(&options.directory)?.as_ref())?;
    let progress = Progress::new();
    let directory = ClusterDir::open(&options.directory)?;
    let file = directory.load_or_make(host, options)?;
    let mut starting = Starting::new(host, &directory, &file)?;
    starting.make_plumbing()?;
    starting.start_engines()?;
    if !file.nodes.is_empty() {
        progress.step(&format!("network and {} are there", counted(file.nodes.len(), "engine")));
    }
    starting.start_known()?;
    starting.write_access().await?;
    starting.start_balancer().await?;
    let api = Api::new(&directory, &file)?;
    starting.start_joining(&api).await?;
    api.wait_until_whole(host, &file, &starting.watched).await?;
    file.masters.iter().try_for_each(|master| files::remove(&directory.token(&master.name)))?;
    progress.step(&format!("serving: {}", counted(file.masters.len(), "master")));
    if !file.nodes.is_empty() {
        starting.start_agents(&api).await?;
        api.wait_until_nodes_ready(host, &file, &starting.watched).await?;
        file.nodes.iter().try_for_each(|node| files::remove(&directory.token(&node.name)))?;
        progress.step(&format!("taking pods: {}", counted(file.nodes.len(), "node")));
    }
    if file.hollow_nodes > 0 {
        starting.start_or_replace(hollow::process(&directory, &starting.program, file.hollow_nodes)).await?;
    } else if let Some(running) = directory.processes.running(host, hollow::NAME)? {
        starting.end(&running).await?;
    }
    let mut sample = None;
    if file.sample {
        sample::make_image(host, &directory, &starting.names, &file).await?;
        sample::deploy(&api).await?;
        progress.step("the sample's image is made, and its objects are created");
        sample = Some(sample::answers(&file).await?);
        progress.step("the sample answers");
    }
    let commands = Commands::of(host, Path::new(&starting.program));
    let mut told = summary::of(&directory, &file, &commands, sample.as_deref());
    if file.nodes.is_empty() && !host.is_root() {
        told.push_str(NO_NODES);
    }
    Ok(told)
}

/// A line for each step that took a while, on standard error: output is for the end.
struct Progress(env::Instant);

impl Progress {
    fn new() -> Self {
        Self(env::monotonic())
    }

    fn step(&self, what: &str) {
        eprintln!("{:6.1} s  {what}", self.0.elapsed().as_secs_f64());
    }
}

struct Starting<'a> {
    host: &'a dyn Host,
    directory: &'a ClusterDir,
    file: &'a ClusterFile,
    names: Names,
    program: String,
    boots: Vec<Boot>,
    watched: Watched,
}

impl<'a> Starting<'a> {
    fn new(host: &'a dyn Host, directory: &'a ClusterDir, file: &'a ClusterFile) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program's file")?;
        let identified: Vec<bool> =
            file.masters.iter().map(|master| directory.data(&master.name).has_identity()).collect();
        Ok(Self {
            host,
            directory,
            file,
            names: Names::of(file.id()?),
            program: program.display().to_string(),
            boots: boots(&identified),
            watched: Watched::new(directory.processes.clone()),
        })
    }

    fn make_plumbing(&self) -> anyhow::Result<()> {
        let Network::Bridge { subnet } = self.file.network else { return Ok(()) };
        let observed = plumbing::look_without_orphans(self.host, &self.names)
            .context("looking at the host's network")?;
        for command in plumbing::make(&self.names, subnet, &self.names.hosts(self.file), &observed) {
            self.host.run(&command).context(
                "making the cluster's network failed (it needs root and iproute2; --network loopback does without)",
            )?;
        }
        Ok(())
    }

    /// Starts the masters that need nobody's help.
    fn start_known(&mut self) -> anyhow::Result<()> {
        for (master, boot) in self.file.masters.iter().zip(self.boots.clone()) {
            let arguments: &[String] = match boot {
                Boot::Join => continue,
                Boot::Init => &self.first_arguments(),
                Boot::Resume => &[],
            };
            self.start_master(master, arguments)?;
        }
        Ok(())
    }

    /// What the master that makes the cluster is told.
    fn first_arguments(&self) -> Vec<String> {
        let cluster = ["--init".to_owned(), "--cluster-id".to_owned(), self.file.cluster.clone()];
        cluster.into_iter().chain(self.file.service_ranges.iter().cloned()).collect()
    }

    /// Starts those that need a token, once there is one.
    async fn start_joining(&mut self, api: &Api) -> anyhow::Result<()> {
        let joining: Vec<&MasterAddress> = self
            .file
            .masters
            .iter()
            .zip(&self.boots)
            .filter(|(_, boot)| **boot == Boot::Join)
            .map(|(m, _)| m)
            .collect();
        let first = &self.file.masters[0];
        for master in joining {
            let (through, token) = if self.boots[0] == Boot::Init {
                // Its token lets in all that the cluster begins with, and is there before it serves.
                (first.api.url(), self.directory.data(&first.name).token())
            } else {
                let token = api.issue_token(self.host, &self.watched).await?;
                let path = self.directory.token(&master.name);
                files::write(&path, format!("{token}\n").as_bytes())?;
                (self.file.stable.url(), path)
            };
            let arguments =
                ["--join".to_owned(), through, "--token-file".to_owned(), token.display().to_string()];
            self.start_master(master, &arguments)?;
        }
        Ok(())
    }

    fn start_master(&mut self, master: &MasterAddress, further: &[String]) -> anyhow::Result<()> {
        let command = self.master_command(master, further);
        self.start_unless_running(Process { name: master.name.clone(), command })
    }

    /// Starts the engines of nodes: they take a second, and need nobody.
    fn start_engines(&mut self) -> anyhow::Result<()> {
        for node in &self.file.nodes {
            nodes::prepare(&self.names, &node.name)?;
            nodes::forget_dead_containerd(self.host, &self.names, &node.name)?;
            let engine = nodes::engine(self.directory, &self.names, node);
            self.start_unless_running(engine)?;
        }
        Ok(())
    }

    /// Starts the agents of nodes, with a token for those that never joined.
    async fn start_agents(&mut self, api: &Api) -> anyhow::Result<()> {
        for node in &self.file.nodes {
            let has_joined = self.directory.data(&node.name).path().join("pki").exists();
            if !has_joined {
                let token = api.issue_node_token(self.host, &self.watched).await?;
                files::write(&self.directory.token(&node.name), format!("{token}\n").as_bytes())?;
            }
            let agent = nodes::agent(self.directory, &self.names, &self.program, self.file, node);
            self.start_unless_running(agent)?;
        }
        Ok(())
    }

    fn start_unless_running(&mut self, process: Process) -> anyhow::Result<()> {
        match self.directory.processes.running(self.host, &process.name)? {
            Some(running) => {
                self.watched.add(&process.name, running);
                Ok(())
            }
            None => self.start(process),
        }
    }

    fn start(&mut self, process: Process) -> anyhow::Result<()> {
        let running = self.directory.processes.start(self.host, &process);
        let running = running.with_context(|| format!("starting {} failed", process.name))?;
        self.watched.add(&process.name, running);
        Ok(())
    }

    fn master_command(&self, master: &MasterAddress, further: &[String]) -> Command {
        let mut words = match self.file.network {
            Network::Bridge { .. } => {
                command(&format!("ip netns exec {}", self.names.namespace(&master.name)))
            }
            Network::Loopback => Command::new(),
        };
        words.extend([self.program.clone(), "server".to_owned()]);
        words.extend(["--dir".to_owned(), self.directory.data(&master.name).path().display().to_string()]);
        words.extend(command(&format!(
            "--name {} --api {} --peer {} --san {}",
            master.name, master.api, master.peer, self.file.stable.host
        )));
        words.extend(self.file.behaviour.iter().cloned());
        words.extend_from_slice(further);
        words
    }

    /// Leaves the authority and a kubeconfig in the directory, as soon as a master has the authority.
    async fn write_access(&self) -> anyhow::Result<()> {
        let known = self.boots.iter().position(|boot| *boot != Boot::Join).unwrap_or(0);
        let master = &self.file.masters[known];
        let data = self.directory.data(&master.name);
        wait_for_identity(self.host, &data, &master.name, &self.watched).await?;
        let authority = data.authority()?.with_context(|| {
            format!("{} has an identity but no authority in pki/: put it back", data.path().display())
        })?;
        let admin = authority.client(ADMIN_USER, ADMIN_GROUP)?;
        let contexts = contexts(self.file);
        let text = kubeconfig::render(&contexts, authority.certificate_pem(), &admin);
        files::write(&self.directory.authority(), authority.certificate_pem().as_bytes())?;
        Ok(files::write(&self.directory.kubeconfig(), text.as_bytes())?)
    }

    /// Starts a process, or starts it anew when it was to do something else.
    async fn start_or_replace(&mut self, process: Process) -> anyhow::Result<()> {
        match self.directory.processes.running(self.host, &process.name)? {
            Some(running) if running.command[1..] == process.command[1..] => {
                self.watched.add(&process.name, running);
                Ok(())
            }
            Some(outdated) => {
                self.end(&outdated).await?;
                self.start(process)
            }
            None => self.start(process),
        }
    }

    async fn end(&self, outdated: &Running) -> anyhow::Result<()> {
        self.directory.processes.signal(self.host, outdated, Signal::Terminate)?;
        if !wait_for_end(self.host, std::slice::from_ref(outdated)).await {
            bail!(
                "the old {} (process {}) does not end: kill it and run `keelson up` again",
                outdated.command.get(1).map_or("process", String::as_str),
                outdated.pid
            );
        }
        Ok(())
    }

    async fn start_balancer(&mut self) -> anyhow::Result<()> {
        self.start_or_replace(Process { name: BALANCER.to_owned(), command: self.balancer_command() }).await
    }

    fn balancer_command(&self) -> Command {
        let mut words = vec![self.program.clone()];
        words.extend(command(&format!("balancer --listen {}", self.file.stable)));
        for master in &self.file.masters {
            words.extend(["--target".to_owned(), master.api.to_string()]);
        }
        words.extend(["--ca".to_owned(), self.directory.authority().display().to_string()]);
        words
    }
}

/// The stable address first: it becomes the current context.
fn contexts(file: &ClusterFile) -> Vec<KubeContext> {
    let stable = KubeContext { name: "keelson".to_owned(), server: file.stable.url() };
    let masters = file.masters.iter().map(|m| KubeContext { name: m.name.clone(), server: m.api.url() });
    std::iter::once(stable).chain(masters).collect()
}

#[cfg(test)]
mod tests {
    use base::ids::ClusterId;

    use super::*;
    use crate::up::host::fake::FakeHost;
    use crate::up::{free_ports, host};

    #[test]
    fn who_makes_the_cluster_and_who_joins() {
        use Boot::{Init, Join, Resume};
        let cases: [(&[bool], &[Boot]); 5] = [
            (&[false], &[Init]),
            (&[false, false, false], &[Init, Join, Join]),
            (&[true, false, false], &[Resume, Join, Join]),
            // A first master whose data is gone must not make a second cluster.
            (&[false, true, true], &[Join, Resume, Resume]),
            (&[true, true, true], &[Resume, Resume, Resume]),
        ];
        for (identified, expected) in cases {
            assert_eq!(boots(identified), expected, "{identified:?}");
        }
    }

    fn opened(root: bool) -> (tempfile::TempDir, FakeHost, ClusterDir, ClusterFile) {
        let directory = tempfile::tempdir().expect("temporary directory");
        let host = FakeHost { root, ..FakeHost::default() };
        let cluster = ClusterDir::open(directory.path()).expect("open");
        let options = UpOptions { masters: Some(2), ..UpOptions::in_directory(directory.path()) };
        let file = cluster.load_or_make(&host, &options).expect("make");
        host.done.borrow_mut().clear();
        (directory, host, cluster, file)
    }

    #[test]
    fn the_first_start_makes_the_cluster_inside_its_namespace() {
        let (_root, host, cluster, mut file) = opened(true);
        file.service_ranges = vec!["--service-node-port-range=31000-31999".to_owned()];
        let mut starting = Starting::new(&host, &cluster, &file).expect("starting");
        starting.start_known().expect("start");
        let short = file.id().expect("id").short();
        let (program, data) = (&starting.program, cluster.data("master-1"));
        let (api, peer, id) = (&file.masters[0].api, &file.masters[0].peer, &file.cluster);
        let expected = format!(
            "spawn ip netns exec kl-{short}-master-1 {program} server --dir {} --name master-1 --api {api} \
             --peer {peer} --san {} --init --cluster-id {id} --service-node-port-range=31000-31999",
            data.path().display(),
            file.stable.host,
        );
        assert_eq!(*host.done.borrow(), [expected]);
    }

    #[test]
    fn agents_are_told_where_services_get_their_addresses() {
        let (_root, host, cluster, mut file) = opened(true);
        let ranges =
            ["cluster-ip-range=fd00::/108", "cluster-ip-range=10.1.0.0/20", "node-port-range=31000-31999"];
        file.service_ranges = ranges.map(|range| format!("--service-{range}")).into();
        file.grow_nodes(1).expect("a node");
        let starting = Starting::new(&host, &cluster, &file).expect("starting");
        let agent = nodes::agent(&cluster, &starting.names, "keelson", &file, &file.nodes[0]);
        let told = agent.command.iter().filter(|word| word.starts_with("--service"));
        assert_eq!(told.collect::<Vec<_>>(), ["--service-cluster-ip-range=10.1.0.0/20"]);
    }

    #[test]
    fn what_runs_is_not_started_again() {
        let (_root, host, cluster, file) = opened(false);
        Starting::new(&host, &cluster, &file).expect("starting").start_known().expect("start");
        host.done.borrow_mut().clear();
        Starting::new(&host, &cluster, &file).expect("starting").start_known().expect("start");
        assert!(host.done.borrow().is_empty(), "{:?}", host.done.borrow());
    }

    #[tokio::test]
    async fn the_balancer_starts_anew_when_the_masters_change() {
        let (_root, host, cluster, mut file) = opened(false);
        Starting::new(&host, &cluster, &file).expect("starting").start_balancer().await.expect("start");
        host.done.borrow_mut().clear();
        Starting::new(&host, &cluster, &file).expect("starting").start_balancer().await.expect("start");
        assert!(host.done.borrow().is_empty());
        file.grow(3, &mut free_ports(file.id().expect("id"))).expect("grow");
        Starting::new(&host, &cluster, &file).expect("starting").start_balancer().await.expect("start");
        let done = host.done.borrow().clone();
        assert_eq!(done[0], "Terminate 100");
        assert!(done[1].starts_with("spawn ") && done[1].matches("--target").count() == 3, "{done:?}");
    }

    #[test]
    fn the_stable_address_is_the_current_context() {
        let (_root, _, _, file) = opened(false);
        let names: Vec<String> = contexts(&file).into_iter().map(|context| context.name).collect();
        assert_eq!(names, ["keelson", "master-1", "master-2"]);
    }

    #[test]
    fn commands_for_the_plumbing_are_run_in_order() {
        let (_root, host, cluster, file) = opened(true);
        let starting = Starting::new(&host, &cluster, &file).expect("starting");
        starting.make_plumbing().expect("plumb");
        let Network::Bridge { subnet } = file.network else { panic!("a bridge") };
        let names = Names::of(file.cluster.parse::<ClusterId>().expect("id"));
        let observed = plumbing::look(&FakeHost::default()).expect("a bare host");
        let planned: Vec<host::Command> = plumbing::make(&names, subnet, &names.hosts(&file), &observed);
        let done = host.done.borrow();
        let looks = [" -j ", "-S ", "cat ", " list "];
        let changes: Vec<&String> =
            done.iter().filter(|line| !looks.iter().any(|look| line.contains(look))).collect();
        assert_eq!(
            changes,
            planned.iter().map(|line| line.join(" ")).collect::<Vec<_>>().iter().collect::<Vec<_>>()
        );
    }
}
