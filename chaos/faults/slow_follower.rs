//! A follower that gets a tenth of the time it needs: stopped and continued again and again, each stop
//! shorter than an election timeout.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use base::env::{self, JoinHandle};

use super::Injury;
use crate::cluster::Cluster;
use crate::process::{self, Signal};

/// How long it stands still, then runs.
const STOPPED: Duration = Duration::from_millis(90);
const RUNNING: Duration = Duration::from_millis(10);

/// A process that is stopped again and again.
pub struct DutyCycle {
    end: Arc<AtomicBool>,
    task: JoinHandle<Result<()>>,
}

/// Slows a follower down.
///
/// # Errors
/// When there is none.
pub async fn inject(cluster: &Cluster) -> Result<Injury> {
    let (_, followers) = cluster.roles().await?;
    let pid = cluster.pid(&followers[0])?;
    let end = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&end);
    let task = env::spawn(async move {
        while !is_over.load(Ordering::Relaxed) {
            process::signal(pid, Signal::STOP)?;
            env::sleep(STOPPED).await;
            process::signal(pid, Signal::CONT)?;
            env::sleep(RUNNING).await;
        }
        Ok(())
    });
    Ok(Injury::Slow(DutyCycle { end, task }))
}

impl DutyCycle {
    /// Lets the process run.
    ///
    /// # Errors
    /// When it could not be signalled.
    pub async fn end(self) -> Result<()> {
        self.end.store(true, Ordering::Relaxed);
        self.task.await.context("the duty cycle panicked")?
    }
}
