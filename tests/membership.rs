//! Masters that are run by hand: killed while they make a cluster or join one, removed from one, and found to
//! differ from the others.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base::env;
use chaos::client::{Client, Method};
use chaos::cluster::STATES_DIFFER;
use chaos::kubeconfig::Kubeconfig;
use chaos::process::{self, Child, Command, Ended};
use chaos::{Cluster, Machine, Options};
use serde_json::{Value, json};

/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(90);

/// How long something may take that is only waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a master may take to end that two others contradict: they compare every 10 s, and a comparison
/// counts only once all can reach each other again.
const OUTVOTED_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a file is looked for: a new master writes all of its own within some milliseconds.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// How often a master is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// A directory that goes with the test.
struct Scratch {
    machine: Arc<Machine>,
    path: PathBuf,
}

impl Scratch {
    fn new(machine: &Arc<Machine>) -> Result<Self> {
        Ok(Self { machine: Arc::clone(machine), path: machine.directory()? })
    }

    /// Master `number`, with its data in a directory of this name.
    fn master(&self, directory: &str, number: usize) -> Master {
        let host = format!("127.77.0.{number}");
        let keelson = self.machine.programs.keelson.clone();
        Master { name: format!("master-{number}"), host, directory: self.path.join(directory), keelson }
    }

    /// `kctl` as the administrator whose kubeconfig `master` has.
    async fn kctl(&self, master: &Master, arguments: &[&str]) -> Result<String> {
        self.kctl_ended(master, arguments).await?.success()
    }

    /// [`Scratch::kctl`], however it ends.
    async fn kctl_ended(&self, master: &Master, arguments: &[&str]) -> Result<Ended> {
        let mut command = Command::new(&self.machine.programs.kctl);
        command.env("KUBECONFIG", master.kubeconfig()).args(arguments);
        process::capture(&mut command, COMMAND_TIMEOUT).await
    }

    /// What `kctl cluster verify` says of masters that differ, once all that are there answer it.
    async fn difference(&self, master: &Master) -> Result<String> {
        let deadline = env::monotonic() + PATIENCE;
        loop {
            let said = self.kctl_ended(master, &["cluster", "verify"]).await?.failure()?;
            if said.contains(STATES_DIFFER) {
                return Ok(said);
            }
            ensure!(env::monotonic() < deadline, "no difference is found: {said}");
            env::sleep(ASK_EVERY).await;
        }
    }

    /// A join token, from what `kctl cluster add` prints.
    async fn token(&self, master: &Master) -> Result<String> {
        let text = self.kctl(master, &["cluster", "add"]).await?;
        let is_token = |word: &&str| word.split('.').map(str::len).eq([64, 16, 32]);
        let found = text.split_whitespace().find(is_token);
        found.map(str::to_owned).with_context(|| format!("no token in {text:?}"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.machine.remove(&self.path);
    }
}

/// A master that is run by hand, at a loopback address of its own.
struct Master {
    name: String,
    host: String,
    directory: PathBuf,
    keelson: PathBuf,
}

impl Master {
    /// `keelson server`. It goes when the test does, however that ends.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&self.keelson).arg("server");
        command.arg("--dir").arg(&self.directory).args(["--name", &self.name]);
        command.args(["--api", &self.address(6443), "--peer", &self.address(6444)]).args(arguments);
        command
    }

    fn address(&self, port: u16) -> String {
        format!("{}:{port}", self.host)
    }

    /// Where it serves its API.
    fn url(&self) -> String {
        format!("https://{}", self.address(6443))
    }

    fn log(&self) -> PathBuf {
        self.directory.with_extension("log")
    }

    fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }

    fn start(&self, arguments: &[&str]) -> Result<Child> {
        self.spawn(self.command(arguments))
    }

    fn spawn(&self, mut command: Command) -> Result<Child> {
        let log = std::fs::File::options().create(true).append(true).open(self.log())?;
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().with_context(|| format!("start {}", self.name))
    }

