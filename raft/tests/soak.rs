//! Looks for the race of snapshots with applies (openraft#2116) at the highest rate there is: three
//! masters in one process, nothing between them, one after the other cut off until what it lacks is
//! purged, and let in again under full load.
//!
//! By hand: `cargo test -p raft --test soak -- --ignored --nocapture`; `SOAK_SECONDS` (default 60) says
//! for how long.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base::env;
use bytes::Bytes;
use common::cluster::{Cluster, eventually};
use raft::transport::simulated::Conditions;
use raft::{Handle, Options};

const ALL: [u64; 3] = [1, 2, 3];
const WRITERS: usize = 256;
const PAYLOAD_BYTES: usize = 1_024;

/// A leader that was cut off takes entries until it holds as many bytes as it may, and then none.
const APPEND_PATIENCE: Duration = Duration::from_millis(200);

/// Snapshots and purges all the time.
fn tiny_log(options: &mut Options) {
    (options.snapshot_after_bytes, options.log_kept_bytes) = (4 << 20, 1 << 20);
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
        let appended = leader.append(standing(&leader).term, payload.clone());
        match env::timeout(APPEND_PATIENCE, appended).await {
            Ok(Ok(())) => _ = load.appended.fetch_add(1, Ordering::Relaxed),
            _ => env::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Cuts a master off until it needs a snapshot, and waits until it has it.
async fn starve(cluster: &Cluster, node: u64) {
    let others: Vec<u64> = ALL.into_iter().filter(|other| *other != node).collect();
    let installs = || cluster.nodes[&node].probe.installs.load(Ordering::SeqCst);
    let before = installs();
    cluster.network.isolate(node, &others);
    let leader = cluster.wait_for_leader(&others).await;
    let last = cluster.nodes[&node].probe.applied().unwrap_or(0);
    let log = storage::snapshot::Stores::log(&cluster.nodes[&leader].stores);
    eventually("what it lacks is purged", || {
        let purged = log.state().expect("readable").purged;
        purged.is_some_and(|marker| marker.index > last + 5_000)
    })
    .await;
    cluster.network.heal();
    eventually("it gets a snapshot", || installs() > before).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs for minutes; by hand"]
async fn snapshots_under_full_load() {
    let seconds: u64 = std::env::var("SOAK_SECONDS").map_or(60, |text| text.parse().expect("a number"));
    let cluster = Cluster::of(3, tiny_log).await;
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
        let victim = ALL[rounds % ALL.len()];
        tokio::select! {
            biased;
            reason = cluster.nodes[&victim].handle.failed() => panic!("master {victim}: {reason}"),
            () = starve(&cluster, victim) => rounds += 1,
        }
    }
    let per_second = load.appended.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    load.stopped.store(true, Ordering::Relaxed);
    futures::future::join_all(writers).await;
    cluster.converge(&ALL).await;
    println!(
        "{rounds} snapshots installed under load, {per_second:.0} appends/s of {PAYLOAD_BYTES} bytes, no panic"
    );
    assert!(rounds > 0);
}
