//! The same on three masters in one thread, each with its replica, its API and its runner, over a simulated network: the
//! one that leads is cut off right after a write is applied there, with whatever of it is on its way.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use base::env;
use base::ids::{ClusterId, NodeId};
use base::shutdown::Trigger;
use base::telemetry::Metrics;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use projection::rules::Rules;
use projection::{Facts, Source};
use raft::machine::{Prepared, Taken};
use raft::transport::simulated::{SimulatedNetwork, Trace};
use raft::{Entry, Machine, MachineError, Member, Restored};
use replica::{Committed, Replica, ReplicaMachine};
use state::{Change, Outcome, Txn};
use storage::SnapshotReader;
use storage::memory::MemoryStores;

use super::normal::normal;
use super::{Counts, Place, Scenario, ask_all, count, counts, prepare, same_end};
use crate::acting::{Applied, Leads};
use crate::tests::table::{Acting, REST, lease, rest};
use crate::tests::{serve, without_accounts};
use crate::{bootstrap, standing};

const NODES: [NodeId; 3] = [1, 2, 3];

/// All runs of a scenario begin with the same one: up to the cut they are the same run.
const SEED: u64 = 1;

/// How long a master that comes back was away: for several elections.
const AWAY: Duration = Duration::from_secs(7);

/// How long an election, or catching up, may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often that is looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// Who is to be cut off, and who is.
#[derive(Default)]
struct Cut {
    /// This master, as soon as it shows this revision.
    due: Option<(NodeId, u64)>,
    /// Nobody hears of this master.
    away: Option<NodeId>,
}

impl Cut {
    /// Cuts a master off that is due and shows this revision.
    fn look(&mut self, node: NodeId, revision: u64, network: &SimulatedNetwork) {
        if self.due.take_if(|(due, at)| *due == node && revision >= *at).is_some() {
            self.away = Some(node);
            network.isolate(node, &NODES);
        }
    }
}

/// A machine whose master may be cut off between two entries.
struct Fated {
    machine: ReplicaMachine,
    node: NodeId,
    replica: Arc<OnceLock<Replica>>,
    cut: Arc<Mutex<Cut>>,
    network: SimulatedNetwork,
}

#[async_trait::async_trait]
impl Machine for Fated {
    fn restored(&self) -> Restored {
        self.machine.restored()
    }

    async fn apply(&mut self, entries: Vec<Entry>) -> Result<(), MachineError> {
        for entry in entries {
            self.machine.apply(vec![entry]).await?;
            if let Some(replica) = self.replica.get() {
                self.cut.lock().look(self.node, replica.moment().revision(), &self.network);
            }
        }
        Ok(())
    }

    fn snapshot(&mut self) -> BoxFuture<'static, Result<Taken, MachineError>> {
        self.machine.snapshot()
    }

    fn current_snapshot(&self) -> Result<Option<Taken>, MachineError> {
        self.machine.current_snapshot()
    }

    fn prepare(
        &self,
        snapshot: Arc<dyn SnapshotReader>,
    ) -> BoxFuture<'static, Result<Box<dyn Prepared>, MachineError>> {
        self.machine.prepare(snapshot)
    }

    async fn install(&mut self, prepared: Box<dyn Prepared>) -> Result<(), MachineError> {
        self.machine.install(prepared).await
    }
}

/// The changes of each entry that made some.
type Steps = Vec<Vec<Change>>;

/// What a replica applied; changes are kept.
struct Kept {
    applied: Applied,
    steps: Arc<Mutex<Steps>>,
}

#[async_trait::async_trait]
impl Source for Kept {
    async fn next(&mut self) -> Facts {
        let facts = self.applied.next().await;
        match &facts {
            Facts::Applied(_, changes) if changes.is_empty() => {}
            Facts::Applied(_, changes) => self.steps.lock().push(changes.clone()),
            // What it does not say is missing.
            Facts::Reset(_) => self.steps.lock().clear(),
        }
        facts
    }
}

struct Master {
    node: NodeId,
    replica: Replica,
    /// What was applied while it ran.
    steps: Arc<Mutex<Steps>>,
    router: Router,
    _served: Trigger,
    _acting: Acting,
}

impl Master {
    fn leads(&self) -> bool {
        self.replica.raft().leadership().borrow().am_leader
    }
}

