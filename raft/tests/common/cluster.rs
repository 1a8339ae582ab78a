//! Several masters in one process, over a simulated network and memory disks.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use base::env;
use base::ids::{ClusterId, NodeId};
use base::telemetry::Metrics;
use bytes::Bytes;
use raft::transport::simulated::{SimulatedNetwork, Trace};
use raft::{AppendError, Handle, Member, NoService, Options, PeerService};
use storage::memory::MemoryStores;

use super::machine::{CountingMachine, Probe};

/// Long enough for anything that happens at all.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const CLUSTER: ClusterId = ClusterId(7);

/// One master.
pub struct Node {
    pub handle: Handle,
    pub probe: Probe,
    pub stores: MemoryStores,
}

/// All of them.
pub struct Cluster {
    pub network: SimulatedNetwork,
    pub trace: Trace,
    pub nodes: BTreeMap<NodeId, Node>,
    pub tune: fn(&mut Options),
}

pub fn member(node: NodeId) -> Member {
    Member { name: format!("master-{node}"), peer: format!("sim:{node}"), api: format!("https://sim:{node}") }
}

/// Answers with its own id and what it was asked.
pub struct Echo(pub NodeId);

#[async_trait::async_trait]
impl PeerService for Echo {
    async fn serve(&self, from: NodeId, kind: u8, body: Bytes) -> Bytes {
        format!("{}<{from}:{kind}:{}", self.0, body.len()).into()
    }
}

impl Cluster {
    /// Nobody yet.
    pub fn empty(tune: fn(&mut Options)) -> Self {
        let trace = Trace::default();
        Self { network: SimulatedNetwork::new(trace.clone()), trace, nodes: BTreeMap::new(), tune }
    }

    /// `count` voters; the first made the cluster and leads it.
    pub async fn of(count: NodeId, tune: fn(&mut Options)) -> Self {
        let mut cluster = Self::empty(tune);
        cluster.start(1, MemoryStores::new()).await;
        cluster.nodes[&1].handle.initialize().await.expect("pristine");
        eventually("the first member leads", || cluster.leads(1)).await;
        for node in 2..=count {
            cluster.start(node, MemoryStores::new()).await;
            cluster.nodes[&1].handle.add(node, member(node)).await.expect("joins");
        }
        cluster
    }

    /// Starts a master on a disk.
    pub async fn start(&mut self, node: NodeId, stores: MemoryStores) {
        let probe = Probe::default();
        probe.keep_payloads();
        let shared = Arc::new(stores.clone());
        let machine = CountingMachine::open(shared.clone(), probe.clone(), Some((node, self.trace.clone())));
        let mut options = Options::new(CLUSTER, node, member(node));
        let disk = stores.clone();
        options.space_is_low = Arc::new(move || storage::snapshot::Stores::space(&disk).is_low);
        (self.tune)(&mut options);
        let transport = self.network.transport(node);
        let service = Arc::new(Echo(node));
        let handle = raft::start(options, shared, machine, transport, service, Metrics::new()).await;
        let handle = handle.expect("starts");
        self.network.attach(node, handle.frames());
        self.nodes.insert(node, Node { handle, probe, stores });
    }

    /// Ends a master gracefully; its disk is left.
    pub async fn stop(&mut self, node: NodeId) -> MemoryStores {
        let stopped = self.nodes.remove(&node).expect("runs");
        stopped.handle.shutdown().await;
        self.network.detach(node);
        stopped.stores.reopen()
    }

    pub fn leads(&self, node: NodeId) -> bool {
        self.nodes[&node].handle.leadership().borrow().am_leader
    }

    pub fn handle(&self, node: NodeId) -> &Handle {
        &self.nodes[&node].handle
    }

    /// Who leads, if exactly one of `among` says so of itself and all of them agree.
    pub fn agreed_leader(&self, among: &[NodeId]) -> Option<NodeId> {
        let told: Vec<_> = among.iter().map(|node| *self.handle(*node).leadership().borrow()).collect();
        let leader = told.first()?.leader?;
        let agree = told.iter().all(|now| now.leader == Some(leader) && now.term == told[0].term);
        (agree && among.contains(&leader) && self.leads(leader)).then_some(leader)
    }

    pub async fn wait_for_leader(&self, among: &[NodeId]) -> NodeId {
        eventually("a leader", || self.agreed_leader(among).is_some()).await;
        self.agreed_leader(among).expect("just seen")
    }

    /// Appends through whoever of `among` leads, until it is in the log.
    pub async fn append(&self, among: &[NodeId], payload: &str) -> NodeId {
        loop {
            let leader = self.wait_for_leader(among).await;
            let term = self.handle(leader).leadership().borrow().term;
            match self.handle(leader).append(term, Bytes::copy_from_slice(payload.as_bytes())).await {
                Ok(()) => return leader,
                Err(AppendError::NotAppended { .. }) => env::sleep(Duration::from_millis(10)).await,
                Err(error) => panic!("append failed: {error}"),
            }
        }
    }

    pub async fn append_many(&self, among: &[NodeId], prefix: &str, count: usize, size_bytes: usize) {
        for number in 0..count {
            self.append(among, &format!("{prefix}-{number:0>size_bytes$}")).await;
        }
    }

    /// Waits until all of `among` applied the leader's whole log, and agree on it.
    pub async fn converge(&self, among: &[NodeId]) {
        eventually("all agree", || {
            let contents: Vec<_> = among.iter().map(|node| self.nodes[node].probe.content()).collect();
            let last = self.agreed_leader(among).and_then(|leader| self.handle(leader).last());
            let applied = contents[0].restored.applied.map(|at| at.index);
            contents.iter().all(|content| *content == contents[0]) && last.is_some() && last == applied
        })
        .await;
    }
}

/// Waits until `condition` holds.
pub async fn eventually(what: &str, condition: impl FnMut() -> bool) {
    assert!(env::wait_until(PATIENCE, Duration::from_millis(5), condition).await, "never: {what}");
}

/// Longer than any test takes, in virtual time.
const SIMULATED_MAX: Duration = Duration::from_secs(60 * 60);

/// Runs a test on virtual time; one that waits for what never comes fails.
pub fn simulated<F: Future<Output = ()>>(seed: u64, test: impl FnOnce() -> F) {
    let done = env::simulate(seed, async { env::timeout(SIMULATED_MAX, test()).await });
    assert!(done.is_ok(), "did not end within a virtual hour (seed {seed})");
}

/// For machines that serve nothing.
pub fn no_service() -> Arc<dyn PeerService> {
    Arc::new(NoService)
}
