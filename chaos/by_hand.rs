//! Masters that are run by hand, one `keelson server` after the other, at loopback addresses of their own.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base::env;

use crate::Machine;
use crate::client::{Client, Method};
use crate::kubeconfig::Kubeconfig;
use crate::process::{self, Child, Command, Ended};

/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(90);

/// How long something may take that is only waited for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often a master is asked.
pub const ASK_EVERY: Duration = Duration::from_millis(20);

/// A directory and loopback addresses that go with the test.
pub struct Scratch {
    machine: Arc<Machine>,
    path: PathBuf,
    network: u8,
}

impl Scratch {
    /// With addresses that no other test of this process has.
    pub fn new(machine: &Arc<Machine>) -> Result<Self> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let network = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self { machine: Arc::clone(machine), path: machine.directory()?, network })
    }

    /// Master `number`, with its data in a directory of this name.
    pub fn master(&self, directory: &str, number: usize) -> Master {
        let host = format!("127.77.{}.{number}", self.network);
        let keelson = self.machine.programs.keelson.clone();
        Master { name: format!("master-{number}"), host, directory: self.path.join(directory), keelson }
    }

    /// `kctl` as the administrator whose kubeconfig `master` has.
    pub async fn kctl(&self, master: &Master, arguments: &[&str]) -> Result<String> {
        self.kctl_ended(master, arguments).await?.success()
    }

    /// [`Scratch::kctl`], however it ends.
    pub async fn kctl_ended(&self, master: &Master, arguments: &[&str]) -> Result<Ended> {
        let mut command = Command::new(&self.machine.programs.kctl);
        command.env("KUBECONFIG", master.kubeconfig()).args(arguments);
        process::capture(&mut command, COMMAND_TIMEOUT).await
    }

    /// A join token, from what `kctl cluster add` prints.
    pub async fn token(&self, master: &Master) -> Result<String> {
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
pub struct Master {
    /// Its name.
    pub name: String,
    host: String,
    /// Where its data lies.
    pub directory: PathBuf,
    keelson: PathBuf,
}

impl Master {
    /// `keelson server`. It goes when the test does, however that ends.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&self.keelson).arg("server");
        command.arg("--dir").arg(&self.directory).args(["--name", &self.name]);
        command.args(["--api", &self.address(6443), "--peer", &self.address(6444)]).args(arguments);
        command
    }

    /// `HOST:PORT` at its host.
    pub fn address(&self, port: u16) -> String {
        format!("{}:{port}", self.host)
    }

    /// Where it serves its API.
    pub fn url(&self) -> String {
        format!("https://{}", self.address(6443))
    }

    /// Where it writes what it has to say.
    pub fn log(&self) -> PathBuf {
        self.directory.with_extension("log")
    }

    /// The kubeconfig that it keeps.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }

    /// Starts it with these flags beside its name and addresses.
    pub fn start(&self, arguments: &[&str]) -> Result<Child> {
        self.spawn(self.command(arguments))
    }

    /// Starts what [`Master::command`] made.
    pub fn spawn(&self, mut command: Command) -> Result<Child> {
        let log = std::fs::File::options().create(true).append(true).open(self.log())?;
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().with_context(|| format!("start {}", self.name))
    }

    /// Runs it to its end, which is expected to come by itself.
    pub async fn ended(&self, arguments: &[&str]) -> Result<Ended> {
        process::capture(&mut self.command(arguments), COMMAND_TIMEOUT).await
    }

    /// As the administrator, through this master.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::new(Kubeconfig::read(&self.kubeconfig())?.current()?))
    }

    /// A client of a first master once it serves.
    pub async fn ready(&self) -> Result<Client> {
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

/// What a master says of another: its role, or nothing.
pub async fn role(first: &Client, name: &str) -> Result<Option<String>> {
    let view = first.request(Method::GET, "/keelson/v1/cluster", None).await?;
    let members = view["members"].as_array().context("a list of members")?;
    let member = members.iter().find(|member| member["name"] == name);
    Ok(member.and_then(|member| member["role"].as_str()).map(str::to_owned))
}

/// Waits until a master says so of another.
pub async fn wait_for_role(first: &Client, name: &str, wanted: &str) -> Result<()> {
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
