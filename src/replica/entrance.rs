//! The way to the log from another process: what `make bench` measures the log by itself with.

use std::sync::Arc;
use std::time::Duration;

use base::ids::NodeId;
use raft::{Member, Transport, TransportError};
use state::Txn;

use crate::lane::{Address, Encoded, Verdict};
use crate::peer;

/// How long a proposal may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// A connection to a leader, from a process that holds a master's certificate.
pub struct Entrance {
    transport: Arc<dyn Transport>,
    to: Address,
    member: Member,
}

/// Why a proposal was not applied, or is not known to be.
#[derive(Debug, thiserror::Error)]
pub enum EntranceError {
    /// It is no transaction that a log may hold.
    #[error("the transaction is refused: {0}")]
    Invalid(#[from] state::Oversize),
    /// The master could not be asked.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The master did not take it, or did not apply it in time.
    #[error("the master did not apply the transaction")]
    NotApplied,
}

impl Entrance {
    /// To the master that leads `term`.
    pub fn new(transport: Arc<dyn Transport>, leader: NodeId, term: u64, member: Member) -> Self {
        Self { transport, to: Address { leader, term }, member }
    }

    /// Proposes `txn`; resolves when the leader has applied it, whatever its outcome, which it does only
    /// once a quorum has synced it.
    ///
    /// # Errors
    /// See [`EntranceError`].
    pub async fn propose(&self, txn: &Txn) -> Result<(), EntranceError> {
        let encoded = Encoded { request: txn.stamp.request, bytes: state::codec::encode_txn(txn)? };
        let body = peer::encode_propose(self.to, &[encoded]);
        let kind = peer::PROPOSE_AND_APPLY;
        let reply = raft::call(&*self.transport, self.to.leader, &self.member, kind, body, DEADLINE).await?;
        match peer::decode_verdict(&reply) {
            Verdict::Appended => Ok(()),
            _ => Err(EntranceError::NotApplied),
        }
    }
}
