//! Three masters on this machine, started, looked at and stopped as a user would.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base::env;
use chaos::cluster::{Member, Status};
use chaos::kubeconfig::{Endpoint, Kubeconfig};
use chaos::nodes::{Nodes, children, processes_naming};
use chaos::process;

use super::http::{Connection, Protocol};
use crate::procfs::Pid;

/// As many as etcd has members.
pub const MASTERS: usize = 3;
/// `keelson up`, a restart or a catch-up that takes longer than this has failed.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// One `kctl cluster status` that takes longer than this has failed.
const STATUS_MAX: Duration = Duration::from_secs(10);
/// Between two looks at the cluster.
const POLL_EVERY: Duration = Duration::from_millis(50);
/// Nodes that do not take pods by then never will.
const NODES_MAX: Duration = Duration::from_secs(120);
/// Between two looks at all nodes, which are many.
const NODES_EVERY: Duration = Duration::from_millis(500);
/// Entries that a follower may be behind and count as caught up: lease renewals and the like.
const LAG_MAX: u64 = 10;

/// The two binaries of the product.
#[derive(Clone, Debug)]
pub struct Binaries {
    keelson: PathBuf,
    kctl: PathBuf,
}

impl Binaries {
    /// `keelson`, and `kctl` beside it.
    ///
    /// # Errors
    /// When one is missing.
    pub fn find(keelson: &Path) -> Result<Self> {
        let keelson = std::path::absolute(keelson).context("making the path of keelson absolute")?;
        let kctl = keelson.with_file_name("kctl");
        for program in [&keelson, &kctl] {
            if !program.exists() {
                bail!(
                    "{} does not exist: `make build` leaves it in bin/, or pass --keelson",
                    program.display()
                );
            }
        }
        Ok(Self { keelson, kctl })
    }

    /// Whether they are those that `make build` leaves in this directory.
    pub fn are_made_here(&self) -> bool {
        std::path::absolute("bin/keelson").is_ok_and(|made| made == self.keelson)
    }
}

/// All nodes.
#[derive(serde::Deserialize)]
struct List {
    items: Vec<Node>,
}

/// Of a node what tells whether it takes pods.
#[derive(serde::Deserialize)]
struct Node {
    #[serde(default)]
    spec: NodeSpec,
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Default, serde::Deserialize)]
struct NodeSpec {
    #[serde(default)]
    taints: Vec<serde::de::IgnoredAny>,
}

#[derive(Default, serde::Deserialize)]
struct NodeStatus {
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(serde::Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

impl Node {
    fn takes_pods(&self) -> bool {
        let is_ready = |one: &Condition| one.kind == "Ready" && one.status == "True";
        self.spec.taints.is_empty() && self.status.conditions.iter().any(is_ready)
    }
}

/// The leader, when all masters are voters, reachable and caught up.
fn leader_when_whole(status: &Status) -> Option<&str> {
    let caught_up = |member: &Member| {
        let votes = matches!(member.role.as_str(), "leader" | "voter" | "follower");
        votes && member.applied.is_some() && member.lag.unwrap_or(0) <= LAG_MAX
    };
    let whole = status.members.len() == MASTERS && status.members.iter().all(caught_up);
    status.leader.as_deref().filter(|leader| whole && !leader.is_empty())
}

/// A whole cluster, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The leader's name.
    pub leader: String,
    /// The other masters' names.
    pub followers: Vec<String>,
    /// The Raft term.
    pub term: u64,
}

/// What a cluster is made of besides its masters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Nodes with an engine each; with any the sample application is deployed.
    pub nodes: usize,
    /// Nodes that only say that they run pods.
    pub hollow_nodes: usize,
    /// Whether nothing acts by itself but what empties namespaces.
    pub api_alone: bool,
}

impl Parts {
    /// Masters with all that they do by themselves, and nothing beside them.
    pub const MASTERS: Self = Self { nodes: 0, hollow_nodes: 0, api_alone: false };

    fn arguments(self) -> Vec<String> {
        let mut all = Vec::new();
        if self.nodes > 0 {
            all.extend(["--nodes".to_owned(), self.nodes.to_string(), "--sample".to_owned()]);
        }
        if self.hollow_nodes > 0 {
            all.extend(["--hollow-nodes".to_owned(), self.hollow_nodes.to_string()]);
        }
        if self.api_alone {
            all.extend(chaos::Options::api_alone().flags.iter().map(|flag| (*flag).to_owned()));
        }
        all
    }
}

