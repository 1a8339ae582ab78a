//! Replicas without a Raft below, and version stores with a history, for tests of what reads them.

use std::sync::Arc;
use std::time::Duration;

use api::Key;
use base::env;
use base::ids::{ClusterId, NodeId};
use base::telemetry::Metrics;
use raft::transport::simulated::{SimulatedNetwork, Trace};
use raft::{Entry, Machine, Member, Payload, Position};
use state::{Batch, Change, Meta, Stamp, State, Txn, Write};
use storage::memory::MemoryStores;
use storage::snapshot::Stores;
use storage::{Image, VersionBatch, VersionStore};
use tokio::sync::watch;

use crate::history::HistoryReader;
use crate::lane::LaneEnd;
use crate::machine::ReplicaMachine;
use crate::moment::Moment;
use crate::persist::{Persister, version_of};
use crate::replica::{Options, Replica, Shared, open};

const PATIENCE: Duration = Duration::from_secs(10);
const GLANCE: Duration = Duration::from_millis(1);

/// A transaction that writes each of `plural/name`, with so many bytes of ballast.
pub(crate) fn txn(request: u128, objects: &[(&str, &str)], ballast_bytes: usize) -> Txn {
    let put = |(plural, name): &(&str, &str)| Write::Put {
        key: Key::object("", plural, "default", name),
        body: format!(r#"{{"request":{request},"ballast":"{}"}}"#, "x".repeat(ballast_bytes)).into(),
        splice: None,
        meta: Meta::default(),
    };
    let stamp = Stamp { request, actor: "tester".to_owned() };
    Txn { stamp, guards: Vec::new(), writes: objects.iter().map(put).collect() }
}

/// A State and what it becomes, an entry for each write.
#[derive(Default)]
pub(crate) struct Applied {
    state: State,
}

impl Applied {
    pub(crate) fn moment(&self) -> Moment {
        Moment { state: self.state.clone(), index: self.state.index(), term: self.state.term() }
    }

    pub(crate) fn write(&mut self, objects: &[(&str, &str)], ballast_bytes: usize) -> Vec<Change> {
        self.write_at(self.state.time_ms(), objects, ballast_bytes).changes
    }

    fn write_at(&mut self, time_ms: u64, objects: &[(&str, &str)], ballast_bytes: usize) -> state::Applied {
        let index = self.state.index() + 1;
        let batch = Batch { time_ms, txns: vec![txn(index.into(), objects, ballast_bytes)] };
        let applied = state::apply(&self.state, &state::Entry { index, term: 1, batch: &batch });
        self.state = applied.state.clone();
        applied
    }
}

/// State and the versions of all its changes.
pub(crate) struct History {
    pub(crate) versions: Arc<dyn VersionStore>,
    applied: Applied,
}

impl History {
    pub(crate) fn new() -> Self {
        Self { versions: MemoryStores::new().versions(), applied: Applied::default() }
    }

    /// One transaction that writes each of `plural/name`; returns the last revision it took.
    pub(crate) fn write(&mut self, time_ms: u64, objects: &[(&str, &str)]) -> u64 {
        let applied = self.applied.write_at(time_ms, objects, 0);
        let state = applied.state;
        let versions = applied.changes.iter().map(version_of).collect();
        let image = Some(Image { index: state.index(), revision: state.revision(), head: state.head() });
        self.versions.write(&VersionBatch { versions, sides: applied.sides, image }).expect("written");
        state.revision()
    }

    pub(crate) fn reader(&self) -> HistoryReader {
        HistoryReader::new(Arc::clone(&self.versions), watch::Sender::new(None))
    }
}

fn options() -> Options {
    Options { retention: Vec::new(), history_bytes_max: u64::MAX, levels: state::LEVELS }
}

/// The only master of a cluster, leading.
pub(crate) async fn lone_master() -> Replica {
    const NODE: NodeId = 1;
    let stores: Arc<dyn Stores> = Arc::new(MemoryStores::new());
    let (opened, machine) = open(Arc::clone(&stores), options()).expect("an empty store opens");
    let network = SimulatedNetwork::new(Trace::default());
    let raft_options = raft::Options::new(ClusterId(1), NODE, Member::default());
    let (transport, service) = (network.transport(NODE), opened.peer_service());
    let raft = raft::start(raft_options, stores, machine, transport, service, Metrics::new()).await;
    let raft = raft.expect("Raft starts");
    network.attach(NODE, raft.frames());
    raft.initialize().await.expect("initializes");
    let replica = opened.attach(raft);
    replica.linearizable().await.expect("it is a quorum");
    replica
}

/// A replica whose entries are handed to it one by one.
pub(crate) struct Alone {
    pub(crate) stores: MemoryStores,
    pub(crate) shared: Arc<Shared>,
    pub(crate) append_end: LaneEnd,
    pub(crate) machine: ReplicaMachine,
    persister: Option<Persister>,
    /// How far its log counts as synced.
    pub(crate) synced: watch::Sender<u64>,
    /// Where the last entry stood.
    position: Position,
}

impl Alone {
    pub(crate) fn new() -> Self {
        let stores = MemoryStores::new();
        let (opened, machine) = open(Arc::new(stores.clone()), options()).expect("an empty store opens");
        Self {
            stores,
            shared: opened.shared,
            append_end: opened.append_end,
            machine,
            persister: Some(opened.persister),
            synced: watch::Sender::new(0),
            position: Position { term: 1, leader: 1, index: 0 },
        }
    }

    /// Lets history be written, behind a log that is synced up to `synced`.
    pub(crate) fn persist(&mut self, synced: u64) {
        self.synced.send_replace(synced);
        let persister = self.persister.take().expect("it runs once");
        env::spawn(persister.run(self.synced.subscribe()));
    }

    /// Applies each of `batches` as an entry, all of them at a time.
    pub(crate) async fn apply(&mut self, batches: Vec<Vec<Txn>>) {
        let mut entries = Vec::new();
        for txns in batches {
            self.position.index += 1;
            let time_ms = env::wall_ms();
            let payload = state::codec::encode_batch(&Batch { time_ms, txns }).expect("fits");
            entries.push(Entry { position: self.position, payload: Payload::Normal(payload) });
        }
        self.machine.apply(entries).await.expect("applied");
    }

    /// Applies the first entry of the next term.
    pub(crate) async fn begin_term(&mut self) {
        self.position.term += 1;
        self.position.index += 1;
        let entry = Entry { position: self.position, payload: Payload::Blank };
        self.machine.apply(vec![entry]).await.expect("applied");
    }

    /// Applies one transaction that writes each of `plural/name`.
    pub(crate) async fn write(&mut self, objects: &[(&str, &str)]) {
        let request = u128::from(self.position.index) + 1;
        self.apply(vec![vec![txn(request, objects, 0)]]).await;
    }

    /// Waits until history holds what the entry at `index` did.
    pub(crate) async fn is_written(&self, index: u64) {
        let reached = || self.image_index() >= index;
        assert!(env::wait_until(PATIENCE, GLANCE, reached).await, "{index} is not written");
    }

    /// The last entry that history holds.
    pub(crate) fn image_index(&self) -> u64 {
        let image = self.stores.versions().image().expect("readable");
        image.map_or(0, |image| image.index)
    }

    /// Replaces everything here by a snapshot of what `other` holds.
    pub(crate) async fn install_from(&mut self, other: &mut Self) {
        other.is_written(other.position.index).await;
        let taken = other.machine.snapshot().await.expect("taken");
        let prepared = self.machine.prepare(taken.files).await.expect("prepared");
        self.machine.install(prepared).await.expect("installed");
        self.position = other.position;
    }
}
