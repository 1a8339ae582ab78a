//! One write, from a transaction to its outcome.
//!
//! # Flow
//! The proposal goes to whoever leads, named with its term. The outcome is learned from this master's
//! own applied log, by request id, never from the call: so the answer is read-your-writes, and a lost
//! reply costs nothing. It is proposed again only when the leader certainly did not append it, or when
//! an entry of a later term was applied here without it (then it can no longer appear).
//!
//! # Errors
//! [`ProposeError::Unknown`] is the one answer that does not say whether the write happened.

use std::sync::Arc;

use base::env::{self, Instant};
use state::{Outcome, Txn};
use tokio::sync::oneshot;

use crate::appender::{Address, Claim, Encoded, Item, Verdict};
use crate::limits::{LAST_ATTEMPT, LEADER_RETRY, PROPOSE_TIMEOUT};
use crate::moment::Moment;
use crate::replica::Replica;
use crate::waiters::{Told, Waiting};

/// A transaction that was applied, also here.
#[derive(Clone, Debug)]
pub struct Committed {
    /// What came of it.
    pub outcome: Outcome,
    /// A State that includes it.
    pub moment: Arc<Moment>,
}

/// A transaction without an outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Certainly not applied, now or later.
    #[error("{reason}")]
    Unavailable {
        /// For people: what was missing.
        reason: String,
    },
    /// Certainly not applied: the leader's disk is full.
    #[error(
        "the leading master's disk is full: free space in its data directory, or transfer leadership with `kctl cluster transfer`"
    )]
    OutOfSpace,
    /// Certainly not applied: too large for an entry.
    #[error("{0}")]
    TooLarge(String),
    /// Perhaps applied.
    #[error("the outcome is unknown: no master confirmed the write in time; read before trying again")]
    Unknown,
}

impl Replica {
    /// Proposes `txn` and waits until its outcome is applied on this master.
    ///
    /// # Errors
    /// See [`ProposeError`]; within [`PROPOSE_TIMEOUT`].
    pub async fn propose(&self, txn: Txn) -> Result<Committed, ProposeError> {
        let bytes =
            state::codec::encode_txn(&txn).map_err(|error| ProposeError::TooLarge(error.to_string()))?;
        let encoded = Encoded { request: txn.stamp.request, bytes };
        let waiting = self.shared().waiters.register(encoded.request);
        let mut attempt =
            Attempt { replica: self, encoded, waiting, deadline: env::monotonic() + PROPOSE_TIMEOUT };
        let (outcome, moment) = attempt.run().await?;
        Ok(Committed { outcome, moment })
    }
}

struct Attempt<'a> {
    replica: &'a Replica,
    encoded: Encoded,
    waiting: Waiting<'a>,
    deadline: Instant,
}

impl Attempt<'_> {
    async fn run(&mut self) -> Result<Told, ProposeError> {
        loop {
            let Some(to) = self.leader().await else { return Err(no_leader()) };
            match self.send(to).await {
                // Lets a new leader come up.
                Verdict::NotAppended => env::sleep(LEADER_RETRY).await,
                Verdict::OutOfSpace => return Err(ProposeError::OutOfSpace),
                Verdict::TooLarge => return Err(too_large()),
                // Without an outcome a later term was applied: it is in no log that can still commit.
                Verdict::Appended | Verdict::Unknown => {
                    if let Some(told) = self.outcome_in(to.term).await? {
                        return Ok(told);
                    }
                }
            }
        }
    }

    /// Waits until somebody leads, while there is time for an attempt.
    async fn leader(&self) -> Option<Address> {
        let last_attempt = self.deadline - LAST_ATTEMPT;
        let mut leadership = self.replica.raft().leadership();
        let known = leadership.wait_for(|leadership| leadership.leader.is_some());
        let leadership = env::timeout_at(last_attempt, known).await.ok()?.ok()?;
        if env::monotonic() >= last_attempt {
            return None;
        }
        Some(Address { leader: leadership.leader?, term: leadership.term })
    }

    /// Hands the transaction to the lane of `to` and waits for the verdict.
    async fn send(&self, to: Address) -> Verdict {
        let shared = self.replica.shared();
        let lane =
            if to.leader == self.replica.raft().node() { &shared.append_lane } else { &shared.forward_lane };
        let (verdict, told) = oneshot::channel();
        let claim = Claim::default();
        let item = Item { to, txns: vec![self.encoded.clone()], claim: claim.clone(), verdict };
        let sent = async {
            match lane.send(item).await {
                Ok(()) => told.await.unwrap_or(Verdict::Unknown),
                Err(_) => Verdict::NotAppended,
            }
        };
        match env::timeout_at(self.deadline, sent).await {
            Ok(verdict) => verdict,
            // Taken back before it went anywhere.
            Err(_elapsed) if claim.take() => Verdict::NotAppended,
            Err(_elapsed) => Verdict::Unknown,
        }
    }

    /// Waits for the outcome; `None` once an entry of a term after `term` was applied without it.
    async fn outcome_in(&mut self, term: u64) -> Result<Option<Told>, ProposeError> {
        let request = self.encoded.request;
        let mut moments = self.replica.shared().moments.subscribe();
        let later = moments.wait_for(|moment| moment.term > term);
        tokio::select! {
            biased;
            told = &mut self.waiting.told => told.map(Some).map_err(|_| ProposeError::Unknown),
            () = env::sleep_until(self.deadline) => Err(ProposeError::Unknown),
            moment = later => {
                let moment = moment.map_err(|_| ProposeError::Unknown)?;
                Ok(moment.state.outcome(request).map(|outcome| (outcome, Arc::clone(&moment))))
            }
        }
    }
}

fn no_leader() -> ProposeError {
    ProposeError::Unavailable { reason: "no master leads: a quorum of masters is not reachable".to_owned() }
}

fn too_large() -> ProposeError {
    let what = "the change does not fit into one log entry; make it smaller or split it";
    ProposeError::TooLarge(what.to_owned())
}
