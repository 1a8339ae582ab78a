//! Every controller and the scheduler over the twin, as a leader runs them: the same runner, the same way of intents.

use std::sync::Arc;
use std::time::Duration;

use api::{Key, Object, Resource, time};
use base::env::{self, JoinHandle};
use base::shutdown::{self, Trigger};
use base::telemetry::Metrics;
use projection::rules::Rules;
use projection::{Controller, Facts, LastOutcomes, Leadership, Options, Plan, Runner, Source, Wakes, World};
use serde_json::{Value, json};
use state::{Change, Txn};

use crate::backend::memory::Memory;
use crate::chain::admission::Settings;
use crate::verbs::write::{put, transaction};
use crate::{Backend, Submitter};

const PODS: &str = "core/pods/";

/// How long nobody proposes anything when nothing is left to do: longer than a node may be silent.
pub(super) const REST: Duration = Duration::from_secs(12);

/// How often a node says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// So many heartbeats are enough for anything: who goes on and on never comes to rest.
const HEARTBEATS_MAX: usize = 100;

/// The runner of a master, with the whole table, until it is stopped.
pub(super) struct Acting(Trigger, JoinHandle<()>);

impl Acting {
    pub(super) fn start(
        backend: Arc<dyn Backend>,
        source: Box<dyn Source>,
        leadership: Arc<dyn Leadership>,
        rules: &Rules,
    ) -> Self {
        let controllers = controllers::CONTROLLERS.iter().copied().chain([scheduler::SCHEDULER, KUBELET]);
        let options = Options {
            controllers: controllers.collect(),
            source,
            leadership,
            submit: Arc::new(Submitter::new(backend, Arc::new(Settings::default()))),
            metrics: Metrics::new(),
            rules: rules.clone(),
        };
        let (trigger, shutdown) = shutdown::channel();
        Self(trigger, env::spawn(Runner::new(options).0.run(shutdown)))
    }

    async fn stop(self) {
        self.0.fire();
        self.1.await.expect("the runner does not panic");
    }
}

/// Lets a new leader act until nothing is left to do, on virtual time. These nodes say meanwhile that they live.
pub(super) async fn settle(memory: &Memory, alive: &[&str]) {
    settle_by(&Rules::default(), memory, alive).await;
}

/// The same, by these numbers.
pub(super) async fn settle_by(rules: &Rules, memory: &Memory, alive: &[&str]) {
    let feed = Feed { memory: memory.clone(), changes: None };
    let leader = Acting::start(Arc::new(memory.clone()), Box::new(feed), Arc::new(Leads), rules);
    let renew = async || alive.iter().for_each(|node| drop(memory.apply(lease(node))));
    rest(REST, renew, || memory.proposals()).await;
    leader.stop().await;
}

/// Waits until for so long nothing more is `done`, while nodes renew their leases.
///
/// # Panics
/// When things go on and on.
pub(super) async fn rest(long: Duration, mut renew: impl AsyncFnMut(), done: impl Fn() -> usize) {
    let mut quiet = Duration::ZERO;
    for _ in 0..HEARTBEATS_MAX {
        let before = done();
        renew().await;
        env::sleep(HEARTBEAT).await;
        quiet = if done() == before { quiet + HEARTBEAT } else { Duration::ZERO };
        if quiet >= long {
            return;
        }
    }
    panic!("controllers go on and on");
}

/// Renews a node's lease, past the controllers.
pub(super) fn lease(node: &str) -> Txn {
    let row = &Resource::builtin("coordination.k8s.io", "v1", "leases");
    let now = time::rfc3339(env::wall_ms());
    let body = json!({
        "metadata": {"name": node, "namespace": "kube-node-lease", "creationTimestamp": now},
        "spec": {"holderIdentity": node, "renewTime": now.replace('Z', ".000000Z")},
    });
    let object = Object::read(body.to_string().as_bytes(), row).expect("a lease");
    let write = put(row.key("kube-node-lease", node), &object.prepare(row));
    transaction("system:node", Vec::new(), vec![write])
}

/// What the twin applied.
struct Feed {
    memory: Memory,
    changes: Option<Box<dyn crate::backend::Changes>>,
}

#[async_trait::async_trait]
impl Source for Feed {
    async fn next(&mut self) -> Facts {
        let Some(watch) = &mut self.changes else {
            let state = self.memory.moment().state.clone();
            self.changes = Some(self.memory.watch("", state.revision()).expect("history"));
            return Facts::Reset(state);
        };
        let mut changes: Vec<Change> = Vec::new();
        loop {
            let events = watch.next().await.expect("history");
            changes.extend(events.iter().map(|event| event.change.clone()));
            let state = self.memory.moment().state.clone();
            // A watch tells of many changes in several parts.
            if changes.last().is_some_and(|last| last.revision == state.revision()) {
                return Facts::Applied(state, changes);
            }
        }
    }
}

struct Leads;

#[async_trait::async_trait]
impl Leadership for Leads {
    fn term(&self) -> Option<u64> {
        Some(1)
    }

    async fn confirm(&self) -> bool {
        true
    }
}

/// All nodes: a pod that has one runs and is ready at once, and goes when it is told to.
const KUBELET: Controller = Controller {
    name: "kubelet",
    actor: "system:node",
    component: "kubelet",
    wakes: |_, change, wakes: &mut Wakes| {
        if change.object.key.collection() == PODS && !change.deleted {
            wakes.add(&change.object.key);
        }
    },
    keys: |world, wakes| world.pods.iter().for_each(|pod| wakes.add(pod.key())),
    plan: kubelet,
};

fn kubelet(world: &World, key: &Key, _: &LastOutcomes, now_ms: u64) -> Plan {
    let mut plan = Plan::default();
    let Some(pod) = world.pods.get(key.as_str()).filter(|pod| !pod.node.is_empty()) else { return plan };
    if pod.is_deleting() {
        let options = api::codec::DeleteOptions { grace_seconds: Some(0), ..Default::default() };
        plan.intents.push(projection::Intent::delete_with(&pod.object, options));
    } else if pod.phase == projection::pods::Phase::Pending {
        let (now, revision) = (time::rfc3339(now_ms), pod.object.revision);
        let address = format!("10.1.{}.{}", revision / 250, revision % 250 + 1);
        let met = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
        let conditions: Vec<Value> =
            ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(met).into();
        let status = json!({"phase": "Running", "startTime": now, "conditions": conditions,
            "podIP": address, "podIPs": [{"ip": address}]});
        plan.intents.push(projection::Intent::patch(&pod.object, "status", json!({"status": status})));
    }
    plan
}
