//! `apps/v1 DaemonSet`: a pod on every node.

use serde_json::Value;

use super::{prepare_template, prepare_template_update};
use crate::object::Object;
use crate::resource::{Particular, Strategy};
use crate::same;
use crate::validate::at::{At, Root};
use crate::validate::internal;
use crate::validate::pod::template;
use crate::validate::workload::{Rolling, counts, not_decremented, selects_template, unknown_strategy};

/// Counts the changes of the template.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// What is particular.
pub static KIND: Particular = Particular {
    group: "apps",
    kind: "DaemonSet",
    counted: Some("spec"),
    strategy: Strategy {
        default: complete_amounts,
        prepare_create,
        prepare_update,
        prepare_status: |new, old| keep_generation(new, old, 0),
        validate: |root| spec(root.field("spec"), None),
        validate_update: |new, old| {
            spec(new.field("spec"), Some(old.field("spec")));
            new.field("spec").field("selector").immutable_selector(old.field("spec").field("selector"));
        },
        validate_status: status,
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

/// While pods are not replaced, amounts that nobody gave are none: Kubernetes always has both.
fn complete_amounts(object: &mut Object) {
    let Some(strategy) = object.spec_mut().and_then(|spec| spec.get_mut("updateStrategy")) else { return };
    if strategy["type"] != "OnDelete" {
        return;
    }
    if let Some(Value::Object(rolling)) = strategy.get_mut("rollingUpdate") {
        for amount in ["maxUnavailable", "maxSurge"] {
            rolling.entry(amount).or_insert_with(|| 0.into());
        }
    }
}

fn template_generation(object: &Object) -> i64 {
    object.meta.annotations.get(TEMPLATE_GENERATION).and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn prepare_create(object: &mut Object) {
    prepare_template(object, &["spec", "template"]);
    let generation = template_generation(object).max(1);
    object.meta.annotations.insert(TEMPLATE_GENERATION.into(), generation.to_string());
}

fn prepare_update(new: &mut Object, old: &Object) {
    prepare_template_update(new, old, &["spec", "template"]);
    let template = |object: &'_ Object| object.spec().and_then(|spec| spec.get("template")).cloned();
    let is_same =
        same::field_of("apps.v1.DaemonSetSpec", "template", template(new).as_ref(), template(old).as_ref());
    keep_generation(new, old, i64::from(!is_same));
}

fn keep_generation(new: &mut Object, old: &Object, changes: i64) {
    let generation = template_generation(old) + changes;
    new.meta.annotations.insert(TEMPLATE_GENERATION.into(), generation.to_string());
}

fn spec(spec: At<'_>, old: Option<At<'_>>) {
    let selector = spec.field("selector");
    selector.label_selector();
    selects_template(selector, spec.field("template"));
    if selector.is_set() && selector.selects_all() {
        selector.invalid_value(internal::selector(selector), "empty selector is invalid for daemonset");
    }
    template::running(spec.field("template"), old.map(|old| old.field("template")), "DaemonSet");
    spec.field("minReadySeconds").non_negative();
    strategy(spec.field("updateStrategy"));
    spec.field("revisionHistoryLimit").non_negative();
}

fn strategy(strategy: At<'_>) {
    match strategy.field("type").text() {
        "OnDelete" => {}
        "RollingUpdate" => {
            let rolling = Rolling::of(strategy.field("rollingUpdate"));
            rolling.max_surge.at_most_all();
            match (rolling.is_unavailable(), rolling.is_surging()) {
                (true, true) => rolling.max_surge.invalid("may not be set when maxUnavailable is non-zero"),
                (false, false) => rolling.max_unavailable.required("cannot be 0 when maxSurge is 0"),
                _ => {}
            }
        }
        _ => unknown_strategy(strategy, &["RollingUpdate", "OnDelete"]),
    }
}

fn status(new: Root<'_>, old: Root<'_>) {
    let status = new.field("status");
    counts(
        status,
        &[
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ],
    );
    not_decremented(status.field("collisionCount"), old.field("status").field("collisionCount"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::Resource;

    #[test]
    fn amounts_that_nobody_gave_are_none_while_pods_are_not_replaced() {
        let row = Resource::builtin("apps", "v1", "daemonsets");
        let tree =
            |amounts| json!({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": amounts}}});
        let mut object = Object::from_tree(tree(json!({"maxUnavailable": "50%"})), &row).expect("conforms").0;
        object.default(&row);
        assert_eq!(
            object.fields["spec"]["updateStrategy"]["rollingUpdate"],
            json!({"maxUnavailable": "50%", "maxSurge": 0})
        );
    }
}
