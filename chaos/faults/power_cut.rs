//! The power fails for all masters at once: processes end, and disks keep what was synced and a random
//! part of everything else.

use std::time::Duration;

use anyhow::{Context, Result};
use base::env;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::cluster::Cluster;
use crate::evidence::Evidence;
use crate::scenario;
use crate::traffic::{Plan, Traffic};

/// How long after the first acknowledged write the power fails, at most.
const RUN_MAX: Duration = Duration::from_millis(300);

/// How long the first write may take.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the masters may take to be ready again.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// What one power cut did.
#[derive(Debug)]
pub struct Cut {
    /// What was seen before and after.
    pub evidence: Evidence,
    /// Files that held unsynced bytes, over all disks.
    pub dirty_files: usize,
}

/// Runs traffic, cuts the power of all masters at a random point, and starts them again. The seed
/// chooses the point and what survives.
///
/// # Errors
/// When the cluster does not come back. Whether it lost something is in the evidence.
pub async fn once(cluster: &Cluster, seed: u64) -> Result<Cut> {
    let mut random = SmallRng::seed_from_u64(seed);
    let plan = Plan {
        namespace: format!("cut-{seed}"),
        watchers: 0,
        readers: 0,
        padding_bytes: random.random_range(0..4000),
        request_timeout: Duration::from_secs(2),
        ..Plan::default()
    };
    let traffic = Traffic::start(cluster, &plan).await?;
    traffic.progress(1, START_TIMEOUT).await?;
    env::sleep(RUN_MAX.mul_f64(random.random_range(0.0..1.0))).await;
    let dirty_files = fail(cluster, seed).await?;
    let halted = traffic.halt().await;
    cluster.up().await.with_context(|| format!("start after power cut {seed}"))?;
    cluster.wait_ready(READY_TIMEOUT).await.with_context(|| format!("after power cut {seed}"))?;
    let evidence = halted.collect(cluster).await?;
    Ok(Cut { evidence, dirty_files })
}

/// Cuts the power of all masters; how many files held unsynced bytes.
///
/// # Errors
/// When a process does not end, or the disks are not lossy.
pub async fn fail(cluster: &Cluster, seed: u64) -> Result<usize> {
    let masters = cluster.masters();
    cluster.kill(&masters).await?;
    let mut dirty_files = 0;
    for (at, name) in masters.iter().enumerate() {
        let disk = cluster.disk(name)?;
        dirty_files += disk.dirty_files();
        disk.power_cut(seed.wrapping_mul(31).wrapping_add(at as u64));
    }
    Ok(dirty_files)
}

/// Cuts the power once for each seed, and judges each time.
///
/// # Errors
/// At the first loss, with the seed.
pub async fn each(cluster: &Cluster, seeds: std::ops::Range<u64>) -> Result<()> {
    let (mut acknowledged, mut dirty_files) = (0, 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let cut = once(cluster, seed).await?;
        scenario::judge(&cut.evidence).with_context(|| format!("after power cut {seed}"))?;
        acknowledged += cut.evidence.acknowledged();
        dirty_files += cut.dirty_files;
    }
    println!(
        "{count} power cuts: {acknowledged} acknowledged writes, {dirty_files} files with unsynced bytes"
    );
    Ok(())
}
