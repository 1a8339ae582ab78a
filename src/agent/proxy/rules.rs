//! What a ruleset is made of: addresses, rules and the keys of maps, as plain data.
//!
//! Every clause has a rendering for `nft` (`json.rs`) and one for people and tests (`text.rs`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

/// The bit of a packet's mark that asks for masquerading; the kubelet's and kube-proxy's by default.
pub const MASQUERADE_MARK: u32 = 0x4000;

/// Where unconditional refusals are spoken.
pub const REJECT_CHAIN: &str = "reject";

/// The name of a chain or set. Shared: each stands in several rules.
pub type Name = Arc<str>;

/// Which of the two internets a ruleset is for. A node with both has a ruleset for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// nft's name for tables of this family, and for the header in which addresses stand.
    pub fn header(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }

    /// nft's name for the type of an address.
    pub fn address_type(self) -> &'static str {
        match self {
            Self::V4 => "ipv4_addr",
            Self::V6 => "ipv6_addr",
        }
    }

    /// nft's name for the control messages of this family.
    pub fn control(self) -> &'static str {
        match self {
            Self::V4 => "icmp",
            Self::V6 => "icmpv6",
        }
    }

    /// What never leaves a host.
    pub fn loopback(self) -> IpNet {
        match self {
            Self::V4 => IpNet::V4(ipnet::Ipv4Net::new_assert([127, 0, 0, 0].into(), 8)),
            Self::V6 => IpNet::V6(ipnet::Ipv6Net::new_assert(std::net::Ipv6Addr::LOCALHOST, 128)),
        }
    }

    /// Whether `address` belongs to this family.
    pub fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

/// What a Service's port can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// The default.
    Tcp,
    /// Datagrams; their flows are forgotten when an endpoint goes.
    Udp,
    /// Streams of messages.
    Sctp,
}

impl Protocol {
    /// Reads Kubernetes' name; TCP where none is given, `None` for what no rule can be made of.
    pub fn parse(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("TCP") => Some(Self::Tcp),
            Some("UDP") => Some(Self::Udp),
            Some("SCTP") => Some(Self::Sctp),
            Some(_) => None,
        }
    }

    /// nft's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// Which address of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where it comes from.
    Source,
    /// Where it goes.
    Destination,
}

impl Side {
    /// nft's name of the field.
    pub fn field(self) -> &'static str {
        match self {
            Self::Source => "saddr",
            Self::Destination => "daddr",
        }
    }
}

/// One part of a rule: conditions first, then what is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clause {
    /// The address is in (or, if `outside`, not in) one of the networks.
    Address { side: Side, outside: bool, of: Vec<IpNet> },
    /// The source was remembered in this set and is not forgotten yet.
    Remembered(Name),
    /// The address is one of this host's own.
    Local(Side),
    /// The packet speaks this protocol.
    Transport(Protocol),
    /// The packet begins a connection.
    New,
    /// The destination was not translated.
    Untranslated,
    /// The packet asks for masquerading.
    Marked,
    /// Source and destination are one endpoint of this node.
    Hairpin,
    /// Asks for masquerading.
    Mark,
    /// Takes that back.
    Unmark,
    /// Remembers the source in the set, for some seconds.
    Remember { set: Name, timeout_s: u32 },
    /// Looks destination, protocol and port up in the map and obeys.
    LookUp(Table),
    /// Goes on in one of the chains, at random.
    OneOf(Vec<Name>),
    /// Sends the connection to one of the addresses, at random.
    Translate(Vec<SocketAddr>),
    /// Gives the packet an address of this host as its source.
    Masquerade,
    /// Answers that the connection is reset.
    Reset,
    /// Answers that the port cannot be reached.
    Unreachable,
    /// Goes on in the chain, and comes back.
    Jump(Name),
    /// Goes on in the chain.
    Goto(Name),
}

/// A rule: all conditions hold, then everything is done, from left to right.
pub type Rule = Vec<Clause>;

/// The maps and sets that exist for all services together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Endpoints of this node, each paired with itself.
    Hairpins,
    /// Address, protocol and port of services without endpoints, to what becomes of the packet.
    MissingAddresses,
    /// The same, for node ports.
    MissingNodePorts,
    /// Address, protocol and port of services with endpoints, to the chain of the port.
    ServiceAddresses,
    /// The same, for node ports.
    ServiceNodePorts,
}

impl Table {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::Hairpins,
        Self::MissingAddresses,
        Self::MissingNodePorts,
        Self::ServiceAddresses,
        Self::ServiceNodePorts,
    ];

    /// Its name in nft.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hairpins => "hairpins",
            Self::MissingAddresses => "missing-addresses",
            Self::MissingNodePorts => "missing-node-ports",
            Self::ServiceAddresses => "service-addresses",
            Self::ServiceNodePorts => "service-node-ports",
        }
    }

    /// nft's names for the types of a key's fields.
    pub fn key_types(self, family: Family) -> Vec<&'static str> {
        let address = family.address_type();
        match self {
            Self::Hairpins => vec![address, address],
            Self::MissingAddresses | Self::ServiceAddresses => vec![address, "inet_proto", "inet_service"],
            Self::MissingNodePorts | Self::ServiceNodePorts => vec!["inet_proto", "inet_service"],
        }
    }

    /// Whether its keys have verdicts; a set's have none.
    pub fn is_map(self) -> bool {
        self != Self::Hairpins
    }
}

/// A key of a map or set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A port of an address.
    Address(IpAddr, Protocol, u16),
    /// A port of every address of the node.
    NodePort(Protocol, u16),
    /// An endpoint of this node.
    Hairpin(IpAddr),
}

/// What a map says about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it stands in a set.
    Member,
    /// Goes on in the chain.
    Goto(Name),
    /// No answer is given.
    Drop,
}

/// Where a chain hangs in the path of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// `nat` or `filter`.
    pub kind: &'static str,
    /// The point in the path.
    pub point: &'static str,
    /// Lower comes first.
    pub priority: i32,
}
