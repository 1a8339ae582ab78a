//! `apps/v1 ReplicaSet`: so many pods of one template.

use serde_json::Value;

use super::{prepare_template, prepare_template_update};
use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};
use crate::validate::pod::template;
use crate::validate::workload::{counts, parts_of_replicas, required_selector, selects_template};

/// What is particular.
pub static KIND: Particular = Particular {
    group: "apps",
    kind: "ReplicaSet",
    counted: Some("spec"),
    strategy: Strategy {
        prepare_create: |object| prepare_template(object, &["spec", "template"]),
        prepare_update: |new, old| prepare_template_update(new, old, &["spec", "template"]),
        validate: |root| spec(root.field("spec"), None),
        validate_update: |new, old| {
            spec(new.field("spec"), Some(old.field("spec")));
            new.field("spec").field("selector").immutable_selector(old.field("spec").field("selector"));
        },
        validate_status: |new, _| status(new),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

fn spec(spec: At<'_>, old: Option<At<'_>>) {
    spec.field("replicas").non_negative();
    spec.field("minReadySeconds").non_negative();
    required_selector(spec.field("selector"), "deployment");
    pods(spec, old);
}

/// The template, and that the selector fits to it.
pub(super) fn pods(spec: At<'_>, old: Option<At<'_>>) {
    let selector = spec.field("selector");
    if selects_template(selector, spec.field("template")) {
        template::running(spec.field("template"), old.map(|old| old.field("template")), "ReplicaSet");
    } else {
        let shown: Value = crate::validate::internal::selector(selector);
        selector.invalid_value(shown, "invalid label selector");
    }
}

fn status(root: Root<'_>) {
    let status = root.field("status");
    let parts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    counts(status, &["replicas", "observedGeneration", "terminatingReplicas"]);
    counts(status, &parts);
    parts_of_replicas(status, &parts, "readyReplicas");
}
