//! The power fails for all masters at once: processes end, and disks keep what was synced and, with some mercy, a
//! random part of everything else.
//!
//! What masters do now and then is cut as well: with [`SMALL_STORES`] each of it happens in every run,
//! and a [`Tally`] counts it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::cluster::Cluster;
use crate::evidence::Evidence;
use crate::lossy::Mercy;
use crate::scenario;
use crate::traffic::{Plan, Traffic};

/// For the masters' environment: memtables are flushed every few dozen writes, snapshots are taken and the
/// log is purged as often as masters look (twice a second), and who is away for a second needs a snapshot.
/// They log what a [`Tally`] counts.
pub const SMALL_STORES: [(&str, &str); 4] = [
    ("KEELSON_SNAPSHOT_AFTER_BYTES", "65536"),
    ("KEELSON_LOG_KEPT_BYTES", "16384"),
    ("KEELSON_MEMTABLE_BYTES_MAX", "65536"),
    ("KEELSON_LOG", "info,openraft=error,raft=debug"),
];

/// How long after the first acknowledged write the power fails, at most.
const RUN_MAX: Duration = Duration::from_millis(300);

/// How long after all processes were started the power fails again, at most: some serve by then, others
/// still open their stores, vote or receive a snapshot.
const START_MAX: Duration = Duration::from_millis(1200);

/// How long the first write may take, and processes to be started.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the masters may take to be ready again.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long those that are left may take to purge what the one that is away lacks.
const PURGE_TIMEOUT: Duration = Duration::from_secs(20);

/// How often processes and logs are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What happens beside one power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// A follower is killed under the traffic, and the power fails once the others have purged what it lacks: it
    /// needs a snapshot. Only for [`SMALL_STORES`].
    pub lags: bool,
    /// The power fails once more, while the masters start.
    pub fails_again: bool,
    /// What the disks keep of what was not synced.
    pub mercy: Mercy,
    /// The power fails only once an object is acknowledged that stays: a loss of all that was written is seen.
    pub leaves_traces: bool,
}

/// What one power cut did.
#[derive(Debug)]
pub struct Cut {
    /// What was seen before and after.
    pub evidence: Evidence,
    /// Files that held unsynced bytes, over all disks.
    pub dirty_files: usize,
    /// Bytes that the masters' stores had flushed from memory until then, by store.
    pub flushed_bytes: BTreeMap<String, u64>,
}

/// Runs traffic, cuts the power of all masters at a random point, and starts them again. The seed
/// chooses the point and what survives.
///
/// # Errors
/// When the cluster does not come back. Whether it lost something is in the evidence.
pub async fn once(cluster: &Cluster, seed: u64, course: Course) -> Result<Cut> {
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
    let writes = if course.leaves_traces { plan.writes_until_one_stays() } else { 1 };
    traffic.progress(writes, START_TIMEOUT).await?;
    let mut running = cluster.masters();
    if course.lags {
        let late = lose_follower(cluster, &mut random).await?;
        running.retain(|name| *name != late);
        // One of so many was sent after the end of the late one, which has nothing that follows it.
        traffic.progress(plan.writers as u64 + 1, START_TIMEOUT).await?;
        wait_for_purge(cluster, &running).await?;
    }
    env::sleep(RUN_MAX.mul_f64(random.random_range(0.0..1.0))).await;
    let flushed_bytes = flushed(cluster, &running).await?;
    let mut dirty_files = fail(cluster, &running, course.mercy, seed).await?;
    let halted = traffic.halt().await;
    if course.fails_again {
        dirty_files += fail_while_starting(cluster, &mut random, course.mercy, !seed).await?;
    }
    cluster.up().await.with_context(|| format!("start after power cut {seed}"))?;
    cluster.wait_ready(READY_TIMEOUT).await.with_context(|| format!("after power cut {seed}"))?;
    let evidence = halted.collect(cluster).await?;
    Ok(Cut { evidence, dirty_files, flushed_bytes })
}

/// Kills a follower; its name.
async fn lose_follower(cluster: &Cluster, random: &mut SmallRng) -> Result<String> {
    let (_, mut followers) = cluster.roles().await?;
    let late = followers.swap_remove(random.random_range(0..followers.len()));
    cluster.kill(std::slice::from_ref(&late)).await?;
    Ok(late)
}

/// Waits until each of `running` has purged all that any master has applied by now.
async fn wait_for_purge(cluster: &Cluster, running: &[String]) -> Result<()> {
    let status = cluster.status().await?;
    let applied = status.members.iter().filter_map(|member| member.applied).max();
    let applied = applied.context("no master says what it applied")?;
    let is_purged = || running.iter().all(|name| cluster.purged_upto(name) > applied);
    let done = env::wait_until(PURGE_TIMEOUT, LOOK_EVERY, is_purged).await;
    ensure!(done, "the logs of {running:?} were not purged beyond {applied} within {PURGE_TIMEOUT:?}");
    Ok(())
}

/// What the stores of `running` have flushed since they were opened.
async fn flushed(cluster: &Cluster, running: &[String]) -> Result<BTreeMap<String, u64>> {
    let mut sums = BTreeMap::new();
    for name in running {
        let metrics = cluster.client(name)?.text("/metrics").await?;
        for (store, bytes) in metrics.lines().filter_map(flushed_by) {
            *sums.entry(store.to_owned()).or_default() += bytes;
        }
    }
    Ok(sums)
}