    /// Runs it to its end, which is expected to come by itself.
    async fn ended(&self, arguments: &[&str]) -> Result<Ended> {
        process::capture(&mut self.command(arguments), COMMAND_TIMEOUT).await
    }

    /// Starts it, kills it as soon as `step` is done, and returns its identity if it had one by then.
    async fn killed_at(&self, step: &Step, arguments: &[&str]) -> Result<Option<Value>> {
        let mut child = self.start(arguments)?;
        let done = env::wait_until(PATIENCE, LOOK_EVERY, || step.is_done(&self.directory)).await;
        child.kill().await?;
        ensure!(done, "{step:?} was never done:\n{}", std::fs::read_to_string(self.log())?);
        Ok(identity(&self.directory))
    }

    /// As the administrator, with the kubeconfig that the first master has.
    fn client(&self) -> Result<Client> {
        Ok(Client::new(Kubeconfig::read(&self.kubeconfig())?.current()?))
    }

    /// A client of a first master once it serves.
    async fn ready(&self) -> Result<Client> {
        let deadline = env::monotonic() + PATIENCE;
        loop {
            let last = match self.client() {
                Ok(client) => match client.list("?limit=1").await {
                    Ok(_) => return Ok(client),
                    Err(refused) => refused.to_string(),
                },
                Err(error) => format!("{error:#}"),
            };
            if env::monotonic() > deadline {
                bail!("{last}:\n{}", std::fs::read_to_string(self.log())?);
            }
            env::sleep(ASK_EVERY).await;
        }
    }
}

/// What a new master has done when a file is there, or holds some words.
#[derive(Debug)]
struct Step(&'static str, &'static str);

impl Step {
    fn is_done(&self, directory: &Path) -> bool {
        let Self(file, words) = self;
        let path = directory.join(file);
        match words.is_empty() {
            true => path.exists(),
            false => std::fs::read_to_string(path).is_ok_and(|text| text.contains(words)),
        }
    }
}

fn identity(directory: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(directory.join("identity.json")).ok()?).ok()
}

/// Which cluster and which id: what a master never changes once it has it.
fn who(identity: &Value) -> [Value; 2] {
    [identity["cluster"].clone(), identity["node"].clone()]
}

/// What a first master does one after the other.
const INIT: &[Step] = &[
    Step("lock", ""),
    Step("pki/ca.key", ""),
    Step("pki/ca.crt", ""),
    Step("token", ""),
    Step("kubeconfig", ""),
    Step("identity.json", ""),
    Step("store", ""),
    Step("identity.json", "\"started\": true"),
    Step("identity.json", "\"stage\": \"member\""),
];

#[test]
fn a_first_master_that_is_killed_anywhere_makes_its_cluster_when_started_again() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let scratch = Scratch::new(machine)?;
        for (at, step) in INIT.iter().enumerate() {
            let master = scratch.master(&format!("killed-{at}"), 1);
            let before = master.killed_at(step, &["--init"]).await?;
            let mut second = master.start(&["--init"])?;
            let served = async { anyhow::Ok(master.ready().await?.create("x", "y").await?) };
            served.await.with_context(|| format!("killed at {step:?}"))?;
            let after = identity(&master.directory).context("an identity")?;
            if let Some(before) = before {
                ensure!(who(&before) == who(&after), "killed at {step:?}: {before} -> {after}");
            }
            second.kill().await?;
        }

        // Killed with all of that in the log, but before it noted that it is done with it.
        let master = scratch.master(&format!("killed-{}", INIT.len() - 1), 1);
        let path = master.directory.join("identity.json");
        let noted = std::fs::read_to_string(&path)?;
        std::fs::write(&path, noted.replace("\"stage\": \"member\"", "\"stage\": \"init\""))?;
        let _third = master.start(&["--init"])?;
        master.ready().await?.get("x").await.context("written before the kill")?;
        ensure!(std::fs::read_to_string(&path)? == noted, "it did not note that it votes");
        Ok(())
    });
}

