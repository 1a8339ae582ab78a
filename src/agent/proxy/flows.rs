//! Datagrams that still flow to where they may not go any more.
//!
//! A connection's translation is decided with its first packet. One of TCP ends with its endpoint; datagrams
//! from one port go on as one "connection" for as long as they come, though nobody answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::plan::Ruleset;
use crate::rules::{Key, Protocol};

/// Where datagrams to each key may flow.
pub type Expected = BTreeMap<Key, BTreeSet<SocketAddr>>;

/// Datagrams between two ports, as connection tracking knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Where the client sends to.
    pub destination: SocketAddr,
    /// Who answers: the endpoint, if the destination was translated.
    pub answers: SocketAddr,
}

/// Whether a flow must be forgotten, so that its next datagram is translated anew.
pub fn is_stale(expected: &Expected, flow: &Flow) -> bool {
    let (address, port) = (flow.destination.ip(), flow.destination.port());
    if let Some(to) = expected.get(&Key::Address(address, Protocol::Udp, port)) {
        return !to.contains(&flow.answers);
    }
    // The same number on another host is no port of ours, and nobody translated it here.
    let translated = flow.answers != flow.destination;
    let to = expected.get(&Key::NodePort(Protocol::Udp, port)).filter(|_| translated);
    to.is_some_and(|to| !to.contains(&flow.answers))
}

/// The keys for which flows may have become stale between two rulesets: those that lost an endpoint, that
/// came, and that went.
pub fn to_check(old: Option<&Ruleset>, new: &Ruleset) -> Expected {
    let mut expected = Expected::new();
    for (service, part) in &new.parts {
        let before = old.and_then(|old| old.parts.get(service));
        if before.is_some_and(|before| std::sync::Arc::ptr_eq(before, part)) {
            continue;
        }
        for (key, to) in &part.datagrams {
            let known = before.and_then(|before| before.datagrams.get(key));
            if known.is_none_or(|known| !known.is_subset(to)) {
                expected.insert(*key, to.clone());
            }
        }
    }
    for (service, part) in old.iter().flat_map(|old| &old.parts) {
        let after = new.parts.get(service);
        if after.is_some_and(|after| std::sync::Arc::ptr_eq(after, part)) {
            continue;
        }
        for key in part.datagrams.keys() {
            if after.is_none_or(|after| !after.datagrams.contains_key(key)) {
                // Unless another Service has the key now.
                expected.entry(*key).or_default();
            }
        }
    }
    expected
}
