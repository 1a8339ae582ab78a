//! Nodes of a cluster, and what runs there: looked at, and hurt.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base::env;
use serde_json::Value;
use tokio::process::Command;

use crate::client::{Client, Method};
use crate::cluster::Cluster;
use crate::machine;
use crate::process::{self, Signal};

/// How long a command about one container may take.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often things are looked at while something is waited for.
const GLANCE: Duration = Duration::from_millis(50);

/// A pod, as far as tests look at one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its node; empty: none.
    pub node: String,
    /// Whether it is ready and not going.
    pub is_ready: bool,
    /// Whether it was asked to go.
    pub is_going: bool,
    /// Its address; empty: none.
    pub address: String,
    /// The engine's id of its first container.
    pub container: String,
    /// How often that was restarted.
    pub restarts: u64,
}

fn pod(object: &Value) -> Pod {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let is_ready = conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
    let is_going = object["metadata"]["deletionTimestamp"].is_string();
    let container = &object["status"]["containerStatuses"][0];
    Pod {
        name: text(&object["metadata"]["name"]),
        node: text(&object["spec"]["nodeName"]),
        is_ready: is_ready && !is_going,
        is_going,
        address: text(&object["status"]["podIP"]),
        container: text(&container["containerID"]).trim_start_matches("docker://").to_owned(),
        restarts: container["restartCount"].as_u64().unwrap_or_default(),
    }
}

/// The pods of namespace `default`, by name.
///
/// # Errors
/// When the masters do not tell.
pub async fn pods(client: &Client) -> Result<Vec<Pod>> {
    let list = client.request(Method::GET, "/api/v1/namespaces/default/pods", None).await?;
    Ok(list["items"].as_array().into_iter().flatten().map(pod).collect())
}

/// Waits until the pods are as `wanted` says.
///
/// # Errors
/// When they are not in time: what they were then.
pub async fn wait_for_pods(
    client: &Client,
    limit: Duration,
    what: &str,
    wanted: impl Fn(&[Pod]) -> bool,
) -> Result<Vec<Pod>> {
    let deadline = env::monotonic() + limit;
    loop {
        // A leader that was just killed answers nobody.
        let found = pods(client).await;
        if let Ok(found) = &found
            && wanted(found)
        {
            return Ok(found.clone());
        }
        ensure!(env::monotonic() < deadline, "{what}: not within {limit:?}: {found:?}");
        env::sleep(GLANCE).await;
    }
}

/// The nodes of the cluster in a directory.
#[derive(Clone, Debug)]
pub struct Nodes {
    directory: PathBuf,
}

impl Nodes {
    /// Of the cluster that `keelson up --dir` made there.
    pub fn of(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// What names of this cluster's plumbing begin with.
    ///
    /// # Errors
    /// When the cluster's file cannot be read.
    pub fn short(&self) -> Result<String> {
        let id = self.file()?["cluster"].as_str().context("the cluster's id")?.to_owned();
        Ok(id.chars().take(6).collect())
    }

    /// A node's own address.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn address(&self, node: &str) -> Result<String> {
        let file = self.file()?;
        let nodes = file["nodes"].as_array().context("nodes")?;
        let found = nodes.iter().find(|one| one["name"] == node).with_context(|| format!("no {node}"))?;
        Ok(found["address"].as_str().context("an address")?.to_owned())
    }

    /// The addresses of all nodes, in their order.
    ///
    /// # Errors
    /// When the cluster's file cannot be read.
    pub fn addresses(&self) -> Result<Vec<String>> {
        let file = self.file()?;
        let nodes = file["nodes"].as_array().context("nodes")?;
        nodes.iter().map(|node| Ok(node["address"].as_str().context("an address")?.to_owned())).collect()
    }

