//! `policy/v1 PodDisruptionBudget`: how many pods may be missing on purpose.

use serde_json::Value;

use crate::names;
use crate::object::Object;
use crate::resource::{Particular, Strategy};
use crate::same;
use crate::validate::at::{At, Root};
use crate::validate::internal;
use crate::validate::meta::conditions;
use crate::validate::workload::counts;

/// Once told apart selectors that select nothing from those that select everything.
const OLD_KEY: &str = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match";

/// What is particular.
pub static KIND: Particular = Particular {
    group: "policy",
    kind: "PodDisruptionBudget",
    counted: Some("spec"),
    strategy: Strategy {
        name: names::path_segment,
        metadata_last: true,
        prepare_create: strip,
        prepare_update: |new, old| {
            if !is_same(new, old) {
                strip(new);
                // The change counts, even where nothing of it is left.
                new.meta.generation += i64::from(is_same(new, old));
            }
        },
        validate: |root| spec(root.field("spec")),
        validate_update: |new, _| spec(new.field("spec")),
        validate_status: |new, _| status(new),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

fn is_same(one: &Object, other: &Object) -> bool {
    same::field_of("policy.v1.PodDisruptionBudget", "spec", one.fields.get("spec"), other.fields.get("spec"))
}

/// Takes the old key out of a selector, unless that is all there is.
fn strip(object: &mut Object) {
    let Some(selector) = object.spec_mut().and_then(|spec| spec.get_mut("selector")) else { return };
    let is_old = |expression: &Value| expression["key"] == OLD_KEY;
    let labels = selector.get("matchLabels").and_then(Value::as_object).map_or(0, serde_json::Map::len);
    let Some(expressions) = selector.get_mut("matchExpressions").and_then(Value::as_array_mut) else {
        return;
    };
    let is_plain = |one: &Value| one["operator"] == "Exists" && one.get("values").is_none();
    let is_none = matches!(expressions.as_slice(), [one] if is_old(one) && is_plain(one));
    if !is_none || labels > 0 {
        expressions.retain(|expression| !is_old(expression));
        if expressions.is_empty() {
            selector.as_object_mut().map(|selector| selector.shift_remove("matchExpressions"));
        }
    }
}

fn spec(spec: At<'_>) {
    let (least, most) = (spec.field("minAvailable"), spec.field("maxUnavailable"));
    if least.is_set() && most.is_set() {
        spec.invalid_value(internal::budget(spec), "minAvailable and maxUnavailable cannot be both set");
    }
    for amount in [least, most].iter().filter(|amount| amount.is_set()) {
        amount.count_or_percent();
        amount.at_most_all();
    }
    spec.field("selector").label_selector();
    let eviction = spec.field("unhealthyPodEvictionPolicy");
    if eviction.is_set() {
        eviction.one_of(&["AlwaysAllow", "IfHealthyBudget"]);
    }
}

fn status(root: Root<'_>) {
    let status = root.field("status");
    conditions(status.field("conditions"));
    counts(status, &["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"]);
}
