//! Into the log.

use std::sync::Arc;

use base::ids::NodeId;
use bytes::Bytes;
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use tokio::sync::oneshot;

use super::{AppendError, Handle};
use crate::limits::{ENTRY_OVERHEAD_BYTES, PAYLOAD_BYTES_MAX};
use crate::types::{Command, LeaderId, Proposer, TypeConfig};

impl Handle {
    /// As the leader of `term`: resolves once the entry stands in this master's log. Its outcome is
    /// learned by whoever applies it, here or elsewhere.
    ///
    /// Waits while [`crate::limits::IN_FLIGHT_BYTES_MAX`] are in flight. Dropped before it resolved,
    /// the outcome is unknown.
    ///
    /// # Errors
    /// [`AppendError::NotAppended`], [`AppendError::OutOfSpace`] and [`AppendError::TooLarge`] say that
    /// the entry is in no log and never will be; the others leave it open.
    pub async fn append(&self, term: u64, payload: Bytes) -> Result<(), AppendError> {
        let size_bytes = payload.len();
        if size_bytes > PAYLOAD_BYTES_MAX {
            return Err(AppendError::TooLarge { size_bytes, size_bytes_max: PAYLOAD_BYTES_MAX });
        }
        if self.space_is_low() {
            return Err(AppendError::OutOfSpace);
        }
        self.check_leads(term)?;
        let share = (size_bytes + ENTRY_OVERHEAD_BYTES) as u32;
        let in_flight = Arc::clone(&self.0.in_flight).acquire_many_owned(share).await;
        let in_flight = in_flight.map_err(|_| AppendError::Stopped)?;

        let (told_appended, appended) = oneshot::channel();
        let (outcome, told_outcome) = oneshot::channel();
        let leader = LeaderId { term, node_id: self.node() };
        let write = self.0.raft.write(Command::proposed(payload, told_appended)).with_leader(leader);
        let sent = write.responder(Proposer { outcome, in_flight }).await;
        sent.map_err(|_fatal| AppendError::Stopped)?;
        tokio::select! {
            biased;
            Ok(()) = appended => Ok(()),
            outcome = told_outcome => verdict(outcome.ok()),
        }
    }

    /// Whether this master takes no new entries, its own or a leader's, for lack of disk space.
    pub fn space_is_low(&self) -> bool {
        (self.0.options.space_is_low)()
    }

    /// Refuses early what openraft would refuse too, without waiting for room in flight.
    fn check_leads(&self, term: u64) -> Result<(), AppendError> {
        let leadership = self.0.leadership.borrow();
        if leadership.am_leader && leadership.term == term {
            return Ok(());
        }
        Err(AppendError::NotAppended { leader: leadership.leader })
    }
}

/// What openraft says of an entry that was not seen entering the log.
fn verdict(outcome: Option<ClientWriteResult<TypeConfig>>) -> Result<(), AppendError> {
    match outcome {
        Some(Ok(_applied)) => Ok(()),
        Some(Err(ClientWriteError::ForwardToLeader(forward))) => not_appended(forward.leader_id),
        Some(Err(_discarded)) => Err(AppendError::Unknown),
        None => Err(AppendError::Stopped),
    }
}

fn not_appended(leader: Option<NodeId>) -> Result<(), AppendError> {
    Err(AppendError::NotAppended { leader })
}
