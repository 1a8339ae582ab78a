//! The types openraft is instantiated with. None of them leaves this crate.

use std::fmt;
use std::sync::Arc;

use base::ids::NodeId;
use bytes::Bytes;
use openraft::alias as of;
use openraft::raft::responder::Responder;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::machine::Position;
use crate::member::Member;
use crate::runtime::Runtime;

/// Our instance of openraft. Written out because the macro cannot name a generic responder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TypeConfig;

impl openraft::RaftTypeConfig for TypeConfig {
    type D = Command;
    type R = ();
    type NodeId = NodeId;
    type Node = Member;
    type Term = u64;
    type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, NodeId>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Command, NodeId, Member>;
    type Entry = openraft::impls::Entry<LeaderId, Self::Payload>;
    type AsyncRuntime = Runtime;
    type Responder<T: openraft::OptionalSend + 'static> = Proposer<T>;
    type Batch<T: openraft::OptionalSend + 'static> = openraft::impls::InlineBatch<T>;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// Told what became of a proposal; its share of the bytes in flight is free again from then on.
pub(crate) struct Proposer<T> {
    pub(crate) outcome: oneshot::Sender<T>,
    pub(crate) in_flight: OwnedSemaphorePermit,
}

impl<T: openraft::OptionalSend + 'static> Responder<TypeConfig, T> for Proposer<T> {
    fn on_complete(self, result: T) {
        drop(self.in_flight);
        // A closed receiver is a proposer that was told enough when the entry stood in the log.
        let _ = self.outcome.send(result);
    }
}

pub(crate) type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, NodeId>;
pub(crate) type LogId = of::LogIdOf<TypeConfig>;
pub(crate) type Vote = of::VoteOf<TypeConfig>;
pub(crate) type RaftEntry = of::EntryOf<TypeConfig>;
pub(crate) type EntryPayload = of::PayloadOf<TypeConfig>;
pub(crate) type RaftMembership = openraft::Membership<NodeId, Member>;
pub(crate) type StoredMembership = of::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = of::SnapshotMetaOf<TypeConfig>;
pub(crate) type Raft = openraft::Raft<TypeConfig, crate::adapter::Adapter>;

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