struct Masters {
    network: SimulatedNetwork,
    all: Vec<Master>,
    cut: Arc<Mutex<Cut>>,
    /// Leases that were renewed.
    renewed: Cell<u64>,
}

fn member(node: NodeId) -> Member {
    Member {
        name: format!("master-{node}"),
        peer: format!("10.0.0.{node}:1"),
        api: format!("https://10.0.0.{node}"),
    }
}

fn is_committed(committed: &Committed) -> bool {
    matches!(committed.outcome, Outcome::Committed { .. })
}

impl Masters {
    /// A cluster with all that a cluster begins with.
    async fn found(rules: &Rules) -> Self {
        let network = SimulatedNetwork::new(Trace::default());
        let mut masters = Self { network, all: Vec::new(), cut: Arc::default(), renewed: Cell::new(0) };
        for node in NODES {
            let master = masters.boot(node, rules).await;
            masters.all.push(master);
        }
        masters.all[0].replica.raft().initialize().await.expect("initializes");
        for node in &NODES[1..] {
            let leader = masters.leader().await;
            leader.replica.linearizable().await.expect("a quorum");
            leader.replica.raft().add(*node, member(*node)).await.expect("joins");
        }
        let state = masters.leader().await.replica.linearizable().await.expect("a quorum").state.clone();
        for txn in bootstrap::missing(&state, &bootstrap::Settings::default()) {
            masters.write(txn).await;
        }
        let state = masters.leader().await.replica.moment().state.clone();
        for txn in standing::founding(&state, "the authority").expect("a key") {
            masters.write(txn).await;
        }
        masters
    }

    async fn boot(&self, node: NodeId, rules: &Rules) -> Master {
        let stores = Arc::new(MemoryStores::new());
        let options =
            replica::Options { retention: vec![], history_bytes_max: u64::MAX, levels: state::LEVELS };
        let (opened, machine) = replica::open(Arc::<MemoryStores>::clone(&stores), options).expect("opens");
        let replica = Arc::new(OnceLock::new());
        let machine = Fated {
            machine,
            node,
            replica: Arc::clone(&replica),
            cut: Arc::clone(&self.cut),
            network: self.network.clone(),
        };
        let options = raft::Options::new(ClusterId(7), node, member(node));
        let (transport, service) = (self.network.transport(node), opened.peer_service());
        let handle = raft::start(options, stores, machine, transport, service, Metrics::new()).await;
        let handle = handle.expect("raft starts");
        self.network.attach(node, handle.frames());
        let replica = replica.get_or_init(|| opened.attach(handle)).clone();
        let backend = Arc::new(replica.clone());
        let (router, served) = serve(Arc::<Replica>::clone(&backend), Router::new(), without_accounts());
        let steps = Arc::default();
        let source = Kept { applied: Applied(replica.tap()), steps: Arc::clone(&steps) };
        let acting = Acting::start(backend, Box::new(source), Arc::new(Leads(replica.clone())), rules);
        Master { node, replica, steps, router, _served: served, _acting: acting }
    }

    /// Those that can be heard of.
    fn present(&self) -> impl Iterator<Item = &Master> {
        let away = self.cut.lock().away;
        self.all.iter().filter(move |master| Some(master.node) != away)
    }

    async fn leader(&self) -> &Master {
        let found = env::wait_until(PATIENCE, GLANCE, || self.present().any(Master::leads)).await;
        assert!(found, "nobody leads");
        self.present().find(|master| master.leads()).expect("just seen")
    }

    fn revision(&self) -> u64 {
        self.present().map(|master| master.replica.moment().revision()).max().unwrap_or(0)
    }

    /// Cuts the leader off once it shows a revision; if it is to come back, after a while.
    async fn cut_off_at(&self, revision: u64, comes_back: bool) {
        let Master { node, replica, .. } = self.leader().await;
        let mut cut = self.cut.lock();
        cut.due = Some((*node, revision));
        cut.look(*node, replica.moment().revision(), &self.network);
        drop(cut);
        if comes_back {
            let (cut, network) = (Arc::clone(&self.cut), self.network.clone());
            env::spawn(async move {
                while cut.lock().away.is_none() {
                    env::sleep(GLANCE).await;
                }
                env::sleep(AWAY).await;
                cut.lock().away = None;
                network.heal();
            });
        }
    }

