//! By which numbers controllers act.

/// What the command line tells controllers; every master is told the same. The names are those of the flags that
/// Kubernetes has for it; spans are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long a node may be silent before it counts as gone.
    pub node_monitor_grace_ms: u64,
    /// The same for one that never spoke.
    pub node_startup_grace_ms: u64,
    /// The least time between two nodes of a zone that pods are driven from; `None`: they are driven from none.
    pub node_eviction_interval_ms: Option<u64>,
    /// The same in a large zone of which too many nodes do not answer.
    pub secondary_node_eviction_interval_ms: Option<u64>,
    /// Zones with more nodes are large; the others drive nobody out while too many of their nodes do not answer.
    pub large_cluster_size_threshold: usize,
    /// How many nodes of a zone are too many, in percent of it.
    pub unhealthy_zone_percent: usize,
    /// How many pods that ended may stay.
    pub terminated_pod_gc_threshold: usize,
    /// How long an Event stays after it was last written.
    pub event_ttl_ms: u64,
}

impl Default for Rules {
    /// As in Kubernetes, but for the grace, which is three renewals of a lease: a dead node's pods are replaced within
    /// fifteen seconds.
    fn default() -> Self {
        Self {
            node_monitor_grace_ms: 9_000,
            node_startup_grace_ms: 60_000,
            node_eviction_interval_ms: Some(10_000),
            secondary_node_eviction_interval_ms: Some(100_000),
            large_cluster_size_threshold: 50,
            unhealthy_zone_percent: 55,
            terminated_pod_gc_threshold: 12_500,
            event_ttl_ms: 60 * 60 * 1000,
        }
    }
}
