//! Namespaces that are going: what they hold is deleted, pods first, then they are let go.

mod conditions;
mod plan;
#[cfg(test)]
mod tests;

use api::Key;
use projection::{Controller, Wakes, World};
use state::Change;

use crate::shared::stored;

const NAMESPACES: &str = "core/namespaces/";

/// The row.
pub const NAMESPACE: Controller = Controller {
    name: "namespace",
    actor: "system:serviceaccount:kube-system:namespace-controller",
    component: "namespace-controller",
    wakes,
    keys: |world, wakes| stored::keys(world, NAMESPACES, wakes),
    plan: plan::plan,
};

/// What happens within a namespace matters when it is going.
fn wakes(world: &World, change: &Change, wakes: &mut Wakes) {
    let key = &change.object.key;
    if key.collection() == NAMESPACES {
        return wakes.add(key);
    }
    if key.namespace().is_empty() {
        return;
    }
    let namespace = Key::object("", "namespaces", "", key.namespace());
    if world.state.get(namespace.as_str()).is_some_and(|found| found.meta.deleting) {
        wakes.add(&namespace);
    }
}
