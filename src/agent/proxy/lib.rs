//! Services on one node: every address and port of a Service leads to one of its endpoints.
//!
//! Events fold into a [`World`]; [`plan()`] makes a [`Ruleset`] of it; [`difference()`] makes a [`Batch`] of
//! two rulesets, which [`Packets`] runs as one transaction on one nftables table of ours.
//!
//! # The path of a packet
//! The first packet of a connection is looked up once by destination, protocol and port, in a map that leads
//! to the chain of that port, where an endpoint is chosen; later packets follow what connection tracking
//! remembers. So the cost does not grow with the number of services. What no Service took, though it is sent
//! to one or into the range of cluster IPs, is refused behind that.
//!
//! # Assumptions
//! The node has a route that fits cluster IPs, such as the default route: a process on the node gets no
//! further than the routing table without one, before any rule is asked.

mod conntrack;
mod difference;
mod fake;
mod flows;
mod json;
mod packets;
mod plan;
mod proxy;
mod rules;
mod service;
mod text;
mod world;

#[cfg(test)]
mod tests;

pub use difference::{Batch, Command, difference, replacement};
pub use fake::{FakePackets, Model};
pub use flows::{Expected, Flow, is_stale};
pub use packets::{Nft, Packets, PacketsError};
pub use plan::{FrameChain, Ruleset, TABLE, plan, replan};
pub use proxy::{Handle, Proxy, ProxyEvent, remove};
pub use rules::{Clause, Family, Hook, Key, MASQUERADE_MARK, Name, Protocol, Rule, Side, Table, Verdict};
pub use service::Part;
pub use world::{Node, ServiceKey, World};