/// What a master that joins does one after the other, up to its first vote.
const JOIN: &[Step] = &[
    Step("join.json", ""),
    Step("pki/ca.key", ""),
    Step("identity.json", ""),
    Step("identity.json", "\"started\": true"),
];

/// What the first master says of another: its role, or nothing.
async fn role(first: &Client, name: &str) -> Result<Option<String>> {
    let view = first.request(Method::GET, "/keelson/v1/cluster", None).await?;
    let members = view["members"].as_array().context("a list of members")?;
    let member = members.iter().find(|member| member["name"] == name);
    Ok(member.and_then(|member| member["role"].as_str()).map(str::to_owned))
}

async fn wait_for_role(first: &Client, name: &str, wanted: &str) -> Result<()> {
    let deadline = env::monotonic() + PATIENCE;
    loop {
        let now = role(first, name).await;
        match now {
            Ok(Some(role)) if role == wanted => return Ok(()),
            now if env::monotonic() > deadline => bail!("{name} is no {wanted}: {now:?}"),
            _ => env::sleep(ASK_EVERY).await,
        }
    }
}

#[test]
fn a_join_that_is_killed_anywhere_goes_on_with_the_token_it_used() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let scratch = Scratch::new(machine)?;
        let first = scratch.master("first", 1);
        let mut running = vec![first.start(&["--init"])?];
        let client = first.ready().await?;
        let url = first.url();
        for (at, step) in JOIN.iter().enumerate() {
            let token = scratch.token(&first).await?;
            let flags = ["--join", &url, "--token", &token];
            let master = scratch.master(&format!("killed-{at}"), at + 2);
            let before = master.killed_at(step, &flags).await?;
            running.push(master.start(&flags)?);
            let joined = wait_for_role(&client, &master.name, "voter").await;
            joined.with_context(|| {
                let log = std::fs::read_to_string(master.log()).unwrap_or_default();
                format!("killed at {step:?}:\n{log}")
            })?;
            let after = identity(&master.directory).context("an identity")?;
            if let Some(before) = before {
                ensure!(who(&before) == who(&after), "killed at {step:?}: {before} -> {after}");
            }
            client.create(&format!("after-{at}"), "x").await?;
        }
        scratch.kctl(&first, &["cluster", "verify"]).await.map(drop)
    });
}

/// A master whose way in stops at fixed points, because the test holds the port it needs next.
#[test]
fn a_token_lets_one_master_in_however_often_that_one_has_to_ask() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let scratch = Scratch::new(machine)?;
        let first = scratch.master("first", 1);
        let _first = first.start(&["--init"])?;
        let client = first.ready().await?;
        let token = scratch.token(&first).await?;
        let url = first.url();
        let flags = ["--join", &url, "--token", &token];
        let second = scratch.master("second", 2);
        let held = std::net::TcpListener::bind(second.address(6444))?;
        let stuck = second.ended(&flags).await?.failure()?;
        ensure!(stuck.contains("listening on"), "{stuck}");
        let known = identity(&second.directory).context("it got an id")?;

        // As if it had been killed before the answer was written down: it asks again, and is answered.
        std::fs::remove_file(second.directory.join("identity.json"))?;
        std::fs::remove_dir_all(second.directory.join("pki"))?;
        second.ended(&flags).await?.failure()?;
        let again = identity(&second.directory).context("it got an id again")?;
        ensure!(who(&known) == who(&again), "{known} -> {again}");

        let third = scratch.master("third", 3);
        let refused = third.ended(&flags).await?.failure()?;
        ensure!(refused.contains("it was used") && refused.contains("kctl cluster add"), "{refused}");

        // Admitted as a learner while it does not run.
        let path = format!("/keelson/v1/cluster/members/{}/admit", second.name);
        let body = json!({ "node": known["node"] });
        let admitting = first.client()?.with_timeout(PATIENCE);
        let admission = env::spawn(async move { admitting.request(Method::POST, &path, Some(&body)).await });
        wait_for_role(&client, &second.name, "learner").await?;
        drop(held);
        let mut running = second.start(&[])?;
        wait_for_role(&client, &second.name, "voter").await?;
        admission.abort();

        // From now on nothing is committed without it.
        running.kill().await?;
        let _running = second.start(&flags)?;
        first.ready().await?.create("after", "x").await?;
        scratch.kctl(&first, &["cluster", "verify"]).await.map(drop)
    });
}

