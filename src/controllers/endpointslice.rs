//! EndpointSlices: the addresses behind a service, a hundred an object, of which only those that change are written.

mod family;
mod mirroring;
mod pack;
mod plan;
#[cfg(test)]
mod tests;

use api::Key;
use projection::{Controller, Wakes, World};
use state::Change;

use crate::shared::backends::{self, SERVICES};
use crate::shared::stored;

pub use mirroring::ENDPOINT_SLICE_MIRRORING;

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
    services_of(change, MANAGER).for_each(|(namespace, name)| {
        wakes.add(&Key::object("", "services", namespace, name));
    });
}

/// The namespace and name of the Services that a slice was or is kept for by a manager.
fn services_of<'c>(change: &'c Change, manager: &str) -> impl Iterator<Item = (&'c str, &'c str)> {
    let slices = [Some(&change.object), change.previous.as_ref()].into_iter().flatten();
    slices.filter_map(move |slice| {
        let labels = slice.labels();
        let is_ours = labels.get(MANAGED_BY) == Some(manager);
        is_ours.then(|| Some((slice.key.namespace(), labels.get(SERVICE_NAME)?))).flatten()
    })
}
