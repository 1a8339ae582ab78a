//! Three masters over a simulated network and disks, and what is written through them.

use std::sync::Arc;
use std::time::Duration;

use api::Key;
use base::env;
use base::ids::{ClusterId, NodeId, RequestId};
use base::telemetry::Metrics;
use raft::transport::simulated::{SimulatedNetwork, Trace};
use raft::{Machine, Member};
use replica::{Committed, Options, ProposeError, Replica, ReplicaMachine};
use state::{FEATURE_LEVEL_MAX, Guard, LEVELS, Meta, Outcome, Stamp, Txn, Write};
use storage::memory::MemoryStores;

const CLUSTER: ClusterId = ClusterId(7);
/// Long enough for several elections.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const GLANCE: Duration = Duration::from_millis(10);

pub struct Master {
    pub node: NodeId,
    pub stores: MemoryStores,
    pub replica: Replica,
}

/// What may differ between masters: how large a log grows, and the newest feature level that the program
/// knows.
#[derive(Clone, Copy)]
pub struct Setup {
    pub log: fn(&mut raft::Options),
    pub level: u32,
}

pub const USUAL: Setup = Setup { log: |_| (), level: FEATURE_LEVEL_MAX };

pub struct Cluster {
    pub network: SimulatedNetwork,
    pub trace: Trace,
    pub masters: Vec<Master>,
}

pub fn member(node: NodeId) -> Member {
    Member {
        name: format!("master-{node}"),
        peer: format!("10.0.0.{node}:1"),
        api: format!("https://10.0.0.{node}"),
    }
}

pub async fn boot(network: &SimulatedNetwork, node: NodeId, stores: MemoryStores, setup: Setup) -> Master {
    boot_with(network, node, stores, setup, |machine| machine).await
}

/// Boots a master whose entries pass through what is `put_in_front` of its machine.
pub async fn boot_with<M: Machine>(
    network: &SimulatedNetwork,
    node: NodeId,
    stores: MemoryStores,
    setup: Setup,
    put_in_front: fn(ReplicaMachine) -> M,
) -> Master {
    let levels = LEVELS.up_to(setup.level);
    let options = Options { retention: vec![], history_bytes_max: u64::MAX, levels };
    let (opened, machine) = replica::open(Arc::new(stores.clone()), options).expect("opens");
    let machine = put_in_front(machine);
    let service = opened.peer_service();
    let mut options = raft::Options::new(CLUSTER, node, member(node));
    (setup.log)(&mut options);
    let transport = network.transport(node);
    let started =
        raft::start(options, Arc::new(stores.clone()), machine, transport, service, Metrics::new()).await;
    let handle = started.expect("raft starts");
    network.attach(node, handle.frames());
    Master { node, stores, replica: opened.attach(handle) }
}

impl Cluster {
    /// Three voters with a leader.
    pub async fn of_three() -> Self {
        Self::of([USUAL; 3]).await
    }

    pub async fn of(setups: [Setup; 3]) -> Self {
        let trace = Trace::default();
        let network = SimulatedNetwork::new(trace.clone());
        let mut masters = Vec::new();
        for (node, setup) in (1..).zip(setups) {
            masters.push(boot(&network, node, MemoryStores::new(), setup).await);
        }
        let cluster = Self { network, trace, masters };
        cluster.masters[0].replica.raft().initialize().await.expect("initializes");
        for node in 2..=3 {
            let leader = cluster.leader().await;
            // A member can be added once the change before it is committed.
            leader.replica.linearizable().await.expect("the first member is a quorum");
            leader.replica.raft().add(node, member(node)).await.expect("joins");
        }
        cluster
    }

    /// The one that leads, among those that are attached.
    pub async fn leader(&self) -> &Master {
        let found = env::wait_until(PATIENCE, GLANCE, || self.masters.iter().any(leads)).await;
        assert!(found, "nobody leads");
        self.masters.iter().find(|master| leads(master)).expect("just seen")
    }

    /// Waits until all have applied what the furthest has, and returns (index, hash) of each.
    pub async fn settle(&self) -> Vec<(u64, u128)> {
        let furthest = self.masters.iter().map(|master| master.replica.moment().index).max().unwrap_or(0);
        let mut seen = Vec::new();
        for master in &self.masters {
            let caught_up =
                env::wait_until(PATIENCE, GLANCE, || master.replica.moment().index >= furthest).await;
            assert!(caught_up, "{} stays behind {furthest}", master.node);
            let hash = master.replica.hash_at(furthest).await.expect("a recent index");
            seen.push((furthest, hash));
        }
        seen
    }
}

pub fn leads(master: &Master) -> bool {
    master.replica.raft().leadership().borrow().am_leader
}

pub fn key(name: &str) -> Key {
    Key::object("", "configmaps", "default", name)
}

pub fn put(name: &str, value: &str, guards: Vec<Guard>) -> Txn {
    let head = format!(r#"{{"metadata":{{"name":"{name}","uid":"{name}","#);
    let body = format!(r#"{head}"labels":{{}}}},"data":"{value}"}}"#);
    Txn {
        stamp: Stamp { request: RequestId::fresh().0, actor: "tester".to_owned() },
        guards,
        writes: vec![Write::Put {
            key: key(name),
            body: body.into(),
            splice: Some(head.len() as u32),
            meta: Meta { uid: name.to_owned(), ..Meta::default() },
        }],
    }
}

pub fn create(name: &str) -> Txn {
    put(name, "x", vec![Guard::Absent { key: key(name) }])
}

pub fn is_committed(result: &Result<Committed, ProposeError>) -> bool {
    matches!(result, Ok(Committed { outcome: Outcome::Committed { .. }, .. }))
}
