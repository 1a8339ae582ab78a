//! `storage.k8s.io/v1 CSIDriver`: what a storage driver can do.

use serde_json::Value;

use crate::resource::{Particular, Strategy};
use crate::validate::IMMUTABLE;
use crate::validate::at::{At, Root};

/// What is particular.
pub static KIND: Particular = Particular {
    group: "storage.k8s.io",
    kind: "CSIDriver",
    counted: Some("spec"),
    counted_from: 0,
    strategy: Strategy { validate: |new| spec(new.field("spec")), validate_update, ..Strategy::PLAIN },
    ..Particular::NONE
};

const PERIOD_SECONDS_MIN: i64 = 10;
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;

fn spec(spec: At<'_>) {
    let policy = spec.field("fsGroupPolicy");
    if policy.is_set() {
        policy.one_of(&["File", "None", "ReadWriteOnceWithFSType"]);
    }
    tokens(spec.field("tokenRequests"));
    let modes = spec.field("volumeLifecycleModes");
    for mode in modes.items() {
        // Errors name the list.
        modes.with(mode.value()).one_of(&["Persistent", "Ephemeral"]);
    }
    let period = spec.field("nodeAllocatableUpdatePeriodSeconds");
    if period.int().is_some_and(|seconds| seconds < PERIOD_SECONDS_MIN) {
        period.invalid("must be greater than or equal to 10 seconds");
    }
    let in_secrets = spec.field("serviceAccountTokenInSecrets");
    if in_secrets.is_set() && spec.field("tokenRequests").count() == 0 {
        in_secrets.invalid("serviceAccountTokenInSecrets is set but no tokenRequests are specified");
    }
}

fn tokens(requests: At<'_>) {
    let mut audiences = Vec::new();
    for request in requests.items() {
        let (audience, seconds) = (request.field("audience"), request.field("expirationSeconds"));
        if audiences.contains(&audience.text()) {
            audience.duplicate();
            continue;
        }
        audiences.push(audience.text());
        match seconds.int() {
            Some(..TOKEN_SECONDS_MIN) => seconds.invalid("may not specify a duration less than 10 minutes"),
            Some(given) if given > TOKEN_SECONDS_MAX => {
                seconds.invalid("may not specify a duration larger than 2^32 seconds");
            }
            _ => {}
        }
    }
}

fn validate_update(new: Root<'_>, old: Root<'_>) {
    let (now, before) = (new.field("spec"), old.field("spec"));
    spec(now);
    let attach = now.field("attachRequired");
    if attach.value() != before.field("attachRequired").value() {
        // Errors name it in the past tense.
        let shown = attach.value().cloned().unwrap_or(Value::Null);
        now.field("attachedRequired").invalid_value(shown, IMMUTABLE);
    }
    now.field("volumeLifecycleModes").immutable(before.field("volumeLifecycleModes"));
}
