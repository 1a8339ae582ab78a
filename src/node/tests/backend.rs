//! The replica keeps what the API server expects of its backend, as the twin in memory does, which the API
//! server's own tests run on.

use std::sync::Arc;
use std::time::Duration;

use apiserver::Backend;
use apiserver::backend::conformance::{Subject, suite};
use base::env;
use base::ids::{ClusterId, NodeId};
use base::telemetry::Metrics;
use raft::Member;
use raft::transport::simulated::{SimulatedNetwork, Trace};
use replica::limits::RETENTION_INTERVAL;
use replica::retention::Rule;
use replica::{Options, Replica};
use state::{Meta, Stamp, Txn, Write};
use storage::memory::MemoryStores;

const NODE: NodeId = 1;

/// How long this replica keeps history: nothing of it when retention looks the next time.
const HISTORY_AGE: Duration = Duration::from_secs(1);

/// How long one master may take to lead itself, and its version store to catch up.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often that is looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// Transactions that push the history out of memory: the window of recent events holds 20,000, and 256
/// recent states are kept.
const FILLINGS: usize = 260;

/// A cluster of one, on a simulated disk.
struct One {
    network: SimulatedNetwork,
    stores: MemoryStores,
    replica: Replica,
}

async fn boot(network: &SimulatedNetwork, stores: &MemoryStores) -> Replica {
    let everything = Rule { prefix: String::new(), age: HISTORY_AGE };
    let options = Options { retention: vec![everything], history_bytes_max: u64::MAX, levels: state::LEVELS };
    let (opened, machine) = replica::open(Arc::new(stores.clone()), options).expect("opens");
    let member =
        Member { name: "one".to_owned(), peer: "10.0.0.1:1".to_owned(), api: "https://10.0.0.1".to_owned() };
    let handle = raft::start(
        raft::Options::new(ClusterId(7), NODE, member),
        Arc::new(stores.clone()),
        machine,
        network.transport(NODE),
        opened.peer_service(),
        Metrics::new(),
    );
    let handle = handle.await.expect("raft starts");
    network.attach(NODE, handle.frames());
    opened.attach(handle)
}

impl One {
    async fn new() -> Self {
        let network = SimulatedNetwork::new(Trace::default());
        let stores = MemoryStores::new();
        let replica = boot(&network, &stores).await;
        replica.raft().initialize().await.expect("initializes");
        replica.linearizable().await.expect("leads itself");
        Self { network, stores, replica }
    }

    /// A write that only moves the log's clock, by which retention goes.
    async fn tick(&self) {
        let key = api::Key::object("", "events", "default", "tick");
        let write = Write::Put { key, body: b"{}".to_vec().into(), splice: None, meta: Meta::default() };
        let stamp = Stamp { request: env::random_u128(), actor: "clock".to_owned() };
        let txn = Txn { stamp, guards: Vec::new(), writes: vec![write] };
        self.replica.propose(txn).await.expect("is applied");
    }
}

#[async_trait::async_trait]
impl Subject for One {
    fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(self.replica.clone())
    }

    /// Lets retention pass, and starts anew: recent events and states are kept in memory until then.
    async fn forget(&mut self) {
        env::sleep(HISTORY_AGE * 2).await;
        self.tick().await;
        env::sleep(RETENTION_INTERVAL * 2).await;
        let newest = self.replica.moment().revision();
        let durable = || self.replica.persisted_revision() == newest;
        assert!(env::wait_until(PATIENCE, GLANCE, durable).await, "the version store never caught up");
        self.network.detach(NODE);
        self.replica.raft().shutdown().await;
        self.stores = self.stores.reopen();
        self.replica = boot(&self.network, &self.stores).await;
        self.replica.linearizable().await.expect("leads itself again");
    }
}

#[test]
fn the_replica_keeps_what_the_api_server_expects() {
    for seed in 1..=3 {
        let verdict = env::simulate(seed, async { suite(&mut One::new().await, 0).await });
        assert_eq!(verdict, Ok(()), "seed {seed}");
    }
}

/// Two watches share an event that is in memory; each reads its own from history.
async fn shares_its_first_event(one: &One) -> bool {
    let mut firsts = Vec::new();
    for _ in 0..2 {
        let mut watch = one.replica.watch("core/configmaps/", 0).expect("from the beginning");
        firsts.push(watch.next().await.expect("goes on").remove(0));
    }
    Arc::ptr_eq(&firsts[0], &firsts[1])
}

/// A replica with a history that is looked at before it is forgotten.
struct Filled(One);

#[async_trait::async_trait]
impl Subject for Filled {
    fn backend(&self) -> Arc<dyn Backend> {
        self.0.backend()
    }

    async fn forget(&mut self) {
        assert!(!shares_its_first_event(&self.0).await, "the history was still in memory");
        self.0.forget().await;
    }
}

#[test]
fn and_so_it_does_with_more_history_than_memory_keeps() {
    let verdict = env::simulate(1, async { suite(&mut Filled(One::new().await), FILLINGS).await });
    assert_eq!(verdict, Ok(()));
}

#[test]
fn recent_events_are_shared_by_the_watches_of_them() {
    env::simulate(1, async {
        let one = One::new().await;
        let key = api::Key::object("", "configmaps", "default", "x");
        let write = Write::Put { key, body: b"{}".to_vec().into(), splice: None, meta: Meta::default() };
        let stamp = Stamp { request: 1, actor: "tester".to_owned() };
        let made = one.replica.propose(Txn { stamp, guards: Vec::new(), writes: vec![write] }).await;
        assert!(made.is_ok());
        assert!(shares_its_first_event(&one).await);
    });
}
