//! All masters die in the same moment.

use anyhow::Result;

use super::Injury;
use crate::cluster::Cluster;

/// SIGKILL to all masters.
///
/// # Errors
/// When one does not run.
pub async fn inject(cluster: &Cluster) -> Result<Injury> {
    cluster.kill(&cluster.masters()).await?;
    Ok(Injury::Dead)
}
