//! The subsets of Endpoints: addresses that offer the same ports stand together.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::shared::backends::{Backend, Service};

/// Addresses that one object holds at most; Kubernetes' `maxCapacity`.
const CAPACITY: usize = 1000;

/// What an address is told apart by.
type Place = (String, String);

/// The subsets of a service's pods, and whether some were left out because there are too many.
pub(super) fn of(service: &Service, backends: &[Backend<'_>]) -> (Vec<Value>, bool) {
    let mut addresses: BTreeMap<Place, Value> = BTreeMap::new();
    // By port; a service without an address may have none.
    let mut by_port: BTreeMap<String, (Option<Value>, BTreeMap<Place, bool>)> = BTreeMap::new();
    let backends = backends.iter().filter(|backend| service.publishes_unready || !backend.pod.is_deleting());
    for backend in backends {
        let family = service.families.first().copied().unwrap_or("IPv4");
        let Some(address) = backend.addresses(family).into_iter().next() else { continue };
        let is_ready = service.publishes_unready || backend.pod.is_ready;
        let place = (address.clone(), backend.pod.object.meta.uid.clone());
        addresses.insert(place.clone(), entry(backend, &address));
        let mut ports: Vec<_> = service.ports_of(backend).into_iter().map(|port| Some(plain(port))).collect();
        if service.ports.is_empty() && service.is_headless {
            ports.push(None);
        }
        for port in ports {
            let key = port.as_ref().map(Value::to_string).unwrap_or_default();
            let (_, places) = by_port.entry(key).or_insert_with(|| (port, BTreeMap::new()));
            places.insert(place.clone(), is_ready);
        }
    }
    let mut by_places: BTreeMap<BTreeMap<Place, bool>, Vec<Value>> = BTreeMap::new();
    for (port, places) in by_port.into_values() {
        by_places.entry(places).or_default().extend(port);
    }
    let mut subsets: Vec<Subset> =
        by_places.into_iter().map(|(places, ports)| Subset::of(places, ports, &addresses)).collect();
    let is_over = truncate(&mut subsets);
    (subsets.into_iter().map(Subset::into_value).collect(), is_over)
}

struct Subset {
    ready: Vec<Value>,
    unready: Vec<Value>,
    ports: Vec<Value>,
}

impl Subset {
    fn of(places: BTreeMap<Place, bool>, ports: Vec<Value>, addresses: &BTreeMap<Place, Value>) -> Self {
        let (ready, unready): (Vec<_>, Vec<_>) = places.into_iter().partition(|(_, is_ready)| *is_ready);
        let all = |places: Vec<(Place, bool)>| {
            places.iter().filter_map(|(place, _)| addresses.get(place).cloned()).collect()
        };
        Self { ready: all(ready), unready: all(unready), ports }
    }

    fn into_value(self) -> Value {
        let mut subset = json!({});
        let parts = [("addresses", self.ready), ("notReadyAddresses", self.unready), ("ports", self.ports)];
        for (name, part) in parts.into_iter().filter(|(_, part)| !part.is_empty()) {
            subset[name] = part.into();
        }
        subset
    }
}

/// A port without a name has none here.
fn plain(mut port: Value) -> Value {
    if let Some(members) = port.as_object_mut().filter(|members| members["name"] == "") {
        members.shift_remove("name");
    }
    port
}

fn entry(backend: &Backend<'_>, address: &str) -> Value {
    let mut entry = json!({"ip": address});
    if let Some(hostname) = &backend.hostname {
        entry["hostname"] = hostname.as_str().into();
    }
    entry["nodeName"] = (*backend.pod.node).into();
    entry["targetRef"] = backend.reference();
    entry
}

/// Leaves out what is too much: each subset keeps its part, and who is not ready goes first.
fn truncate(subsets: &mut [Subset]) -> bool {
    let ready: usize = subsets.iter().map(|subset| subset.ready.len()).sum();
    let unready: usize = subsets.iter().map(|subset| subset.unready.len()).sum();
    if ready + unready <= CAPACITY {
        return false;
    }
    let cuts_ready = ready > CAPACITY;
    let (most, total) = if cuts_ready { (CAPACITY, ready) } else { (CAPACITY - ready, unready) };
    let mut left = most;
    for subset in subsets {
        let cut = if cuts_ready { &mut subset.ready } else { &mut subset.unready };
        let part = (cut.len() * most).div_ceil(total).min(left);
        cut.truncate(part);
        left -= cut.len();
        if cuts_ready {
            subset.unready.clear();
        }
    }
    true
}
