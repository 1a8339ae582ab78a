//! EndpointSlices: the addresses behind a service, a hundred an object, of which only those that change are written.

mod pack;
mod plan;
#[cfg(test)]
mod tests;

use api::Key;
use projection::{Controller, Wakes, World};
use state::Change;

use crate::shared::backends::{self, SERVICES};
use crate::shared::stored;

const SLICES: &str = "discovery.k8s.io/endpointslices/";

/// The label that says whose a slice is.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";

/// The label that says which service a slice is of.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The row.
pub const ENDPOINT_SLICE: Controller = Controller {
    name: "endpointslice",
    actor: "system:serviceaccount:kube-system:endpointslice-controller",
    component: "endpoint-slice-controller",
    wakes,
    keys: |world, wakes| stored::keys(world, SERVICES, wakes),
    plan: plan::plan,
};

fn wakes(world: &World, change: &Change, wakes: &mut Wakes) {
    let object = &change.object;
    if object.key.collection() != SLICES {
        return backends::wake(world, change, wakes);
    }
    for object in [Some(object), change.previous.as_ref()].into_iter().flatten() {
        let labels = object.labels();
        if labels.get(MANAGED_BY) == Some(MANAGER)
            && let Some(service) = labels.get(SERVICE_NAME)
        {
            wakes.add(&Key::object("", "services", object.key.namespace(), service));
        }
    }
}
