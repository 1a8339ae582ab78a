//! The pod network of one node: an address per pod, ways to the pods of other nodes, and the way out.
//!
//! # Shape
//! Each node has a pod CIDR. Its first address is the bridge's, which is the pods' way out; every pod has a cable
//! from its network namespace into the bridge. Other nodes' pod CIDRs are routes by those nodes' addresses, so
//! nodes must share a network. What leaves the cluster gets the node's address; between pods nothing is translated.
//!
//! What to do is decided by pure functions ([`routes::plan`], [`rules::text`], the allocation of addresses);
//! [`Links`] does it, in whatever network namespace the process is.

mod addresses;
mod error;
mod inside;
mod kernel;
mod links;
mod network;
pub mod routes;
pub mod rules;

#[cfg(test)]
mod tests;

pub use addresses::gateway;
pub use error::NetworkError;
pub use inside::connect_inside;
pub use kernel::Kernel;
pub use links::{Cable, FakeHost, FakeLinks, Links};
pub use network::{Network, Options};
pub use routes::NodeAddress;
pub use rules::{HostPort, Protocol};

/// The bridge that joins this node's pods.
pub const BRIDGE: &str = "keelson0";
