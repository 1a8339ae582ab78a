//! `v1 ReplicationController`: what ReplicaSets were before.

use super::{label_as_template, prepare_template, prepare_template_update};
use crate::names;
use crate::resource::{Particular, Selectable, Strategy};
use crate::validate::at::At;
use crate::validate::internal;
use crate::validate::pod::template;
use crate::validate::workload::{counts, parts_of_replicas};

/// What is particular.
pub static KIND: Particular = Particular {
    kind: "ReplicationController",
    counted: Some("spec"),
    selectable: &[Selectable {
        path: "status.replicas",
        value: |rc| rc.at(&["status", "replicas"]).number_text(),
    }],
    declared: &[("spec.replicas", ""), ("spec.minReadySeconds", "")],
    strategy: Strategy {
        default: label_as_template,
        // What names are generated from is no name yet.
        name: |name, is_prefix| match is_prefix {
            true => names::path_segment(name, true),
            false => names::dns_subdomain(name, false),
        },
        prepare_create: |object| prepare_template(object, &["spec", "template"]),
        prepare_update: |new, old| prepare_template_update(new, old, &["spec", "template"]),
        validate: |root| spec(root.field("spec"), None),
        validate_update: |new, old| spec(new.field("spec"), Some(old.field("spec"))),
        validate_status: |new, _| {
            let status = new.field("status");
            let parts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
            counts(status, &["replicas", "observedGeneration"]);
            counts(status, &parts);
            parts_of_replicas(status, &parts, "readyReplicas");
        },
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

fn spec(spec: At<'_>, old: Option<At<'_>>) {
    spec.field("minReadySeconds").non_negative();
    let (selector, template) = (spec.field("selector"), spec.field("template"));
    if selector.count() == 0 {
        selector.required("");
    }
    spec.field("replicas").non_negative();
    if !template.is_set() {
        return template.required("");
    }
    let labels = template.field("metadata").field("labels");
    let has =
        |(key, value): (&str, At<'_>)| labels.key(key).is_set() && labels.key(key).text() == value.text();
    if !selector.entries().all(has) {
        labels.invalid_value(internal::labels(labels), "`selector` does not match template `labels`");
    }
    template::running(template, old.map(|old| old.field("template")), "ReplicationController");
}
