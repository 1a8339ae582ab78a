//! What names there are: an index of Services and their endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

/// On an EndpointSlice: the name of its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Namespace and name.
pub(crate) type ServiceKey = (String, String);

/// Names of the cluster, as far as they were told.
#[derive(Debug, Default)]
pub struct Records {
    services: BTreeMap<ServiceKey, Entry>,
    slices: BTreeMap<ServiceKey, BTreeMap<String, Slice>>,
    /// Whose a slice is, by its namespace and name.
    slice_services: BTreeMap<(String, String), ServiceKey>,
    /// Cluster IPs and endpoints, for names of addresses.
    addresses: BTreeMap<IpAddr, BTreeSet<ServiceKey>>,
    changes: u32,
}

/// What is behind the name of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Addresses of its own.
    Cluster { ips: Vec<IpAddr>, ports: Vec<Port> },
    /// Those of its endpoints.
    Headless { not_ready_too: bool },
    /// Another name.
    Alias(String),
}

/// A named port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    pub(crate) name: String,
    /// In lower case, as names have it.
    pub(crate) protocol: String,
    pub(crate) number: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Slice {
    ports: Vec<Port>,
    endpoints: Vec<Endpoint>,
}

/// An endpoint of a headless Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Endpoint {
    pub(crate) address: IpAddr,
    hostname: Option<String>,
    ready: bool,
}

impl Endpoint {
    /// Its name below the Service's: its hostname, or its address with dashes.
    pub(crate) fn label(&self) -> String {
        self.hostname.clone().unwrap_or_else(|| dashed(self.address))
    }
}

/// An address as a label.
pub(crate) fn dashed(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}

impl Records {
    /// The Service is so now.
    pub fn put_service(&mut self, service: &Service) {
        let key = key_of(service.metadata.namespace.as_deref(), service.metadata.name.as_deref());
        let Some(entry) = entry(service) else { return self.remove_service(&key.0, &key.1) };
        if self.services.get(&key) != Some(&entry) {
            let old = self.services.insert(key.clone(), entry.clone());
            self.reindex(&key, ips_of(old.as_ref()), ips_of(Some(&entry)));
        }
    }

    /// The Service is gone.
    pub fn remove_service(&mut self, namespace: &str, name: &str) {
        let key = key_of(Some(namespace), Some(name));
        if let Some(old) = self.services.remove(&key) {
            self.reindex(&key, ips_of(Some(&old)), BTreeSet::new());
        }
    }

    /// The EndpointSlice is so now.
    pub fn put_slice(&mut self, slice: &EndpointSlice) {
        let name = key_of(slice.metadata.namespace.as_deref(), slice.metadata.name.as_deref());
        let labels = slice.metadata.labels.as_ref();
        let service = labels.and_then(|labels| labels.get(SERVICE_NAME_LABEL));
        let Some(service) = service.map(|service| (name.0.clone(), service.clone())) else {
            return self.remove_slice(&name.0, &name.1);
        };
        if self.slice_services.get(&name).is_some_and(|old| *old != service) {
            self.remove_slice(&name.0, &name.1);
        }
        let new = facts_of(slice);
        let slices = self.slices.entry(service.clone()).or_default();
        let old = slices.insert(name.1.clone(), new.clone());
        self.slice_services.insert(name, service.clone());
        if old.as_ref() != Some(&new) {
            self.reindex(&service, old.map(|old| old.addresses()).unwrap_or_default(), new.addresses());
        }
    }

    /// The EndpointSlice is gone.
    pub fn remove_slice(&mut self, namespace: &str, name: &str) {
        let Some(service) = self.slice_services.remove(&(namespace.to_owned(), name.to_owned())) else {
            return;
        };
        let Some(slices) = self.slices.get_mut(&service) else { return };
        let old = slices.remove(name);
        if slices.is_empty() {
            self.slices.remove(&service);
        }
        self.reindex(&service, old.map(|old| old.addresses()).unwrap_or_default(), BTreeSet::new());
    }

    /// Counts changes: the serial number of the zone.
    pub(crate) fn serial(&self) -> u32 {
        self.changes
    }

    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<&Entry> {
        self.services.get(&key_of(Some(namespace), Some(name)))
    }

    /// Whether any Service is there.
    pub(crate) fn has_namespace(&self, namespace: &str) -> bool {
        let first = self.services.range(key_of(Some(namespace), None)..).next();
        first.is_some_and(|((found, _), _)| found == namespace)
    }

    /// Endpoints that have names, in order.
    pub(crate) fn endpoints(&self, namespace: &str, name: &str, not_ready_too: bool) -> BTreeSet<&Endpoint> {
        let slices = self.slices.get(&key_of(Some(namespace), Some(name)));
        let all = slices.into_iter().flat_map(BTreeMap::values).flat_map(|slice| &slice.endpoints);
        all.filter(|endpoint| endpoint.ready || not_ready_too).collect()
    }

