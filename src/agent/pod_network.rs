//! The network of a node's pods: addresses and routes, the service proxy, DNS, and what each is told.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use base::env;
use base::shutdown::Shutdown;
use client::{Client, Event, Selection};
use ipnet::{IpNet, Ipv4Net};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kubelet::PodKey;
use kubelet::outside::{HostPort, NetworkError, PodNetwork};
use network::NodeAddress;
use parking_lot::Mutex;
use proxy::{Proxy, ProxyEvent};

use crate::Options;

/// How often it is looked whether the control plane gave the node its pods' addresses.
const CIDR_GLANCE: Duration = Duration::from_millis(100);

/// How long that may take before the agent gives up and says so.
const CIDR_TIMEOUT: Duration = Duration::from_secs(60);

/// All of it.
pub struct Network {
    /// Where pods find DNS.
    pub dns: Ipv4Addr,
    /// What the kubelet connects pods with.
    pub pods: Arc<Pods>,
    node: String,
    links: Arc<network::Network>,
    proxy: proxy::Handle,
    names: dns::Handle,
    running: Mutex<Option<(Proxy, dns::Dns)>>,
    /// Which of Services and EndpointSlices were told whole.
    told: Mutex<(bool, bool)>,
}

/// Waits for the node's CIDR, and brings the network in place.
///
/// # Errors
/// When the control plane gives the node no addresses, or the host refuses.
pub async fn start(options: &Options, client: &Client) -> anyhow::Result<Network> {
    let pod_cidr = pod_cidr(client, &options.name).await?;
    let links = network::Network::start(
        network::Options {
            node_name: options.name.clone(),
            pod_cidr,
            cluster_cidrs: vec![options.cluster_cidr],
            mtu: None,
            file: options.directory.join("addresses.json"),
        },
        Arc::new(network::Netlink::new()?),
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
    let (names, names_handle) = dns::start(gateway, &options.domain).await.context("starting DNS")?;
    Ok(Network {
        dns: gateway,
        pods: Arc::new(Pods(Arc::clone(&links))),
        node: options.name.clone(),
        links,
        proxy: proxy_handle,
        names: names_handle,
        running: Mutex::new(Some((proxy, names))),
        told: Mutex::new((false, false)),
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
        let (proxy, names) = running.context("the network runs already")?;
        tokio::select! {
            biased;
            () = proxy.run(shutdown.clone()) => bail!("the service proxy ended"),
            () = names.run(shutdown) => bail!("DNS ended"),
            ended = self.follow_nodes(client) => ended,
        }
    }

    async fn follow_nodes(&self, client: &Client) -> anyhow::Result<()> {
        let nodes = crate::store::Store::<Node>::default();
        let mut watch = client.watch::<Node>(Selection::default());
        let mut routed = Vec::new();
        while let Some(event) = watch.next().await {
            nodes.take(&event);
            let all: Vec<NodeAddress> = nodes.all().iter().filter_map(|node| address(node)).collect();
            if all == routed {
                continue;
            }
            match self.links.nodes(&all).await {
                Ok(()) => routed = all,
                Err(error) => {
                    tracing::warn!(%error, node = self.node, "routes to other nodes are not up to date")
                }
            }
        }
        bail!("the watch of Nodes ended")
    }

    /// Tells of Services.
    pub async fn service(&self, event: Event<Service>) {
        match event {
            Event::Restarted(all) => {
                self.names.services_restarted(&all).await;
                for service in all {
                    self.proxy.handle(ProxyEvent::Service(Box::new(Service::clone(&service)))).await;
                }
                self.synced(|told| told.0 = true).await;
            }
            Event::Applied(service) => {
                self.names.service(&service).await;
                self.proxy.handle(ProxyEvent::Service(Box::new(Service::clone(&service)))).await;
            }
            Event::Deleted(service) => {
                self.names.service_deleted(&service).await;
                let (namespace, name) = place(&service.metadata);
                self.proxy.handle(ProxyEvent::ServiceDeleted { namespace, name }).await;
            }
        }
    }

    /// Tells of EndpointSlices.
    pub async fn slice(&self, event: Event<EndpointSlice>) {
        match event {
            Event::Restarted(all) => {
                self.names.slices_restarted(&all).await;
                for slice in all {
                    self.proxy
                        .handle(ProxyEvent::EndpointSlice(Box::new(EndpointSlice::clone(&slice))))
                        .await;
                }
                self.synced(|told| told.1 = true).await;
            }
            Event::Applied(slice) => {
                self.names.slice(&slice).await;
                self.proxy.handle(ProxyEvent::EndpointSlice(Box::new(EndpointSlice::clone(&slice)))).await;
            }
            Event::Deleted(slice) => {
                self.names.slice_deleted(&slice).await;
                let (namespace, name) = place(&slice.metadata);
                self.proxy.handle(ProxyEvent::EndpointSliceDeleted { namespace, name }).await;
            }
        }
    }

    /// Lets the proxy begin once both were told whole.
    async fn synced(&self, note: impl FnOnce(&mut (bool, bool))) {
        let is_synced = {
            let mut told = self.told.lock();
            note(&mut told);
            *told == (true, true)
        };
        if is_synced {
            self.proxy.handle(ProxyEvent::Synced).await;
        }
    }
}

fn place(meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> (String, String) {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// What of a Node becomes a route.
fn address(node: &Node) -> Option<NodeAddress> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let internal = addresses.iter().find(|address| address.type_ == "InternalIP")?;
    Some(NodeAddress {
        name: node.metadata.name.clone()?,
        address: internal.address.parse().ok()?,
        pod_cidr: node.spec.as_ref()?.pod_cidr.as_ref()?.parse().ok()?,
    })
}

/// The pod network as the kubelet sees it.
pub struct Pods(Arc<network::Network>);

#[async_trait]
impl PodNetwork for Pods {
    async fn attach(&self, pod: &PodKey, pid: u32, ports: &[HostPort]) -> Result<Vec<IpAddr>, NetworkError> {
        let ports: Vec<network::HostPort> = ports.iter().filter_map(host_port).collect();
        let attached = self.0.attach(&pod.uid, pid, &ports).await;
        attached.map(|address| vec![IpAddr::V4(address)]).map_err(|error| NetworkError(error.to_string()))
    }

    async fn detach(&self, pod: &PodKey) -> Result<(), NetworkError> {
        self.0.detach(&pod.uid).await.map_err(|error| NetworkError(error.to_string()))
    }
}

fn host_port(port: &HostPort) -> Option<network::HostPort> {
    Some(network::HostPort {
        address: port.host_ip.as_ref().and_then(|ip| ip.parse().ok()),
        port: port.host_port,
        container_port: port.container_port,
        protocol: port.protocol.parse().ok()?,
    })
}
