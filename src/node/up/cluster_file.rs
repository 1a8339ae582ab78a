//! `cluster.json`: what a cluster on one machine is made of. Chosen once, kept for its life.

use std::net::Ipv4Addr;
use std::ops::Range;

use anyhow::{Context, bail};
use base::ids::ClusterId;
use serde::{Deserialize, Serialize};

use crate::address::HostPort;

/// The version of `cluster.json` that this program writes and reads.
const FORMAT: u32 = 1;
/// Masters that one machine may run: more than seven voters only slow a cluster down.
pub const MASTERS_MAX: usize = 7;
/// Where masters and the balancer serve the API on addresses of their own: Kubernetes' port.
const API_PORT: u16 = 6443;
/// Where masters talk to each other on addresses of their own.
const PEER_PORT: u16 = 6444;
/// Subnets are 10.FIRST.x.0/24 up to 10.LAST.x.0/24: the upper half of 10.0.0.0/8, away from the service
/// range 10.96.0.0/12 and from where Docker and most networks begin to count.
const SUBNET_FIRST: u32 = 128;
const SUBNET_LAST: u32 = 250;
/// Loopback ports are kept for a cluster's life, so they are none of those that the kernel gives to
/// outgoing connections (from 32768 on, unless told otherwise): one could be in use when a master comes back.
const PORTS: Range<u16> = 20_000..32_000;
/// Last part of master-1's address, minus one; .1 is the host's.
const MASTER_BASE: u8 = 10;
/// Last part of node-1's address, minus one.
const NODE_BASE: u8 = 100;
/// Nodes that one machine may run: each is a Docker engine of its own.
pub const NODES_MAX: usize = 20;

/// `cluster.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterFile {
    format: u32,
    /// 16 hex digits.
    pub cluster: String,
    /// What connects the masters.
    pub network: Network,
    /// Where the balancer listens.
    pub stable: HostPort,
    /// In order of their names.
    pub masters: Vec<MasterAddress>,
    /// In order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeAddress>,
    /// The flags that say where Services get their addresses and node ports; none: the defaults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_ranges: Vec<String>,
    /// How many hollow nodes there are beside them.
    #[serde(default, skip_serializing_if = "is_none")]
    pub hollow_nodes: usize,
    /// Whether the sample application was asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sample: bool,
    /// The flags that say what masters do by themselves; none: the defaults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behaviour: Vec<String>,
    /// The flags that agents get; none: the defaults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<String>,
}

/// What connects the masters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Network {
    /// A bridge, and a network namespace for each master.
    Bridge {
        /// The first address of a /24; the host has the next one.
        subnet: Ipv4Addr,
    },
    /// The host's own loopback, a port for each master.
    Loopback,
}

/// Where one master is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterAddress {
    /// `master-N`
    pub name: String,
    /// Its API.
    pub api: HostPort,
    /// Its peer transport.
    pub peer: HostPort,
}

/// Where one node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAddress {
    /// `node-N`
    pub name: String,
    /// Its address among the hosts of the cluster.
    pub address: Ipv4Addr,
}

impl ClusterFile {
    /// A new cluster on `network`. `free_port` gives a loopback port that nobody uses, another each time.
    pub fn new(
        cluster: ClusterId,
        network: Network,
        free_port: &mut dyn FnMut() -> anyhow::Result<u16>,
    ) -> anyhow::Result<Self> {
        let stable = match &network {
            Network::Bridge { subnet } => bridge_address(*subnet, 1, API_PORT),
            Network::Loopback => loopback(free_port()?),
        };
        Ok(Self {
            format: FORMAT,
            cluster: cluster.to_string(),
            network,
            stable,
            masters: Vec::new(),
            nodes: Vec::new(),
            service_ranges: Vec::new(),
            hollow_nodes: 0,
            sample: false,
            behaviour: Vec::new(),
            agents: Vec::new(),
        })
    }

