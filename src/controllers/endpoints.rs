//! Endpoints: the addresses behind a service, all in one object.

mod plan;
mod subsets;
#[cfg(test)]
mod tests;

use api::Key;
use projection::{Controller, Wakes, World};
use state::Change;

use crate::shared::backends::{self, SERVICES};
use crate::shared::stored;

const ENDPOINTS: &str = "core/endpoints/";

/// The row.
pub const ENDPOINTS_OF_SERVICES: Controller = Controller {
    name: "endpoint",
    actor: "system:serviceaccount:kube-system:endpoint-controller",
    component: "endpoint-controller",
    wakes,
    keys,
    plan: plan::plan,
};

fn wakes(world: &World, change: &Change, wakes: &mut Wakes) {
    let key = &change.object.key;
    if key.collection() != ENDPOINTS {
        return backends::wake(world, change, wakes);
    }
    let service = Key::object("", "services", key.namespace(), key.name());
    if world.state.get(service.as_str()).is_some() {
        wakes.add(&service);
    }
}

/// Services, and those that are gone of which something is left.
fn keys(world: &World, wakes: &mut Wakes) {
    stored::keys(world, SERVICES, wakes);
    let ours = world
        .state
        .range(ENDPOINTS)
        .filter(|found| found.labels().get(plan::MANAGED_BY) == Some(plan::MANAGER));
    ours.for_each(|found| wakes.add(&Key::object("", "services", found.key.namespace(), found.key.name())));
}
