//! What only the leader knows: for how long nodes and masters have been silent while it could hear them.
//!
//! Wall time says nothing about silence: a master that was paused, or could not commit, heard nobody. So the leader
//! keeps a clock of its own, which advances only while it holds office and its log goes on, and notes by it when each
//! node was heard of last. A new leader starts every node's count at zero.

use std::sync::Arc;

use imbl::OrdMap;

/// What the keys of the leases begin with by which masters say that they live; the master's name follows. Their keys
/// stand for them here, so that a node may have a master's name.
pub const MASTERS: &str = "coordination.k8s.io/leases/kube-system/apiserver-";

/// The clock of an office, and when each node was heard of.
#[derive(Clone, Debug, Default)]
pub struct Office {
    clock_ms: u64,
    heard: OrdMap<Arc<str>, u64>,
}

impl Office {
    /// Lets time pass in which nodes could have been heard.
    pub fn advance(&mut self, elapsed_ms: u64) {
        self.clock_ms += elapsed_ms;
    }

    /// A node's lease changed, or it appeared.
    pub fn hear(&mut self, node: &str) {
        self.heard.insert(node.into(), self.clock_ms);
    }

    /// A node is gone.
    pub fn forget(&mut self, node: &str) {
        self.heard.remove(node);
    }

    /// For how long a node has been silent. One that was never heard of has been since the office began.
    pub fn silent_ms(&self, node: &str) -> u64 {
        self.clock_ms - self.heard.get(node).copied().unwrap_or(0).min(self.clock_ms)
    }
}
