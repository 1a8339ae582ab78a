//! What depends on other fields in pods.

use serde_json::{Map, Value, json};

use super::{member, set, text};
use crate::image::tag;

/// `latest`, said or not, is pulled always.
pub(super) fn pull_policy(container: &mut Map<String, Value>) {
    let policy = if tag(text(container, "image")) == "latest" { "Always" } else { "IfNotPresent" };
    set(container, "imagePullPolicy", policy);
}

pub(super) fn volume(volume: &mut Map<String, Value>) {
    if volume.iter().all(|(name, value)| name == "name" || value.is_null()) {
        volume.insert("emptyDir".into(), json!({}));
    }
    if let Some(image) = volume.get_mut("image").and_then(Value::as_object_mut) {
        let policy = if tag(text(image, "reference")) == "latest" { "Always" } else { "IfNotPresent" };
        set(image, "pullPolicy", policy);
    }
}

pub(super) fn pod_spec(spec: &mut Map<String, Value>) {
    let account = spec.get("serviceAccount").cloned().unwrap_or_default();
    if account != "" && !account.is_null() {
        set(spec, "serviceAccountName", account);
    }
    if let Some(name) = spec.get("serviceAccountName").cloned() {
        spec.insert("serviceAccount".into(), name);
    }
}

pub(super) fn pod(pod: &mut Map<String, Value>) {
    let spec = member(pod, "spec");
    if spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds < 0) {
        spec.insert("terminationGracePeriodSeconds".into(), 1.into());
    }
    spec.entry("enableServiceLinks").or_insert_with(|| true.into());
    let on_host = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for field in ["containers", "initContainers"] {
        let containers = spec.get_mut(field).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            requests_from_limits(container);
            if on_host {
                host_ports(container);
            }
        }
    }
}

/// The one address and the list begin with the same; the one wins.
pub(super) fn pod_status(status: &mut Map<String, Value>) {
    let first = status.get("podIPs").and_then(|ips| ips.pointer("/0/ip")).cloned();
    match (text(status, "podIP").to_owned(), first) {
        (ip, first) if !ip.is_empty() && first.as_ref() != Some(&Value::from(ip.as_str())) => {
            status.insert("podIPs".into(), json!([{"ip": ip}]));
        }
        (ip, Some(first)) if ip.is_empty() => drop(status.insert("podIP".into(), first)),
        _ => {}
    }
}

fn requests_from_limits(container: &mut Map<String, Value>) {
    let limits = container.get("resources").and_then(|resources| resources.get("limits")).cloned();
    let Some(Value::Object(limits)) = limits else { return };
    let requests = member(member(container, "resources"), "requests");
    for (name, amount) in limits {
        requests.entry(name).or_insert(amount);
    }
}

fn host_ports(container: &mut Map<String, Value>) {
    let ports = container.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        let number = port.get("containerPort").cloned().unwrap_or_default();
        if port.get("hostPort").and_then(Value::as_i64).unwrap_or_default() == 0 {
            port.insert("hostPort".into(), number);
        }
    }
}
