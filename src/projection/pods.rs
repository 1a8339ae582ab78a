//! Pods, as far as controllers and the scheduler look at all of them.

use std::ops::Bound;
use std::sync::{Arc, LazyLock};

use api::view::View;
use api::{Key, time};
use imbl::{OrdMap, OrdSet};
use state::{Change, Object};

use crate::affinity::PodAffinities;
use crate::labels::ByLabel;
use crate::places::Places;
use crate::resources::Amounts;

/// What the keys of pods begin with.
pub const PODS: &str = "core/pods/";

/// The scheduler that a pod waits for unless it names another.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// `status.phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

/// A port of the node that a container takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// `0.0.0.0`: all addresses.
    pub address: Box<str>,
    /// `TCP`, `UDP`, `SCTP`.
    pub protocol: Box<str>,
    /// The number.
    pub port: u16,
}

/// One pod.
#[derive(Clone, Debug)]
pub struct Pod {
    /// The stored object: key, labels, uid, revision.
    pub object: Arc<Object>,
    /// `spec.nodeName`; empty: none yet.
    pub node: Arc<str>,
    /// `spec.schedulerName`.
    pub scheduler: Arc<str>,
    /// `status.phase`.
    pub phase: Phase,
    /// Whether its `Ready` condition is true.
    pub is_ready: bool,
    /// When that condition changed last, in milliseconds since the epoch; 0: there is none.
    pub ready_changed_ms: u64,
    /// `metadata.creationTimestamp`, likewise.
    pub created_ms: u64,
    /// `spec.priority`.
    pub priority: i32,
    /// What it takes of a node.
    pub requests: Amounts,
    /// The same as it counts when nodes are compared: a container that asks for nothing counts as 100m and 200 MB.
    pub weight: Weight,
    /// Ports of its node that it takes.
    pub ports: Box<[HostPort]>,
    /// Whether something of it still gates its scheduling.
    pub is_gated: bool,
    /// Whether its conditions say so: then there is nothing to do for it until its gates open.
    pub says_gated: bool,
    /// Whether it names pods that it wants near or far.
    pub has_pod_affinity: bool,
    /// Restarts of its containers, the sum.
    pub restarts: u32,
}

/// What a pod counts when nodes are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// In thousandths of a core.
    pub cpu_milli: i64,
    /// In bytes.
    pub memory_bytes: i64,
}

/// What a container that asks for no CPU counts as: Kubernetes' `DefaultMilliCPURequest`.
const CPU_MILLI_UNASKED: i64 = 100;

/// What one that asks for no memory counts as: Kubernetes' `DefaultMemoryRequest`.
const MEMORY_BYTES_UNASKED: i64 = 200 * 1024 * 1024;

impl Pod {
    /// Reads a stored pod.
    pub fn of(object: &Arc<Object>) -> Self {
        let [created, phase, conditions, statuses, containers, init, resources, overhead, rest @ ..] =
            object.view().find([
                &["metadata", "creationTimestamp"],
                &["status", "phase"],
                &["status", "conditions"],
                &["status", "containerStatuses"],
                &["spec", "containers"],
                &["spec", "initContainers"],
                &["spec", "resources"],
                &["spec", "overhead"],
                &["spec", "nodeName"],
                &["spec", "schedulerName"],
                &["spec", "priority"],
                &["spec", "hostNetwork"],
                &["spec", "schedulingGates"],
                &["spec", "affinity", "podAffinity"],
                &["spec", "affinity", "podAntiAffinity"],
            ]);
        let [node, scheduler, priority, host_network, gates, near, far] = rest;
        let ready = conditions.items().find(|condition| condition.get("type").is("Ready"));
        let scheduled = conditions.items().find(|condition| condition.get("type").is("PodScheduled"));
        let (requests, weight) = needs(containers, init, resources, overhead);
        let restarts = statuses.items().filter_map(|one| one.get("restartCount").number()).sum::<i64>();
        Self {
            object: Arc::clone(object),
            node: (&*node.text()).into(),
            scheduler: held(&scheduler.text()),
            phase: phase_of(phase),
            is_ready: ready.is_some_and(|condition| condition.get("status").is("True")),
            ready_changed_ms: ready.map_or(0, |condition| millis(condition.get("lastTransitionTime"))),
            created_ms: millis(created),
            priority: priority.number().map_or(0, |number| number as i32),
            requests,
            weight,
            ports: ports(containers, init, host_network.is_true()),
            is_gated: gates.count() > 0,
            says_gated: scheduled.is_some_and(|condition| condition.get("reason").is("SchedulingGated")),
            has_pod_affinity: near.is_there() || far.is_there(),
            restarts: u32::try_from(restarts).unwrap_or(u32::MAX),
        }
    }

    /// Where it lives.
    pub fn key(&self) -> &Key {
        &self.object.key
    }