    /// Waits until whoever can be heard of has applied the same.
    async fn agree(&self) {
        let furthest = self.all.iter().map(|master| master.replica.moment().index).max().unwrap_or(0);
        let mut hashes = Vec::new();
        for master in self.present() {
            let is_there = || master.replica.moment().index >= furthest;
            assert!(env::wait_until(PATIENCE, GLANCE, is_there).await, "{} stays behind", master.node);
            hashes.push(master.replica.hash_at(furthest).await.expect("a recent entry"));
        }
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "masters differ at {furthest}");
    }

    /// All that was applied after a revision.
    async fn steps(&self, after: u64) -> Steps {
        let mut steps = self.leader().await.steps.lock().clone();
        steps.retain(|changes| newest(changes) > after);
        steps
    }
}

/// The revision that an entry led to.
fn newest(changes: &[Change]) -> u64 {
    changes.last().map_or(0, |change| change.revision)
}

impl Place for Masters {
    const IS_BUSY: bool = true;

    fn router(&self) -> &Router {
        &self.present().find(|master| master.leads()).expect("somebody leads").router
    }

    async fn write(&self, txn: Txn) {
        let written = self.leader().await.replica.propose(txn).await.expect("a quorum");
        assert!(is_committed(&written), "{:?}", written.outcome);
    }

    async fn settle(&self, scenario: &Scenario, alive: &[&str]) {
        let renew = async || {
            for node in alive {
                // Of one that nobody knows of only comes that there is no rest yet.
                let renewed = self.leader().await.replica.propose(lease(node)).await;
                let is_renewed = renewed.is_ok_and(|renewed| is_committed(&renewed));
                self.renewed.update(|renewed| renewed + u64::from(is_renewed));
            }
        };
        rest(REST + scenario.pause, renew, || (self.revision() - self.renewed.get()) as usize).await;
    }
}

/// What a run came to.
struct Run {
    end: Vec<String>,
    counts: Counts,
    /// The revisions that entries led to in which something counts, from the request on.
    writes: Vec<u64>,
}

/// Runs a scenario; at this revision the leader is cut off, for good or for a while.
async fn run(scenario: &Scenario, cut: Option<(u64, bool)>) -> Run {
    let masters = Masters::found(&scenario.rules).await;
    prepare(scenario, &masters).await;
    let begins = masters.revision();
    ask_all(&masters, &scenario.when).await;
    let asked = masters.revision();
    if let Some((at, comes_back)) = cut {
        masters.cut_off_at(at, comes_back).await;
    }
    masters.settle(scenario, scenario.alive).await;
    assert_eq!(masters.cut.lock().due, None, "the leader is not cut off");
    masters.agree().await;
    let steps = masters.steps(begins).await;
    let counting = steps.iter().filter(|changes| changes.iter().any(|change| counts(&change.object)));
    let after = counting.map(|changes| newest(changes)).filter(|revision| *revision > asked);
    Run {
        end: normal(&masters.leader().await.replica.moment().state),
        counts: count(steps.iter().flatten()),
        writes: [asked].into_iter().chain(after).collect(),
    }
}

fn without_drawn(word: &str) -> &str {
    if word.starts_with("10.96.") { "DRAWN" } else { word }
}

/// Cuts the leader off at every entry of a scenario from when the last request was answered, in turn for good and for a
/// while. `end` is that of the run in memory.
pub(super) fn check(scenario: &Scenario, end: &[String]) {
    let undisturbed = env::simulate(SEED, run(scenario, None));
    // Addresses of Services are drawn, here from another seed.
    let drawn = |line: &String| line.split('"').map(without_drawn).collect::<Vec<_>>().join("\"");
    let [end, end_here] = [end, &undisturbed.end].map(|end| end.iter().map(drawn).collect::<Vec<_>>());
    same_end(&end, &end_here, "nothing, on three masters");
    assert!(undisturbed.writes.len() > 1, "something is written");
    for (at, comes_back) in undisturbed.writes.iter().zip([false, true].into_iter().cycle()) {
        let disturbed = env::simulate(SEED, run(scenario, Some((*at, comes_back))));
        let which = format!("revision {at}, on three masters (comes back: {comes_back})");
        same_end(&undisturbed.end, &disturbed.end, &which);
        assert_eq!(disturbed.counts, undisturbed.counts, "a crash after {which}");
    }
}
