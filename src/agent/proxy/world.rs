//! What the proxy knows: its node, and of every Service and EndpointSlice the little that rules are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::rules::{Family, Key, Protocol};

/// How long a client stays with its endpoint where the Service does not say: three hours, the API's default.
const AFFINITY_TIMEOUT_DEFAULT_S: u32 = 10_800;

/// Services with this label belong to another proxy.
const OTHER_PROXY_LABEL: &str = "service.kubernetes.io/service-proxy-name";

/// Services with this label are headless, whatever else they say.
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// On an EndpointSlice: the name of its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// What is fixed about the node for as long as the proxy runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name: endpoints with it are local.
    pub name: String,
    /// Which internet the rules are for.
    pub family: Family,
    /// Where the cluster's pods are: traffic from elsewhere to a cluster IP is masqueraded.
    pub cluster_cidrs: Vec<IpNet>,
    /// Where cluster IPs are: those that no Service has are refused.
    pub service_cidrs: Vec<IpNet>,
}

/// Whose rules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceKey {
    /// The namespace.
    pub namespace: String,
    /// The Service's name.
    pub name: String,
}

/// What of a Service becomes rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceFacts {
    pub(crate) cluster_ips: Vec<IpAddr>,
    /// External addresses and those of load balancers.
    pub(crate) external_ips: Vec<IpAddr>,
    pub(crate) ports: Vec<PortFacts>,
    pub(crate) internal_local: bool,
    pub(crate) external_local: bool,
    pub(crate) affinity_s: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortFacts {
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) node_port: Option<u16>,
}

/// What of an EndpointSlice becomes rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SliceFacts {
    service: ServiceKey,
    /// Name, protocol, number.
    pub(crate) ports: Vec<(String, Protocol, u16)>,
    pub(crate) endpoints: Vec<EndpointFacts>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointFacts {
    pub(crate) address: IpAddr,
    pub(crate) local: bool,
    pub(crate) ready: bool,
    /// Still answers, though it is going.
    pub(crate) draining: bool,
}

/// The folded view. Says which services a change touches, so that only their rules are made anew.
///
/// # Guarantees
/// A key of a map belongs to one Service at a time: if two claim an address and port, the first by
/// namespace and name has it, and the other gets it when the first lets go.
#[derive(Debug)]
pub struct World {
    pub(crate) node: Node,
    pub(crate) services: BTreeMap<ServiceKey, ServiceFacts>,
    slices: BTreeMap<ServiceKey, BTreeMap<String, SliceFacts>>,
    /// Whose a slice is, by its namespace and name.
    slice_services: BTreeMap<(String, String), ServiceKey>,
    claims: BTreeMap<Key, BTreeSet<ServiceKey>>,
    claimed: BTreeMap<ServiceKey, BTreeSet<Key>>,
    touched: BTreeSet<ServiceKey>,
}

impl World {
    /// A world without services.
    pub fn new(node: Node) -> Self {
        Self {
            node,
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            slice_services: BTreeMap::new(),
            claims: BTreeMap::new(),
            claimed: BTreeMap::new(),
            touched: BTreeSet::new(),
        }
    }

    /// The Service is so now.
    pub fn put_service(&mut self, service: &Service) {
        let key = key_of(service.metadata.namespace.as_deref(), service.metadata.name.as_deref());
        match service_facts(self.node.family, service) {
            Some(facts) if self.services.get(&key) == Some(&facts) => {}
            Some(facts) => {
                self.services.insert(key.clone(), facts);
                self.touch(key);
            }
            None => self.remove_service(&key.namespace, &key.name),
        }
    }

    /// The Service is gone.
    pub fn remove_service(&mut self, namespace: &str, name: &str) {
        let key = key_of(Some(namespace), Some(name));
        if self.services.remove(&key).is_some() {
            self.touch(key);
        }
    }

