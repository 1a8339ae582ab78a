//! Three masters on this machine, started, looked at and stopped as a user would.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base::env;
use chaos::cluster::{Member, Status};
use chaos::kubeconfig::{Endpoint, Kubeconfig};
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

/// A running cluster; stopped, and its data gone, when this is dropped.
pub struct Cluster {
    binaries: Binaries,
    directory: tempfile::TempDir,
}

impl Cluster {
    /// Starts masters on an empty directory; returns when `keelson up` does.
    pub async fn up(binaries: &Binaries) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("keelson-bench-").tempdir();
        let directory = directory.context("making a directory for a cluster")?;
        let cluster = Self { binaries: binaries.clone(), directory };
        cluster.start_missing().await?;
        Ok(cluster)
    }

    /// Starts the masters that do not run.
    pub async fn start_missing(&self) -> Result<()> {
        let mut up = tokio::process::Command::new(&self.binaries.keelson);
        up.args(["up", "--masters", &MASTERS.to_string(), "--dir"]).arg(self.directory.path());
        process::run(&mut up, WAIT_MAX).await.map(drop).context("starting masters")
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

    /// A master's process.
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
    fn a_member_of_which_nothing_is_known_is_not_whole() {
        let member = |name| serde_json::json!({ "name": name, "api": "", "role": "follower" });
        let members = [member("master-1"), member("master-2"), member("master-3")];
        let status = serde_json::json!({ "leader": "master-1", "term": 1, "members": members });
        let status: Status = serde_json::from_value(status).expect("status");
        assert_eq!(leader_when_whole(&status), None);
    }
}
