//! The network of a node's pods: addresses and routes, the service proxy, DNS, and what each is told.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use base::env;
use base::shutdown::Shutdown;
use client::{Client, Selection};
use dns::{Dns, DnsEvent};
use ipnet::{IpNet, Ipv4Net};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kubelet::PodKey;
use kubelet::outside::{HostPort, NetworkError, PodNetwork};
use network::NodeAddress;
use parking_lot::Mutex;
use proxy::{Packets as _, Proxy, ProxyEvent};
use serde_json::{Value, json};

use crate::Options;
use crate::store::{Change, Store};

/// How often it is looked whether the control plane gave the node its pods' addresses.
const CIDR_GLANCE: Duration = Duration::from_millis(100);

/// How long that may take before the agent gives up and says so.
const CIDR_TIMEOUT: Duration = Duration::from_secs(60);

/// How often rules and routes are brought back to what they should be, whoever changed them.
const REPAIR_INTERVAL: Duration = Duration::from_secs(30);

/// Where DNS listens, at the bridge's address.
const DNS_PORT: u16 = 53;

/// All of it.
pub struct Network {
    /// Where pods find DNS.
    pub dns: Ipv4Addr,
    /// Where the node's pods are.
    pub pod_cidr: Ipv4Net,
    /// What the kubelet connects pods with.
    pub pods: Arc<Pods>,
    node: String,
    links: Arc<network::Network>,
    proxy: proxy::Handle,
    names: Dns,
    nodes: Arc<Store<Node>>,
    cluster_cidr: Ipv4Net,
    running: Mutex<Option<(Proxy, dns::Server)>>,
}

/// Waits for the node's CIDR, and brings the network in place. It keeps `nodes` up to date while it runs.
///
/// # Errors
/// When the control plane gives the node no addresses, or the host refuses.
pub async fn start(options: &Options, client: &Client, nodes: Arc<Store<Node>>) -> anyhow::Result<Network> {
    let pod_cidr = pod_cidr(client, &options.name).await?;
    let links = network::Network::start(
        network::Options {
            node_name: options.name.clone(),
            pod_cidr,
            cluster_cidrs: vec![options.cluster_cidr],
            mtu: None,
            file: options.directory.join("addresses.json"),
        },
        Arc::new(network::Kernel::new()?),
    );
    let links = Arc::new(links.await.context("making the network of pods")?);
    let node = proxy::Node {
        name: options.name.clone(),
        family: proxy::Family::V4,
        cluster_cidrs: vec![IpNet::V4(options.cluster_cidr)],
        service_cidrs: vec![IpNet::V4(options.service_cidr)],
    };
    let (proxy, proxy_handle) = Proxy::new(node, Arc::new(proxy::Nft));
    let gateway = links.gateway();
    let zone = dns::Zone::new(&options.domain);
    let zone = zone.with_context(|| format!("{:?} is no domain for a cluster", options.domain))?;
    let resolvers = dns::resolvers(&base::resolv_conf::of_host());
    if let Some(complaint) = dns::complaint(&resolvers) {
        tracing::warn!("{complaint}");
    }
    let bound = Dns::bind(SocketAddr::from((gateway, DNS_PORT)), zone, resolvers).await;
    let (names, server) = bound.with_context(|| format!("listening for DNS on {gateway}"))?;
    let own = serde_json::from_value(own_dns(&options.name, gateway)).context("making DNS an endpoint")?;
    proxy_handle.handle(ProxyEvent::EndpointSlice(Box::new(own))).await;
    Ok(Network {
        dns: gateway,
        pod_cidr,
        pods: Arc::new(Pods(Arc::clone(&links))),
        node: options.name.clone(),
        links,
        proxy: proxy_handle,
        names,
        nodes,
        cluster_cidr: options.cluster_cidr,
        running: Mutex::new(Some((proxy, server))),
    })
}

/// What Service `kube-dns` leads to on this node. It stands in no slice of the cluster's: each node answers for itself.
fn own_dns(node: &str, address: Ipv4Addr) -> Value {
    let port = |name: &str, protocol: &str| json!({"name": name, "protocol": protocol, "port": DNS_PORT});
    json!({
        "metadata": {
            "name": "kube-dns-of-this-node",
            "namespace": "kube-system",
            "labels": {"kubernetes.io/service-name": "kube-dns"},
        },
        "addressType": "IPv4",
        "endpoints": [{
            "addresses": [address.to_string()], "conditions": {"ready": true}, "nodeName": node,
        }],
        "ports": [port("dns", "UDP"), port("dns-tcp", "TCP")],
    })
}

