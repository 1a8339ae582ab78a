//! The race of snapshots with appends and applies (openraft#2116), forced with gates.
//!
//! The follower here is driven by hand: every step of its leader is a call. Each interleaving is forced
//! on openraft alone, and through [`crate::peer`], whose door keeps them from the core.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::env;
use base::telemetry::Metrics;
use bytes::Bytes;
use openraft::EntryPayload;
use openraft::raft::AppendEntriesRequest;
use openraft::storage::Snapshot;
use storage::memory::{Gate, MemoryStores, Point};
use storage::snapshot::Stores;
use storage::{Image, VersionBatch};

use crate::adapter::{Handover, RaftSnapshot, meta_of};
use crate::codec::membership;
use crate::codec::rpc::{Answer, Request};
use crate::handle::{Handle, Options, start};
use crate::machine::{Position, Restored, Taken};
use crate::member::Member;
use crate::test_machine::{Content, CountingMachine, Probe};
use crate::transport::simulated::{SimulatedNetwork, Trace};
use crate::transport::{FrameService, Lane, NoService};
use crate::types::{Command, LeaderId, LogId, RaftEntry, RaftMembership, TypeConfig, Vote, position};

const LIMIT: Duration = Duration::from_secs(20);
/// How long the disk is held while the core may do what it should not: well below the watchdog's limit.
const HELD: Duration = Duration::from_millis(500);
const LEADER: LeaderId = LeaderId { term: 1, node_id: 1 };
const FOLLOWER: u64 = 3;

/// What the leader committed before it went silent.
const COMMITTED: u64 = 5;
/// What it had sent.
const SENT: u64 = 9;

fn at(index: u64) -> LogId {
    LogId::new(LEADER, index)
}

fn vote() -> Vote {
    Vote { leader_id: LEADER, committed: true }
}

fn members() -> RaftMembership {
    let members: BTreeMap<u64, Member> = (1..=3).map(|node| (node, Member::default())).collect();
    RaftMembership::new(vec![BTreeSet::from([1, 2, 3])], members).expect("consistent")
}

fn entry(index: u64) -> RaftEntry {
    let payload = match index {
        0 => EntryPayload::Membership(members()),
        _ => EntryPayload::Normal(Command::stored(Bytes::from(format!("entry {index}")))),
    };
    RaftEntry { log_id: at(index), payload }
}

/// Entries `from..to`, with everything up to `committed` committed.
fn append(from: u64, to: u64, committed: u64) -> AppendEntriesRequest<TypeConfig> {
    AppendEntriesRequest {
        vote: vote(),
        prev_log_id: from.checked_sub(1).map(at),
        entries: (from..to).map(entry).collect(),
        leader_commit: Some(at(committed)),
    }
}

/// A snapshot at `index`, as another master would have taken it.
fn taken(index: u64) -> Taken {
    let membership = Some((position(&at(0)), membership::encode(&members())));
    let restored = Restored { applied: Some(Position { term: 1, leader: 1, index }), membership };
    let content = Content { restored: restored.clone(), count: index, hash: index };
    let stores = MemoryStores::new();
    let image = Image { index, revision: index, head: content.encode() };
    stores
        .versions()
        .write(&VersionBatch { image: Some(image), ..VersionBatch::default() })
        .expect("written");
    Taken { restored, files: stores.take_snapshot().expect("taken") }
}

fn snapshot(index: u64) -> RaftSnapshot {
    let taken = taken(index);
    Snapshot { meta: meta_of(&taken.restored).expect("decodes"), snapshot: Handover::Stored(taken) }
}

struct Follower {
    handle: Handle,
    stores: MemoryStores,
    probe: Probe,
}

impl Follower {
    /// Has [`SENT`] entries, of which [`COMMITTED`] are applied.
    async fn start() -> Self {
        Self::start_on(MemoryStores::new()).await.behind().await
    }

    async fn start_on(stores: MemoryStores) -> Self {
        let shared: Arc<dyn Stores> = Arc::new(stores.clone());
        let probe = Probe::default();
        let machine = CountingMachine::open(Arc::clone(&shared), probe.clone(), None);
        let mut options = Options::new(base::ids::ClusterId(7), FOLLOWER, Member::default());
        // Nobody else is there: an election would only disturb.
        options.timing.election_min = Duration::from_secs(100);
        options.timing.election_max = Duration::from_secs(200);
        options.timing.quorum_loss_probe = Duration::from_secs(500);
        let transport = SimulatedNetwork::new(Trace::default()).transport(FOLLOWER);
        let handle = start(options, shared, machine, transport, Arc::new(NoService), Metrics::new()).await;
        Self { handle: handle.expect("starts"), stores, probe }
    }

    async fn behind(self) -> Self {
        let answer = self.handle.raw().append_entries(append(0, SENT + 1, COMMITTED)).await;
        assert!(answer.expect("runs").is_success());
        self.applied(COMMITTED).await;
        self
    }

    async fn applied(&self, index: u64) {
        let reached = || self.probe.applied() == Some(index);
        assert!(
            env::wait_until(LIMIT, Duration::from_millis(1), reached).await,
            "{:?}",
            self.probe.applied()
        );
    }

    fn gate(&self, point: Point) -> Gate {
        self.stores.faults().gate(point).clone()
    }

    /// The core took entries up to `last`, which may not be on disk.
    async fn accepted(&self, last: u64) {
        let reached = || self.handle.metrics().last_log_index == Some(last);
        assert!(env::wait_until(LIMIT, Duration::from_millis(1), reached).await);
    }

