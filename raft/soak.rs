//! Hunts the race of snapshots with applies (openraft#2116) at the highest rate there is, with the door of
//! [`crate::peer`] left open: three masters in one process, nothing between them, all under full load. One
//! after the other is held between a commit and its apply, cut off until the leader purged what it lacks,
//! and gets a snapshot before it may go on.
//!
//! By hand: `cargo test -p raft --lib soak -- --ignored --nocapture`; `KEELSON_SOAK_SECONDS` (default 60) says for
//! how long. A debug build has openraft's own checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base::env;
use bytes::Bytes;
use storage::memory::{Gate, Point};
use storage::snapshot::Stores;

use crate::common::cluster::{Cluster, eventually};
use crate::handle::{Handle, Options};
use crate::transport::simulated::Conditions;

const ALL: [u64; 3] = [1, 2, 3];
const WRITERS: usize = 256;
const PAYLOAD_BYTES: usize = 256;

/// Entries that the leader may have in its log and not applied: never none, so that everybody is busy, and
/// few, because each round waits for all of them.
const BACKLOG: u64 = 2_000;

/// Entries that a master which was cut off lacks at least: more than stand in any queue.
const LACKING: u64 = 500;

/// A leader that was cut off takes entries until it holds as many bytes as it may, and then none.
const APPEND_PATIENCE: Duration = Duration::from_millis(200);

/// How long a gate may take to catch somebody, under load.
const LIMIT: Duration = Duration::from_secs(20);

/// How long a leader waits for a follower that is held: until then it keeps the log that it may send again.
const APPEND_DEADLINE: Duration = Duration::from_millis(50);

/// No snapshot and no purge but those that the hunt asks for; and nothing between the network and the core.
fn bare(options: &mut Options) {
    options.timing.append_deadline = APPEND_DEADLINE;
    (options.snapshot_after_bytes, options.log_kept_bytes) = (u64::MAX, u64::MAX);
    options.open_door = Some(Arc::default());
}

/// What the writers have done.
#[derive(Default)]
struct Load {
    appended: AtomicU64,
    stopped: AtomicBool,
}

async fn write(handles: Vec<Handle>, load: Arc<Load>) {
    let payload = Bytes::from(vec![7; PAYLOAD_BYTES]);
    while !load.stopped.load(Ordering::Relaxed) {
        // One that was cut off may still take itself for the leader, of an older term.
        let standing = |handle: &&Handle| *handle.leadership().borrow();
        let leader = handles.iter().max_by_key(|handle| (standing(handle).term, standing(handle).am_leader));
        let Some(leader) = leader else { return };
        if leader.last() > leader.applied().map(|applied| applied + BACKLOG) {
            env::sleep(Duration::from_millis(1)).await;
            continue;
        }
        let appended = leader.append(standing(&leader).term, payload.clone());
        match env::timeout(APPEND_PATIENCE, appended).await {
            Ok(Ok(())) => _ = load.appended.fetch_add(1, Ordering::Relaxed),
            _ => env::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Where a master is held in a round: on its way from a commit to the apply, in the apply, or in both.
fn gates(cluster: &Cluster, node: u64, round: usize) -> Vec<Gate> {
    let node = &cluster.nodes[&node];
    let commit = node.stores.faults().gate(Point::SaveCommitted).clone();
    let apply = node.probe.applying.clone();
    match round % 3 {
        0 => vec![apply],
        1 => vec![commit],
        _ => vec![apply, commit],
    }
}

/// Closes gates one after the other, somebody being held at each.
async fn hold(gates: &[Gate]) {
    for gate in gates {
        gate.close();
        let waiting = gate.clone();
        assert!(env::blocking(move || waiting.wait_until_held(1, LIMIT)).await, "nobody is held");
    }
}

/// The leader of `others` takes a snapshot, and purges what it covers and `lacking` follows.
async fn purge(cluster: &Cluster, others: &[u64], lacking: u64) {
    let leader = cluster.wait_for_leader(others).await;
    let (raft, log) = (cluster.handle(leader).raw(), cluster.nodes[&leader].stores.log());
    eventually("entries that one lacks", || cluster.handle(leader).applied() > Some(lacking + LACKING)).await;
    raft.trigger().snapshot().await.expect("the leader runs");
    let covered = || cluster.handle(leader).metrics().snapshot.map_or(0, |log_id| log_id.index);
    eventually("a snapshot that covers them", || covered() > lacking + LACKING).await;
    raft.trigger().purge_log(covered()).await.expect("the leader runs");
    let purged = || log.state().expect("readable").purged.map_or(0, |marker| marker.index);
    eventually("what one lacks is purged", || purged() > lacking + LACKING).await;
}

/// Holds a follower in the middle of its work, and lets it go on once a snapshot has come.
async fn starve(cluster: &Cluster, round: usize) {
    let leader = cluster.wait_for_leader(&ALL).await;
    let followers: Vec<u64> = ALL.into_iter().filter(|node| *node != leader).collect();
    let victim = followers[round / 3 % 2];
    let others: Vec<u64> = ALL.into_iter().filter(|node| *node != victim).collect();
    let installs = || cluster.nodes[&victim].probe.installs.load(Ordering::SeqCst);
    let before = installs();
    let came = cluster.handle(victim).snapshots_come();
    let gates = gates(cluster, victim, round);
    hold(&gates).await;
    cluster.network.detach(victim);
    purge(cluster, &others, cluster.handle(leader).last().unwrap_or(0)).await;
    cluster.network.attach(victim, cluster.handle(victim).frames());
    eventually("a snapshot comes", || cluster.handle(victim).snapshots_come() > came).await;
    gates.iter().for_each(Gate::open);
    eventually("it is installed", || installs() > before).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs for minutes; by hand"]
async fn snapshots_under_full_load() {
    let seconds: u64 =
        std::env::var("KEELSON_SOAK_SECONDS").map_or(60, |text| text.parse().expect("a number"));
    let cluster = Cluster::of(3, bare).await;
    cluster.nodes.values().for_each(|node| node.probe.forget_payloads());
    cluster.network.set_conditions(Conditions {
        latency_min: Duration::ZERO,
        latency_max: Duration::ZERO,
        loss_permille: 0,
    });
    let load = Arc::new(Load::default());
    let handles: Vec<Handle> = cluster.nodes.values().map(|node| node.handle.clone()).collect();
    let writers: Vec<_> =
        (0..WRITERS).map(|_| env::spawn(write(handles.clone(), Arc::clone(&load)))).collect();
    let began = env::monotonic();
    let mut rounds = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        tokio::select! {
            biased;
            reason = handles[0].failed() => panic!("master 1: {reason}"),
            reason = handles[1].failed() => panic!("master 2: {reason}"),
            reason = handles[2].failed() => panic!("master 3: {reason}"),
            () = starve(&cluster, rounds) => rounds += 1,
        }
    }
    let per_second = load.appended.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    load.stopped.store(true, Ordering::Relaxed);
    futures::future::join_all(writers).await;
    cluster.converge(&ALL).await;
    println!(
        "{rounds} snapshots installed over held applies, {per_second:.0} appends/s of {PAYLOAD_BYTES} bytes, no panic"
    );
    assert!(rounds > 0);
}