    /// Whether it ended, well or not.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Whether it was deleted and is still there.
    pub fn is_deleting(&self) -> bool {
        self.object.meta.deleting
    }

    /// Whether it counts for whoever keeps a number of pods: neither ended nor going.
    pub fn is_active(&self) -> bool {
        !self.is_finished() && !self.is_deleting()
    }

    /// Whether it has been ready for `min_ready_ms` at `now_ms`.
    pub fn is_available(&self, min_ready_ms: u64, now_ms: u64) -> bool {
        self.is_ready && (min_ready_ms == 0 || self.ready_changed_ms + min_ready_ms <= now_ms)
    }

    /// Whether its scheduler has to find it a node, or to say that it is gated.
    pub fn is_waiting(&self) -> bool {
        self.node.is_empty() && self.is_active() && !(self.is_gated && self.says_gated)
    }

    /// The same of the scheduler of this name.
    pub fn waits_for(&self, scheduler: &str) -> bool {
        self.is_waiting() && &*self.scheduler == scheduler
    }
}

/// The scheduler of nearly all pods is held once.
fn held(scheduler: &str) -> Arc<str> {
    static DEFAULT: LazyLock<Arc<str>> = LazyLock::new(|| DEFAULT_SCHEDULER.into());
    if scheduler == DEFAULT_SCHEDULER { Arc::clone(&DEFAULT) } else { scheduler.into() }
}

fn phase_of(phase: View<'_>) -> Phase {
    match &*phase.text() {
        "Running" => Phase::Running,
        "Succeeded" => Phase::Succeeded,
        "Failed" => Phase::Failed,
        "Unknown" => Phase::Unknown,
        _ => Phase::Pending,
    }
}

/// A time in milliseconds since the epoch; 0: none.
pub(crate) fn millis(time: View<'_>) -> u64 {
    time::parse_rfc3339(&time.text()).unwrap_or(0)
}

/// What a pod takes of a node: its containers and sidecars together, or what an init container takes beside the
/// sidecars started before it, whichever is more; or what the pod as a whole asks for; and its overhead.
fn needs(containers: View<'_>, init: View<'_>, resources: View<'_>, overhead: View<'_>) -> (Amounts, Weight) {
    let mut sum = (Amounts::default(), Weight::default());
    let mut sidecars = sum.clone();
    let mut most = sum.clone();
    for container in containers.items() {
        add(&mut sum, &of_container(container));
    }
    for container in init.items() {
        let own = of_container(container);
        if container.get("restartPolicy").is("Always") {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            raise(&mut most, &sidecars);
        } else {
            let mut together = sidecars.clone();
            add(&mut together, &own);
            raise(&mut most, &together);
        }
    }
    raise(&mut sum, &most);
    let whole = list(resources.get("requests"));
    if whole.cpu_milli > 0 {
        (sum.0.cpu_milli, sum.1.cpu_milli) = (whole.cpu_milli, whole.cpu_milli);
    }
    if whole.memory_bytes > 0 {
        (sum.0.memory_bytes, sum.1.memory_bytes) = (whole.memory_bytes, whole.memory_bytes);
    }
    let overhead = list(overhead);
    let weight = Weight { cpu_milli: overhead.cpu_milli, memory_bytes: overhead.memory_bytes };
    add(&mut sum, &(overhead, weight));
    sum
}

type Needs = (Amounts, Weight);

fn add(sum: &mut Needs, other: &Needs) {
    sum.0.add(&other.0, 1);
    sum.1.cpu_milli += other.1.cpu_milli;
    sum.1.memory_bytes += other.1.memory_bytes;
}

fn raise(sum: &mut Needs, other: &Needs) {
    sum.0.raise_to(&other.0);
    sum.1.cpu_milli = sum.1.cpu_milli.max(other.1.cpu_milli);
    sum.1.memory_bytes = sum.1.memory_bytes.max(other.1.memory_bytes);
}

fn of_container(container: View<'_>) -> Needs {
    let requests = list(container.at(&["resources", "requests"]));
    let or = |asked: i64, unasked: i64| if asked > 0 { asked } else { unasked };
    let weight = Weight {
        cpu_milli: or(requests.cpu_milli, CPU_MILLI_UNASKED),
        memory_bytes: or(requests.memory_bytes, MEMORY_BYTES_UNASKED),
    };
    (requests, weight)
}

/// A `ResourceList`.
pub(crate) fn list(list: View<'_>) -> Amounts {
    let members: Vec<_> = list.members().map(|(name, amount)| (name, amount.shown())).collect();
    Amounts::of(members.iter().map(|(name, amount)| (&**name, &**amount)))
}

