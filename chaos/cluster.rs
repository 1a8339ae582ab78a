//! A cluster of real processes in a temporary directory, seen from outside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base::env;
use serde::Deserialize;
use tokio::process::Command;

use crate::client::{Client, Method};
use crate::kubeconfig::Kubeconfig;
use crate::lossy::LossyMount;
use crate::machine::Machine;
use crate::options::{Disks, Options};
use crate::process::{self, Signal};

/// How long `keelson up` may take: above its own limit, so that it tells what it waited for.
const UP_TIMEOUT: Duration = Duration::from_secs(130);

/// How long `keelson down` may take.
const DOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long `kctl` may take.
const KCTL_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a killed process may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// How `kctl cluster verify` says that it compared hashes and they are not the same.
pub const STATES_DIFFER: &str = "the masters' states differ";

/// How often the cluster is asked while waiting for something.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// The user and group without rights that every Linux has.
const NOBODY: u32 = 65_534;

/// Lines of each log that a failed test shows.
const LOG_LINES_SHOWN: usize = 12;

/// Characters of each such line.
const LOG_LINE_CHARS_SHOWN: usize = 240;

/// `kctl cluster status -o json`
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// The name of the leader; `None` while there is none.
    pub leader: Option<String>,
    /// Raft's term.
    pub term: u64,
    /// Every member.
    pub members: Vec<Member>,
}

/// One member in a [`Status`].
#[derive(Clone, Debug, Deserialize)]
pub struct Member {
    /// `master-N`
    pub name: String,
    /// The API's URL.
    pub api: String,
    /// Its part in Raft.
    pub role: String,
    /// The last log entry it applied; absent when it does not answer.
    pub applied: Option<u64>,
    /// Entries it is behind the leader.
    pub lag: Option<u64>,
    /// How long its slowest syncs take; absent when it does not answer.
    pub sync_p99_ms: Option<f64>,
}

/// A cluster; stopped and removed on drop, also when its test failed.
pub struct Cluster {
    machine: Arc<Machine>,
    directory: PathBuf,
    options: Options,
    program: PathBuf,
    mounts: BTreeMap<String, LossyMount>,
}

impl Cluster {
    /// Starts a cluster as `options` say, and waits until it takes a write.
    ///
    /// # Errors
    /// When `keelson up` fails; its output is in the error.
    pub async fn start(machine: &Arc<Machine>, options: Options) -> Result<Self> {
        let cluster = Self::prepare(machine, options)?;
        cluster.up().await?;
        Ok(cluster)
    }

    /// Everything but the processes: for tests that start them themselves.
    ///
    /// # Errors
    /// When the disks cannot be mounted.
    pub fn prepare(machine: &Arc<Machine>, options: Options) -> Result<Self> {
        let directory = machine.directory()?;
        let program = match options.unprivileged {
            true => give_away(&directory, &machine.programs.keelson)?,
            false => machine.programs.keelson.clone(),
        };
        let mounts = BTreeMap::new();
        let mut cluster = Self { machine: Arc::clone(machine), directory, options, program, mounts };
        for name in cluster.masters() {
            cluster.mount(&name)?;
        }
        Ok(cluster)
    }

