//! `admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration`: who may refuse writes.

use crate::resource::{Particular, Strategy};
use crate::validate::webhook::hooks;

/// What is particular.
pub static KIND: Particular = Particular {
    group: "admissionregistration.k8s.io",
    kind: "ValidatingWebhookConfiguration",
    counted: Some("webhooks"),
    strategy: Strategy {
        validate: |new| hooks(new, None, |_| {}),
        validate_update: |new, old| hooks(new, Some(old), |_| {}),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};
