//! Services as tests write them.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use crate::rules::Family;
use crate::world::{Node, World};

mod differences;
mod golden;
mod kernel;
#[path = "../testing/namespace.rs"]
mod namespace;
mod running;
#[path = "../testing/talk.rs"]
mod talk;

/// The node of all tests.
fn node() -> Node {
    Node {
        name: "n1".into(),
        family: Family::V4,
        cluster_cidrs: vec!["10.1.0.0/16".parse().expect("a network")],
        service_cidrs: vec!["10.96.0.0/12".parse().expect("a network")],
    }
}

/// A Service in the namespace `default` with this `spec`.
fn service(name: &str, spec: Value) -> Service {
    service_with(name, spec, json!({}))
}

fn service_with(name: &str, spec: Value, status: Value) -> Service {
    let metadata = json!({ "namespace": "default", "name": name });
    serde_json::from_value(json!({ "metadata": metadata, "spec": spec, "status": status }))
        .expect("a service")
}

/// The spec of a Service with one port 80 of TCP.
fn web(cluster_ip: &str) -> Value {
    json!({ "clusterIP": cluster_ip, "ports": [{ "port": 80, "protocol": "TCP" }] })
}

/// A slice of `service` with the ports (name, protocol, number) and endpoints. An endpoint is its address,
/// `address@node`, and behind a space the conditions `unready`, `draining` (serving, going) or `gone`.
fn slice(service: &str, name: &str, ports: &[(&str, &str, u16)], endpoints: &[&str]) -> EndpointSlice {
    let ports: Vec<Value> = ports
        .iter()
        .map(|(name, protocol, port)| json!({ "name": name, "protocol": protocol, "port": port }))
        .collect();
    let endpoints: Vec<Value> = endpoints.iter().map(|text| endpoint(text)).collect();
    serde_json::from_value(json!({
        "metadata": {
            "namespace": "default", "name": name, "labels": { "kubernetes.io/service-name": service },
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": endpoints,
    }))
    .expect("a slice")
}

fn endpoint(text: &str) -> Value {
    let (place, condition) = text.split_once(' ').unwrap_or((text, ""));
    let (address, node) = place.split_once('@').unwrap_or((place, "n2"));
    let conditions = match condition {
        "" => json!({}),
        "unready" => json!({ "ready": false, "serving": false, "terminating": false }),
        "draining" => json!({ "ready": false, "serving": true, "terminating": true }),
        "gone" => json!({ "ready": false, "serving": false, "terminating": true }),
        other => panic!("no condition {other}"),
    };
    json!({ "addresses": [address], "nodeName": node, "conditions": conditions })
}

fn world(services: &[Service], slices: &[EndpointSlice]) -> World {
    let mut world = World::new(node());
    services.iter().for_each(|service| world.put_service(service));
    slices.iter().for_each(|slice| world.put_slice(slice));
    world
}
