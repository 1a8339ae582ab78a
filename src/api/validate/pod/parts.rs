//! What may change in the parts of a running pod, and where it may run.

use serde_json::{Map, Value, json};

use super::annotations::{Annotations, MIRROR};
use super::metadata_and_spec;
use crate::FieldError;
use crate::kinds::pod::quality_of_service;
use crate::names;
use crate::same;
use crate::validate::at::{At, Root};
use crate::validate::whole;

const ONLY_CPU_AND_MEMORY: &str = "only cpu and memory resources are mutable";

/// Adds containers to look at the others: those that are there stay.
pub fn ephemeral_containers(pod: Root<'_>, old: Root<'_>) {
    if Annotations::of_object(old).get(MIRROR).is_some() {
        return pod.report(FieldError::forbidden("[]", "static pods do not support ephemeral containers"));
    }
    metadata_and_spec(pod, Some(old));
    Annotations::of_object(pod).update(&Annotations::of_object(old));
    let list = pod.field("spec").field("ephemeralContainers");
    for before in old.field("spec").field("ephemeralContainers").items() {
        let name = before.field("name").text();
        match list.items().filter(|container| container.field("name").text() == name).last() {
            None => list.forbidden(&format!("existing ephemeral containers {name:?} may not be removed\n")),
            Some(now) if is_same_container("core.v1.EphemeralContainer", now.value(), before.value()) => {}
            Some(now) => {
                let difference = whole::difference(before.value(), now.value(), "EphemeralContainer");
                list.forbidden(&format!(
                    "existing ephemeral containers {name:?} may not be changed\n{difference}"
                ));
            }
        }
    }
}

fn is_same_container(model: &str, one: Option<&Value>, other: Option<&Value>) -> bool {
    same::objects_of(model, one.and_then(Value::as_object), other.and_then(Value::as_object))
}

/// Changes what containers may use.
pub fn resize(pod: Root<'_>, old: Root<'_>) {
    let (spec, old_spec) = (pod.field("spec"), old.field("spec"));
    let refused = match old_spec.field("os").field("name").text() {
        _ if Annotations::of_object(old).get(MIRROR).is_some() => "static pods cannot be resized",
        "windows" => "windows pods cannot be resized",
        _ => "",
    };
    if !refused.is_empty() {
        return pod.report(FieldError::forbidden("[]", refused));
    }
    let before = spec.error_count();
    metadata_and_spec(pod, Some(old));
    let class = pod.field("status").field("qosClass");
    if old.field("status").field("qosClass").text() != spec.map().map_or("", quality_of_service) {
        spec.invalid_value(class.text(), "Pod QOS Class may not change as a result of resizing");
    }
    let mut running = old.field("status").field("containerStatuses").items();
    let first = running.find(|status| status.field("state").field("running").is_set());
    if first.is_some_and(|status| !status.field("resources").is_set()) {
        spec.forbidden("Pod running on node without support for resize");
    }
    of_pod(spec, old_spec);
    if !same_order(spec, old_spec) {
        return;
    }
    containers(spec, old_spec);
    if !same::field_of(
        "core.v1.PodSpec",
        "volumes",
        spec.field("volumes").value(),
        old_spec.field("volumes").value(),
    ) {
        let gate = "InPlacePodVerticalScalingMemoryBackedVolumes";
        let rule = format!("volumes are immutable on resize when {gate} feature gate is disabled");
        spec.field("volumes").forbidden(&rule);
    }
    if spec.error_count() == before && !same_but_for_resources(spec, old_spec) {
        spec.forbidden(ONLY_CPU_AND_MEMORY);
    }
}

/// Whether the pod asks for anything as a whole.
fn asks_as_a_whole(spec: At<'_>) -> bool {
    let all = spec.field("resources");
    all.field("requests").count() + all.field("limits").count() > 0
}