/// The node's `spec.podCIDR`, once there is one.
async fn pod_cidr(client: &Client, node: &str) -> anyhow::Result<Ipv4Net> {
    let deadline = env::monotonic() + CIDR_TIMEOUT;
    loop {
        let read = client.get(&format!("/api/v1/nodes/{node}")).await.context("reading the own Node")?;
        let found: Node = serde_json::from_slice(&read).context("reading the own Node")?;
        if let Some(cidr) = found.spec.and_then(|spec| spec.pod_cidr) {
            return cidr.parse().with_context(|| format!("reading the node's podCIDR {cidr:?}"));
        }
        if env::monotonic() >= deadline {
            bail!("the control plane gave this node no podCIDR within {} s", CIDR_TIMEOUT.as_secs());
        }
        env::sleep(CIDR_GLANCE).await;
    }
}

impl Network {
    /// Runs the proxy, DNS, and routes to other nodes.
    ///
    /// # Errors
    /// When one of them ends.
    pub async fn run(&self, client: &Client, shutdown: Shutdown) -> anyhow::Result<()> {
        let running = self.running.lock().take();
        let (proxy, server) = running.context("the network runs already")?;
        tokio::select! {
            biased;
            () = proxy.run(shutdown.clone()) => bail!("the service proxy ended"),
            () = server.run(shutdown) => bail!("DNS ended"),
            ended = self.follow_nodes(client) => ended,
        }
    }

    async fn follow_nodes(&self, client: &Client) -> anyhow::Result<()> {
        let mut watch = client.watch::<Node>(Selection::default());
        // What the kernel has; `None` while that is not known.
        let mut routed: Option<Vec<NodeAddress>> = None;
        let mut repair_at = env::monotonic() + REPAIR_INTERVAL;
        loop {
            let is_repair = tokio::select! {
                biased;
                event = watch.next() => match event {
                    Some(event) => {
                        self.nodes.take(event);
                        false
                    }
                    None => bail!("the watch of Nodes ended"),
                },
                () = env::sleep_until(repair_at) => {
                    repair_at = env::monotonic() + REPAIR_INTERVAL;
                    true
                }
            };
            // Before anything is known, what an earlier agent left is as it should be.
            if !self.nodes.is_synced() {
                continue;
            }
            let all: Vec<NodeAddress> =
                self.nodes.all().iter().filter_map(|node| address(node, self.cluster_cidr)).collect();
            let done = match is_repair {
                true => self.links.repair(&all).await,
                false if routed.as_ref() == Some(&all) => continue,
                false => self.links.nodes(&all).await,
            };
            routed = match done {
                Ok(()) => Some(all),
                Err(error) => {
                    tracing::warn!(%error, node = self.node, "the network of pods is not as it should be yet");
                    None
                }
            };
        }
    }

    /// Tells of a Service.
    pub async fn service(&self, change: Change<Service>) {
        let (event, asked) = match change {
            Change::Put(service) => {
                let service = Box::new(Service::clone(&service));
                (ProxyEvent::Service(service.clone()), DnsEvent::Service(service))
            }
            Change::Gone(namespace, name) => (
                ProxyEvent::ServiceDeleted { namespace: namespace.clone(), name: name.clone() },
                DnsEvent::ServiceDeleted { namespace, name },
            ),
        };
        self.names.handle(asked);
        self.proxy.handle(event).await;
    }

    /// Tells of an EndpointSlice.
    pub async fn slice(&self, change: Change<EndpointSlice>) {
        let (event, asked) = match change {
            Change::Put(slice) => {
                let slice = Box::new(EndpointSlice::clone(&slice));
                (ProxyEvent::EndpointSlice(slice.clone()), DnsEvent::EndpointSlice(slice))
            }
            Change::Gone(namespace, name) => (
                ProxyEvent::EndpointSliceDeleted { namespace: namespace.clone(), name: name.clone() },
                DnsEvent::EndpointSliceDeleted { namespace, name },
            ),
        };
        self.names.handle(asked);
        self.proxy.handle(event).await;
    }

    /// Everything that there was at the start has been told.
    pub async fn synced(&self) {
        self.names.handle(DnsEvent::Synced);
        self.proxy.handle(ProxyEvent::Synced).await;
    }
}

/// What of a Node becomes a route; nothing where its pods are not in the cluster's network: those of hollow nodes are
/// elsewhere, where nobody answers.
fn address(node: &Node, cluster: Ipv4Net) -> Option<NodeAddress> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let internal = addresses.iter().find(|address| address.type_ == "InternalIP")?;
    let pod_cidr: Ipv4Net = node.spec.as_ref()?.pod_cidr.as_ref()?.parse().ok()?;
    let to =
        NodeAddress { name: node.metadata.name.clone()?, address: internal.address.parse().ok()?, pod_cidr };
    cluster.contains(&pod_cidr).then_some(to)
}

/// The pod network as the kubelet sees it.
pub struct Pods(Arc<network::Network>);

impl Pods {
    /// Whether an address is a pod's of this node.
    pub async fn is_pods(&self, address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(address) if self.0.is_pods(address).await)
    }
}

