//! `admissionregistration.k8s.io/v1 MutatingWebhookConfiguration`: who may change what is written.

use crate::resource::{Particular, Strategy};
use crate::validate::at::At;
use crate::validate::webhook::hooks;

/// What is particular.
pub static KIND: Particular = Particular {
    group: "admissionregistration.k8s.io",
    kind: "MutatingWebhookConfiguration",
    counted: Some("webhooks"),
    strategy: Strategy {
        validate: |new| hooks(new, None, reinvocation),
        validate_update: |new, old| hooks(new, Some(old), reinvocation),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

fn reinvocation(hook: At<'_>) {
    let policy = hook.field("reinvocationPolicy");
    if policy.is_set() {
        policy.one_of(&["IfNeeded", "Never"]);
    }
}