/// What the pod asks for as a whole.
fn of_pod(spec: At<'_>, old_spec: At<'_>) {
    let (new, old) = (spec.field("resources"), old_spec.field("resources"));
    if !asks_as_a_whole(spec) && !asks_as_a_whole(old_spec) {
        return;
    }
    if old.is_set() && !new.is_set() {
        return new.forbidden("pod-level resources cannot be removed");
    }
    for (field, rule) in [
        ("requests", "pod-level resource requests cannot be removed"),
        ("limits", "pod-level resource limits cannot be removed"),
    ] {
        if old.is_set() && removed(new.field(field), old.field(field)) {
            new.field(field).forbidden(rule);
        }
    }
    if others(new) != others(old) {
        spec.forbidden("only cpu and memory resources are mutable at pod-level");
    }
}

/// Everything but amounts of CPU and memory.
fn others(resources: At<'_>) -> Map<String, Value> {
    let mut others = resources.map().cloned().unwrap_or_default();
    for field in ["requests", "limits"] {
        if let Some(amounts) = others.get_mut(field).and_then(Value::as_object_mut) {
            amounts.retain(|name, _| !matches!(name.as_str(), "cpu" | "memory"));
        }
    }
    others.retain(|_, value| *value != json!({}) && *value != json!([]));
    others
}

fn removed(new: At<'_>, old: At<'_>) -> bool {
    old.entries().any(|(name, _)| !new.map().is_some_and(|new| new.contains_key(name)))
}

/// Containers neither come nor go, and keep their places.
fn same_order(spec: At<'_>, old: At<'_>) -> bool {
    let before = spec.error_count();
    for list in ["containers", "initContainers"] {
        let (new, old) = (spec.field(list), old.field(list));
        if new.count() != old.count() {
            new.forbidden(&format!("{list} may not be added or removed on resize"));
            continue;
        }
        for (new, old) in new.items().zip(old.items()) {
            if new.field("name").text() != old.field("name").text() {
                new.field("name").forbidden(&format!("{list} may not be renamed or reordered on resize"));
            }
        }
    }
    spec.error_count() == before
}

fn containers(spec: At<'_>, old_spec: At<'_>) {
    for list in ["initContainers", "containers"] {
        for (new, old) in spec.field(list).items().zip(old_spec.field(list).items()) {
            let (resources, old_resources) = (new.field("resources"), old.field("resources"));
            for (field, rule) in [
                ("requests", "resource requests cannot be removed"),
                ("limits", "resource limits cannot be removed"),
            ] {
                if removed(resources.field(field), old_resources.field(field)) {
                    resources.field(field).forbidden(rule);
                }
            }
            if others(resources) == others(old_resources) && is_same_otherwise(new, old) {
                continue;
            }
            match list {
                "containers" => spec.forbidden(ONLY_CPU_AND_MEMORY),
                _ => {
                    new.forbidden("only cpu and memory resources for init or sidecar containers are mutable")
                }
            }
        }
    }
}

/// Whether two containers differ at most in their resources.
fn is_same_otherwise(one: At<'_>, other: At<'_>) -> bool {
    let without = |container: At<'_>| {
        let mut container = container.map().cloned().unwrap_or_default();
        container.shift_remove("resources");
        container
    };
    same::objects_of("core.v1.Container", Some(&without(one)), Some(&without(other)))
}

/// Whether two specs are the same but for what containers and pod ask for.
fn same_but_for_resources(spec: At<'_>, old: At<'_>) -> bool {
    let of_pod_differ = asks_as_a_whole(spec) || asks_as_a_whole(old);
    let without = |spec: At<'_>| {
        let mut spec = spec.map().cloned().unwrap_or_default();
        spec.retain(|field, _| match field.as_str() {
            "resources" => !of_pod_differ,
            field => !matches!(field, "containers" | "initContainers"),
        });
        spec
    };
    same::objects_of("core.v1.PodSpec", Some(&without(spec)), Some(&without(old)))
}

/// A binding names a node.
pub fn binding(binding: Root<'_>) {
    let (kind, name) = (binding.field("target").field("kind"), binding.field("target").field("name"));
    if !matches!(kind.text(), "" | "Node") {
        kind.not_supported(&["Node", "<empty>"]);
    }
    if name.require_text() && matches!(kind.text(), "" | "Node") {
        name.check_name(names::dns_subdomain);
    }
}
