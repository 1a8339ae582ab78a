//! What may change in a pod that exists.

use serde_json::{Map, Value, json};

use super::annotations::Annotations;
use super::{INT32_MAX, containers, deadline_range, metadata_and_spec, scheduling};
use crate::same;
use crate::validate::at::{At, Root};
use crate::validate::{internal, whole};

const UPDATABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n";

const MODEL: &str = "core.v1.Pod";

/// A changed pod.
pub fn update(pod: Root<'_>, old: Root<'_>) {
    metadata_and_spec(pod, Some(old));
    Annotations::of_object(pod).update(&Annotations::of_object(old));
    let (new_spec, old_spec) = (pod.field("spec"), old.field("spec"));
    for list in ["containers", "initContainers"] {
        if !images(new_spec.field(list), old_spec.field(list)) {
            return;
        }
    }
    if !deadline(new_spec.field("activeDeadlineSeconds"), old_spec.field("activeDeadlineSeconds")) {
        return;
    }
    only_added_tolerations(new_spec.field("tolerations"), old_spec.field("tolerations"));
    only_removed_gates(new_spec.field("schedulingGates"), old_spec.field("schedulingGates"));
    if !same::field_of(MODEL, "spec", new_spec.value(), old_spec.value()) {
        only_updatable(new_spec, old_spec);
    }
}

/// Images may change; containers may not come or go. Returns whether it makes sense to look further.
fn images(new: At<'_>, old: At<'_>) -> bool {
    if new.count() != old.count() {
        new.forbidden("pod updates may not add or remove containers");
        return false;
    }
    for container in new.items() {
        container.field("image").require_text();
        containers::trimmed_image(container);
    }
    true
}

/// A deadline may be set, and may come nearer.
fn deadline(new: At<'_>, old: At<'_>) -> bool {
    match (new.int(), old.int()) {
        (Some(new_seconds), _) if !(0..=INT32_MAX).contains(&new_seconds) => {
            new.invalid(&deadline_range());
            false
        }
        (Some(new_seconds), Some(old_seconds)) if old_seconds < new_seconds => {
            new.invalid("must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            new.invalid_value(Value::Null, "must not update from a positive integer to nil value");
            true
        }
        _ => true,
    }
}

fn only_added_tolerations(new: At<'_>, old: At<'_>) {
    let without_seconds = |toleration: &Value| {
        let mut toleration = toleration.as_object().cloned().unwrap_or_default();
        toleration.retain(|name, value| name != "tolerationSeconds" && *value != "");
        toleration
    };
    let kept: Vec<_> = new.list().iter().map(without_seconds).collect();
    if old.list().iter().map(without_seconds).all(|toleration| kept.contains(&toleration)) {
        scheduling::tolerations(new);
    } else {
        new.forbidden("existing toleration can not be modified except its tolerationSeconds");
    }
}

fn only_removed_gates(new: At<'_>, old: At<'_>) {
    let name = |gate: &At<'_>| gate.field("name").text().to_owned();
    for gate in new.items().filter(|gate| !old.items().any(|old| name(&old) == name(gate))) {
        let rule = format!("only deletion is allowed, but found new scheduling gate '{}'", name(&gate));
        gate.field("name").forbidden(&rule);
    }
}

/// The new spec with the updatable fields of the old must be the old spec.
fn only_updatable(new: At<'_>, old: At<'_>) {
    let (Some(old_spec), Some(mut spec)) = (old.map(), new.map().cloned()) else { return };
    for list in ["containers", "initContainers"] {
        let pairs = spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .zip(old.field(list).list());
        for (container, old) in pairs {
            container["image"] = old["image"].clone();
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        put_back(&mut spec, old_spec, field);
    }
    if old.field("schedulingGates").count() > 0 {
        gated(new, old, &mut spec, old_spec);
    }
    let spec = Value::Object(spec);
    if !same::field_of(MODEL, "spec", Some(&spec), old.value()) {
        let difference = whole::difference(old.value(), Some(&spec), "PodSpec");
        new.forbidden(&format!("{UPDATABLE}{difference}"));
    }
}

fn put_back(spec: &mut Map<String, Value>, old: &Map<String, Value>, field: &str) {
    match old.get(field) {
        Some(value) => spec.insert(field.to_owned(), value.clone()),
        None => spec.shift_remove(field),
    };
}

/// While a pod waits behind gates, its choice of nodes may be narrowed.
fn gated(new: At<'_>, old: At<'_>, spec: &mut Map<String, Value>, old_spec: &Map<String, Value>) {
    let selector = new.field("nodeSelector");
    if old.field("nodeSelector").entries().any(|(key, value)| selector.key(key).value() != value.value()) {
        let rule = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        selector.invalid_value(selector.value().map_or(Value::Null, internal::sorted), rule);
    }
    put_back(spec, old_spec, "nodeSelector");
    let of = |spec: At<'_>| spec.field("affinity").field("nodeAffinity").value().cloned();
    let (new_affinity, old_affinity) = (of(new), of(old));
    if new_affinity == old_affinity {
        return;
    }
    narrower(new.field("affinity").field("nodeAffinity"), old.field("affinity").field("nodeAffinity"));
    let affinity = spec.entry("affinity").or_insert_with(|| json!({}));
    match old_affinity {
        Some(old_affinity) => affinity["nodeAffinity"] = old_affinity,
        None => {
            affinity.as_object_mut().map(|affinity| affinity.shift_remove("nodeAffinity"));
        }
    }
    if *affinity == json!({}) && !old_spec.contains_key("affinity") {
        spec.shift_remove("affinity");
    }
}

fn narrower(new: At<'_>, old: At<'_>) {
    let terms = |at: At<'_>| {
        at.field("requiredDuringSchedulingIgnoredDuringExecution").field("nodeSelectorTerms").list().len()
    };
    let new_terms = new.field("requiredDuringSchedulingIgnoredDuringExecution").field("nodeSelectorTerms");
    let old_terms = old.field("requiredDuringSchedulingIgnoredDuringExecution").field("nodeSelectorTerms");
    if terms(old) == 0 {
        return;
    }
    if terms(new) != terms(old) {
        let shown = internal::node_terms(new_terms);
        return new_terms
            .invalid_value(shown, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
    }
    for (new, old) in new_terms.items().zip(old_terms.items()) {
        let count = |term: At<'_>| term.field("matchExpressions").count() + term.field("matchFields").count();
        let begins = |field: &'static str| new.field(field).list().starts_with(old.field(field).list());
        let is_narrower = begins("matchExpressions") && begins("matchFields");
        if !is_narrower || (count(old) == 0 && count(new) > 0) {
            new.invalid_value(
                internal::node_term(new),
                "only additions are allowed (no mutations or deletions)",
            );
        }
    }
}