    /// Ports of endpoints that have names, each with its endpoint.
    pub(crate) fn endpoint_ports(
        &self,
        namespace: &str,
        name: &str,
        not_ready_too: bool,
    ) -> BTreeSet<(&Port, &Endpoint)> {
        let slices = self.slices.get(&key_of(Some(namespace), Some(name)));
        let pairs = slices.into_iter().flat_map(BTreeMap::values).flat_map(|slice| {
            slice.ports.iter().flat_map(|port| slice.endpoints.iter().map(move |endpoint| (port, endpoint)))
        });
        pairs.filter(|(_, endpoint)| endpoint.ready || not_ready_too).collect()
    }

    /// Services that have this address, as theirs or as an endpoint's.
    pub(crate) fn by_address(&self, address: IpAddr) -> impl Iterator<Item = (&ServiceKey, &Entry)> {
        let keys = self.addresses.get(&address).into_iter().flatten();
        keys.filter_map(|key| Some((key, self.services.get(key)?)))
    }

    fn reindex(&mut self, service: &ServiceKey, old: BTreeSet<IpAddr>, new: BTreeSet<IpAddr>) {
        self.changes = self.changes.wrapping_add(1);
        for address in &new {
            self.addresses.entry(*address).or_default().insert(service.clone());
        }
        for address in
            old.difference(&new).filter(|address| !self.has_address(service, **address)).collect::<Vec<_>>()
        {
            if let Some(services) = self.addresses.get_mut(address) {
                services.remove(service);
                if services.is_empty() {
                    self.addresses.remove(address);
                }
            }
        }
    }

    /// Whether the address still is the Service's, by itself or by any slice.
    fn has_address(&self, service: &ServiceKey, address: IpAddr) -> bool {
        let slices = self.slices.get(service).into_iter().flat_map(BTreeMap::values);
        ips_of(self.services.get(service)).contains(&address)
            || slices.flat_map(|slice| &slice.endpoints).any(|endpoint| endpoint.address == address)
    }
}

impl Slice {
    fn addresses(&self) -> BTreeSet<IpAddr> {
        self.endpoints.iter().map(|endpoint| endpoint.address).collect()
    }
}

fn key_of(namespace: Option<&str>, name: Option<&str>) -> ServiceKey {
    (namespace.unwrap_or_default().to_owned(), name.unwrap_or_default().to_owned())
}

fn ips_of(entry: Option<&Entry>) -> BTreeSet<IpAddr> {
    match entry {
        Some(Entry::Cluster { ips, .. }) => ips.iter().copied().collect(),
        _ => BTreeSet::new(),
    }
}

fn port(name: Option<&str>, protocol: Option<&str>, number: i32) -> Option<Port> {
    Some(Port {
        name: name.unwrap_or_default().to_owned(),
        protocol: protocol.unwrap_or("TCP").to_ascii_lowercase(),
        number: u16::try_from(number).ok()?,
    })
}

/// `None` for a Service that has no address yet.
fn entry(service: &Service) -> Option<Entry> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return Some(Entry::Alias(spec.external_name.clone()?));
    }
    let ips = match spec.cluster_ips.as_deref() {
        Some(ips) if !ips.is_empty() => ips,
        _ => spec.cluster_ip.as_slice(),
    };
    if ips.iter().any(|ip| ip == "None") {
        return Some(Entry::Headless { not_ready_too: spec.publish_not_ready_addresses == Some(true) });
    }
    let ips: Vec<IpAddr> = ips.iter().filter_map(|ip| ip.parse().ok()).collect();
    let ports = spec.ports.iter().flatten();
    let ports = ports.filter_map(|of| port(of.name.as_deref(), of.protocol.as_deref(), of.port)).collect();
    (!ips.is_empty()).then_some(Entry::Cluster { ips, ports })
}

fn facts_of(slice: &EndpointSlice) -> Slice {
    let ports = slice.ports.iter().flatten();
    let endpoints = slice.endpoints.iter().flatten().flat_map(|endpoint| {
        let ready = endpoint.conditions.as_ref().and_then(|of| of.ready).unwrap_or(true);
        let addresses = endpoint.addresses.iter().filter_map(|address| address.parse().ok());
        addresses.map(move |address| Endpoint { address, hostname: endpoint.hostname.clone(), ready })
    });
    Slice {
        ports: ports.filter_map(|of| port(of.name.as_deref(), of.protocol.as_deref(), of.port?)).collect(),
        endpoints: endpoints.collect(),
    }
}
