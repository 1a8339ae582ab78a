//! `coordination.k8s.io/v1 Lease`: a sign of life, renewed again and again.

use serde_json::Value;

use crate::names;
use crate::object::Object;
use crate::resource::{Particular, Retention, Strategy};
use crate::validate::at::Root;

/// What is particular.
pub static KIND: Particular = Particular {
    group: "coordination.k8s.io",
    kind: "Lease",
    retention: Retention::Window,
    strategy: Strategy {
        prepare_create: |object| drop_coordination(object, None),
        prepare_update: |new, old| drop_coordination(new, Some(old)),
        validate,
        validate_update: |new, _| validate(new),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

/// Candidates that settle among themselves who holds a lease: a feature that is off. What is there stays.
fn drop_coordination(object: &mut Object, old: Option<&Object>) {
    let is_used = |field: &str| {
        old.and_then(|old| old.fields.get("spec")).is_some_and(|spec| spec.get(field).is_some())
    };
    if let Some(spec) = object.fields.get_mut("spec").and_then(Value::as_object_mut) {
        for field in ["strategy", "preferredHolder"].iter().filter(|field| !is_used(field)) {
            spec.shift_remove(*field);
        }
    }
}

fn validate(new: Root<'_>) {
    let spec = new.field("spec");
    let (duration, strategy, holder) =
        (spec.field("leaseDurationSeconds"), spec.field("strategy"), spec.field("preferredHolder"));
    if duration.is_set() && duration.number() <= 0 {
        duration.invalid("must be greater than 0");
    }
    spec.field("leaseTransitions").non_negative();
    if strategy.is_set() {
        // Errors name it twice.
        let place = strategy.field("strategy").with(strategy.value());
        if strategy.text().contains('/') {
            place.check(names::qualified);
        } else {
            place.one_of(&["OldestEmulationVersion"]);
        }
    }
    if !holder.is_empty() && strategy.is_empty() {
        holder.forbidden("may only be specified if `strategy` is defined");
    }
}
