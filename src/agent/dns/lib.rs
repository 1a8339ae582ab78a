//! Names of services and pods: the authority for the cluster's domain, on every node.
//!
//! [`Records`] is an index folded from Services and EndpointSlices; [`Zone::answer`] is a pure function of it and a
//! question; [`Server`] speaks UDP and TCP. What is not the cluster's is asked of the host's resolvers, and kept for
//! a while.
//!
//! # Where it listens
//! At port 53 of the bridge's address, the first of the node's pod CIDR: pods of the node reach it, and so does the
//! node itself. The cluster DNS Service gets no rule of its own: it is a Service without selector, and each agent
//! tells *its* proxy a slice with the bridge's address as the one endpoint. So the usual translation leads
//! every pod, with a network of its own or the host's, to the server of its node, and none further.
//!
//! # Caveats
//! Whether there is a pod behind `10-1-1-2.default.pod`, or such a namespace, is not asked: only Services are known.

mod answer;
mod cache;
mod records;
mod server;
mod upstream;

#[cfg(test)]
mod tests;

pub use answer::{Answer, Reply, TTL_S, Zone};
pub use records::Records;
pub use server::{Dns, DnsEvent, Server};
pub use upstream::{complaint, resolvers};
