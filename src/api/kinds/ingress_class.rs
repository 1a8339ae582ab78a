//! `networking.k8s.io/v1 IngressClass`: who serves Ingresses.

use crate::names;
use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};
use crate::validate::network;

/// What is particular.
pub static KIND: Particular = Particular {
    group: "networking.k8s.io",
    kind: "IngressClass",
    counted: Some("spec"),
    declared: &[("spec.parameters.kind", "Required value"), ("spec.parameters.name", "Required value")],
    strategy: Strategy {
        validate,
        validate_update: |new, old| {
            validate(new);
            new.field("spec").field("controller").immutable(old.field("spec").field("controller"));
        },
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

const CONTROLLER_BYTES_MAX: usize = 250;

fn validate(new: Root<'_>) {
    let controller = new.field("spec").field("controller");
    if controller.text().len() > CONTROLLER_BYTES_MAX {
        controller.too_long(CONTROLLER_BYTES_MAX);
    }
    network::domain_prefixed_path(controller);
    let given = new.field("spec").field("parameters");
    if given.is_set() {
        parameters(given);
    }
}

fn parameters(given: At<'_>) {
    given.local_reference();
    let (scope, namespace) = (given.field("scope"), given.field("namespace"));
    match scope.text() {
        _ if !scope.is_set() => scope.required(""),
        "Namespace" if !namespace.is_set() => namespace.required("`parameters.scope` is set to 'Namespace'"),
        "Namespace" => namespace.check_name(names::dns_label),
        "Cluster" if namespace.is_set() => namespace.forbidden("`parameters.scope` is set to 'Cluster'"),
        _ => scope.one_of(&["Cluster", "Namespace"]),
    }
}
