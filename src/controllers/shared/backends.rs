//! Services, and the pods that stand behind them: what Endpoints and EndpointSlices are made of.

use std::net::IpAddr;
use std::sync::Arc;

use api::Key;
use api::view::View;
use projection::nodes::NODES;
use projection::pods::{PODS, Pod};
use projection::{Wakes, World};
use serde_json::{Map, Value, json};
use state::{Change, Object};

use super::stored;

pub(crate) const SERVICES: &str = "core/services/";

/// The label of a node's zone.
pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";

/// The label of what belongs to a service without an address of its own.
pub(crate) const HEADLESS: &str = "service.kubernetes.io/headless";

/// A service that selects pods.
pub(crate) struct Service {
    pub object: Arc<Object>,
    pub labels: Map<String, Value>,
    pub ports: Vec<Value>,
    pub publishes_unready: bool,
    /// Whether it has an address of its own.
    pub has_address: bool,
    pub is_headless: bool,
    /// `IPv4`, `IPv6`, the main one first.
    pub families: Vec<&'static str>,
}

impl Service {
    /// Reads a service; `None`: there is none, or it selects nothing.
    pub fn read(world: &World, key: &Key) -> Option<Self> {
        let object = world.state.get(key.as_str())?;
        world.selectors.of(key)?;
        let tree = stored::tree(object);
        let spec = &tree["spec"];
        if spec["type"] == "ExternalName" {
            return None;
        }
        let address = spec["clusterIP"].as_str().unwrap_or_default();
        Some(Self {
            object: Arc::clone(object),
            labels: tree["metadata"]["labels"].as_object().cloned().unwrap_or_default(),
            ports: spec["ports"].as_array().cloned().unwrap_or_default(),
            publishes_unready: spec["publishNotReadyAddresses"] == true,
            has_address: !matches!(address, "" | "None"),
            is_headless: address == "None",
            families: families(&spec["ipFamilies"], address),
        })
    }

    /// The pods behind it, in key order: those that have an address and have not ended.
    pub fn backends<'w>(&self, world: &'w World) -> Vec<Backend<'w>> {
        let key = &self.object.key;
        let Some(selector) = world.selectors.of(key) else { return Vec::new() };
        let pods = world.pods.selected(key.namespace(), selector).into_iter();
        pods.filter(|pod| !pod.is_finished()).filter_map(|pod| Backend::of(pod, key.name())).collect()
    }

    /// Its ports as a pod offers them; those that it does not have are left out.
    pub fn ports_of(&self, backend: &Backend<'_>) -> Vec<Value> {
        let ports = self.ports.iter().filter_map(|port| Some(offered(port, &backend.port(port)?.into())));
        ports.collect()
    }
}

/// A port as Endpoints and their slices tell of it, with its number there.
pub(crate) fn offered(port: &Value, number: &Value) -> Value {
    let name = port["name"].as_str().unwrap_or_default();
    let protocol = port["protocol"].as_str().unwrap_or("TCP");
    let mut found = json!({"name": name, "protocol": protocol, "port": number});
    if !port["appProtocol"].is_null() {
        found["appProtocol"] = port["appProtocol"].clone();
    }
    found
}

/// Services say which families of addresses they want; those that do not want the family of their address.
fn families(said: &Value, address: &str) -> Vec<&'static str> {
    let said = said.as_array().into_iter().flatten();
    let said: Vec<_> = said.map(|family| if family == "IPv6" { "IPv6" } else { "IPv4" }).collect();
    match address.parse::<IpAddr>() {
        _ if !said.is_empty() => said,
        Ok(address) => vec![family_of(&address)],
        Err(_) => vec!["IPv4", "IPv6"],
    }
}

fn family_of(address: &IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// A pod behind a service.
pub(crate) struct Backend<'w> {
    pub pod: &'w Arc<Pod>,
    addresses: Vec<IpAddr>,
    /// Its name below the service's.
    pub hostname: Option<String>,
}