    fn mount(&mut self, name: &str) -> Result<()> {
        let path = self.data(name);
        if self.options.disks != Disks::Plain {
            std::fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        }
        match self.options.disks {
            Disks::Plain => {}
            Disks::Lossy => {
                let mount = LossyMount::new(&path).with_context(|| format!("mount {}", path.display()))?;
                self.mounts.insert(name.to_owned(), mount);
            }
            Disks::Tmpfs(mib) => {
                let mut mount = std::process::Command::new("mount");
                mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(&path);
                let output = mount.output().context("run mount")?;
                ensure!(
                    output.status.success(),
                    "mount a tmpfs: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
        }
        Ok(())
    }

    /// The cluster's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Every master's name, in order.
    pub fn masters(&self) -> Vec<String> {
        (1..=self.options.masters).map(|number| format!("master-{number}")).collect()
    }

    /// A master's data directory.
    pub fn data(&self, name: &str) -> PathBuf {
        self.directory.join("data").join(name)
    }

    /// A master's lossy disk.
    ///
    /// # Errors
    /// When the cluster has other disks.
    pub fn disk(&self, name: &str) -> Result<&LossyMount> {
        self.mounts.get(name).with_context(|| format!("{name} has no lossy disk"))
    }

    /// The whole log of a process.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.join("log").join(format!("{name}.log"))).unwrap_or_default()
    }

    /// The highest index up to which a master says that it purged its log, where it logs that.
    pub fn purged_upto(&self, name: &str) -> u64 {
        let log = self.log(name);
        let indices = log.lines().filter_map(|line| line.split_once("purged the log upto=")?.1.parse().ok());
        indices.max().unwrap_or(0)
    }

    /// `keelson SUBCOMMAND --dir DIR ARGUMENTS`, with the environment that the masters inherit.
    pub fn keelson(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(subcommand).arg("--dir").arg(&self.directory);
        command.envs(self.options.environment.iter().cloned());
        if self.options.unprivileged && rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// `kctl` for this cluster.
    pub fn kctl(&self) -> Command {
        let mut command = Command::new(&self.machine.programs.kctl);
        command.env("KUBECONFIG", self.directory.join("kubeconfig"));
        command
    }

    /// `kubectl` (or another program of that name) for one of the kubeconfig's contexts.
    ///
    /// # Errors
    /// When the kubeconfig has no such context.
    pub fn kubectl(&self, program: &str, master: Option<&str>) -> Result<Command> {
        let mut command = Command::new(program);
        command.env("KUBECONFIG", self.directory.join("kubeconfig")).env("HOME", &self.directory);
        if let Some(master) = master {
            command.args(["--context", &self.context_of(master)?]);
        }
        Ok(command)
    }

    /// Adds masters up to `count`.
    ///
    /// # Errors
    /// When `keelson up` fails.
    pub async fn grow(&mut self, count: usize) -> Result<String> {
        self.options.masters = count;
        self.up().await
    }

    /// Starts whatever does not run.
    ///
    /// # Errors
    /// When `keelson up` does.
    pub async fn up(&self) -> Result<String> {
        process::run(&mut self.up_command(), UP_TIMEOUT).await
    }

    /// What starts whatever does not run, for whoever does not wait for its end.
    pub fn up_command(&self) -> Command {
        let mut command = self.keelson("up");
        command.args(["--masters", &self.options.masters.to_string()]);
        command.args(self.options.flags);
        if self.options.nodes > 0 {
            command.args(["--nodes", &self.options.nodes.to_string(), "--sample"]);
        }
        command
    }

    /// Stops everything in order, and checks that nothing is left of it.
    ///
    /// # Errors
    /// When `keelson down` does, and names what it left.
    pub async fn down(&self) -> Result<String> {
        let told = process::run(&mut self.keelson("down"), DOWN_TIMEOUT).await?;
        let left = self.leftovers().await?;
        ensure!(left.is_empty(), "down left\n{}", left.join("\n"));
        Ok(told)
    }

    /// A master's process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self, name: &str) -> Result<u32> {
        let path = self.directory.join("run").join(format!("{name}.pid"));
        process::read_pid(&path).with_context(|| format!("{name} does not run ({})", path.display()))
    }

    /// The process of every master.
    ///
    /// # Errors
    /// When one does not run.
    pub fn pids(&self) -> Result<Vec<u32>> {
        self.masters().iter().map(|name| self.pid(name)).collect()
    }

    /// Kills masters with SIGKILL, all before waiting for any.
    ///
    /// # Errors
    /// When one does not run, or does not go.
    pub async fn kill(&self, names: &[String]) -> Result<()> {
        let pids: Vec<u32> = names.iter().map(|name| self.pid(name)).collect::<Result<_>>()?;
        for pid in &pids {
            process::signal(*pid, Signal::KILL)?;
        }
        for pid in pids {
            process::wait_gone(pid, KILL_TIMEOUT).await?;
        }
        Ok(())
    }

    /// A client of one master.
    ///
    /// # Errors
    /// When the kubeconfig does not know it.
    pub fn client(&self, name: &str) -> Result<Client> {
        Ok(Client::new(self.kubeconfig()?.endpoint(&self.context_of(name)?)?))
    }

    /// A client of the address that any live master answers.
    ///
    /// # Errors
    /// When there is no kubeconfig.
    pub fn any_client(&self) -> Result<Client> {
        Ok(Client::new(self.kubeconfig()?.current()?))
    }

    /// The same for somebody else, see [`Kubeconfig::current_as`].
    ///
    /// # Errors
    /// When there is no kubeconfig.
    pub fn client_as(&self, identity: Option<(&str, &str)>) -> Result<Client> {
        Ok(Client::new(self.kubeconfig()?.current_as(identity)?))
    }

    /// The same at another server of the cluster's, an agent: at `HOST:PORT`.
    ///
    /// # Errors
    /// When there is no kubeconfig.
    pub fn client_at(&self, address: &str, identity: Option<(&str, &str)>) -> Result<Client> {
        Ok(Client::new(self.kubeconfig()?.at(address, identity)?))
    }

    fn kubeconfig(&self) -> Result<Kubeconfig> {
        Kubeconfig::read(&self.directory.join("kubeconfig"))
    }

    fn context_of(&self, name: &str) -> Result<String> {
        let kubeconfig = self.kubeconfig()?;
        let found =
            kubeconfig.contexts().find(|context| *context == name || context.ends_with(&format!("-{name}")));
        found.map(str::to_owned).with_context(|| format!("the kubeconfig has no context for {name}"))
    }

    /// What `kctl cluster status` says.
    ///
    /// # Errors
    /// When it fails or prints something else.
    pub async fn status(&self) -> Result<Status> {
        let text = process::run(self.kctl().args(["cluster", "status", "-o", "json"]), KCTL_TIMEOUT).await?;
        serde_json::from_str(&text).with_context(|| format!("no status: {text}"))
    }

    /// Compares the masters' hashes at one index.
    ///
    /// # Errors
    /// When they differ or cannot be asked.
    pub async fn verify(&self) -> Result<String> {
        process::run(self.kctl().args(["cluster", "verify"]), KCTL_TIMEOUT).await
    }

    /// Checks that every master votes, one leads, all answer where the kubeconfig says, and that their
    /// hashes agree. Waits for what any one master says to be so: whoever is asked may just be connecting
    /// to a master that was started again, or be without a leader for a moment. A difference of hashes is
    /// not waited for to go away.
    ///
    /// # Errors
    /// Says what is not so.
    pub async fn check_whole(&self) -> Result<()> {
        let deadline = env::monotonic() + KCTL_TIMEOUT;
        while let Err(missing) = self.check_once().await {
            if env::monotonic() > deadline || missing.to_string().contains(STATES_DIFFER) {
                return Err(missing);
            }
            env::sleep(ASK_EVERY).await;
        }
        Ok(())
    }

    async fn check_once(&self) -> Result<()> {
        let status = self.status().await?;
        let leader = status.leader.context("no leader")?;
        ensure!(status.term > 0, "term {}", status.term);
        for Member { name, api, role, applied, lag, sync_p99_ms } in &status.members {
            let expect = if *name == leader { "leader" } else { "voter" };
            ensure!(role == expect, "{name} is a {role}, not a {expect}");
            let address = self.client(name)?.address().to_owned();
            ensure!(*api == format!("https://{address}"), "{name} is at {api}, not {address}");
            ensure!(applied.is_some_and(|applied| applied > 0), "{name} applied nothing");
            ensure!(lag.is_some(), "nobody says how far {name} is behind");
            ensure!(sync_p99_ms.is_some_and(|millis| millis > 0.0), "nobody says how fast {name} syncs");
            let told = self.client(name)?.request(Method::GET, "/keelson/v1/cluster", None).await?;
            ensure!(told["leader"] == *leader, "{name} says that {} leads, not {leader}", told["leader"]);
        }
        let names: Vec<&str> = status.members.iter().map(|member| member.name.as_str()).collect();
        ensure!(names == self.masters(), "members: {names:?}");
        self.verify().await.map(drop)
    }

    /// Checks that `keelson up` leaves alone what runs, and starts again the second master alone when that
    /// was killed.
    ///
    /// # Errors
    /// Says what is not so.
    pub async fn check_up_starts_what_is_missing(&self) -> Result<()> {
        let before = self.pids()?;
        self.up().await?;
        ensure!(self.pids()? == before, "up started again what was running");
        self.kill(&self.masters()[1..2]).await?;
        self.up().await?;
        let after = self.pids()?;
        let others_stayed = (after[0], after[2]) == (before[0], before[2]);
        ensure!(others_stayed && after[1] != before[1], "{before:?} -> {after:?}");
        Ok(())
    }

    /// Checks that every master holds every ConfigMap named.
    ///
    /// # Errors
    /// Names what is missing where.
    pub async fn check_holds(&self, names: &[&str]) -> Result<()> {
        for master in self.masters() {
            for name in names {
                self.client(&master)?.get(name).await.with_context(|| format!("{name} on {master}"))?;
            }
        }
        Ok(())
    }

    /// The leader's name, waiting for there to be one.
    ///
    /// # Errors
    /// When none is found in time.
    pub async fn leader(&self) -> Result<String> {
        let deadline = env::monotonic() + KCTL_TIMEOUT;
        loop {
            match self.status().await {
                Ok(Status { leader: Some(leader), .. }) => return Ok(leader),
                Ok(_) | Err(_) if env::monotonic() < deadline => env::sleep(ASK_EVERY).await,
                Ok(_) => bail!("no leader within {KCTL_TIMEOUT:?}"),
                Err(error) => return Err(error.context("no leader")),
            }
        }
    }

    /// The names of the leader and of the others.
    ///
    /// # Errors
    /// As [`Cluster::leader`].
    pub async fn roles(&self) -> Result<(String, Vec<String>)> {
        let leader = self.leader().await?;
        let followers = self.masters().into_iter().filter(|name| *name != leader).collect();
        Ok((leader, followers))
    }

    /// Waits until every master answers a fresh read.
    ///
    /// # Errors
    /// Names the master that does not within `limit`, and what it said last.
    pub async fn wait_ready(&self, limit: Duration) -> Result<()> {
        let deadline = env::monotonic() + limit;
        for name in self.masters() {
            let client = self.client(&name)?.with_timeout(Duration::from_secs(1));
            while let Err(refused) = client.list("?limit=1").await {
                if env::monotonic() > deadline {
                    bail!("{name} is not ready within {limit:?}: {refused}");
                }
                env::sleep(ASK_EVERY).await;
            }
        }
        Ok(())
    }

    /// The last lines of every master's log, for the message of a failed test.
    pub fn last_words(&self) -> String {
        let mut text = String::new();
        for name in self.masters() {
            let log = self.log(&name);
            let lines: Vec<&str> = log.lines().collect();
            text.push_str(&format!("--- {name}\n"));
            for line in &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..] {
                text.extend(line.chars().take(LOG_LINE_CHARS_SHOWN).chain(['\n']));
            }
        }
        text
    }
}

/// Lets [`NOBODY`] have the directory, and the program, which may lie where only root gets to.
fn give_away(directory: &Path, program: &Path) -> Result<PathBuf> {
    let reachable = directory.join("keelson");
    // A link where that is possible: the program is large.
    if std::fs::hard_link(program, &reachable).is_err() {
        std::fs::copy(program, &reachable).with_context(|| format!("copy {}", program.display()))?;
    }
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(directory, Some(NOBODY), Some(NOBODY))
            .with_context(|| format!("give {} away", directory.display()))?;
    }
    Ok(reachable)
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.machine.keep_words(self.last_words());
        self.machine.stop(&self.directory);
        self.mounts.clear();
        self.machine.keep_logs(&self.directory);
        self.machine.remove(&self.directory);
    }
}
