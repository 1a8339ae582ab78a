//! Waiting for processes and for the API, bounded, with errors that name the log.

use std::time::Duration;

use anyhow::{Context, bail};
use base::env;
use bytes::Bytes;
use http::{Method, StatusCode};

use super::ClusterDir;
use super::cluster_file::{ClusterFile, MasterAddress};
use super::host::Host;
use super::process::{Processes, Running, is_alive};
use crate::address::HostPort;
use crate::cluster::view::{ClusterView, IssuedToken, MemberView, Role};
use crate::data_dir::DataDir;
use crate::https::Https;
use crate::pki::{ADMIN_GROUP, ADMIN_USER};

/// How long a cluster may take to serve, replay of a large log included.
const UP_DEADLINE: Duration = Duration::from_secs(120);
/// How long a node may take to be ready for pods: its engine may have much to clean up.
const NODES_DEADLINE: Duration = Duration::from_secs(60);
/// How long a process may take to end after a signal. Above a master's own bound for a graceful stop.
const END_DEADLINE: Duration = Duration::from_secs(15);
/// How often processes and files are looked at: a file's appearance is on the way of a new cluster.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// How often the API is asked.
const ASK_INTERVAL: Duration = Duration::from_millis(20);
/// How long one answer may take.
const ASK_DEADLINE: Duration = Duration::from_secs(5);

/// Processes whose end would be the answer to why something does not happen.
pub struct Watched {
    processes: Processes,
    running: Vec<(String, Running)>,
}

impl Watched {
    /// Nobody yet.
    pub fn new(processes: Processes) -> Self {
        Self { processes, running: Vec::new() }
    }

    /// Watches one more.
    pub fn add(&mut self, name: &str, running: Running) {
        self.running.push((name.to_owned(), running));
    }

    /// An error that names who has ended.
    fn check(&self, host: &dyn Host) -> anyhow::Result<()> {
        let Some((name, _)) = self.running.iter().find(|(_, running)| !is_alive(host, running)) else {
            return Ok(());
        };
        let (words, log) = (self.processes.last_words(name), self.processes.log(name));
        bail!("{name} does not run: it has ended; its last words: {words}\nsee {}", log.display())
    }

    fn logs(&self) -> String {
        let directory = self.processes.log("*");
        directory.display().to_string()
    }
}

/// A member that died keeps its vote: only one that answers takes part.
fn serves(member: &MemberView) -> bool {
    member.role != Role::Learner && member.applied.is_some()
}

/// Waits until a master has written its identity, and with it the authority and the first token.
pub async fn wait_for_identity(
    host: &dyn Host,
    data: &DataDir,
    name: &str,
    watched: &Watched,
) -> anyhow::Result<()> {
    let deadline = env::monotonic() + UP_DEADLINE;
    while !data.has_identity() {
        watched.check(host)?;
        if env::monotonic() >= deadline {
            bail!("{name} does not begin within {} s: see {}", UP_DEADLINE.as_secs(), watched.logs());
        }
        env::sleep(LOOK_INTERVAL).await;
    }
    Ok(())
}

/// Waits until all of `running` have ended; `false` when some have not in time.
pub async fn wait_for_end(host: &dyn Host, running: &[Running]) -> bool {
    let ended = || running.iter().all(|process| !is_alive(host, process));
    env::wait_until(END_DEADLINE, LOOK_INTERVAL, ended).await
}

/// Whether a node is ready, and no taint keeps pods away for its not being so. One that somebody cordoned is as well.
fn takes_pods(node: &serde_json::Value) -> bool {
    let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    let mut ready = conditions.filter(|condition| condition["type"] == "Ready");
    let mut taints = node["spec"]["taints"].as_array().into_iter().flatten();
    ready.any(|condition| condition["status"] == "True")
        && !taints
            .any(|taint| taint["key"].as_str().is_some_and(|key| key.starts_with("node.kubernetes.io/not-")))
}

/// The cluster's API through its stable address.
pub struct Api {
    https: Https,
    stable: HostPort,
}

impl Api {
    /// As the administrator.
    pub fn new(directory: &ClusterDir, file: &ClusterFile) -> anyhow::Result<Self> {
        let authority = super::authority(&directory.path, file)?;
        let admin = authority.client(ADMIN_USER, ADMIN_GROUP)?;
        let https = Https::trusting(authority.certificate(), Some(&admin))?;
        Ok(Self { https, stable: file.stable.clone() })
    }

    /// A token for masters that join.
    pub async fn issue_token(&self, host: &dyn Host, watched: &Watched) -> anyhow::Result<String> {
        self.issue(host, watched, "/keelson/v1/tokens").await
    }

    /// A token with which an agent can join.
    pub async fn issue_node_token(&self, host: &dyn Host, watched: &Watched) -> anyhow::Result<String> {
        self.issue(host, watched, "/keelson/v1/node-tokens").await
    }