    /// Entries that wait for the disk, and a heartbeat that waits behind them.
    async fn wait_for_the_disk(&self, ways: Ways) {
        let sync = self.gate(Point::Sync);
        sync.close();
        self.give(ways, append(SENT + 1, SENT + 4, COMMITTED));
        self.accepted(SENT + 3).await;
        self.give(ways, AppendEntriesRequest { entries: vec![], ..append(SENT + 4, SENT + 4, COMMITTED) });
        assert!(env::blocking(move || sync.wait_until_held(1, LIMIT)).await);
    }

    /// Without waiting for the answer.
    fn give(&self, ways: Ways, append: AppendEntriesRequest<TypeConfig>) {
        let (raw, frames) = (self.handle.raw().clone(), self.handle.frames());
        env::spawn(async move {
            match ways {
                Ways::Openraft => drop(raw.append_entries(append).await),
                Ways::Peer => drop(frames.serve(1, Lane::Bulk, Request::Append(append).encode()).await),
            }
        });
    }

    fn install(&self, ways: Ways, index: u64) -> env::JoinHandle<bool> {
        let (raw, frames) = (self.handle.raw().clone(), self.handle.frames());
        env::spawn(async move {
            match ways {
                Ways::Openraft => raw.install_full_snapshot(vote(), snapshot(index)).await.is_ok(),
                Ways::Peer => transfer(&*frames, index).await,
            }
        })
    }
}

/// How a step reaches the core.
#[derive(Clone, Copy)]
enum Ways {
    /// Straight.
    Openraft,
    /// As frames, through the door of [`crate::peer`].
    Peer,
}

/// A whole transfer, as its sender would make it.
async fn transfer(frames: &dyn FrameService, index: u64) -> bool {
    let Taken { restored, files } = taken(index);
    let manifest = files.manifest().clone();
    let sizes: Vec<u64> = manifest.files.iter().map(|file| file.size_bytes).collect();
    let mut requests = vec![Request::SnapshotBegin { transfer: index, vote: vote(), restored, manifest }];
    for (file, size_bytes) in sizes.into_iter().enumerate() {
        let bytes = files.read(file, 0, size_bytes as usize).expect("memory");
        requests.push(Request::SnapshotChunk { transfer: index, file: file as u32, bytes });
    }
    requests.push(Request::SnapshotEnd { transfer: index });
    let mut last = Ok(Bytes::new());
    for request in requests {
        last = frames.serve(1, Lane::Snapshot, request.encode()).await;
    }
    matches!(last.map(Answer::decode), Ok(Ok(Answer::SnapshotInstalled(_))))
}

/// With entries submitted but not on disk, a snapshot comes straight to the core. It does not panic: the
/// purge and the install wait for the disk. Should this fail after an upgrade of openraft, the door in
/// `peer` is what protects.
#[tokio::test(flavor = "multi_thread")]
async fn openraft_alone_survives_a_snapshot_that_overtakes_entries_that_wait_for_the_disk() {
    let follower = Follower::start().await;
    follower.wait_for_the_disk(Ways::Openraft).await;
    let installed = follower.install(Ways::Openraft, 200);
    assert!(env::timeout(HELD, follower.handle.failed()).await.is_err(), "the core failed");
    follower.gate(Point::Sync).open();
    assert!(installed.await.expect("no panic"));
    follower.applied(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_waits_for_entries_that_wait_for_the_disk() {
    let follower = Follower::start().await;
    follower.wait_for_the_disk(Ways::Peer).await;
    let installed = follower.install(Ways::Peer, 200);
    env::sleep(Duration::from_millis(100)).await;
    assert!(!installed.is_finished());
    follower.gate(Point::Sync).open();
    assert!(installed.await.expect("no panic"));
    follower.applied(200).await;
    follower.give(Ways::Peer, append(201, 205, 204));
    follower.applied(204).await;
}

/// While the first snapshot is being adopted, its purge waits at the head of the core's queue; entries
/// after it and a second snapshot arrive meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_snapshot_waits_for_the_first_and_for_the_entries_between() {
    let follower = Follower::start().await;
    let adopt = follower.gate(Point::Adopt);
    adopt.close();
    let first = follower.install(Ways::Peer, 100);
    let gate = adopt.clone();
    assert!(env::blocking(move || gate.wait_until_held(1, LIMIT)).await);
    follower.give(Ways::Peer, append(101, 111, 105));
    let second = follower.install(Ways::Peer, 200);
    env::sleep(Duration::from_millis(100)).await;
    adopt.open();
    assert!(first.await.expect("no panic"));
    assert!(second.await.expect("no panic"));
    follower.applied(200).await;
}

/// Apply, save-committed and purge held in turn, a snapshot arriving each time.
#[tokio::test(flavor = "multi_thread")]
async fn snapshots_arrive_while_apply_save_committed_or_purge_are_held() {
    let follower = Follower::start().await;
    let mut next = SENT + 1;
    for point in [Point::Read, Point::SaveCommitted, Point::Purge, Point::Append, Point::Sync, Point::Adopt] {
        for slow in [Duration::ZERO, Duration::from_millis(20)] {
            follower.probe.slow_down(slow);
            let gate = follower.gate(point);
            gate.close();
            follower.give(Ways::Peer, append(next, next + 10, next + 4));
            let installed = follower.install(Ways::Peer, next + 100);
            env::sleep(Duration::from_millis(50)).await;
            gate.open();
            assert!(installed.await.expect("no panic"), "{point:?}");
            follower.applied(next + 100).await;
            next += 101;
        }
    }
}