#[test]
fn a_master_that_is_removed_stops_and_says_what_to_do_now_and_later() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let scratch = Scratch::new(machine)?;
        let first = scratch.master("first", 1);
        let _first = first.start(&["--init"])?;
        let client = first.ready().await?;
        let token = scratch.token(&first).await?;
        let url = first.url();
        let second = scratch.master("second", 2);
        let mut running = second.start(&["--join", &url, "--token", &token])?;
        wait_for_role(&client, &second.name, "voter").await?;

        scratch.kctl(&first, &["cluster", "remove", &second.name]).await?;
        let ended = env::timeout(PATIENCE, running.wait()).await.context("it runs on")??;
        ensure!(!ended.success(), "it ended with {ended}");
        let log = std::fs::read_to_string(second.log())?;
        let later = second.ended(&[]).await?.failure()?;
        for said in [log, later] {
            for words in ["was removed", "empty its data directory", "kctl cluster add"] {
                ensure!(said.contains(words), "{words:?} is missing in {said}");
            }
        }
        ensure!(role(&client, &second.name).await?.is_none(), "it is a member again");
        client.create("without-it", "x").await?;

        std::fs::remove_dir_all(&second.directory)?;
        let token = scratch.token(&first).await?;
        let _running = second.start(&["--join", &url, "--token", &token])?;
        wait_for_role(&client, &second.name, "voter").await
    });
}

#[test]
fn a_master_whose_state_differs_is_told_by_verify_and_ends_once_two_others_agree() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let scratch = Scratch::new(machine)?;
        let masters = [("first", 1), ("second", 2), ("third", 3)].map(|(name, at)| scratch.master(name, at));
        let [first, second, third] = &masters;
        let _first = first.start(&["--init"])?;
        let client = first.ready().await?;
        let url = first.url();
        let mut running = Vec::new();
        for master in [second, third] {
            let token = scratch.token(first).await?;
            running.push(master.start(&["--join", &url, "--token", &token])?);
            wait_for_role(&client, &master.name, "voter").await?;
        }
        scratch.kctl(first, &["cluster", "verify"]).await.context("they agree")?;
        for child in &mut running {
            child.kill().await?;
        }

        // The two that differ are alone: none of them can know that it is the wrong one.
        let mut diverging = second.command(&[]);
        diverging.env("KEELSON_MUTANT", "diverge");
        let mut diverging = second.spawn(diverging)?;
        first.ready().await?.create("differs", "x").await?;
        let told = scratch.difference(first).await?;
        ensure!(told.contains("kctl cluster remove"), "{told}");
        let hash = |master: &Master| {
            let row = told.lines().find(|line| line.starts_with(&master.name))?;
            row.split_whitespace().last().filter(|hash| hash.len() == 32)
        };
        let hashes = [hash(first), hash(second)];
        ensure!(hashes[0].is_some() && hashes[1].is_some() && hashes[0] != hashes[1], "{told}");
        ensure!(diverging.try_wait()?.is_none(), "it ended before anybody could tell who is wrong");

        let _third = third.start(&[])?;
        let ended = env::timeout(OUTVOTED_TIMEOUT, diverging.wait()).await.context("it runs on")??;
        ensure!(!ended.success(), "it ended with {ended}");
        let log = std::fs::read_to_string(second.log())?;
        let words = log.lines().rfind(|line| line.starts_with("keelson: ")).unwrap_or_default();
        for said in ["differs from the majority's", "kctl cluster remove master-2", "kctl cluster add"] {
            ensure!(words.contains(said), "{said:?} is missing in {words:?}");
        }
        first.ready().await?.create("without-it", "x").await.context("the others go on")?;
        scratch.kctl(first, &["cluster", "remove", &second.name]).await?;
        scratch.kctl(first, &["cluster", "verify"]).await.map(drop)
    });
}

