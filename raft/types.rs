//! The types openraft is instantiated with. None of them leaves this crate.

use std::fmt;
use std::sync::Arc;

use base::ids::NodeId;
use bytes::Bytes;
use openraft::alias::CommittedLeaderIdOf;
use openraft::type_config::alias as of;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::machine::Position;
use crate::member::Member;
use crate::runtime::Runtime;

openraft::declare_raft_types!(
    /// Our instance of openraft.
    pub(crate) TypeConfig:
        D = Command,
        R = (),
        NodeId = NodeId,
        Node = Member,
        AsyncRuntime = Runtime,
);

pub(crate) type LeaderId = CommittedLeaderIdOf<TypeConfig>;
pub(crate) type LogId = of::LogIdOf<TypeConfig>;
pub(crate) type Vote = of::VoteOf<TypeConfig>;
pub(crate) type RaftEntry = of::EntryOf<TypeConfig>;
pub(crate) type EntryPayload = of::PayloadOf<TypeConfig>;
pub(crate) type RaftMembership = openraft::Membership<NodeId, Member>;
pub(crate) type StoredMembership = of::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = of::SnapshotMetaOf<TypeConfig>;

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.peer)
    }
}

/// What was given to [`crate::Handle::append`], and whom to tell once it stands in the log.
#[derive(Clone)]
pub(crate) struct Command {
    pub(crate) payload: Bytes,
    appended: Option<Ticket>,
}

type Ticket = Arc<Mutex<Option<oneshot::Sender<()>>>>;

impl Command {
    /// A command read from a log or a frame: nobody waits for it here.
    pub(crate) fn stored(payload: Bytes) -> Self {
        Self { payload, appended: None }
    }

    /// A command to be proposed; `appended` fires when the log store took it.
    pub(crate) fn proposed(payload: Bytes, appended: oneshot::Sender<()>) -> Self {
        Self { payload, appended: Some(Arc::new(Mutex::new(Some(appended)))) }
    }

    /// Tells the proposer that the entry stands in the log, once.
    pub(crate) fn confirm_appended(&mut self) {
        if let Some(ticket) = self.appended.take()
            && let Some(appended) = ticket.lock().take()
        {
            // A closed receiver is a proposer that gave up.
            let _ = appended.send(());
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.payload.len())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.payload.len())
    }
}

impl PartialEq for Command {
    fn eq(&self, other: &Self) -> bool {
        self.payload == other.payload
    }
}

pub(crate) fn log_id(position: Position) -> LogId {
    LogId::new(LeaderId { term: position.term, node_id: position.leader }, position.index)
}

pub(crate) fn position(log_id: &LogId) -> Position {
    Position { term: log_id.leader_id.term, leader: log_id.leader_id.node_id, index: log_id.index }
}
