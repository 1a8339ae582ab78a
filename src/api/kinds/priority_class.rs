//! `scheduling.k8s.io/v1 PriorityClass`: which pods come first.

use serde_json::Value;

use crate::resource::{Particular, Strategy};
use crate::validate::at::Root;

/// What is particular.
pub static KIND: Particular = Particular {
    group: "scheduling.k8s.io",
    kind: "PriorityClass",
    counted: Some("value"),
    strategy: Strategy { validate, validate_update, ..Strategy::PLAIN },
    ..Particular::NONE
};

/// The highest value that is not the system's.
const VALUE_MAX: i64 = 1_000_000_000;

/// Names with this start are the system's, and only [`SYSTEM_CLASSES`] exist.
const SYSTEM: &str = "system-";

/// The classes that every cluster begins with: name, value, description.
pub const SYSTEM_CLASSES: &[(&str, i64, &str)] = &[
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
];

fn validate(new: Root<'_>) {
    let (name, value, policy) = (new.meta().name.as_str(), new.field("value"), new.field("preemptionPolicy"));
    if name.starts_with(SYSTEM) {
        if let Some(wrong) = wrong_system_class(new) {
            let rule = "priority class names with 'system-' prefix are reserved for system use only. error:";
            new.meta_field("name").forbidden(&format!("{rule} {wrong}"));
        }
    } else if value.number() > VALUE_MAX {
        value.forbidden(&format!("maximum allowed value of a user defined priority is {VALUE_MAX}"));
    }
    if policy.is_set() {
        policy.require_one_of(&["PreemptLowerPriority", "Never"]);
    }
}

fn wrong_system_class(new: Root<'_>) -> Option<String> {
    let name = new.meta().name.as_str();
    let Some((_, value, _)) = SYSTEM_CLASSES.iter().find(|(known, ..)| *known == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if new.field("value").number() != *value {
        return Some(format!("value of {name} PriorityClass must be {value}"));
    }
    let is_default = new.field("globalDefault").is_true();
    is_default.then(|| format!("globalDefault of {name} PriorityClass must be false"))
}

fn validate_update(new: Root<'_>, old: Root<'_>) {
    if !new.field("value").equals(old.field("value")) {
        new.field("value").forbidden("may not be changed in an update.");
    }
    let policy = new.field("preemptionPolicy");
    if !policy.equals(old.field("preemptionPolicy")) {
        policy.invalid_value(policy.value().cloned().unwrap_or(Value::Null), crate::validate::IMMUTABLE);
    }
}
