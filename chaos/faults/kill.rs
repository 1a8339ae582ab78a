//! A master's process ends: at once, or as it was asked to.

use std::time::Duration;

use anyhow::Result;

use super::Injury;
use crate::cluster::Cluster;
use crate::process::{self, Signal};

/// How long a master may take to end in order: it hands leadership over first.
const TERMINATE_TIMEOUT: Duration = Duration::from_secs(15);

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

/// SIGTERM to the leader.
///
/// # Errors
/// When it does not end.
pub async fn terminate_leader(cluster: &Cluster) -> Result<Injury> {
    let (leader, _) = cluster.roles().await?;
    let pid = cluster.pid(&leader)?;
    process::signal(pid, Signal::TERM)?;
    process::wait_gone(pid, TERMINATE_TIMEOUT).await?;
    Ok(Injury::Dead)
}