    /// The EndpointSlice is so now.
    pub fn put_slice(&mut self, slice: &EndpointSlice) {
        let namespace = slice.metadata.namespace.clone().unwrap_or_default();
        let name = slice.metadata.name.clone().unwrap_or_default();
        let Some(facts) = slice_facts(&self.node, slice) else {
            return self.remove_slice(&namespace, &name);
        };
        let service = facts.service.clone();
        let old = self.slice_services.get(&(namespace.clone(), name.clone()));
        if old.is_some_and(|old| *old != service) {
            self.remove_slice(&namespace, &name);
        }
        let slices = self.slices.entry(service.clone()).or_default();
        if slices.get(&name) != Some(&facts) {
            slices.insert(name.clone(), facts);
            self.slice_services.insert((namespace, name), service.clone());
            self.touch(service);
        }
    }

    /// The EndpointSlice is gone.
    pub fn remove_slice(&mut self, namespace: &str, name: &str) {
        let Some(service) = self.slice_services.remove(&(namespace.to_owned(), name.to_owned())) else {
            return;
        };
        if let Some(slices) = self.slices.get_mut(&service) {
            slices.remove(name);
            if slices.is_empty() {
                self.slices.remove(&service);
            }
        }
        self.touch(service);
    }

    /// The services whose rules may have changed since this was asked last.
    pub fn take_touched(&mut self) -> BTreeSet<ServiceKey> {
        std::mem::take(&mut self.touched)
    }

    /// The slices of a Service.
    pub(crate) fn slices_of(&self, service: &ServiceKey) -> impl Iterator<Item = &SliceFacts> {
        self.slices.get(service).into_iter().flat_map(BTreeMap::values)
    }

    /// Whether `key` is the Service's to say something about.
    pub(crate) fn owns(&self, service: &ServiceKey, key: &Key) -> bool {
        self.claims.get(key).and_then(BTreeSet::first) == Some(service)
    }

    /// Notes that the Service or its slices changed, and whoever wins or loses a key by it.
    fn touch(&mut self, service: ServiceKey) {
        let wanted = self.wanted_by(&service);
        let had = self.claimed.remove(&service).unwrap_or_default();
        for key in had.difference(&wanted) {
            if let Some(claims) = self.claims.get_mut(key) {
                let won = claims.first() == Some(&service);
                claims.remove(&service);
                if won {
                    self.touched.extend(claims.first().cloned());
                }
                if claims.is_empty() {
                    self.claims.remove(key);
                }
            }
        }
        for key in wanted.difference(&had) {
            let claims = self.claims.entry(*key).or_default();
            if claims.first().is_some_and(|first| service < *first) {
                self.touched.extend(claims.first().cloned());
            }
            claims.insert(service.clone());
        }
        if !wanted.is_empty() {
            self.claimed.insert(service.clone(), wanted);
        }
        self.touched.insert(service);
    }

    fn wanted_by(&self, service: &ServiceKey) -> BTreeSet<Key> {
        let Some(facts) = self.services.get(service) else { return BTreeSet::new() };
        let mut wanted = BTreeSet::new();
        for port in &facts.ports {
            let addresses = facts.cluster_ips.iter().chain(&facts.external_ips);
            wanted.extend(addresses.map(|address| Key::Address(*address, port.protocol, port.port)));
            wanted.extend(port.node_port.map(|number| Key::NodePort(port.protocol, number)));
        }
        let endpoints = self.slices_of(service).flat_map(|slice| &slice.endpoints);
        wanted.extend(endpoints.filter(|one| one.local).map(|one| Key::Hairpin(one.address)));
        wanted
    }
}

fn key_of(namespace: Option<&str>, name: Option<&str>) -> ServiceKey {
    ServiceKey {
        namespace: namespace.unwrap_or_default().to_owned(),
        name: name.unwrap_or_default().to_owned(),
    }
}