    /// The content of `cluster.json`.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let file: Self = serde_json::from_str(text).context("it is not the JSON that was written")?;
        if file.format != FORMAT {
            bail!("it has format {}, this program reads {FORMAT}", file.format);
        }
        file.id()?;
        Ok(file)
    }

    /// The cluster.
    pub fn id(&self) -> anyhow::Result<ClusterId> {
        self.cluster.parse().context("reading the cluster id")
    }

    /// Adds masters up to `count`.
    ///
    /// # Errors
    /// When there are more already, or `count` is out of bounds.
    pub fn grow(
        &mut self,
        count: usize,
        free_port: &mut dyn FnMut() -> anyhow::Result<u16>,
    ) -> anyhow::Result<()> {
        let before = self.masters.len();
        if count == 0 || count > MASTERS_MAX {
            bail!("--masters {count} is not possible: 1 to {MASTERS_MAX}, and an odd number survives most");
        }
        if count < before {
            bail!(
                "this cluster has {before} masters, not {count}: --masters only adds, because a master's data would \
                 go with it. Leave --masters out to go on as it is, or make a smaller cluster with another --dir"
            );
        }
        while self.masters.len() < count {
            let number = self.masters.len() as u8 + 1;
            let (api, peer) = match &self.network {
                Network::Bridge { subnet } => {
                    let host = MASTER_BASE + number;
                    (bridge_address(*subnet, host, API_PORT), bridge_address(*subnet, host, PEER_PORT))
                }
                Network::Loopback => (self.further(free_port)?, self.further(free_port)?),
            };
            self.masters.push(MasterAddress { name: master_name(number), api, peer });
        }
        Ok(())
    }

    /// Adds nodes up to `count`.
    ///
    /// # Errors
    /// When there are more already, `count` is out of bounds, or the network has no room for hosts.
    pub fn grow_nodes(&mut self, count: usize) -> anyhow::Result<()> {
        let before = self.nodes.len();
        if count > NODES_MAX {
            bail!("--nodes {count} is not possible: at most {NODES_MAX} on one machine");
        }
        if count < before {
            bail!(
                "this cluster has {before} nodes, not {count}: --nodes only adds. Leave it out to go on as it is; a node \
                 that is not wanted any more is emptied with `kctl drain` and deleted with `kctl delete node`"
            );
        }
        let Network::Bridge { subnet } = self.network else {
            if count == 0 {
                return Ok(());
            }
            bail!(
                "nodes are hosts of their own, with network namespaces: run as root, in a directory of a new cluster"
            );
        };
        while self.nodes.len() < count {
            let number = self.nodes.len() as u8 + 1;
            let [a, b, c, _] = subnet.octets();
            let address = Ipv4Addr::new(a, b, c, NODE_BASE + number);
            self.nodes.push(NodeAddress { name: node_name(number), address });
        }
        Ok(())
    }

    /// A loopback address that is not in the file yet: one that is may only seem free, while its owner
    /// does not run.
    fn further(&self, free_port: &mut dyn FnMut() -> anyhow::Result<u16>) -> anyhow::Result<HostPort> {
        let of_masters = self.masters.iter().flat_map(|master| [&master.api, &master.peer]);
        let taken: Vec<u16> = of_masters.chain([&self.stable]).map(|address| address.port).collect();
        loop {
            let port = free_port()?;
            if !taken.contains(&port) {
                return Ok(loopback(port));
            }
        }
    }
}

/// The name of master number `number`, from 1.
pub fn master_name(number: impl std::fmt::Display) -> String {
    format!("master-{number}")
}

/// The name of node number `number`, from 1.
pub fn node_name(number: impl std::fmt::Display) -> String {
    format!("node-{number}")
}

/// Whether there are no hollow nodes.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

fn bridge_address(subnet: Ipv4Addr, host: u8, port: u16) -> HostPort {
    let [a, b, c, _] = subnet.octets();
    HostPort { host: Ipv4Addr::new(a, b, c, host).to_string(), port }
}

fn loopback(port: u16) -> HostPort {
    HostPort { host: Ipv4Addr::LOCALHOST.to_string(), port }
}

/// An IPv4 network that is in use: its first address and prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Any address in it.
    pub address: Ipv4Addr,
    /// 0 to 32.
    pub length: u8,
}

impl Subnet {
    /// From `ADDRESS` or `ADDRESS/LENGTH`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/').unwrap_or((text, "32"));
        let length = length.parse().ok().filter(|length| *length <= 32)?;
        Some(Self { address: address.parse().ok()?, length })
    }

    fn overlaps(self, other: Self) -> bool {
        let shared = u32::from(self.length.min(other.length));
        let differing = self.address.to_bits() ^ other.address.to_bits();
        shared == 0 || differing >> (32 - shared) == 0
    }
}

/// A /24 that overlaps none of `used`. The search starts at a place given by the cluster's id, so that
/// clusters started at the same moment choose apart.
pub fn choose_subnet(cluster: ClusterId, used: &[Subnet]) -> Option<Ipv4Addr> {
    let count = (SUBNET_LAST - SUBNET_FIRST + 1) * 256;
    let start = (cluster.0 % u64::from(count)) as u32;
    (0..count)
        .map(|step| (10 << 24) + (SUBNET_FIRST << 16) + (((start + step) % count) << 8))
        .map(Ipv4Addr::from_bits)
        .find(|address| !used.iter().any(|used| used.overlaps(Subnet { address: *address, length: 24 })))
}

