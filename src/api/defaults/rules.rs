//! Defaults that depend on other fields.

mod network;
mod pods;
mod workloads;

use serde_json::{Map, Value, json};

use super::Rule;
use crate::object::member;
use network::{network_policy, service};
use pods::{pod, pod_spec, pod_status, pull_policy, volume};
use workloads::{job, replication_controller, rolling, scaling, stateful_set_strategy};

/// By type.
pub(super) static RULES: &[(&str, Rule)] = &[
    ("apiextensions.v1.CustomResourceDefinition", stored_versions),
    ("apiextensions.v1.CustomResourceDefinitionSpec", definition_names),
    ("apps.v1.DaemonSetUpdateStrategy", |strategy| {
        rolling(strategy, &[("maxUnavailable", json!(1)), ("maxSurge", json!(0))])
    }),
    ("apps.v1.DeploymentStrategy", |strategy| {
        rolling(strategy, &[("maxUnavailable", json!("25%")), ("maxSurge", json!("25%"))])
    }),
    ("apps.v1.StatefulSetUpdateStrategy", stateful_set_strategy),
    ("autoscaling.v2.HorizontalPodAutoscalerBehavior", scaling),
    ("batch.v1.Job", job),
    ("core.v1.Container", pull_policy),
    ("core.v1.EphemeralContainer", pull_policy),
    ("core.v1.LimitRangeItem", limits),
    ("core.v1.NodeStatus", allocatable),
    ("core.v1.PersistentVolume", persistent_volume),
    ("core.v1.Pod", pod),
    ("core.v1.PodSpec", pod_spec),
    ("core.v1.PodStatus", pod_status),
    ("core.v1.ReplicationController", replication_controller),
    ("core.v1.Service", service),
    ("core.v1.Volume", volume),
    ("networking.v1.NetworkPolicySpec", network_policy),
    ("rbac.v1.Subject", subject),
    ("resource.v1.DeviceSubRequest", device_count),
    ("resource.v1.ExactDeviceRequest", device_count),
];

fn is_empty(object: &Map<String, Value>, field: &str) -> bool {
    match object.get(field) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        _ => false,
    }
}

fn text<'o>(object: &'o Map<String, Value>, field: &str) -> &'o str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn set(object: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    if is_empty(object, field) {
        object.insert(field.to_owned(), value.into());
    }
}

/// Everything of a node is for pods, unless it says how much.
fn allocatable(status: &mut Map<String, Value>) {
    if let (None, Some(capacity)) = (status.get("allocatable"), status.get("capacity").cloned()) {
        status.insert("allocatable".into(), capacity);
    }
}

/// A container's limit is its maximum; what it asks for is its limit, or else its minimum.
fn limits(item: &mut Map<String, Value>) {
    if text(item, "type") != "Container" {
        return;
    }
    for (field, source) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
        let amounts = item.get(source).and_then(Value::as_object).cloned().unwrap_or_default();
        let filled = member(item, field);
        for (name, amount) in amounts {
            filled.entry(name).or_insert(amount);
        }
    }
}

/// Users and groups are of this group's kinds, service accounts of the legacy one's.
fn subject(subject: &mut Map<String, Value>) {
    if matches!(text(subject, "kind"), "User" | "Group") {
        set(subject, "apiGroup", "rbac.authorization.k8s.io");
    }
}

/// One device, where so many are wanted as are counted.
fn device_count(request: &mut Map<String, Value>) {
    let is_zero = request.get("count").and_then(Value::as_i64).unwrap_or_default() == 0;
    if is_zero && matches!(text(request, "allocationMode"), "" | "ExactCount") {
        request.insert("count".into(), 1.into());
    }
}

fn definition_names(spec: &mut Map<String, Value>) {
    let names = member(spec, "names");
    let kind = text(names, "kind").to_owned();
    if !kind.is_empty() {
        set(names, "singular", kind.to_lowercase());
        set(names, "listKind", format!("{kind}List"));
    }
}

fn stored_versions(definition: &mut Map<String, Value>) {
    let versions = definition.get("spec").and_then(|spec| spec.get("versions")).and_then(Value::as_array);
    let is_storage = |version: &&Value| version.get("storage") == Some(&Value::Bool(true));
    let stored = versions.into_iter().flatten().find(is_storage).and_then(|version| version.get("name"));
    let Some(stored) = stored.cloned() else { return };
    let status = member(definition, "status");
    if status.get("storedVersions").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        status.insert("storedVersions".into(), json!([stored]));
    }
}

/// Of the kind and not of its spec: where an attachment holds one, nothing is filled in.
fn persistent_volume(volume: &mut Map<String, Value>) {
    let spec = member(volume, "spec");
    set(spec, "persistentVolumeReclaimPolicy", "Retain");
    spec.entry("volumeMode").or_insert_with(|| "Filesystem".into());
}
