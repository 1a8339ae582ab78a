//! The race of snapshots with appends and applies (openraft#2116), forced with gates.
//!
//! The follower here is driven by hand: every step of its leader is a call. A snapshot comes while a step of
//! the disk or the machine is held, each in turn, once straight to openraft and once through
//! [`crate::peer`], whose door keeps snapshots and appends apart.

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
use crate::common::machine::{Content, CountingMachine, Probe};
use crate::handle::{Handle, Options, start};
use crate::machine::{Position, Restored, Taken};
use crate::member::Member;
use crate::transport::simulated::{SimulatedNetwork, Trace};
use crate::transport::{FrameService, Lane, NoService};
use crate::types::{Command, LeaderId, LogId, RaftEntry, RaftMembership, TypeConfig, Vote, position};

const LIMIT: Duration = Duration::from_secs(20);
/// How long somebody is held while the core may do what it should not.
const HELD: Duration = Duration::from_millis(200);
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

/// A heartbeat to a follower that has entries up to `last`.
fn heartbeat(last: u64, committed: u64) -> AppendEntriesRequest<TypeConfig> {
    AppendEntriesRequest { entries: vec![], ..append(last + 1, last + 1, committed) }
}

/// A snapshot at `index`, as another master would have taken it.
pub(crate) fn taken(index: u64) -> Taken {
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

    /// The same, started anew: what is in its log is on disk alone.
    async fn restarted() -> Self {
        let before = Self::start().await;
        before.handle.raw().shutdown().await.expect("ends");
        let after = Self::start_on(before.stores.reopen()).await;
        after.applied(COMMITTED).await;
        after
    }

    async fn applied(&self, index: u64) {
        let reached = || self.probe.applied() == Some(index);
        assert!(
            env::wait_until(LIMIT, Duration::from_millis(1), reached).await,
            "{:?}",
            self.probe.applied()
        );
    }

    fn gate(&self, held: Held) -> Gate {
        let point = match held {
            Held::Adopt => Point::Adopt,
            Held::Append => Point::Append,
            Held::Apply => return self.probe.applying.clone(),
            Held::Purge => Point::Purge,
            Held::Read => Point::Read,
            Held::SaveCommitted => Point::SaveCommitted,
            Held::Sync => Point::Sync,
        };
        self.stores.faults().gate(point).clone()
    }

    /// Closes a gate and sees to it that somebody is held there, with more behind.
    async fn hold(&self, held: Held, ways: Ways) -> Gate {
        let gate = self.gate(held);
        gate.close();
        match held {
            Held::Adopt | Held::Purge => {
                drop(self.install(ways, 100));
            }
            // These are not in the cache of the log's tail, as the master was started on them.
            Held::Read => self.give(ways, heartbeat(SENT, SENT)),
            Held::Append | Held::Apply | Held::SaveCommitted | Held::Sync => {
                self.give(ways, append(SENT + 1, SENT + 4, SENT + 2));
            }
        }
        let waiting = gate.clone();
        assert!(env::blocking(move || waiting.wait_until_held(1, LIMIT)).await, "{held:?}: nobody is held");
        if matches!(held, Held::Adopt | Held::Purge) {
            // Behind the purge, which waits at the head of the core's queue.
            self.give(ways, append(101, 111, 105));
        }
        gate
    }

    /// The core survives `HELD`, whatever it was given.
    async fn survives(&self, what: &str) {
        let failed = env::timeout(HELD, self.handle.failed()).await;
        assert!(failed.is_err(), "{what}: {failed:?}");
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

/// Who is held while a snapshot comes.
#[derive(Clone, Copy, Debug)]
enum Held {
    /// The machine, which is installing an earlier snapshot.
    Adopt,
    /// The core, which is appending entries.
    Append,
    /// The machine, which is applying entries.
    Apply,
    /// The core, which is purging what an earlier snapshot covers.
    Purge,
    /// The machine, which is reading what it will apply.
    Read,
    /// The core, on its way from a commit to the apply of it.
    SaveCommitted,
    /// The flusher, which is syncing entries.
    Sync,
}

/// How a step reaches the core.
#[derive(Clone, Copy, Debug)]
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

const WAYS: [Ways; 2] = [Ways::Openraft, Ways::Peer];

/// A snapshot comes while `held` is, and one more append behind it; then everything goes on.
async fn check(held: Held, ways: Ways) {
    let what = format!("{held:?}, {ways:?}");
    let follower = Follower::restarted().await;
    let gate = follower.hold(held, ways).await;
    let installed = follower.install(ways, 200);
    follower.give(ways, heartbeat(SENT, SENT));
    follower.survives(&what).await;
    gate.open();
    assert!(installed.await.expect("no panic"), "{what}");
    follower.applied(200).await;
    follower.give(ways, append(201, 205, 204));
    follower.applied(204).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_may_come_while_anybody_is_held() {
    use Held::{Adopt, Append, Apply, Purge, Read, SaveCommitted, Sync};
    for held in [Adopt, Append, Apply, Purge, Read, SaveCommitted, Sync] {
        for ways in WAYS {
            check(held, ways).await;
        }
    }
}

/// Through the door a snapshot waits for entries that wait for the disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_waits_for_entries_that_wait_for_the_disk() {
    let follower = Follower::start().await;
    let gate = follower.hold(Held::Sync, Ways::Peer).await;
    let installed = follower.install(Ways::Peer, 200);
    follower.survives("held").await;
    assert!(!installed.is_finished());
    gate.open();
    assert!(installed.await.expect("no panic"));
    follower.applied(200).await;
}

/// A log that goes on behind the snapshot's end, of the same leader.
async fn longer_than_a_snapshot() -> Follower {
    let follower = Follower::start().await;
    let answer = follower.handle.raw().append_entries(append(SENT + 1, 301, COMMITTED)).await;
    assert!(answer.expect("runs").is_success());
    follower
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_what_the_log_holds_is_not_installed() {
    let follower = longer_than_a_snapshot().await;
    assert!(follower.install(Ways::Peer, 200).await.expect("no panic"));
    // All of it is applied from the log, and what is behind it needs no further entry.
    follower.applied(200).await;
    assert_eq!(follower.probe.installs.load(std::sync::atomic::Ordering::SeqCst), 0);
    follower.give(Ways::Peer, heartbeat(300, 250));
    follower.applied(250).await;
}

/// Why that is so: should this fail after an upgrade of openraft, the door need not ask any more.
#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread")]
async fn openraft_alone_takes_back_what_is_in_the_log_behind_a_snapshot() {
    let follower = longer_than_a_snapshot().await;
    assert!(!follower.install(Ways::Openraft, 200).await.expect("told"));
    let failed = env::timeout(LIMIT, follower.handle.failed()).await;
    assert_eq!(failed.expect("an assertion of openraft"), "the Raft core panicked");
}
