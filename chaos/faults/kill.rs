//! A master's process ends: at once, or as it was asked to.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;

use super::Injury;
use crate::cluster::Cluster;
use crate::process::{self, Signal};

/// How long a master may take to hand leadership over, and then to end in order.
const TERMINATE_TIMEOUT: Duration = Duration::from_secs(15);

/// How often the cluster is asked who leads.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// SIGKILL to the leader.
///
/// # Errors
/// When there is no leader to kill.
pub async fn leader(cluster: &Cluster) -> Result<Injury> {
    let (leader, _) = cluster.roles().await?;
    cluster.kill(&[leader]).await?;
    Ok(Injury::Dead)
}

/// SIGKILL to a follower.
///
/// # Errors
/// As [`leader`].
pub async fn follower(cluster: &Cluster) -> Result<Injury> {
    let (_, followers) = cluster.roles().await?;
    cluster.kill(&followers[..1]).await?;
    Ok(Injury::Dead)
}

/// SIGTERM to the leader, in the middle of a request. It must hand leadership over before it stops serving:
/// so the request, finished only when another leads, is answered still.
///
/// # Errors
/// When nobody takes over, the request is cut off, or the leader does not end.
pub async fn terminate_leader(cluster: &Cluster) -> Result<Injury> {
    let (leader, _) = cluster.roles().await?;
    let term = cluster.status().await?.term;
    let pid = cluster.pid(&leader)?;
    let held = cluster.client(&leader)?.hold_create(&format!("held-{term}")).await?;
    process::signal(pid, Signal::TERM)?;
    wait_for_successor(cluster, &leader, term).await?;
    let code = held.finish().await.context("a leader stopped serving before it handed over")?;
    ensure!(code == 201, "the request that a leader was stopped in was answered with {code}");
    process::wait_gone(pid, TERMINATE_TIMEOUT).await?;
    Ok(Injury::Dead)
}

/// Waits until another master than `leader` leads, in a term after `term`.
async fn wait_for_successor(cluster: &Cluster, leader: &str, term: u64) -> Result<()> {
    let deadline = env::monotonic() + TERMINATE_TIMEOUT;
    loop {
        let last = cluster.status().await;
        if let Ok(status) = &last
            && status.term > term
            && status.leader.as_ref().is_some_and(|other| other != leader)
        {
            return Ok(());
        }
        ensure!(env::monotonic() < deadline, "nobody took over from {leader}: {last:?}");
        env::sleep(ASK_EVERY).await;
    }
}
