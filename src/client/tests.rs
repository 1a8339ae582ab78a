//! What the parts do together: against the fake on virtual time, against it on loopback, and against real masters.

mod cluster;
mod failover;
mod leader;
mod real;
mod resume;
mod tls;

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

/// The path of a ConfigMap.
fn path(name: &str) -> String {
    format!("/api/v1/namespaces/default/configmaps/{name}")
}

/// A ConfigMap that holds a number.
fn numbered(number: u64) -> Value {
    json!({"data": {"number": number.to_string()}})
}

fn name(map: &ConfigMap) -> String {
    map.metadata.name.clone().unwrap_or_default()
}

fn revision(map: &ConfigMap) -> u64 {
    map.metadata.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)
}