    async fn issue(&self, host: &dyn Host, watched: &Watched, path: &str) -> anyhow::Result<String> {
        let issued: IssuedToken =
            self.ask_until(host, watched, Method::POST, path, |_: &IssuedToken| true).await?;
        Ok(issued.token)
    }

    /// Creates an object, unless it is there.
    pub async fn create(&self, path: &str, object: &serde_json::Value) -> anyhow::Result<()> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if self.ask::<serde_json::Value>(Method::GET, &format!("{path}/{name}")).await.is_ok() {
            return Ok(());
        }
        let body = Bytes::from(object.to_string());
        let reply = self.https.request(Method::POST, &self.stable, path, body, ASK_DEADLINE).await?;
        if !matches!(reply.status, StatusCode::CREATED | StatusCode::CONFLICT) {
            bail!("{}: {}", reply.status, reply.message());
        }
        Ok(())
    }

    /// Waits until every node of `file` is ready for pods.
    pub async fn wait_until_nodes_ready(
        &self,
        host: &dyn Host,
        file: &ClusterFile,
        watched: &Watched,
    ) -> anyhow::Result<()> {
        for node in &file.nodes {
            let deadline = env::monotonic() + NODES_DEADLINE;
            let path = format!("/api/v1/nodes/{}", node.name);
            loop {
                let last = match self.ask::<serde_json::Value>(Method::GET, &path).await {
                    Ok(found) if takes_pods(&found) => break,
                    Ok(_) => "it is not ready".to_owned(),
                    Err(error) => format!("{error:#}"),
                };
                watched.check(host)?;
                if env::monotonic() >= deadline {
                    let log = watched.processes.log(&node.name);
                    bail!("{} does not take pods: {last}\nsee {}", node.name, log.display());
                }
                env::sleep(ASK_INTERVAL).await;
            }
        }
        Ok(())
    }

    /// Waits until the API answers through the stable address, and every master of `file` votes and is
    /// ready at its own.
    pub async fn wait_until_whole(
        &self,
        host: &dyn Host,
        file: &ClusterFile,
        watched: &Watched,
    ) -> anyhow::Result<()> {
        let whole = |view: &ClusterView| {
            let takes_part =
                |name: &str| view.members.iter().any(|member| member.name == name && serves(member));
            view.leader.is_some() && file.masters.iter().all(|master| takes_part(&master.name))
        };
        self.ask_until(host, watched, Method::GET, "/keelson/v1/cluster", whole).await?;
        for master in &file.masters {
            self.wait_until_ready(host, master, watched).await?;
        }
        Ok(())
    }

    async fn wait_until_ready(
        &self,
        host: &dyn Host,
        master: &MasterAddress,
        watched: &Watched,
    ) -> anyhow::Result<()> {
        let deadline = env::monotonic() + UP_DEADLINE;
        loop {
            let asked =
                self.https.request(Method::GET, &master.api, "/readyz", Bytes::new(), ASK_DEADLINE).await;
            let last = match asked {
                Ok(reply) if reply.status.is_success() => return Ok(()),
                Ok(reply) => reply.message(),
                Err(error) => error.to_string(),
            };
            watched.check(host)?;
            if env::monotonic() >= deadline {
                let log = watched.processes.log(&master.name);
                bail!("{} is not ready: {last}\nsee {}", master.name, log.display());
            }
            env::sleep(ASK_INTERVAL).await;
        }
    }

    /// Asks until the answer is `enough`.
    async fn ask_until<T: serde::de::DeserializeOwned>(
        &self,
        host: &dyn Host,
        watched: &Watched,
        method: Method,
        path: &str,
        enough: impl Fn(&T) -> bool,
    ) -> anyhow::Result<T> {
        let deadline = env::monotonic() + UP_DEADLINE;
        loop {
            let last = match self.ask(method.clone(), path).await {
                Ok(answer) if enough(&answer) => return Ok(answer),
                Ok(_) => "not all masters take part yet".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            watched.check(host)?;
            if env::monotonic() >= deadline {
                let (stable, seconds, logs) = (self.stable.url(), UP_DEADLINE.as_secs(), watched.logs());
                bail!("the cluster does not serve at {stable} within {seconds} s: {last}\nsee {logs}");
            }
            env::sleep(ASK_INTERVAL).await;
        }
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, method: Method, path: &str) -> anyhow::Result<T> {
        let reply = self.https.request(method, &self.stable, path, Bytes::new(), ASK_DEADLINE).await?;
        if !matches!(reply.status, StatusCode::OK | StatusCode::CREATED) {
            bail!("{}: {}", reply.status, reply.message());
        }
        serde_json::from_slice(&reply.body).context("the answer is not the JSON expected")
    }
}
