//! The table `keelson-network`: what pods may send where, and ports of the host that are pods'.
//!
//! It is small and replaced as a whole, so it is written in nft's own words.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::BRIDGE;

/// The name of our table.
pub const TABLE: &str = "keelson-network";

/// What a port can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
    /// Streams of messages.
    Sctp,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// A port of the host that leads to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostPort {
    /// What it speaks.
    pub protocol: Protocol,
    /// At which address of the host; every one if none is said.
    pub host_ip: Option<Ipv4Addr>,
    /// The number at the host.
    pub host_port: u16,
    /// The number in the pod.
    pub container_port: u16,
}

/// What the rules depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// This node's pods.
    pub pod_cidr: Ipv4Net,
    /// All pods of the cluster.
    pub cluster_cidrs: Vec<Ipv4Net>,
    /// Each with the address of its pod.
    pub host_ports: BTreeSet<(HostPort, Ipv4Addr)>,
}

/// The transaction that replaces the table, in nft's words.
pub fn text(rules: &Rules) -> String {
    let pods = rules.pod_cidr;
    let cluster: Vec<String> = rules.cluster_cidrs.iter().chain([&pods]).map(ToString::to_string).collect();
    let cluster = cluster.join(", ");
    let mut ports = String::new();
    // Ports at one address before those at every address: the first that fits decides.
    let only_at = |port: &HostPort| port.host_ip.filter(|address| !address.is_unspecified());
    let (at_one, at_all): (Vec<_>, Vec<_>) =
        rules.host_ports.iter().copied().partition(|(port, _)| only_at(port).is_some());
    for (port, pod) in at_one.into_iter().chain(at_all) {
        let at = only_at(&port).map_or_else(String::new, |address| format!("ip daddr {address} "));
        let target = SocketAddrV4::new(pod, port.container_port);
        let _ = writeln!(ports, "\t\t{at}{} dport {} dnat to {target}", port.protocol.name(), port.host_port);
    }
    let mut hairpins = String::new();
    let targets: BTreeSet<Ipv4Addr> = rules.host_ports.iter().map(|(_, pod)| *pod).collect();
    for pod in targets {
        let _ =
            writeln!(hairpins, "\t\tct status dnat ip saddr {pod} ip daddr {pod} masquerade fully-random");
    }
    format!(
        "add table ip {TABLE}
delete table ip {TABLE}
table ip {TABLE} {{
	chain raw-prerouting {{
		type filter hook prerouting priority -300; policy accept;
		iifname {BRIDGE} ip daddr 127.0.0.0/8 drop
	}}
	chain nat-prerouting {{
		type nat hook prerouting priority -101; policy accept;
		fib daddr type local jump host-ports
	}}
	chain nat-output {{
		type nat hook output priority -101; policy accept;
		fib daddr type local jump host-ports
	}}
	chain host-ports {{
{ports}	}}
	chain nat-postrouting {{
		type nat hook postrouting priority 99; policy accept;
		ip saddr 127.0.0.0/8 oifname {BRIDGE} masquerade fully-random
{hairpins}		ip saddr {pods} ip daddr != {{ {cluster} }} oifname != {BRIDGE} masquerade fully-random
	}}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn pods_leave_masqueraded_and_ports_of_the_host_lead_to_them() {
        let port = |host_ip: Option<Ipv4Addr>, host_port| HostPort {
            protocol: Protocol::Tcp,
            host_ip,
            host_port,
            container_port: 80,
        };
        let pod = Ipv4Addr::new(10, 1, 1, 2);
        let rules = Rules {
            pod_cidr: "10.1.1.0/24".parse().expect("a network"),
            cluster_cidrs: vec!["10.1.0.0/16".parse().expect("a network")],
            host_ports: [(port(None, 8080), pod), (port(Some(Ipv4Addr::LOCALHOST), 8080), pod)].into(),
        };
        expect![[r#"
            add table ip keelson-network
            delete table ip keelson-network
            table ip keelson-network {
            	chain raw-prerouting {
            		type filter hook prerouting priority -300; policy accept;
            		iifname keelson0 ip daddr 127.0.0.0/8 drop
            	}
            	chain nat-prerouting {
            		type nat hook prerouting priority -101; policy accept;
            		fib daddr type local jump host-ports
            	}
            	chain nat-output {
            		type nat hook output priority -101; policy accept;
            		fib daddr type local jump host-ports
            	}
            	chain host-ports {
            		ip daddr 127.0.0.1 tcp dport 8080 dnat to 10.1.1.2:80
            		tcp dport 8080 dnat to 10.1.1.2:80
            	}
            	chain nat-postrouting {
            		type nat hook postrouting priority 99; policy accept;
            		ip saddr 127.0.0.0/8 oifname keelson0 masquerade fully-random
            		ct status dnat ip saddr 10.1.1.2 ip daddr 10.1.1.2 masquerade fully-random
            		ip saddr 10.1.1.0/24 ip daddr != { 10.1.0.0/16, 10.1.1.0/24 } oifname != keelson0 masquerade fully-random
            	}
            }
        "#]].assert_eq(&text(&rules));
    }
}