#[test]
fn a_master_that_was_removed_while_it_was_down_disturbs_nobody_when_it_comes_back() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let cluster = Cluster::start(machine, Options::default()).await?;
        let (_, followers) = cluster.roles().await?;
        let removed = &followers[0];
        cluster.kill(std::slice::from_ref(removed)).await?;
        process::run(cluster.kctl().args(["cluster", "remove", removed]), COMMAND_TIMEOUT).await?;
        let before = cluster.status().await?;

        let refused = process::capture(&mut cluster.keelson("up"), COMMAND_TIMEOUT).await?.failure()?;
        for words in [removed.as_str(), "was removed", "empty its data directory"] {
            ensure!(refused.contains(words), "{words:?} is missing in {refused}");
        }
        let after = cluster.status().await?;
        ensure!((after.term, &after.leader) == (before.term, &before.leader), "{before:?} -> {after:?}");
        ensure!(!after.members.iter().any(|member| member.name == *removed), "it is a member again");

        std::fs::remove_dir_all(cluster.data(removed))?;
        cluster.up().await.context("with an empty directory it joins anew")?;
        cluster.check_whole().await
    });
}

/// Flips a bit in every line of the journal of a master's log, and returns the journal's path.
fn damage_log(data: &Path) -> Result<PathBuf> {
    let files = std::fs::read_dir(data.join("store/log"))?;
    let paths = files.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    let journals =
        paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let size_bytes = |path: &PathBuf| path.metadata().map_or(0, |metadata| metadata.len());
    let path = journals.max_by_key(size_bytes).context("a log has a journal")?;
    let mut content = std::fs::read(&path)?;
    // All of it was written, record by record, each with a checksum; the end alone might not be synced.
    let (from, to) = (content.len() / 4, content.len() / 2);
    ensure!(from < to, "{} is empty", path.display());
    content[from..to].iter_mut().step_by(64).for_each(|byte| *byte ^= 1);
    std::fs::write(&path, content)?;
    Ok(path)
}

#[test]
fn a_master_whose_log_is_damaged_does_not_start_and_is_replaced_as_it_says() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let cluster = Cluster::start(machine, Options::default()).await?;
        cluster.any_client()?.create("before", "x").await?;
        // The one that made the cluster: it must not come back as that.
        let victim = &cluster.masters()[0];
        cluster.kill(std::slice::from_ref(victim)).await?;
        let damaged = damage_log(&cluster.data(victim))?.display().to_string();
        let mut said = String::new();
        // Twice: the evidence must not be gone at the next try, though RocksDB has thrown the journal away.
        let log = cluster.data(victim).join("store/log").display().to_string();
        for (attempt, named) in [("first", damaged), ("second", log)] {
            said = process::capture(&mut cluster.keelson("up"), COMMAND_TIMEOUT).await?.failure()?;
            for words in [format!("{victim} does not run"), named, "be trusted".to_owned()] {
                ensure!(said.contains(&words), "{words:?} is missing in what the {attempt} up says: {said}");
            }
            cluster.leader().await.context("the others serve on")?;
            cluster.any_client()?.create(attempt, "x").await.context("the others serve on")?;
        }

        let shown: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
        let [remove, empty, "kctl cluster add", "keelson up"] = shown[..] else {
            bail!("{shown:?} in {said}")
        };
        let words = remove.strip_prefix("kctl ").context("kctl removes a master")?.split(' ');
        process::run(cluster.kctl().args(words), COMMAND_TIMEOUT).await?;
        process::run(Command::new("sh").args(["-c", empty]), COMMAND_TIMEOUT).await?;
        cluster.up().await.context("with an empty directory it joins anew")?;
        cluster.check_holds(&["before", "first", "second"]).await?;
        cluster.check_whole().await
    });
}
