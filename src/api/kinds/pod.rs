//! `v1 Pod`: containers that run together on a node.

pub mod drop;
mod prepare;

use super::keep_field;
use crate::object::Object;
use crate::resource::{Particular, Selectable, Strategy, selectable};
use crate::validate::pod;
use crate::view::View;

pub use drop::drop_disabled;
pub(crate) use prepare::{pod_resources, quality as quality_of_service};

/// What is particular.
pub static KIND: Particular = Particular {
    kind: "Pod",
    counted: Some("spec"),
    selectable: SELECTABLE,
    strategy: Strategy {
        prepare_create: prepare::create,
        prepare_update,
        prepare_status: prepare::status,
        validate: pod::create,
        validate_update: pod::update::update,
        validate_status: pod::status::update,
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

/// Fields that selectors know.
const SELECTABLE: &[Selectable] = &[
    selectable!("spec.nodeName", "spec", "nodeName"),
    selectable!("spec.restartPolicy", "spec", "restartPolicy"),
    selectable!("spec.schedulerName", "spec", "schedulerName"),
    selectable!("spec.serviceAccountName", "spec", "serviceAccountName"),
    Selectable { path: "spec.hostNetwork", value: host_network },
    selectable!("status.phase", "status", "phase"),
    Selectable { path: "status.podIP", value: first_ip },
    // Known, and empty: nothing but its absence is selected.
    Selectable { path: "status.podIPs", value: |_| String::new() },
    selectable!("status.nominatedNodeName", "status", "nominatedNodeName"),
];

fn host_network(pod: View<'_>) -> String {
    pod.at(&["spec", "hostNetwork"]).is_true().to_string()
}

fn first_ip(pod: View<'_>) -> String {
    let first = pod.at(&["status", "podIPs"]).items().next();
    first.map_or_else(String::new, |first| first.get("ip").text().into_owned())
}

fn prepare_update(new: &mut Object, old: &Object) {
    // Clients that do not know them may have dropped them.
    if let Some(spec) = new.spec_mut()
        && !spec.contains_key("resources")
    {
        keep_field(spec, old.spec(), "resources");
    }
    let old_spec = old.spec();
    if let Some(spec) = new.spec_mut() {
        drop_disabled(spec, old_spec);
    }
    drop::annotations(&mut new.meta.annotations);
}
