//! `node.k8s.io/v1 RuntimeClass`: what runs the containers of a pod.

use serde_json::json;

use crate::names;
use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};
use crate::validate::pod::{resources, scheduling};

/// What is particular.
pub static KIND: Particular = Particular {
    group: "node.k8s.io",
    kind: "RuntimeClass",
    declared: &[("handler", "")],
    strategy: Strategy {
        validate: |new| validate(new, "63 bytes"),
        validate_update: |new, old| {
            // What may not change is told by older rules beside, which say characters and mean bytes.
            validate(new, "63 characters");
            new.field("handler").immutable_unshown(old.field("handler"));
        },
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

fn validate(new: Root<'_>, length: &str) {
    let handler = new.field("handler");
    if handler.require_text() {
        for wrong in names::dns_label(handler.text(), false) {
            handler.invalid(&wrong.replace("63 characters", length));
        }
    }
    let overhead = new.field("overhead");
    resources::overhead(overhead.with(overhead.field("podFixed").value()));
    let scheduling = new.field("scheduling");
    scheduling.field("nodeSelector").labels();
    scheduling::tolerations(scheduling.field("tolerations"));
    unique(scheduling.field("tolerations"));
}

fn unique(tolerations: At<'_>) {
    let mut known = Vec::new();
    for toleration in tolerations.items() {
        let key = ["key", "operator", "value", "effect"].map(|field| toleration.field(field).text());
        if known.contains(&key) {
            let [key, operator, value, effect] = key;
            // As Go writes it.
            toleration.duplicate_value(json!({
                "Key": key,
                "Operator": operator,
                "Value": value,
                "Effect": effect,
                "TolerationSeconds": toleration.field("tolerationSeconds").value(),
            }));
        } else {
            known.push(key);
        }
    }
}