/// `None` for what has no rules: headless, an alias, without an address of the family, another proxy's.
fn service_facts(family: Family, service: &Service) -> Option<ServiceFacts> {
    let spec = service.spec.as_ref()?;
    let labels = service.metadata.labels.as_ref();
    let labelled = |label: &str| labels.is_some_and(|labels| labels.contains_key(label));
    let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
    if kind == "ExternalName" || labelled(OTHER_PROXY_LABEL) || labelled(HEADLESS_LABEL) {
        return None;
    }
    let cluster_ips = match spec.cluster_ips.as_deref() {
        Some(ips) if !ips.is_empty() => addresses(family, ips),
        _ => addresses(family, spec.cluster_ip.as_slice()),
    };
    if cluster_ips.is_empty() {
        return None;
    }
    let mut external_ips = addresses(family, spec.external_ips.as_deref().unwrap_or_default());
    if kind == "LoadBalancer" {
        external_ips.extend(ingress_addresses(family, service));
    }
    let has_node_ports = matches!(kind, "NodePort" | "LoadBalancer");
    let ports = spec.ports.iter().flatten().filter_map(|port| port_facts(port, has_node_ports)).collect();
    let local = |policy: &Option<String>| policy.as_deref() == Some("Local");
    Some(ServiceFacts {
        cluster_ips,
        external_ips,
        ports,
        internal_local: local(&spec.internal_traffic_policy),
        external_local: local(&spec.external_traffic_policy),
        affinity_s: affinity_s(spec),
    })
}

fn affinity_s(spec: &ServiceSpec) -> Option<u32> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let stated =
        config.and_then(|client| client.timeout_seconds).and_then(|stated| u32::try_from(stated).ok());
    Some(stated.unwrap_or(AFFINITY_TIMEOUT_DEFAULT_S))
}

/// Addresses of the load balancer that end here; one that proxies is reached as it wants to be.
fn ingress_addresses(family: Family, service: &Service) -> Vec<IpAddr> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    let direct = ingress.iter().filter(|one| one.ip_mode.as_deref() != Some("Proxy"));
    addresses(family, &direct.filter_map(|one| one.ip.clone()).collect::<Vec<_>>())
}

fn port_facts(port: &ServicePort, has_node_ports: bool) -> Option<PortFacts> {
    let node_port = port.node_port.filter(|number| has_node_ports && *number != 0);
    Some(PortFacts {
        name: port.name.clone().unwrap_or_default(),
        protocol: Protocol::parse(port.protocol.as_deref())?,
        port: u16::try_from(port.port).ok()?,
        node_port: node_port.and_then(|number| u16::try_from(number).ok()),
    })
}

/// Those of the family. "None" and what is no address are none.
fn addresses(family: Family, texts: &[String]) -> Vec<IpAddr> {
    texts.iter().filter_map(|text| text.parse().ok()).filter(|address| family.has(*address)).collect()
}

/// `None` for slices of names, of the other family and of no Service.
fn slice_facts(node: &Node, slice: &EndpointSlice) -> Option<SliceFacts> {
    let service = slice.metadata.labels.as_ref()?.get(SERVICE_NAME_LABEL)?;
    let of_family = match node.family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    if slice.address_type != of_family {
        return None;
    }
    let ports = slice.ports.iter().flatten().filter_map(|port| {
        let number = u16::try_from(port.port?).ok()?;
        Some((port.name.clone().unwrap_or_default(), Protocol::parse(port.protocol.as_deref())?, number))
    });
    let endpoints = slice.endpoints.iter().flatten().filter_map(|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        let ready = conditions.and_then(|of| of.ready).unwrap_or(true);
        let serving = conditions.and_then(|of| of.serving).unwrap_or(ready);
        let terminating = conditions.and_then(|of| of.terminating).unwrap_or(false);
        Some(EndpointFacts {
            // The API defines no meaning for further addresses of one endpoint.
            address: endpoint.addresses.first()?.parse().ok()?,
            local: endpoint.node_name.as_deref() == Some(&node.name),
            ready,
            draining: serving && terminating,
        })
    });
    Some(SliceFacts {
        service: key_of(slice.metadata.namespace.as_deref(), Some(service)),
        ports: ports.collect(),
        endpoints: endpoints.collect(),
    })
}
