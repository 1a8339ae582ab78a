//! What the operations of a [`crate::Handle`] fail with.

use base::ids::NodeId;

use crate::limits::READS_WAITING_MAX;
use crate::transport::TransportError;

/// Why Raft did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The stored log or vote cannot be read or continued.
    #[error("reading the Raft log failed: {0}")]
    Storage(String),
    /// The timing makes no sense.
    #[error("the Raft timing is refused: {0}")]
    Timing(String),
    /// The operating system refused a thread.
    #[error("starting a thread for Raft failed")]
    Thread(#[source] std::io::Error),
}

/// Why a cluster was not initialized.
#[derive(Debug, thiserror::Error)]
pub enum InitializeError {
    /// This master already has a log: it belongs to a cluster.
    #[error("this master already belongs to a cluster: {0}")]
    NotPristine(String),
    /// Raft ended, or its disk failed.
    #[error("raft stopped")]
    Stopped,
}

/// What is known of an entry that was not confirmed to be in the leader's log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Certainly in no log, now and later: this master does not lead the term named.
    #[error("not appended: this master does not lead that term")]
    NotAppended {
        /// Who leads, when known.
        leader: Option<NodeId>,
    },
    /// Certainly in no log: the disk is nearly full.
    #[error("not appended: the leader's disk is nearly full; free space there")]
    OutOfSpace,
    /// Certainly in no log: above [`crate::limits::PAYLOAD_BYTES_MAX`].
    #[error("not appended: a payload of {size_bytes} bytes is above the limit of {size_bytes_max}")]
    TooLarge {
        /// Its size.
        size_bytes: usize,
        /// The limit.
        size_bytes_max: usize,
    },
    /// It may be in the log, now or later.
    #[error("the outcome of an append is unknown")]
    Unknown,
    /// Raft ended meanwhile; it may be in the log.
    #[error("raft stopped while appending")]
    Stopped,
}

/// Why there is no read index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nobody leads, as far as this master knows.
    #[error("no master leads at the moment")]
    NoLeader,
    /// The leader is not confirmed by a quorum.
    #[error("the leader could not confirm its leadership: {0}")]
    NoQuorum(String),
    /// As many reads wait here as may.
    #[error("{READS_WAITING_MAX} reads wait on this master for a quorum, as many as may; try again")]
    Busy,
    /// The leader did not answer.
    #[error("asking the leader for a read index failed: {0}")]
    Leader(#[from] TransportError),
    /// Raft ended.
    #[error("raft stopped")]
    Stopped,
}

/// Why the members did not change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Only the leader changes members.
    #[error("this master does not lead")]
    NotLeader {
        /// Who does, when known.
        leader: Option<NodeId>,
    },
    /// The learner is known to the cluster but does not catch up; it stays a learner.
    #[error(
        "master {node} was added but does not catch up: {lag} entries behind; is it running and reachable?"
    )]
    NotCaughtUp {
        /// The learner.
        node: NodeId,
        /// How far behind it is.
        lag: u64,
    },
    /// Another change is under way, or this one makes no sense.
    #[error("the change of members was refused: {0}")]
    Refused(String),
    /// Not decided in time; look at the membership before trying again.
    #[error("the change of members was not committed in time: it may still happen")]
    Unknown,
    /// Raft ended.
    #[error("raft stopped")]
    Stopped,
}

/// Why leadership did not move.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Only the leader can hand leadership over.
    #[error("this master does not lead")]
    NotLeader {
        /// Who does, when known.
        leader: Option<NodeId>,
    },
    /// There is no such voter, or no other voter at all.
    #[error("there is no voter to hand leadership to")]
    NoTarget,
    /// Nobody took over in time; an election decides who leads.
    #[error("master {to} did not take over in time")]
    TimedOut {
        /// Who should have.
        to: NodeId,
    },
    /// Raft ended.
    #[error("raft stopped")]
    Stopped,
}

/// Why a call to another master has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The id is not a member's.
    #[error("master {0} is not a member")]
    NotMember(NodeId),
    /// It was not reached, or did not answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
}