fn ports(containers: View<'_>, init: View<'_>, host_network: bool) -> Box<[HostPort]> {
    let sidecars = init.items().filter(|one| one.get("restartPolicy").is("Always"));
    let ports = containers.items().chain(sidecars).flat_map(|container| container.get("ports").items());
    let one = |port: View<'_>| {
        let [number, container, address, protocol] =
            port.pick(["hostPort", "containerPort", "hostIP", "protocol"]);
        let number = number.number().filter(|number| *number > 0);
        let number = number.or_else(|| container.number().filter(|_| host_network))?;
        let or = |text: View<'_>, other: &str| match &*text.text() {
            "" => other.into(),
            text => text.into(),
        };
        let (address, protocol) = (or(address, "0.0.0.0"), or(protocol, "TCP"));
        Some(HostPort { address, protocol, port: u16::try_from(number).ok()? })
    };
    ports.filter_map(one).collect()
}

/// All pods.
#[derive(Clone, Debug, Default)]
pub struct Pods {
    rows: OrdMap<Key, Arc<Pod>>,
    by_label: ByLabel,
    by_node: Places,
    /// Those that have to be placed, of all schedulers.
    waiting: OrdSet<Key>,
    /// Those that ended, by when they were created.
    finished: OrdSet<(u64, Key)>,
    affinities: PodAffinities,
}

impl Pods {
    /// Takes in one change of a pod; returns what was there, and what is.
    pub fn fold(&mut self, change: &Change) -> (Option<Arc<Pod>>, Option<Arc<Pod>>) {
        let key = &change.object.key;
        let before = self.rows.get(key).cloned();
        let mut after = (!change.deleted).then(|| Pod::of(&change.object));
        self.fold_node(key, before.as_deref(), after.as_mut());
        let after = after.map(Arc::new);
        self.by_label.fold(before.as_ref().map(|pod| &*pod.object), after.as_ref().map(|pod| &*pod.object));
        self.affinities.fold(before.as_deref(), after.as_deref());
        match &after {
            Some(pod) if pod.is_waiting() => _ = self.waiting.insert(key.clone()),
            _ => _ = self.waiting.remove(key),
        }
        if let Some(pod) = before.as_ref().filter(|pod| pod.is_finished()) {
            self.finished.remove(&(pod.created_ms, key.clone()));
        }
        if let Some(pod) = after.as_ref().filter(|pod| pod.is_finished()) {
            self.finished.insert((pod.created_ms, key.clone()));
        }
        match &after {
            Some(pod) => _ = self.rows.insert(key.clone(), Arc::clone(pod)),
            None => _ = self.rows.remove(key),
        }
        (before, after)
    }

    /// Notes on which node a pod is; it is given the name as it is held.
    fn fold_node(&mut self, key: &Key, before: Option<&Pod>, after: Option<&mut Pod>) {
        let left = before.map_or("", |pod| &pod.node);
        let entered = after.as_deref().map_or("", |pod| &pod.node);
        if left != entered {
            self.by_node.remove(left, key);
            if let Some(pod) = after.filter(|pod| !pod.node.is_empty()) {
                pod.node = self.by_node.insert(&pod.node, key);
            }
        } else if let (Some(before), Some(pod)) = (before, after) {
            pod.node = Arc::clone(&before.node);
        }
    }

    /// One pod.
    pub fn get(&self, key: &str) -> Option<&Arc<Pod>> {
        self.rows.get(key)
    }

    /// All pods, in key order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.rows.values()
    }

    /// Pods of a namespace, in key order.
    pub fn within(&self, namespace: &str) -> impl Iterator<Item = &Arc<Pod>> {
        let prefix = format!("{PODS}{namespace}/");
        let from = self.rows.range::<_, str>((Bound::Included(&*prefix), Bound::Unbounded));
        from.take_while(move |(key, _)| key.as_str().starts_with(&prefix)).map(|(_, pod)| pod)
    }

    /// Pods of a namespace that a selector matches, in key order. An empty one matches none: so it is with everything
    /// that selects pods.
    pub fn selected(&self, namespace: &str, selector: &api::selector::Selector) -> Vec<&Arc<Pod>> {
        if selector.is_empty() {
            return Vec::new();
        }
        let matches = |pod: &&Arc<Pod>| crate::labels::matches(selector, pod.object.labels());
        match self.by_label.candidates(namespace, selector) {
            Some(keys) => keys.filter_map(|key| self.rows.get(key)).filter(matches).collect(),
            None => self.within(namespace).filter(matches).collect(),
        }
    }

    /// Pods of a node, in key order; those that ended are among them.
    pub fn on<'s>(&'s self, node: &str) -> impl Iterator<Item = &'s Arc<Pod>> + use<'s> {
        self.by_node.under(node).filter_map(|key| self.rows.get(key))
    }

    /// Pods that have to be placed, in key order.
    pub fn waiting(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.waiting.iter().filter_map(|key| self.rows.get(key))
    }

    /// Pods that ended, the oldest first.
    pub fn finished(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.finished.iter().map(|(_, key)| key)
    }

    /// What pods with a node say of pods near and far.
    pub fn affinities(&self) -> &PodAffinities {
        &self.affinities
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}
