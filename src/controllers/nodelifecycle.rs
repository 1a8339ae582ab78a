//! Nodes that fall silent: their status becomes unknown, they are tainted, their pods are no longer ready.
//!
//! Silence is told by the leader's own clock (see [`projection::office`]), never by the times that nodes write.

mod disruption;
mod health;
mod plan;
mod taints;
#[cfg(test)]
mod tests;

use projection::nodes::{NODES, Truth};
use projection::pods::PODS;
use projection::{Controller, Wakes, World};
use state::Change;

use crate::shared::stored;

/// The row.
pub const NODE_LIFECYCLE: Controller = Controller {
    name: "node-lifecycle",
    actor: "system:serviceaccount:kube-system:node-controller",
    component: "node-controller",
    wakes,
    keys: |world, wakes| stored::keys(world, NODES, wakes),
    plan: plan::plan,
};

fn wakes(world: &World, change: &Change, wakes: &mut Wakes) {
    let key = &change.object.key;
    match key.collection() {
        NODES => wakes.add(key),
        // A pod that is ready where nobody answers.
        PODS => {
            let pod = world.pods.get(key.as_str()).filter(|pod| pod.is_ready);
            let node = pod.and_then(|pod| world.nodes.get(&pod.node));
            if let Some(node) = node.filter(|node| node.ready == Truth::Unknown) {
                wakes.add(&node.object.key);
            }
        }
        _ => {}
    }
}
