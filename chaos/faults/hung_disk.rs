//! A disk that hangs: no sync returns, and no process that waits for one can be killed.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::lossy::LossyMount;
use crate::process;

/// How long what is left of a process may take to go once its disk answers.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// A hung disk; it answers again on drop.
pub struct Hung<'a> {
    disk: &'a LossyMount,
    /// The process of the master that the disk belongs to.
    pub pid: u32,
}

/// Makes the disk of the master `name` hang.
///
/// # Errors
/// When the master does not run, or its disk is not lossy.
pub fn hang<'a>(cluster: &'a Cluster, name: &str) -> Result<Hung<'a>> {
    let hung = Hung { disk: cluster.disk(name)?, pid: cluster.pid(name)? };
    hung.disk.hold_syncs();
    Ok(hung)
}

impl Hung<'_> {
    /// Lets the disk answer, and waits until nothing of the master's process is left.
    ///
    /// # Errors
    /// When nothing had waited for the disk, or the process does not go.
    pub async fn release(self) -> Result<()> {
        ensure!(self.disk.held_syncs() > 0, "nobody waited for the disk that hangs");
        self.disk.release_syncs();
        process::wait_ended(self.pid, END_TIMEOUT).await
    }
}

impl Drop for Hung<'_> {
    fn drop(&mut self) {
        self.disk.release_syncs();
    }
}
