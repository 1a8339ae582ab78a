//! The pure parts as data, the loops against the fake on virtual time, and all of it against a real master.

#[path = "../client/tests/cluster.rs"]
mod cluster;
mod fleet;
mod plans;
mod real;

use serde_json::{Value, json};

/// The path of a pod.
fn path(name: &str) -> String {
    format!("/api/v1/namespaces/default/pods/{name}")
}

/// A pod on a node.
fn pod(node: &str, annotations: Value, restart: &str) -> Value {
    json!({
        "metadata": {"annotations": annotations},
        "spec": {
            "nodeName": node, "restartPolicy": restart, "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": "example.org/c:1"}],
        },
    })
}
