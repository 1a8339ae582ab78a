//! Which changes can matter to pods that wait.

use projection::nodes::{NODES, Node};
use projection::pods::{DEFAULT_SCHEDULER, PODS};
use projection::{Wakes, World};
use state::{Change, Object};

use crate::plan::KEY;

/// The key, if a pod may get a node by this change that it could not get before, or waits only now.
pub fn wakes(world: &World, change: &Change, wakes: &mut Wakes) {
    let matters = match change.object.key.collection() {
        PODS => pod(world, change),
        NODES => someone_waits(world) && node(change),
        _ => false,
    };
    if matters {
        wakes.add(&KEY);
    }
}

/// The one key.
pub fn keys(_: &World, wakes: &mut Wakes) {
    wakes.add(&KEY);
}

fn someone_waits(world: &World) -> bool {
    world.pods.waiting().next().is_some()
}

fn pod(world: &World, change: &Change) -> bool {
    let (object, previous) = (&change.object, change.previous.as_deref());
    let after = world.pods.get(object.key.as_str()).filter(|_| !change.deleted);
    if let Some(pod) = after.filter(|pod| pod.node.is_empty()) {
        return pod.waits_for(DEFAULT_SCHEDULER) && previous.is_none_or(|previous| differs(previous, object));
    }
    if !someone_waits(world) {
        return false;
    }
    // It was on a node, or is now. Room is free when it left; affinity and spreading look at what came and at labels.
    let was = previous.is_some_and(counts);
    let is = after.is_some_and(|pod| !pod.is_finished());
    was != is
        || was
            && previous.is_some_and(|previous| {
                previous.meta.deleting != object.meta.deleting || differs(previous, object)
            })
}

/// Whether a pod takes something of a node.
fn counts(object: &Object) -> bool {
    let [node, phase] = object.view().find([&["spec", "nodeName"], &["status", "phase"]]);
    node.is_there() && !phase.is("Succeeded") && !phase.is("Failed")
}

/// Whether labels or spec are others.
fn differs(before: &Object, after: &Object) -> bool {
    before.labels() != after.labels() || before.view().get("spec").bytes() != after.view().get("spec").bytes()
}

/// Whether a node came, went, or has another thing that pods ask for. Heartbeats change none of them.
fn node(change: &Change) -> bool {
    let Some(previous) = change.previous.as_ref().filter(|_| !change.deleted) else { return true };
    let (before, after) = (Node::of(previous), Node::of(&change.object));
    let told = |node: &Node| (node.is_unschedulable, node.pods_max);
    told(&before) != told(&after)
        || before.allocatable != after.allocatable
        || before.taints != after.taints
        || before.object.labels() != after.object.labels()
}
