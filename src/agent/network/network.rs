//! The pod network of one node.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::Ipv4Net;
use tokio::sync::Mutex;

use crate::addresses::{Lease, LeaseFile, Leases, gateway};
use crate::error::NetworkError;
use crate::links::{Cable, Links};
use crate::routes::{self, NodeAddress};
use crate::rules::{self, HostPort, Rules};

/// What is fixed for as long as the agent runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// This node's name.
    pub node_name: String,
    /// Where this node's pods get their addresses from.
    pub pod_cidr: Ipv4Net,
    /// Where all pods are: traffic there keeps its source.
    pub cluster_cidrs: Vec<Ipv4Net>,
    /// Bytes of a packet between pods; the kernel's default if none is said.
    pub mtu: Option<u32>,
    /// Where addresses outlive the process, in a folder that exists.
    pub file: PathBuf,
}

/// Addresses, cables and routes of pods.
///
/// # Guarantees
/// - A pod keeps its address from the first [`Network::attach`] to [`Network::detach`], across restarts.
/// - No address is two pods'.
/// - Traffic between pods keeps its source; what leaves the cluster has the node's.
pub struct Network {
    options: Options,
    gateway: Ipv4Addr,
    links: Arc<dyn Links>,
    file: LeaseFile,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    leases: Leases,
    /// What the host has; `None` while that is not known.
    rules: Option<String>,
}

impl Network {
    /// Takes over what an earlier process left, and brings bridge and rules in place.
    ///
    /// # Errors
    /// When the file of addresses is broken, or the host refuses. Pods that run keep their network.
    pub async fn start(options: Options, links: Arc<dyn Links>) -> Result<Self, NetworkError> {
        let too_small = NetworkError::TooSmall(options.pod_cidr);
        let gateway =
            gateway(options.pod_cidr).filter(|_| options.pod_cidr.prefix_len() <= 30).ok_or(too_small)?;
        let bridge = Ipv4Net::new_assert(gateway, options.pod_cidr.prefix_len());
        links.bridge(bridge, options.mtu).await?;
        let file = LeaseFile::new(&options.file);
        let mut leases = file.read()?;
        // A cable that the file does not know is a pod's that runs: its address must not become another's.
        for (uid, address) in links.cables().await? {
            leases.pods.entry(uid).or_insert(Lease { address, host_ports: Vec::new() });
        }
        file.write(&leases)?;
        let mut state = State { leases, rules: None };
        let this = Self { options, gateway, links, file, state: Mutex::default() };
        this.apply_rules(&mut state).await?;
        *this.state.lock().await = state;
        Ok(this)
    }

    /// The node's address in the pod network: where pods find the node, and the node's DNS server listens.
    pub fn gateway(&self) -> Ipv4Addr {
        self.gateway
    }

    /// Gives the pod whose process is `pid` an interface `eth0` with an address, and ports of the host.
    /// Idempotent: a pod that has them keeps them.
    ///
    /// # Errors
    /// When no address is free, or the host refuses. The address stays the pod's until it is detached.
    pub async fn attach(
        &self,
        uid: &str,
        pid: u32,
        host_ports: &[HostPort],
    ) -> Result<Ipv4Addr, NetworkError> {
        let mut state = self.state.lock().await;
        let cidr = self.options.pod_cidr;
        let mut with = state.leases.clone();
        let address = with.lease(cidr, uid).ok_or(NetworkError::Full(cidr))?;
        if let Some(lease) = with.pods.get_mut(uid) {
            lease.host_ports = host_ports.to_vec();
        }
        // Written before it is used: after a crash it is at worst reserved for a pod without an interface.
        if with != state.leases {
            self.file.write(&with)?;
            state.leases = with;
        }
        let cable = Cable {
            uid: uid.to_owned(),
            address: Ipv4Net::new_assert(address, cidr.prefix_len()),
            gateway: self.gateway,
            mtu: self.options.mtu,
        };
        self.links.attach(&cable, pid).await?;
        self.apply_rules(&mut state).await?;
        Ok(address)
    }

    /// Takes the pod's interface, ports and address away. Idempotent.
    ///
    /// # Errors
    /// When the host refuses. The address is still the pod's then, and this can be tried again.
    pub async fn detach(&self, uid: &str) -> Result<(), NetworkError> {
        let mut state = self.state.lock().await;
        let Some(lease) = state.leases.pods.get_mut(uid) else { return Ok(()) };
        // Ports first, and the address last: nothing leads to an address that may be another pod's.
        lease.host_ports.clear();
        let address = lease.address;
        self.apply_rules(&mut state).await?;
        self.links.detach(address).await?;
        let mut without = state.leases.clone();
        without.pods.remove(uid);
        self.file.write(&without)?;
        state.leases = without;
        Ok(())
    }

    /// The uids of pods that have an address: whoever is none of them any more must be detached.
    pub async fn pods(&self) -> BTreeSet<String> {
        self.state.lock().await.leases.pods.keys().cloned().collect()
    }

    /// Whether an address is a pod's of this node.
    pub async fn is_pods(&self, address: Ipv4Addr) -> bool {
        self.state.lock().await.leases.pods.values().any(|lease| lease.address == address)
    }

    /// Makes the pods of the other nodes reachable. `nodes` are all there are; this one may be among them.
    ///
    /// # Errors
    /// The first refusal, after every route was tried.
    pub async fn nodes(&self, nodes: &[NodeAddress]) -> Result<(), NetworkError> {
        let new = routes::plan(&self.options.node_name, nodes);
        let old = self.links.routes().await?;
        let mut result = Ok(());
        for change in routes::difference(&old, &new) {
            let changed = self.links.route(change).await;
            result = result.and(changed);
        }
        result
    }

    /// Brings the host's rules, and the routes to these nodes, back to what they should be, whoever changed them: a
    /// firewall that is loaded anew empties all tables, and a link that goes down loses its routes.
    ///
    /// # Errors
    /// The first refusal, after everything was tried.
    pub async fn repair(&self, nodes: &[NodeAddress]) -> Result<(), NetworkError> {
        let mut state = self.state.lock().await;
        state.rules = None;
        let rules = self.apply_rules(&mut state).await;
        drop(state);
        rules.and(self.nodes(nodes).await)
    }

    /// Takes everything away: pods that still run lose their network.
    ///
    /// # Errors
    /// When the host refuses.
    pub async fn remove(&self) -> Result<(), NetworkError> {
        let mut state = self.state.lock().await;
        *state = State::default();
        self.links.remove().await?;
        self.file.remove()
    }

    /// Brings the host's rules to what the leases say, if they are not there.
    async fn apply_rules(&self, state: &mut State) -> Result<(), NetworkError> {
        let ports = state
            .leases
            .pods
            .values()
            .flat_map(|lease| lease.host_ports.iter().map(|port| (*port, lease.address)));
        let rules = Rules {
            pod_cidr: self.options.pod_cidr.trunc(),
            cluster_cidrs: self.options.cluster_cidrs.clone(),
            host_ports: ports.collect(),
        };
        let text = rules::text(&rules);
        if state.rules.as_ref() != Some(&text) {
            state.rules = None;
            self.links.rules(&text).await?;
            state.rules = Some(text);
        }
        Ok(())
    }
}