#[async_trait]
impl PodNetwork for Pods {
    async fn attach(&self, pod: &PodKey, pid: u32, ports: &[HostPort]) -> Result<Vec<IpAddr>, NetworkError> {
        let ports: Vec<network::HostPort> = ports.iter().filter_map(host_port).collect();
        let attached = self.0.attach(&pod.uid, pid, &ports).await;
        let address = attached.map_err(|error| NetworkError(error.to_string()))?;
        let datagrams = datagrams(&ports, address);
        if !datagrams.is_empty() {
            let forgotten = proxy::Nft.forget(proxy::Family::V4, datagrams).await;
            forgotten.map_err(|error| NetworkError(error.to_string()))?;
        }
        Ok(vec![IpAddr::V4(address)])
    }

    async fn detach(&self, pod: &PodKey) -> Result<(), NetworkError> {
        self.0.detach(&pod.uid).await.map_err(|error| NetworkError(error.to_string()))
    }

    async fn pods(&self) -> BTreeSet<String> {
        self.0.pods().await
    }
}

fn host_port(port: &HostPort) -> Option<network::HostPort> {
    let protocol = match &*port.protocol {
        "TCP" => network::Protocol::Tcp,
        "UDP" => network::Protocol::Udp,
        "SCTP" => network::Protocol::Sctp,
        _ => return None,
    };
    Some(network::HostPort {
        protocol,
        host_ip: port.host_ip.as_ref().and_then(|ip| ip.parse().ok()),
        host_port: port.host_port,
        container_port: port.container_port,
    })
}

/// Where datagrams to a pod's ports of the host may flow: who sent to the pod that had them before sends to this one now.
fn datagrams(ports: &[network::HostPort], pod: Ipv4Addr) -> proxy::Expected {
    let by_udp = ports.iter().filter(|port| port.protocol == network::Protocol::Udp);
    let key = |port: &network::HostPort| match port.host_ip.filter(|ip| !ip.is_unspecified()) {
        Some(ip) => proxy::Key::Address(IpAddr::V4(ip), proxy::Protocol::Udp, port.host_port),
        None => proxy::Key::NodePort(proxy::Protocol::Udp, port.host_port),
    };
    by_udp.map(|port| (key(port), [SocketAddr::from((pod, port.container_port))].into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_to_ports_of_the_host_flow_to_the_pod_that_has_them_now() {
        let port = |protocol: &str, host_ip: Option<&str>, host_port: u16| HostPort {
            protocol: protocol.to_owned(),
            host_ip: host_ip.map(str::to_owned),
            host_port,
            container_port: 53,
        };
        let ports = [
            port("UDP", None, 5300),
            port("UDP", Some("0.0.0.0"), 5301),
            port("UDP", Some("192.0.2.1"), 5302),
            port("TCP", None, 5303),
        ];
        let ports: Vec<_> = ports.iter().filter_map(host_port).collect();
        let expected = datagrams(&ports, Ipv4Addr::new(10, 42, 0, 9));
        let flow = |destination: &str, answers: &str| proxy::Flow {
            destination: destination.parse().expect("an address"),
            answers: answers.parse().expect("an address"),
        };
        for (to, who, is_stale) in [
            ("192.0.2.1:5300", "10.42.0.9:53", false),
            ("192.0.2.1:5300", "10.42.0.8:53", true),
            ("192.0.2.1:5301", "10.42.0.8:53", true),
            ("192.0.2.1:5302", "10.42.0.8:53", true),
            ("192.0.2.1:5302", "192.0.2.1:5302", true),
            ("192.0.2.7:5302", "10.42.0.8:53", false),
            ("192.0.2.1:5303", "10.42.0.8:53", false),
            ("198.51.100.1:5300", "198.51.100.1:5300", false),
        ] {
            assert_eq!(proxy::is_stale(&expected, &flow(to, who)), is_stale, "{to} {who}");
        }
    }

    #[test]
    fn nodes_whose_pods_are_elsewhere_get_no_route() {
        let node = |cidr: &str, kind: &str| -> Node {
            let addresses = json!([{"type": kind, "address": "192.168.9.1"}]);
            let node = json!({"metadata": {"name": "n"}, "spec": {"podCIDR": cidr}, "status": {"addresses": addresses}});
            serde_json::from_value(node).expect("a node")
        };
        let cluster = "10.42.0.0/16".parse().expect("a range");
        let route = |cidr, kind| address(&node(cidr, kind), cluster).map(|to| to.pod_cidr.to_string());
        assert_eq!(route("10.42.7.0/24", "InternalIP").as_deref(), Some("10.42.7.0/24"));
        for (cidr, kind) in [("10.128.0.0/9", "InternalIP"), ("10.42.7.0/24", "Hostname"), ("", "InternalIP")]
        {
            assert_eq!(route(cidr, kind), None, "{cidr} {kind}");
        }
    }
}
