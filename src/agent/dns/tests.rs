//! Names as tests write them.

use hickory_proto::op::Query;
use hickory_proto::rr::{Name, Record, RecordType};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use crate::answer::Zone;
use crate::records::Records;

mod golden;
mod talking;

fn zone() -> Zone {
    Zone::new("cluster.local").expect("a name")
}

fn service(name: &str, spec: Value) -> Service {
    let metadata = json!({ "namespace": "default", "name": name });
    serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).expect("a service")
}

fn slice(service: &str, ports: Value, endpoints: Value) -> EndpointSlice {
    serde_json::from_value(json!({
        "metadata": {
            "namespace": "default", "name": format!("{service}-1"),
            "labels": { "kubernetes.io/service-name": service },
        },
        "addressType": "IPv4", "ports": ports, "endpoints": endpoints,
    }))
    .expect("a slice")
}

/// A cluster with one Service of each kind.
fn records() -> Records {
    let mut records = Records::default();
    let https = json!([{ "name": "https", "port": 443, "protocol": "TCP" }]);
    let headless = json!({ "clusterIP": "None" });
    let mut eager = headless.clone();
    eager["publishNotReadyAddresses"] = json!(true);
    let alias = |to: &str| json!({ "type": "ExternalName", "externalName": to });
    let services = [
        service("kubernetes", json!({ "clusterIP": "10.96.0.1", "ports": https })),
        service("stateful", headless.clone()),
        service("eager", eager),
        service("empty", headless),
        service("outside", alias("example.com")),
        service("inside", alias("kubernetes.default.svc.cluster.local")),
        service("further", alias("inside.default.svc.cluster.local")),
        service("away", alias("outside.default.svc.cluster.local")),
        service("loop", alias("loop.default.svc.cluster.local")),
        service("pending", json!({ "ports": https })),
    ];
    services.iter().for_each(|service| records.put_service(service));
    let ports = json!([{ "name": "peer", "port": 7000, "protocol": "TCP" }, { "port": 80 }]);
    let endpoints = json!([
        { "addresses": ["10.1.1.2"], "hostname": "stateful-0", "conditions": { "ready": true } },
        { "addresses": ["10.1.2.3"] },
        { "addresses": ["10.1.3.4"], "hostname": "stateful-2", "conditions": { "ready": false } },
    ]);
    records.put_slice(&slice("stateful", ports.clone(), endpoints.clone()));
    records.put_slice(&slice("eager", ports.clone(), endpoints));
    let servers = json!([{ "addresses": ["192.168.9.1"] }]);
    records.put_slice(&slice("kubernetes", json!([{ "name": "https", "port": 6443 }]), servers));
    records
}

/// `name type`, the name in full.
fn query(question: &str) -> Query {
    let (name, kind) = question.split_once(' ').expect("a name and a type");
    let mut name = Name::from_ascii(name).expect("a name");
    name.set_fqdn(true);
    Query::query(name, kind.parse::<RecordType>().expect("a type"))
}

fn text(record: &Record) -> String {
    format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data)
}