/// The loopback ports that a cluster may choose from, in the order to try them: like subnets, from a
/// place given by its id.
pub fn ports(cluster: ClusterId) -> impl Iterator<Item = u16> {
    let start = (cluster.0 % PORTS.len() as u64) as u16;
    (PORTS.start + start..PORTS.end).chain(PORTS.start..PORTS.start + start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(texts: &[&str]) -> Vec<Subnet> {
        texts.iter().map(|text| Subnet::parse(text).expect(text)).collect()
    }

    fn counting() -> impl FnMut() -> anyhow::Result<u16> {
        let mut next = 20_000;
        move || {
            next += 1;
            Ok(next)
        }
    }

    #[test]
    fn a_free_subnet_is_found_or_the_lack_of_one_is_told() {
        let id = ClusterId(5);
        let cases: [(&[&str], Option<&str>); 6] = [
            (&[], Some("10.128.5.0")),
            (&["10.128.5.0/24"], Some("10.128.6.0")),
            (&["10.128.4.7", "10.128.5.200/32", "10.128.6.0/23"], Some("10.128.8.0")),
            (&["192.0.2.0/24", "10.96.0.0/12"], Some("10.128.5.0")),
            (&["10.128.0.0/9"], None),
            (&["0.0.0.0/0"], None),
        ];
        for (used_texts, expected) in cases {
            let chosen = choose_subnet(id, &used(used_texts)).map(|address| address.to_string());
            assert_eq!(chosen.as_deref(), expected, "{used_texts:?}");
        }
        let last = ClusterId(u64::from((SUBNET_LAST - SUBNET_FIRST + 1) * 256 - 1));
        let around = choose_subnet(last, &used(&["10.250.255.0/24"]));
        assert_eq!(around, Some(Ipv4Addr::new(10, 128, 0, 0)));
    }

    #[test]
    fn on_a_bridge_addresses_follow_from_the_subnet() {
        let network = Network::Bridge { subnet: Ipv4Addr::new(10, 130, 7, 0) };
        let mut file = ClusterFile::new(ClusterId(9), network, &mut counting()).expect("new");
        file.grow(2, &mut counting()).expect("grow");
        let places: Vec<_> =
            file.masters.iter().map(|m| format!("{} {} {}", m.name, m.api, m.peer)).collect();
        assert_eq!(file.stable.to_string(), "10.130.7.1:6443");
        assert_eq!(
            places,
            ["master-1 10.130.7.11:6443 10.130.7.11:6444", "master-2 10.130.7.12:6443 10.130.7.12:6444"]
        );
    }

    #[test]
    fn a_cluster_grows_and_never_shrinks() {
        let mut file = ClusterFile::new(ClusterId(9), Network::Loopback, &mut counting()).expect("new");
        file.grow(3, &mut counting()).expect("grow");
        let before = file.clone();
        file.grow(3, &mut counting()).expect("the same again");
        assert_eq!(file, before);
        let shrunk = file.grow(2, &mut counting()).expect_err("fewer");
        assert!(shrunk.to_string().contains("--masters only adds"), "{shrunk}");
        assert!(file.grow(MASTERS_MAX + 1, &mut counting()).is_err());
        assert_eq!(file, before);
        let text = serde_json::to_string(&file).expect("json");
        assert_eq!(ClusterFile::parse(&text).expect("parse"), file);
        assert!(ClusterFile::parse(&text.replace("\"format\":1", "\"format\":2")).is_err());
    }

    #[test]
    fn nodes_are_hosts_on_the_bridge() {
        let network = Network::Bridge { subnet: Ipv4Addr::new(10, 130, 7, 0) };
        let mut file = ClusterFile::new(ClusterId(9), network, &mut counting()).expect("new");
        file.grow_nodes(2).expect("grow");
        file.grow_nodes(2).expect("the same again");
        let places: Vec<_> =
            file.nodes.iter().map(|node| format!("{} {}", node.name, node.address)).collect();
        assert_eq!(places, ["node-1 10.130.7.101", "node-2 10.130.7.102"]);
        assert!(file.grow_nodes(1).expect_err("fewer").to_string().contains("--nodes only adds"));
        assert!(file.grow_nodes(NODES_MAX + 1).is_err());
        let mut loopback = ClusterFile::new(ClusterId(9), Network::Loopback, &mut counting()).expect("new");
        loopback.grow_nodes(0).expect("none");
        assert!(loopback.grow_nodes(1).is_err());
    }

    #[test]
    fn ports_of_masters_that_do_not_run_are_not_given_again() {
        let mut file = ClusterFile::new(ClusterId(9), Network::Loopback, &mut counting()).expect("new");
        // Each begins at the same port, as if nobody listened on any.
        file.grow(2, &mut counting()).expect("grow");
        file.grow(3, &mut counting()).expect("grow");
        let all: Vec<u16> = file.masters.iter().flat_map(|m| [m.api.port, m.peer.port]).collect();
        assert_eq!((file.stable.port, all), (20_001, (20_002..=20_007).collect()));
    }

    #[test]
    fn every_port_is_tried_once() {
        let id = ClusterId(PORTS.len() as u64 * 7 + 11_999);
        assert_eq!(ports(id).take(2).collect::<Vec<_>>(), [31_999, 20_000]);
        let mut all: Vec<u16> = ports(id).collect();
        all.sort_unstable();
        assert_eq!(all, PORTS.collect::<Vec<_>>());
    }
}