    fn file(&self) -> Result<Value> {
        let text = std::fs::read_to_string(self.directory.join("cluster.json"))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Where a node's engine keeps what does not outlive it.
    ///
    /// # Errors
    /// As [`Nodes::short`].
    pub fn engine_directory(&self, node: &str) -> Result<PathBuf> {
        Ok(PathBuf::from("/run/keelson").join(self.short()?).join(node))
    }

    /// A command of Docker's client, asked of a node's engine.
    ///
    /// # Errors
    /// When it fails.
    pub async fn docker(&self, node: &str, arguments: &[&str]) -> Result<String> {
        let socket = self.engine_directory(node)?.join("docker.sock");
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", socket.display())).args(arguments);
        process::run(&mut command, ENGINE_TIMEOUT).await
    }

    /// A command in a node's network namespace.
    ///
    /// # Errors
    /// When it fails.
    pub async fn inside(&self, node: &str, words: &[&str]) -> Result<String> {
        let namespace = format!("kl-{}-{node}", self.short()?);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &namespace]).args(words);
        process::run(&mut command, ENGINE_TIMEOUT).await
    }

    /// Where the kernel of a node leads packets to Services: the rules as `nft` lists them.
    ///
    /// # Errors
    /// When there are none.
    pub async fn service_rules(&self, node: &str) -> Result<String> {
        self.inside(node, &["nft", "list", "table", "ip", "keelson-services"]).await
    }

    /// Cuts a node or a master off, or lets it back in.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub async fn link(&self, host: &str, is_up: bool) -> Result<()> {
        let node = host.strip_prefix("node-").map(|number| format!("n{number}"));
        let master = || host.strip_prefix("master-").map(|number| format!("v{number}"));
        let end = node.or_else(master).context("the name of a node or a master")?;
        let link = format!("kl{}{end}", self.short()?);
        let mut command = Command::new("ip");
        command.args(["link", "set", &link, if is_up { "up" } else { "down" }]);
        process::run(&mut command, ENGINE_TIMEOUT).await.map(drop)
    }

    /// Ends a node in one moment: its link, its agent, its engine and all containers.
    ///
    /// # Errors
    /// When something of it could not be ended.
    pub async fn kill(&self, node: &str) -> Result<()> {
        self.link(node, false).await?;
        for name in [node.to_owned(), format!("{node}-engine")] {
            let path = self.directory.join("run").join(format!("{name}.pid"));
            let pid = process::read_pid(&path).with_context(|| format!("{name} does not run"))?;
            process::signal(pid, Signal::KILL)?;
        }
        kill_engine(&self.engine_directory(node)?)
    }
}

impl Cluster {
    /// What is known of its nodes.
    pub fn nodes(&self) -> Nodes {
        Nodes::of(self.directory())
    }

    /// Ends everything in one moment: masters, the balancer, agents, engines and all containers.
    ///
    /// # Errors
    /// When something of it could not be ended.
    pub async fn kill_everything(&self) -> Result<()> {
        let killed = machine::pids(self.directory());
        killed.iter().try_for_each(|pid| process::signal(*pid, Signal::KILL))?;
        kill_engine(&PathBuf::from("/run/keelson").join(self.nodes().short()?))?;
        for pid in killed {
            process::wait_gone(pid, ENGINE_TIMEOUT).await?;
        }
        Ok(())
    }
}

/// Kills what belongs to the engines that work below a directory, their containers with them.
fn kill_engine(directory: &Path) -> Result<()> {
    let ours = processes_naming(directory.to_str().context("a path of text")?)?;
    let inside: Vec<u32> = ours.iter().copied().map(children).collect::<Result<Vec<_>>>()?.concat();
    for pid in inside.into_iter().chain(ours) {
        // One may have ended with another.
        let _ = process::signal(pid, Signal::KILL);
    }
    Ok(())
}

/// Processes whose command line names a path below a directory.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn processes_naming(directory: &str) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(directory) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// The children of a process: a container's first process is its shim's.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn children(pid: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    let tasks = match std::fs::read_dir(format!("/proc/{pid}/task")) {
        Ok(tasks) => tasks,
        Err(_) => return Ok(found),
    };
    for task in tasks {
        let text = std::fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    Ok(found)
}

/// What a page at an address says; an error for anything but 200.
///
/// # Errors
/// When it does not answer in time.
pub async fn page(url: &str) -> Result<String> {
    let place = url.trim_start_matches("http://");
    let asked = async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(place).await?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        std::io::Result::Ok(text)
    };
    let answer = env::timeout(Duration::from_secs(2), asked).await.context("no answer")??;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.trim().to_owned()),
        _ => bail!("{answer}"),
    }
}