/// A running cluster; stopped, and its data gone, when this is dropped.
pub struct Cluster {
    binaries: Binaries,
    directory: tempfile::TempDir,
    parts: Parts,
}

impl Cluster {
    /// Starts a cluster on an empty directory; returns when `keelson up` does.
    pub async fn up(binaries: &Binaries, parts: Parts) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("keelson-bench-").tempdir();
        let directory = directory.context("making a directory for a cluster")?;
        let cluster = Self { binaries: binaries.clone(), directory, parts };
        cluster.start_missing().await?;
        Ok(cluster)
    }

    /// Starts what does not run.
    pub async fn start_missing(&self) -> Result<()> {
        let mut up = tokio::process::Command::new(&self.binaries.keelson);
        up.args(["up", "--masters", &MASTERS.to_string(), "--dir"]).arg(self.directory.path());
        up.args(self.parts.arguments());
        process::run(&mut up, WAIT_MAX).await.map(drop).context("starting a cluster")
    }

    /// Its nodes.
    pub fn nodes(&self) -> Nodes {
        Nodes::of(self.directory.path())
    }

    /// Waits until as many nodes as it has take pods.
    pub async fn take_pods(&self, leader: &str) -> Result<()> {
        let wanted = self.parts.nodes + self.parts.hollow_nodes;
        let connection = self.connect(leader, Protocol::Http1).await?;
        let deadline = env::monotonic() + NODES_MAX;
        loop {
            let list: List = serde_json::from_slice(&connection.get("/api/v1/nodes").await?)?;
            let ready = list.items.iter().filter(|node| node.takes_pods()).count();
            if ready >= wanted {
                return Ok(());
            }
            if env::monotonic() >= deadline {
                bail!("of {wanted} nodes only {ready} take pods after {NODES_MAX:?}");
            }
            env::sleep(NODES_EVERY).await;
        }
    }

    /// Every process of the cluster: masters, agents, engines, and what runs in their containers.
    pub fn all_processes(&self) -> Result<Vec<(String, Pid)>> {
        let path = self.directory.path().to_str().context("a path of text")?;
        let mut pids: BTreeSet<Pid> = processes_naming(path)?.into_iter().collect();
        if self.parts.nodes > 0 {
            pids.extend(processes_naming(&format!("/run/keelson/{}/", self.nodes().short()?))?);
        }
        // Engines start others, and their shims what is in containers.
        let mut young: Vec<Pid> = pids.iter().copied().collect();
        while let Some(pid) = young.pop() {
            young.extend(children(pid)?.into_iter().filter(|child| pids.insert(*child)));
        }
        let name = |pid: &Pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Ok(pids.iter().map(|pid| (name(pid).trim().to_owned(), *pid)).collect())
    }

    /// What the cluster says about itself.
    pub async fn status(&self) -> Result<Status> {
        let mut status = tokio::process::Command::new(&self.binaries.kctl);
        status.args(["cluster", "status", "-o", "json"]).env("KUBECONFIG", self.kubeconfig_path());
        let text = process::run(&mut status, STATUS_MAX).await?;
        serde_json::from_str(&text).with_context(|| format!("reading `kctl cluster status -o json`: {text}"))
    }

    /// Waits until all masters vote and are caught up.
    pub async fn whole(&self) -> Result<Whole> {
        let deadline = env::monotonic() + WAIT_MAX;
        loop {
            let status = self.status().await;
            if let Ok(status) = &status
                && let Some(leader) = leader_when_whole(status)
            {
                let names = status.members.iter().map(|member| member.name.clone());
                let followers = names.filter(|name| name != leader).collect();
                return Ok(Whole { leader: leader.to_owned(), followers, term: status.term });
            }
            if env::monotonic() >= deadline {
                bail!("the cluster is not whole after {WAIT_MAX:?}: {status:?}");
            }
            env::sleep(POLL_EVERY).await;
        }
    }

    /// The process of a master, or of a node's agent.
    pub fn pid(&self, name: &str) -> Result<Pid> {
        let path = self.directory.path().join("run").join(format!("{name}.pid"));
        process::read_pid(&path)
            .with_context(|| format!("{name} does not run: {} names nothing", path.display()))
    }

    /// Where a master's data lies.
    pub fn data(&self, name: &str) -> PathBuf {
        self.directory.path().join("data").join(name)
    }

    /// The running masters by name.
    pub fn processes(&self) -> Vec<(String, Pid)> {
        let names = (1..=MASTERS).map(|number| format!("master-{number}"));
        names.filter_map(|name| Some((name.clone(), self.pid(&name).ok()?))).collect()
    }

    /// Where one master serves the API, and the administrator's certificate.
    pub fn endpoint(&self, name: &str) -> Result<Endpoint> {
        let kubeconfig = Kubeconfig::read(&self.kubeconfig_path())?;
        let suffix = format!("-{name}");
        let context = kubeconfig.contexts().find(|context| *context == name || context.ends_with(&suffix));
        kubeconfig.endpoint(context.with_context(|| format!("the kubeconfig has no context for {name}"))?)
    }

    /// A connection to one master.
    pub async fn connect(&self, name: &str, protocol: Protocol) -> Result<Connection> {
        Connection::open(&self.endpoint(name)?, protocol).await
    }

    /// A kubectl command that speaks to the cluster as its administrator.
    pub fn kubectl(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("kubectl");
        command.env("KUBECONFIG", self.kubeconfig_path());
        command
    }

    fn kubeconfig_path(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut down = std::process::Command::new(&self.binaries.keelson);
        let output = down.args(["down", "--dir"]).arg(self.directory.path()).output();
        match output {
            Ok(output) if output.status.success() => {}
            failed => eprintln!("`keelson down` failed, processes may be left: {failed:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_whole_when_all_masters_vote_and_are_caught_up() {
        let check = |leader: &str, members: &[(&str, u64)], expect: bool| {
            let members: Vec<_> = members
                .iter()
                .enumerate()
                .map(|(index, (role, lag))| {
                    let name = format!("master-{index}");
                    serde_json::json!({ "name": name, "api": "", "role": role, "lag": lag, "applied": 1 })
                })
                .collect();
            let status = serde_json::json!({ "leader": leader, "term": 3, "members": members });
            let status: Status = serde_json::from_value(status).expect("status");
            assert_eq!(leader_when_whole(&status).is_some(), expect, "{status:?}");
        };
        check("master-0", &[("leader", 0), ("voter", 0), ("voter", LAG_MAX)], true);
        check("master-0", &[("leader", 0), ("follower", 0), ("follower", 0)], true);
        check("", &[("follower", 0), ("follower", 0), ("follower", 0)], false);
        check("master-0", &[("leader", 0), ("follower", 0), ("learner", 0)], false);
        check("master-0", &[("leader", 0), ("follower", 0), ("follower", LAG_MAX + 1)], false);
        check("master-0", &[("leader", 0), ("follower", 0)], false);
        check("master-0", &[("leader", 0), ("follower", 0), ("unreachable", 0)], false);
    }

    #[test]
    fn a_node_takes_pods_when_it_is_ready_and_has_no_taint() {
        let check = |ready: &str, taints: serde_json::Value, expect: bool| {
            let status = serde_json::json!({ "conditions": [{ "type": "Ready", "status": ready }] });
            let node = serde_json::json!({ "spec": { "taints": taints }, "status": status });
            let node: Node = serde_json::from_value(node).expect("a node");
            assert_eq!(node.takes_pods(), expect);
        };
        check("True", serde_json::json!([]), true);
        check("True", serde_json::json!([{ "key": "a" }]), false);
        check("Unknown", serde_json::json!([]), false);
        let bare: Node = serde_json::from_str("{}").expect("a node");
        assert!(!bare.takes_pods());
    }

    #[test]
    fn a_member_of_which_nothing_is_known_is_not_whole() {
        let member = |name| serde_json::json!({ "name": name, "api": "", "role": "follower" });
        let members = [member("master-1"), member("master-2"), member("master-3")];
        let status = serde_json::json!({ "leader": "master-1", "term": 1, "members": members });
        let status: Status = serde_json::from_value(status).expect("status");
        assert_eq!(leader_when_whole(&status), None);
    }
}
