//! A master's process stands still: its connections stay open and nothing answers.

use anyhow::Result;

use super::Injury;
use crate::cluster::Cluster;
use crate::process::{self, Signal};

/// SIGSTOP to the leader.
///
/// # Errors
/// When there is no leader to stop.
pub async fn leader(cluster: &Cluster) -> Result<Injury> {
    let (leader, _) = cluster.roles().await?;
    pause(cluster, &leader)
}

/// SIGSTOP to a follower.
///
/// # Errors
/// As [`leader`].
pub async fn follower(cluster: &Cluster) -> Result<Injury> {
    let (_, followers) = cluster.roles().await?;
    pause(cluster, &followers[0])
}

/// SIGSTOP to one master.
///
/// # Errors
/// When it does not run.
pub fn pause(cluster: &Cluster, name: &str) -> Result<Injury> {
    let pid = cluster.pid(name)?;
    process::signal(pid, Signal::STOP)?;
    Ok(Injury::Paused(pid))
}
