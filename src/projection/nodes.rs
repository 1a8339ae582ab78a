//! Nodes, and what the pods on them take.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use api::view::View;
use imbl::OrdMap;
use state::labels::Labels;
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
    /// A hash of its name.
    pub hash: u64,
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
    /// Its region and zone: nodes that may fail together.
    pub zone: Box<str>,
    /// Whether it does not count when it is asked how many nodes fail at a time.
    pub is_excluded_from_disruption: bool,
    /// `spec.podCIDR`; empty: it has none.
    pub pod_cidr: Box<str>,
    /// Images that it has, by name, with their sizes in bytes.
    pub images: BTreeMap<Box<str>, i64>,
}

impl Node {
    /// Reads a stored node.
    pub fn of(object: &Arc<Object>) -> Self {
        let [spec, status] = object.view().pick(["spec", "status"]);
        let [unschedulable, taints, pod_cidr] = spec.pick(["unschedulable", "taints", "podCIDR"]);
        let [allocatable, conditions, images] = status.pick(["allocatable", "conditions", "images"]);
        let ready = conditions.items().find(|condition| condition.get("type").is("Ready"));
        let images = images.items().flat_map(|image| {
            let size = image.get("sizeBytes").number().unwrap_or(0);
            image.get("names").items().map(move |name| (name.text().into(), size))
        });
        Self {
            object: Arc::clone(object),
            hash: hash(object.key.name()),
            allocatable: list(allocatable),
            pods_max: allocatable.get("pods").shown().parse().unwrap_or(0),
            is_unschedulable: unschedulable.is_true(),
            taints: taints.items().filter_map(taint).collect(),
            ready: ready.map_or(Truth::Unknown, |condition| truth(condition.get("status"))),
            zone: zone_of(object.labels()),
            is_excluded_from_disruption: object.labels().get(EXCLUDE_DISRUPTION).is_some(),
            pod_cidr: pod_cidr.text().into(),
            images: images.collect(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.object.key.name()
    }
}

/// FNV-1a, of 64 bits.
pub fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The label of nodes that do not count when it is asked how many nodes fail at a time.
const EXCLUDE_DISRUPTION: &str = "node.kubernetes.io/exclude-disruption";

fn zone_of(labels: &Labels) -> Box<str> {
    let either =
        |old: &str, new: &str| labels.get(old).or_else(|| labels.get(new)).unwrap_or_default().to_owned();
    let region = either("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region");
    let zone = either("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone");
    [region, zone].join("\0").into()
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
    pub priorities: Arc<BTreeMap<i32, u32>>,
}

impl Usage {
    /// Counts a pod in.
    pub fn add(&mut self, pod: &Pod) {
        self.count(pod, 1);
        self.ports.extend(pod.ports.iter().cloned());
        *Arc::make_mut(&mut self.priorities).entry(pod.priority).or_default() += 1;
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
        let priorities = Arc::make_mut(&mut self.priorities);
        if let Some(count @ 2..) = priorities.get_mut(&pod.priority) {
            *count -= 1;
        } else {
            priorities.remove(&pod.priority);
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
    /// Nodes that went, and when: who comes back soon keeps its pods.
    gone: OrdMap<Arc<str>, u64>,
    /// How many nodes have an image, by its name.
    with_image: OrdMap<Box<str>, u32>,
}

/// Nodes that went that are remembered.
const GONE_MAX: usize = 1024;

impl Nodes {
    /// Takes in one change of a node.
    pub fn fold(&mut self, change: &Change) {
        let name: Arc<str> = change.object.key.name().into();
        let after = (!change.deleted).then(|| Arc::new(Node::of(&change.object)));
        let before = match &after {
            None => {
                self.note_gone(&name, change.object.time_ms);
                self.rows.remove(&name)
            }
            Some(node) => {
                self.gone.remove(&name);
                self.rows.insert(name, Arc::clone(node))
            }
        };
        self.fold_images(before.as_deref(), after.as_deref());
    }

    fn note_gone(&mut self, name: &Arc<str>, at_ms: u64) {
        if self.gone.len() >= GONE_MAX {
            let first = self.gone.iter().min_by_key(|(_, at)| **at).map(|(name, _)| Arc::clone(name));
            first.map(|first| self.gone.remove(&first));
        }
        self.gone.insert(Arc::clone(name), at_ms);
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

    /// When a node went, in milliseconds since the epoch; `None`: it is there, or nobody remembers.
    pub fn gone_ms(&self, name: &str) -> Option<u64> {
        self.gone.get(name).copied()
    }

    /// What pods take of a node, also of one that is not there; `None`: nothing.
    pub fn usage(&self, name: &str) -> Option<&Arc<Usage>> {
        self.usage.get(name)
    }

    /// All nodes, by name, each with what pods take of it: faster than asking for one after the other.
    pub fn with_usage(&self) -> impl Iterator<Item = (&Arc<Node>, Option<&Arc<Usage>>)> {
        let mut usage = self.usage.iter().peekable();
        self.rows.iter().map(move |(name, node)| {
            loop {
                match usage.peek().map(|(of, _)| (*of).cmp(name)) {
                    Some(Ordering::Less) => _ = usage.next(),
                    Some(Ordering::Equal) => return (node, usage.next().map(|(_, usage)| usage)),
                    Some(Ordering::Greater) | None => return (node, None),
                }
            }
        })
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{put, remove, world};

    fn node(name: &str, images: Value) -> Value {
        json!({"kind": "Node", "metadata": {"name": name}, "status": {"images": images}})
    }

    #[test]
    fn nodes_are_counted_by_image() {
        let of = |names: &[&str]| json!([{"names": names, "sizeBytes": 1}]);
        let mut world = world([node("a", of(&["x", "y"])), node("b", of(&["x"]))]);
        let counts = |world: &crate::World| ["x", "y", "z"].map(|image| world.nodes.with_image(image));
        assert_eq!(counts(&world), [2, 1, 0]);
        put(&mut world, node("a", of(&["x", "z"])));
        assert_eq!(counts(&world), [2, 0, 1]);
        remove(&mut world, &api::Key::object("", "nodes", "", "a"));
        assert_eq!(counts(&world), [1, 0, 0]);
    }

    #[test]
    fn pods_of_a_node_are_counted_by_priority() {
        let pod = |name: &str, priority: i32| {
            let spec = json!({"nodeName": "a", "priority": priority, "containers": []});
            json!({"kind": "Pod", "metadata": {"name": name}, "spec": spec})
        };
        let mut world = world([pod("a", 5), pod("b", 5), pod("c", 0)]);
        let counts = |world: &crate::World| {
            let usage = world.nodes.usage("a").expect("pods");
            usage.priorities.iter().map(|(priority, count)| (*priority, *count)).collect::<Vec<_>>()
        };
        assert_eq!(counts(&world), [(0, 1), (5, 2)]);
        remove(&mut world, &api::Key::object("", "pods", "default", "c"));
        put(&mut world, pod("b", 1));
        assert_eq!(counts(&world), [(1, 1), (5, 1)]);
    }

    #[test]
    fn each_node_is_shown_with_its_usage() {
        let pod = |node: &str| {
            let spec = json!({"nodeName": node, "containers": []});
            json!({"kind": "Pod", "metadata": {"name": node}, "spec": spec})
        };
        let pods = ["a-gone", "b", "c-gone", "d", "e-gone"].map(pod);
        let world = world(["b", "c", "d"].map(|name| node(name, json!([]))).into_iter().chain(pods));
        let counts =
            world.nodes.with_usage().map(|(node, usage)| (node.name(), usage.map(|usage| usage.pods)));
        assert_eq!(counts.collect::<Vec<_>>(), [("b", Some(1)), ("c", None), ("d", Some(1))]);
    }
}