/// The store and its bytes, of a line like `keelson_written_bytes_total{part="log flush"} 4096`.
fn flushed_by(line: &str) -> Option<(&str, u64)> {
    let (store, bytes) =
        line.strip_prefix("keelson_written_bytes_total{part=\"")?.split_once(" flush\"} ")?;
    Some((store, bytes.parse().ok()?))
}

/// Cuts the power of all masters, of which `running` run; how many files held unsynced bytes.
async fn fail(cluster: &Cluster, running: &[String], mercy: Mercy, seed: u64) -> Result<usize> {
    cluster.kill(running).await?;
    let mut dirty_files = 0;
    for (at, name) in cluster.masters().iter().enumerate() {
        let disk = cluster.disk(name)?;
        dirty_files += disk.dirty_files();
        disk.power_cut(mercy, seed.wrapping_mul(31).wrapping_add(at as u64));
    }
    Ok(dirty_files)
}

/// Starts the masters, and cuts the power while they open their stores, elect a leader or catch up.
async fn fail_while_starting(
    cluster: &Cluster,
    random: &mut SmallRng,
    mercy: Mercy,
    seed: u64,
) -> Result<usize> {
    let mut up = cluster.up_command();
    up.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut starting = up.spawn().context("run keelson up")?;
    // From then on it starts no more of them. One that refuses to start never runs: the next `up` tells why.
    env::wait_until(START_TIMEOUT, LOOK_EVERY, || cluster.pids().is_ok()).await;
    env::sleep(START_MAX.mul_f64(random.random_range(0.0..1.0))).await;
    starting.kill().await.context("kill keelson up")?;
    let mut running = cluster.masters();
    running.retain(|name| cluster.pid(name).is_ok());
    fail(cluster, &running, mercy, seed).await
}

/// What power cuts fell into.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    cuts: u64,
    /// Of those, cuts that another one followed while the masters started.
    in_starts: u64,
    acknowledged: usize,
    dirty_files: usize,
    flushed_bytes: BTreeMap<String, u64>,
    /// Begun and ended: the difference was cut off.
    snapshots: (usize, usize),
    /// The same of snapshots that came from another master.
    installs: (usize, usize),
    purges: usize,
}

impl Tally {
    fn add(&mut self, course: Course, cut: &Cut) {
        self.cuts += 1;
        self.in_starts += u64::from(course.fails_again);
        self.acknowledged += cut.evidence.acknowledged();
        self.dirty_files += cut.dirty_files;
        for (store, bytes) in &cut.flushed_bytes {
            *self.flushed_bytes.entry(store.clone()).or_default() += bytes;
        }
    }

    /// Takes in what the logs of all masters tell.
    fn read_logs(&mut self, cluster: &Cluster) {
        let logs: Vec<String> = cluster.masters().iter().map(|name| cluster.log(name)).collect();
        let count = |words: &str| logs.iter().map(|log| log.matches(words).count()).sum();
        self.snapshots = (count("taking a snapshot"), count("took a snapshot"));
        self.installs = (count("receiving a snapshot"), count("installed a snapshot"));
        self.purges = count("purged the log");
    }

    /// Checks that everything that there is to cut happened at all.
    ///
    /// # Errors
    /// Names what never did.
    pub fn check_complete(&self) -> Result<()> {
        for store in ["log", "versions"] {
            ensure!(
                self.flushed_bytes.get(store).is_some_and(|bytes| *bytes > 0),
                "{store}: no flush: {self}"
            );
        }
        let counts = [self.snapshots.0, self.installs.0, self.purges, self.in_starts as usize];
        ensure!(!counts.contains(&0), "something was never cut: {self}");
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cuts, in_starts, acknowledged, dirty_files, purges, .. } = self;
        let (taking, took) = self.snapshots;
        let (receiving, installed) = self.installs;
        write!(
            f,
            "{cuts} power cuts, {in_starts} more during starts: {acknowledged} acknowledged writes, \
             {dirty_files} files with unsynced bytes, flushed bytes {:?}, {purges} purges, \
             {took} of {taking} snapshots taken, {installed} of {receiving} received ones installed",
            self.flushed_bytes
        )
    }
}

/// Cuts the power once for each seed, and judges each time.
///
/// # Errors
/// At the first loss, with the seed.
pub async fn each(
    cluster: &Cluster,
    seeds: Range<u64>,
    course: impl Fn(u64) -> Course + Send,
) -> Result<Tally> {
    let mut tally = Tally::default();
    for seed in seeds {
        let course = course(seed);
        let cut = once(cluster, seed, course).await?;
        scenario::judge(&cut.evidence).with_context(|| format!("after power cut {seed}, {course:?}"))?;
        tally.add(course, &cut);
    }
    tally.read_logs(cluster);
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushed_bytes_are_found_among_the_metrics() {
        let found = |line: &str| flushed_by(line).map(|(store, bytes)| format!("{store} {bytes}"));
        assert_eq!(
            found("keelson_written_bytes_total{part=\"log flush\"} 4096").as_deref(),
            Some("log 4096")
        );
        assert_eq!(found("keelson_written_bytes_total{part=\"log journal\"} 4096"), None);
        assert_eq!(found("# TYPE keelson_written_bytes counter"), None);
    }
}
