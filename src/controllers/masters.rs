//! The masters as Service `kubernetes` in namespace `default`: how pods reach the API. Kubernetes' own masters write
//! it themselves; here the records of the members say where they are, and their leases that they live.

mod plan;
#[cfg(test)]
mod tests;

use api::Key;
use projection::{Controller, Wakes, World, office};
use state::Change;

/// What the keys of the masters' records begin with.
const MEMBERS: &str = "~members/";

/// The one key: everything is planned together.
fn key() -> Key {
    Key::object("", "services", "default", "kubernetes")
}

/// The row.
pub const MASTERS: Controller = Controller {
    name: "masters",
    actor: "system:apiserver",
    component: "masters-controller",
    wakes,
    keys: |_, wakes| wakes.add(&key()),
    plan: plan::plan,
};

fn wakes(_: &World, change: &Change, wakes: &mut Wakes) {
    let changed = &change.object.key;
    let is_record = changed.collection() == MEMBERS || changed.as_str().starts_with(office::MASTERS);
    let is_ours = changed.namespace() == "default"
        && ["core/services/", "core/endpoints/", "discovery.k8s.io/endpointslices/"]
            .contains(&changed.collection())
        && changed.name().starts_with("kubernetes");
    let is_namespace = changed.as_str() == "core/namespaces/default";
    if is_record || is_ours || is_namespace {
        wakes.add(&key());
    }
}
