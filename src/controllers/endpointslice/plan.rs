//! What to do about the slices of one service.

use api::Key;
use projection::{LastOutcomes, Plan, Reason, World};
use serde_json::{Map, Value, json};

use super::MANAGER;
use super::family::{Slices, Wanted};
use super::pack::ports_key;
use crate::shared::backends::{Backend, HEADLESS, Service, ZONE};

/// Plans the slices of one service.
pub(super) fn plan(world: &World, key: &Key, last: &LastOutcomes, _: u64) -> Plan {
    let mut plan = Plan::default();
    let Some(service) = Service::read(world, key) else { return plan };
    for refused in last.refused.iter().take(1) {
        let (namespace, name) = (key.namespace(), key.name());
        let why = &refused.status.message;
        plan.reasons.push(Reason {
            about: key.clone(),
            is_warning: true,
            reason: "FailedToUpdateEndpointSlices",
            message: format!("Error updating Endpoint Slices for Service {namespace}/{name}: {why}"),
        });
    }
    let backends = service.backends(world);
    let wanted = service.families.iter().map(|family| (*family, wanted(world, &service, &backends, family)));
    let labels = labels(&service);
    Slices { owner: &service.object, owner_kind: "Service", manager: MANAGER, labels }
        .plan(world, wanted, &mut plan);
    plan
}

fn labels(service: &Service) -> Map<String, Value> {
    let mut labels = service.labels.clone();
    labels.shift_remove(HEADLESS);
    if !service.has_address {
        labels.insert(HEADLESS.to_owned(), "".into());
    }
    labels
}

fn wanted(world: &World, service: &Service, backends: &[Backend<'_>], family: &str) -> Wanted {
    let mut wanted = Wanted::new();
    for backend in backends {
        let node = world.nodes.get(&backend.pod.node);
        // Of a pod whose node is gone nobody knows whether it lives.
        if node.is_none() && !service.publishes_unready {
            continue;
        }
        let ports = service.ports_of(backend);
        let addresses = backend.addresses(family);
        let (_, endpoints) = wanted.entry(ports_key(&ports)).or_insert_with(|| (ports, Vec::new()));
        if !addresses.is_empty() {
            let zone = node.and_then(|node| node.object.labels().get(ZONE));
            endpoints.push(endpoint(service, backend, addresses, zone));
        }
    }
    wanted
}

fn endpoint(service: &Service, backend: &Backend<'_>, addresses: Vec<String>, zone: Option<&str>) -> Value {
    let (serving, terminating) = (backend.pod.is_ready, backend.pod.is_deleting());
    let ready = service.publishes_unready || serving && !terminating;
    let mut endpoint = json!({
        "addresses": addresses,
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
    });
    if let Some(hostname) = &backend.hostname {
        endpoint["hostname"] = hostname.as_str().into();
    }
    endpoint["targetRef"] = backend.reference();
    if !backend.pod.node.is_empty() {
        endpoint["nodeName"] = (*backend.pod.node).into();
    }
    if let Some(zone) = zone.filter(|zone| !zone.is_empty()) {
        endpoint["zone"] = zone.into();
    }
    endpoint
}
