//! What a master's Raft is started with.

use std::sync::Arc;
use std::time::Duration;

use base::ids::{ClusterId, NodeId};

use crate::limits;
use crate::member::Member;

/// Answers whether the disk is so full that new entries must be refused.
pub type SpaceCheck = Arc<dyn Fn() -> bool + Send + Sync>;

/// How fast a cluster reacts. The same on all members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// See [`limits::HEARTBEAT`].
    pub heartbeat: Duration,
    /// See [`limits::ELECTION_MIN`].
    pub election_min: Duration,
    /// See [`limits::ELECTION_MAX`].
    pub election_max: Duration,
    /// See [`limits::QUORUM_LOSS_PROBE`].
    pub quorum_loss_probe: Duration,
    /// See [`limits::APPEND_DEADLINE`].
    pub append_deadline: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: limits::HEARTBEAT,
            election_min: limits::ELECTION_MIN,
            election_max: limits::ELECTION_MAX,
            quorum_loss_probe: limits::QUORUM_LOSS_PROBE,
            append_deadline: limits::APPEND_DEADLINE,
        }
    }
}

/// Who this master is and what bounds its log.
#[derive(Clone)]
pub struct Options {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Its id.
    pub node: NodeId,
    /// How the others know it.
    pub me: Member,
    /// How fast the cluster reacts.
    pub timing: Timing,
    /// A snapshot is taken once this many bytes were appended since the last one.
    pub snapshot_after_bytes: u64,
    /// Bytes of log kept behind a snapshot, for followers that are slow or were away.
    pub log_kept_bytes: u64,
    /// Whether new entries must be refused for lack of space. Called often: must be cheap.
    pub space_is_low: SpaceCheck,
    /// Lets entries and snapshots reach the core as they come, and counts the snapshots.
    #[cfg(test)]
    pub(crate) open_door: Option<Arc<std::sync::atomic::AtomicU64>>,
}

impl Options {
    /// The defaults of [`limits`], and space that never ends.
    pub fn new(cluster: ClusterId, node: NodeId, me: Member) -> Self {
        Self {
            cluster,
            node,
            me,
            timing: Timing::default(),
            snapshot_after_bytes: limits::SNAPSHOT_AFTER_BYTES,
            log_kept_bytes: limits::LOG_KEPT_BYTES,
            space_is_low: Arc::new(|| false),
            #[cfg(test)]
            open_door: None,
        }
    }
}
