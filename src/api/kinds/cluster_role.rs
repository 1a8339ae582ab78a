//! `rbac.authorization.k8s.io/v1 ClusterRole`: what may be done everywhere.

use super::role::rules;
use crate::names;
use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};

/// What is particular.
pub static KIND: Particular = Particular {
    group: "rbac.authorization.k8s.io",
    kind: "ClusterRole",
    declared: &[("rules[].verbs", "Required value")],
    strategy: Strategy {
        name: names::path_segment,
        validate: |new| {
            rules(new, false);
            aggregation(new, false);
        },
        validate_update,
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

fn selectors(root: Root<'_>) -> At<'_> {
    root.field("aggregationRule").field("clusterRoleSelectors")
}

fn validate_update(new: Root<'_>, old: Root<'_>) {
    rules(new, false);
    aggregation(new, selectors(old).items().any(At::has_odd_label_values));
}

/// A role may be the sum of others.
fn aggregation(new: Root<'_>, odd_values: bool) {
    if !new.field("aggregationRule").is_set() {
        return;
    }
    let selectors = selectors(new);
    if selectors.count() == 0 {
        selectors.required("at least one clusterRoleSelector required if aggregationRule is non-nil");
    }
    for selector in selectors.items() {
        let before = new.error_count();
        selector.label_selector_unless(odd_values);
        if new.error_count() > before {
            selector.invalid_value(serde_json::Value::Null, "invalid label selector.");
        }
    }
}
