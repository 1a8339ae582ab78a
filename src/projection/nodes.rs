//! Nodes, and what the pods on them take.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::view::View;
use imbl::OrdMap;
use state::{Change, Object};

use crate::pods::{HostPort, Pod, Weight, list, millis};
use crate::resources::Amounts;

/// What the keys of nodes begin with.
pub const NODES: &str = "core/nodes/";

/// What the keys of the leases begin with by which nodes say that they live.
pub const LEASES: &str = "coordination.k8s.io/leases/kube-node-lease/";

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Effect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

/// One of `spec.taints`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: Box<str>,
    /// Its value.
    pub value: Box<str>,
    /// What it does.
    pub effect: Effect,
    /// When it was added, in milliseconds since the epoch; 0: nobody said.
    pub added_ms: u64,
}

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Truth {
    True,
    False,
    Unknown,
}

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    /// The stored object: labels, uid, revision.
    pub object: Arc<Object>,
    /// What pods may take.
    pub allocatable: Amounts,
    /// How many pods it takes.
    pub pods_max: i64,
    /// `spec.unschedulable`.
    pub is_unschedulable: bool,
    /// `spec.taints`.
    pub taints: Box<[Taint]>,
    /// Its `Ready` condition; without one unknown.
    pub ready: Truth,
    /// Images that it has, by name, with their sizes in bytes.
    pub images: BTreeMap<Box<str>, i64>,
}

impl Node {
    /// Reads a stored node.
    pub fn of(object: &Arc<Object>) -> Self {
        let bytes = object.bytes.to_bytes();
        let [spec, status] = View::new(&bytes).pick(["spec", "status"]);
        let [unschedulable, taints] = spec.pick(["unschedulable", "taints"]);
        let [allocatable, conditions, images] = status.pick(["allocatable", "conditions", "images"]);
        let ready = conditions.items().find(|condition| condition.get("type").is("Ready"));
        let images = images.items().flat_map(|image| {
            let size = image.get("sizeBytes").number().unwrap_or(0);
            image.get("names").items().map(move |name| (name.text().into(), size))
        });
        Self {
            object: Arc::clone(object),
            allocatable: list(allocatable),
            pods_max: allocatable.get("pods").shown().parse().unwrap_or(0),
            is_unschedulable: unschedulable.is_true(),
            taints: taints.items().filter_map(taint).collect(),
            ready: ready.map_or(Truth::Unknown, |condition| truth(condition.get("status"))),
            images: images.collect(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.object.key.name()
    }
}

fn taint(taint: View<'_>) -> Option<Taint> {
    let [key, value, effect, added] = taint.pick(["key", "value", "effect", "timeAdded"]);
    let effect = match &*effect.text() {
        "NoSchedule" => Effect::NoSchedule,
        "PreferNoSchedule" => Effect::PreferNoSchedule,
        "NoExecute" => Effect::NoExecute,
        _ => return None,
    };
    Some(Taint { key: key.text().into(), value: value.text().into(), effect, added_ms: millis(added) })
}

fn truth(status: View<'_>) -> Truth {
    match &*status.text() {
        "True" => Truth::True,
        "False" => Truth::False,
        _ => Truth::Unknown,
    }
}

/// What the pods on a node take that have not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of its resources.
    pub requests: Amounts,
    /// As it counts when nodes are compared.
    pub weight: Weight,
    /// How many there are.
    pub pods: i64,
    /// Of its ports.
    pub ports: Vec<HostPort>,
    /// How many name pods that they want near or far.
    pub with_affinity: u32,
    /// How many there are of each priority.
    pub priorities: BTreeMap<i32, u32>,
}

impl Usage {
    /// Counts a pod in.
    pub fn add(&mut self, pod: &Pod) {
        self.count(pod, 1);
        self.ports.extend(pod.ports.iter().cloned());
        *self.priorities.entry(pod.priority).or_default() += 1;
        self.with_affinity += u32::from(pod.has_pod_affinity);
    }

    /// Counts a pod out that was counted in.
    pub fn take_away(&mut self, pod: &Pod) {
        self.count(pod, -1);
        for port in &pod.ports {
            if let Some(at) = self.ports.iter().position(|held| held == port) {
                self.ports.swap_remove(at);
            }
        }
        if let Some(count @ 2..) = self.priorities.get_mut(&pod.priority) {
            *count -= 1;
        } else {
            self.priorities.remove(&pod.priority);
        }
        self.with_affinity -= u32::from(pod.has_pod_affinity);
    }

    fn count(&mut self, pod: &Pod, times: i64) {
        self.requests.add(&pod.requests, times);
        self.weight.cpu_milli += times * pod.weight.cpu_milli;
        self.weight.memory_bytes += times * pod.weight.memory_bytes;
        self.pods += times;
    }
}

/// All nodes.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    rows: OrdMap<Arc<str>, Arc<Node>>,
    usage: OrdMap<Arc<str>, Arc<Usage>>,
    /// How many nodes have an image, by its name.
    with_image: OrdMap<Box<str>, u32>,
}

impl Nodes {
    /// Takes in one change of a node.
    pub fn fold(&mut self, change: &Change) {
        let name: Arc<str> = change.object.key.name().into();
        let after = (!change.deleted).then(|| Arc::new(Node::of(&change.object)));
        let before = match &after {
            None => self.rows.remove(&name),
            Some(node) => self.rows.insert(name, Arc::clone(node)),
        };
        self.fold_images(before.as_deref(), after.as_deref());
    }

    fn fold_images(&mut self, before: Option<&Node>, after: Option<&Node>) {
        let none = BTreeMap::new();
        let (before, after) =
            (before.map_or(&none, |node| &node.images), after.map_or(&none, |node| &node.images));
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            match self.with_image.get_mut(name) {
                Some(count @ 2..) => *count -= 1,
                _ => _ = self.with_image.remove(name),
            }
        }
        for name in after.keys().filter(|name| !before.contains_key(*name)) {
            *self.with_image.entry(name.clone()).or_default() += 1;
        }
    }

    /// How many nodes have an image of this name.
    pub fn with_image(&self, name: &str) -> u32 {
        self.with_image.get(name).copied().unwrap_or(0)
    }

    /// Takes in one change of a pod.
    pub fn fold_pod(&mut self, before: Option<&Pod>, after: Option<&Pod>) {
        let counts = |pod: &&Pod| !pod.node.is_empty() && !pod.is_finished();
        let (before, after) = (before.filter(counts), after.filter(counts));
        let same = |one: &Pod, other: &Pod| {
            (&one.node, &one.requests, &one.weight, &one.ports, one.has_pod_affinity, one.priority)
                == (
                    &other.node,
                    &other.requests,
                    &other.weight,
                    &other.ports,
                    other.has_pod_affinity,
                    other.priority,
                )
        };
        if let (Some(before), Some(after)) = (before, after)
            && same(before, after)
        {
            return;
        }
        if let Some(pod) = before {
            let usage = Arc::make_mut(self.usage.entry(Arc::clone(&pod.node)).or_default());
            usage.take_away(pod);
            if usage.pods == 0 {
                self.usage.remove(&pod.node);
            }
        }
        if let Some(pod) = after {
            Arc::make_mut(self.usage.entry(Arc::clone(&pod.node)).or_default()).add(pod);
        }
    }

    /// One node.
    pub fn get(&self, name: &str) -> Option<&Arc<Node>> {
        self.rows.get(name)
    }

    /// What pods take of a node, also of one that is not there; `None`: nothing.
    pub fn usage(&self, name: &str) -> Option<&Arc<Usage>> {
        self.usage.get(name)
    }

    /// All nodes, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.rows.values()
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
