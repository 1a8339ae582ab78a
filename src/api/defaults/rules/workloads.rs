//! What depends on other fields in workloads and what scales them.

use serde_json::{Map, Value, json};

use super::{is_empty, member, set, text};

/// An update that rolls, unless another kind is named, by these amounts.
pub(super) fn rolling(strategy: &mut Map<String, Value>, amounts: &[(&str, Value)]) {
    set(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = member(strategy, "rollingUpdate");
        for (field, amount) in amounts {
            rolling.entry(*field).or_insert_with(|| amount.clone());
        }
    }
}

pub(super) fn stateful_set_strategy(strategy: &mut Map<String, Value>) {
    if is_empty(strategy, "type") {
        rolling(strategy, &[]);
    }
    if let ("RollingUpdate", Some(rolling)) = (
        text(strategy, "type").to_owned().as_str(),
        strategy.get_mut("rollingUpdate").and_then(Value::as_object_mut),
    ) {
        rolling.entry("partition").or_insert_with(|| 0.into());
        rolling.entry("maxUnavailable").or_insert_with(|| 1.into());
    }
}

pub(super) fn job(job: &mut Map<String, Value>) {
    let spec = member(job, "spec");
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        spec.insert("completions".into(), 1.into());
    }
    set(spec, "parallelism", 1);
    let backoff = if spec.contains_key("backoffLimitPerIndex") { i32::MAX } else { 6 };
    set(spec, "backoffLimit", backoff);
    spec.entry("completionMode").or_insert_with(|| "NonIndexed".into());
    for field in ["suspend", "manualSelector"] {
        spec.entry(field).or_insert_with(|| false.into());
    }
    let replacement = if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    spec.entry("podReplacementPolicy").or_insert_with(|| replacement.into());
}

pub(super) fn replication_controller(object: &mut Map<String, Value>) {
    let labels = object.get("spec").and_then(|spec| spec.pointer("/template/metadata/labels")).cloned();
    if let Some(labels @ Value::Object(_)) = labels {
        set(member(object, "spec"), "selector", labels);
    }
}

/// Both directions scale by rules as soon as one is spoken of.
pub(super) fn scaling(behavior: &mut Map<String, Value>) {
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    let up = member(behavior, "scaleUp");
    up.entry("stabilizationWindowSeconds").or_insert_with(|| 0.into());
    up.entry("policies").or_insert_with(|| json!([pods, percent]));
    let down = member(behavior, "scaleDown");
    down.entry("policies").or_insert_with(|| json!([percent]));
    for direction in ["scaleUp", "scaleDown"] {
        member(behavior, direction).entry("selectPolicy").or_insert_with(|| "Max".into());
    }
}