impl<'w> Backend<'w> {
    fn of(pod: &'w Arc<Pod>, service: &str) -> Option<Self> {
        let [addresses, hostname, subdomain] =
            pod.object.view().find([&["status", "podIPs"], &["spec", "hostname"], &["spec", "subdomain"]]);
        let addresses: Vec<_> =
            addresses.items().filter_map(|address| address.get("ip").text().parse().ok()).collect();
        let hostname = hostname.text();
        let hostname = (!hostname.is_empty() && subdomain.is(service)).then(|| hostname.into_owned());
        (!addresses.is_empty()).then_some(Self { pod, addresses, hostname })
    }

    /// Its addresses of a family.
    pub fn addresses(&self, family: &str) -> Vec<String> {
        let own = self.addresses.iter().filter(|address| family_of(address) == family);
        own.map(ToString::to_string).collect()
    }

    /// What names it.
    pub fn reference(&self) -> Value {
        let key = self.pod.key();
        json!({"kind": "Pod", "namespace": key.namespace(), "name": key.name(), "uid": self.pod.object.meta.uid})
    }

    /// The number of a service's port at this pod: a name stands for that of a container's port.
    fn port(&self, port: &Value) -> Option<i64> {
        let Some(name) = port["targetPort"].as_str() else {
            return port["targetPort"].as_i64().or_else(|| port["port"].as_i64());
        };
        let [containers, init] = self.pod.object.view().get("spec").pick(["containers", "initContainers"]);
        let sidecars = init.items().filter(|one| one.get("restartPolicy").is("Always"));
        let mut ports =
            containers.items().chain(sidecars).flat_map(|container| container.get("ports").items());
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        let is_it = |found: &View<'_>| {
            let said = found.get("protocol").text();
            found.get("name").is(name) && (&*said == protocol || said.is_empty() && protocol == "TCP")
        };
        ports.find(is_it)?.get("containerPort").number()
    }
}

/// Wakes the services that a change of a pod, a node or a service is about.
pub(crate) fn wake(world: &World, change: &Change, wakes: &mut Wakes) {
    let object = &change.object;
    match object.key.collection() {
        SERVICES => wakes.add(&object.key),
        PODS => {
            let before = change.previous.as_ref().filter(|before| before.labels() != object.labels());
            let mut services =
                [Some(object), before].into_iter().flatten().flat_map(|pod| selecting(world, pod)).peekable();
            // Most pods of a cluster may be behind none; then it need not be asked what changed.
            if services.peek().is_some() && matters(change) {
                services.for_each(|key| wakes.add(key));
            }
        }
        NODES => {
            let zone = |object: &Object| object.labels().get(ZONE).map(str::to_owned);
            let is_moved = change.previous.as_ref().is_none_or(|before| zone(before) != zone(object));
            if is_moved || change.deleted {
                let pods = world.pods.on(object.key.name());
                pods.flat_map(|pod| selecting(world, &pod.object)).for_each(|key| wakes.add(key));
            }
        }
        _ => {}
    }
}

/// The services that select a pod.
fn selecting<'w>(world: &'w World, pod: &'w Object) -> impl Iterator<Item = &'w Key> {
    world.selectors.matching(SERVICES, pod.key.namespace(), pod.labels())
}

/// Whether a change of a pod can change what is said of it: most write only how its containers are.
fn matters(change: &Change) -> bool {
    let Some(before) = change.previous.as_ref().filter(|_| !change.deleted) else { return true };
    let after = &change.object;
    before.labels() != after.labels()
        || before.meta.deleting != after.meta.deleting
        || told(before) != told(after)
}

fn told(pod: &Object) -> Vec<String> {
    let [addresses, phase, node, conditions] = pod.view().find([
        &["status", "podIPs"],
        &["status", "phase"],
        &["spec", "nodeName"],
        &["status", "conditions"],
    ]);
    let ready = conditions.items().find(|condition| condition.get("type").is("Ready"));
    let ready = ready.map(|ready| ready.get("status")).unwrap_or_default();
    [addresses, phase, node, ready].iter().map(|view| view.shown().into_owned()).collect()
}
