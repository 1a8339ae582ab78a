//! What to do about the slices of one service.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use api::{Key, Resource};
use projection::intent::Intent;
use projection::{LastOutcomes, Plan, Reason, World};
use serde_json::{Map, Value, json};
use state::Object;

use super::pack::{Slice, is_placeholder, pack, ports_key};
use super::{MANAGED_BY, MANAGER, SERVICE_NAME, SLICES};
use crate::shared::backends::{Backend, HEADLESS, Service, ZONE};
use crate::shared::{owned, stored};

static ROW: LazyLock<Arc<Resource>> =
    LazyLock::new(|| Resource::builtin("discovery.k8s.io", "v1", "endpointslices"));

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
    let labels = labels(&service);
    let can_create = !service.object.meta.deleting && !stored::is_closed(world, key.namespace());
    let mut by_family: BTreeMap<String, Vec<&Arc<Object>>> = BTreeMap::new();
    for slice in slices(world, &service) {
        let family = stored::at(slice, &["addressType"]).as_str().unwrap_or_default().to_owned();
        by_family.entry(family).or_default().push(slice);
    }
    for family in &service.families {
        let existing = by_family.remove(*family).unwrap_or_default();
        let wanted = wanted(world, &service, &backends, family);
        Family { service: &service, labels: &labels, family, can_create }.plan(&existing, wanted, &mut plan);
    }
    plan.intents.extend(by_family.into_values().flatten().map(|slice| Intent::delete(slice)));
    plan
}

/// The slices that are ours, in key order.
fn slices<'w>(world: &'w World, service: &Service) -> impl Iterator<Item = &'w Arc<Object>> {
    let owned = world.owners.dependents(&service.object.meta.uid).filter(|key| key.collection() == SLICES);
    let name = service.object.key.name().to_owned();
    let is_ours = move |slice: &&Arc<Object>| {
        let labels = slice.labels();
        labels.get(MANAGED_BY) == Some(MANAGER)
            && labels.get(SERVICE_NAME) == Some(&name)
            && !slice.meta.deleting
    };
    owned.filter_map(|key| world.state.get(key.as_str())).filter(is_ours)
}

fn labels(service: &Service) -> Map<String, Value> {
    let mut labels = service.labels.clone();
    labels.shift_remove(HEADLESS);
    if !service.has_address {
        labels.insert(HEADLESS.to_owned(), "".into());
    }
    labels.insert(SERVICE_NAME.to_owned(), service.object.key.name().into());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.into());
    labels
}

/// Endpoints by the ports that their pods offer.
type Wanted = BTreeMap<String, (Vec<Value>, Vec<Value>)>;

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

/// The slices of one family of addresses.
struct Family<'p> {
    service: &'p Service,
    labels: &'p Map<String, Value>,
    family: &'p str,
    can_create: bool,
}

impl Family<'_> {
    fn plan(&self, existing: &[&Arc<Object>], wanted: Wanted, plan: &mut Plan) {
        let mut by_ports: BTreeMap<String, Vec<Slice>> = BTreeMap::new();
        for object in existing {
            let slice = Slice::read(object);
            by_ports.entry(ports_key(&slice.ports)).or_default().push(slice);
        }
        let mut kept = Vec::new();
        for (key, (ports, endpoints)) in wanted {
            let mut slices = by_ports.remove(&key).unwrap_or_default();
            pack(&mut slices, endpoints, &ports);
            kept.append(&mut slices);
        }
        let (new, kept): (Vec<_>, Vec<_>) = kept.into_iter().partition(|slice| slice.object.is_none());
        let (kept, emptied): (Vec<_>, Vec<_>) =
            kept.into_iter().partition(|slice| !(slice.is_changed && slice.endpoints.is_empty()));
        let gone = emptied.into_iter().chain(by_ports.into_values().flatten());
        let mut gone: Vec<Arc<Object>> = gone.filter_map(|slice| slice.object).collect();
        gone.sort_by(|one, other| one.key.cmp(&other.key));
        let mut new: Vec<Slice> = new;
        if kept.is_empty() && new.is_empty() {
            match gone[..] {
                // It says already that there is nothing.
                [ref one] if is_placeholder(one, self.labels) => gone.clear(),
                _ => new.push(Slice {
                    object: None,
                    endpoints: Vec::new(),
                    ports: Vec::new(),
                    is_changed: true,
                }),
            }
        }
        kept.iter().for_each(|slice| plan.intents.extend(self.rewrite(slice.object.as_deref(), slice)));
        // One that would go takes what would be created.
        let reused = gone.len().min(new.len());
        for (object, slice) in gone.drain(..reused).zip(new.drain(..reused)) {
            plan.intents.extend(self.rewrite(Some(&object), &slice));
        }
        plan.intents.extend(gone.iter().map(|slice| Intent::delete(slice)));
        if self.can_create {
            plan.intents.extend(new.iter().map(|slice| self.create(slice)));
        }
    }

    /// Writes what differs of a slice.
    fn rewrite(&self, object: Option<&Object>, slice: &Slice) -> Option<Intent> {
        let object = object?;
        let mut patch = json!({});
        let labels = stored::map_patch(&stored::map(object, &["metadata", "labels"]), self.labels);
        if !labels.is_empty() {
            patch["metadata"]["labels"] = labels.into();
        }
        if slice.is_changed {
            patch["endpoints"] = slice.endpoints.clone().into();
            if stored::list(object, &["ports"]) != slice.ports {
                patch["ports"] = slice.ports.clone().into();
            }
        }
        (patch != json!({})).then(|| Intent::patch(object, "", patch).while_live(&self.service.object))
    }

    fn create(&self, slice: &Slice) -> Intent {
        let service = &self.service.object;
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "generateName": format!("{}-", service.key.name()),
                "labels": self.labels,
                "ownerReferences": [owned::reference(service, "v1", "Service")],
            },
            "addressType": self.family,
            "endpoints": slice.endpoints,
            "ports": slice.ports,
        });
        Intent::create(&ROW, service.key.namespace(), slice).while_live(service)
    }
}
