//! One write, from a transaction to its outcome.
//!
//! # Flow
//! The proposal goes to whoever leads, named with its term. The outcome is learned from this master's
//! own applied log, by request id, never from the call: so the answer is read-your-writes, and a lost
//! reply costs nothing. It is proposed again only when the leader certainly did not append it, or when
//! an entry of a later term was applied here without it (then it can no longer appear), provided that
//! State would still remember it.
//!
//! # Errors
//! [`ProposeError::Unknown`] is the one answer that does not say whether the write happened.

use std::sync::Arc;

use base::env::{self, Instant};
use state::state::OUTCOMES_KEPT;
use state::{Outcome, State, Txn};

use crate::lane::{Address, Encoded, Verdict};
use crate::limits::{LAST_ATTEMPT, LEADER_RETRY, PROPOSE_TIMEOUT};
use crate::moment::Moment;
use crate::replica::{Replica, Shared};
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
    /// Certainly not applied: this master's disk is full, so it would not learn the outcome.
    #[error("this master's disk is full: free space in its data directory, or write through another master")]
    OutOfSpaceHere,
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
        let awaited = Awaited::new(self.shared(), encoded.request, env::monotonic() + PROPOSE_TIMEOUT);
        let mut attempt = Attempt { replica: self, encoded, awaited };
        let (outcome, moment) = attempt.run().await?;
        Ok(Committed { outcome, moment })
    }
}

struct Attempt<'a> {
    replica: &'a Replica,
    encoded: Encoded,
    awaited: Awaited<'a>,
}

impl Attempt<'_> {
    async fn run(&mut self) -> Result<Told, ProposeError> {
        let mut refused = NO_LEADER;
        loop {
            let Some(to) = self.leader().await else { return Err(self.unavailable(refused)) };
            let raft = self.replica.raft();
            if to.leader != raft.node() && raft.space_is_low() {
                return Err(ProposeError::OutOfSpaceHere);
            }
            match self.send(to).await {
                Verdict::NotAppended => refused = REFUSED,
                Verdict::Busy => refused = BUSY,
                Verdict::OutOfSpace => return Err(ProposeError::OutOfSpace),
                Verdict::TooLarge => return Err(too_large()),
                // Without an outcome a later term was applied: it is in no log that can still commit.
                Verdict::Appended | Verdict::Unknown => {
                    if let Some(told) = self.awaited.outcome_in(to.term).await? {
                        return Ok(told);
                    }
                    continue;
                }
            }
            // Lets a new leader come up.
            env::sleep(LEADER_RETRY).await;
        }
    }

    /// Nothing was appended in time, for the reason given last, unless it is that nobody leads.
    fn unavailable(&self, refused: &str) -> ProposeError {
        let leads = self.replica.raft().leadership().borrow().leader.is_some();
        ProposeError::Unavailable { reason: if leads { refused } else { NO_LEADER }.to_owned() }
    }

    /// Waits until somebody leads, while there is time for an attempt.
    async fn leader(&self) -> Option<Address> {
        let last_attempt = self.awaited.deadline - LAST_ATTEMPT;
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
        let leads = to.leader == self.replica.raft().node();
        let lane = if leads { &shared.append_lane } else { &shared.forward_lane };
        lane.submit(to, vec![self.encoded.clone()], self.awaited.deadline).await
    }
}

/// A request whose outcome is looked for in what is applied here.
struct Awaited<'a> {
    shared: &'a Shared,
    request: u128,
    waiting: Waiting<'a>,
    deadline: Instant,
    /// How many outcomes were recorded before the first attempt: its own comes later.
    recorded_before: u64,
}

impl<'a> Awaited<'a> {
    fn new(shared: &'a Shared, request: u128, deadline: Instant) -> Self {
        let waiting = shared.waiters.register(request);
        let recorded_before = shared.moments.newest().state.outcomes_recorded();
        Self { shared, request, waiting, deadline, recorded_before }
    }

    /// Waits for the outcome; `None` once an entry of a term after `term` was applied without it.
    async fn outcome_in(&mut self, term: u64) -> Result<Option<Told>, ProposeError> {
        let mut moments = self.shared.moments.subscribe();
        let later = moments.wait_for(|moment| moment.term > term);
        tokio::select! {
            biased;
            told = &mut self.waiting.told => told.map(Some).map_err(|_| ProposeError::Unknown),
            () = env::sleep_until(self.deadline) => Err(ProposeError::Unknown),
            moment = later => {
                let moment = Arc::clone(&*moment.map_err(|_| ProposeError::Unknown)?);
                match moment.state.outcome(self.request) {
                    Some(outcome) => Ok(Some((outcome, moment))),
                    None if self.would_be_remembered(&moment.state) => Ok(None),
                    None => Err(ProposeError::Unknown),
                }
            }
        }
    }

    /// Whether `state` still remembers everything since the first attempt. It may not when an installed
    /// snapshot brought more outcomes at a time than are kept.
    fn would_be_remembered(&self, state: &State) -> bool {
        state.outcomes_recorded().saturating_sub(self.recorded_before) <= OUTCOMES_KEPT
    }
}

const NO_LEADER: &str = "no master leads: a quorum of masters is not reachable";
const REFUSED: &str = "no master took the write in time: who leads was changing; try again";
const BUSY: &str = "no master took the write in time: too many writes wait before it; try again later";

fn too_large() -> ProposeError {
    let what = "the change does not fit into one log entry; make it smaller or split it";
    ProposeError::TooLarge(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ENTRIES_IN_FLIGHT_MAX;
    use crate::testing::{Alone, lone_master, txn};

    /// What a master learns of a request of term 1 from a snapshot of term 2 in which so many others came
    /// after it, if it was there at all.
    async fn learned_from_a_snapshot(
        was_applied: bool,
        others: u128,
    ) -> Result<Option<Outcome>, ProposeError> {
        const REQUEST: u128 = u128::MAX;
        let (mut ahead, mut behind) = (Alone::new(), Alone::new());
        ahead.persist(u64::MAX);
        behind.persist(u64::MAX);
        let shared = Arc::clone(&behind.shared);
        let mut awaited = Awaited::new(&shared, REQUEST, env::monotonic() + PROPOSE_TIMEOUT);
        if was_applied {
            ahead.apply(vec![vec![txn(REQUEST, &[("configmaps", "a")], 0)]]).await;
        }
        let others: Vec<Txn> = (0..others).map(|request| txn(request, &[], 0)).collect();
        ahead.apply(others.chunks(state::limits::BATCH_TXNS_MAX).map(<[Txn]>::to_vec).collect()).await;
        ahead.begin_term().await;
        behind.install_from(&mut ahead).await;
        Ok(awaited.outcome_in(1).await?.map(|(outcome, _)| outcome))
    }

    #[test]
    fn a_write_that_found_no_place_says_so_and_is_not_written_later() {
        env::simulate(1, async {
            let replica = lone_master().await;
            let places = Arc::clone(&replica.shared().in_flight.places);
            let taken = places.acquire_many_owned(ENTRIES_IN_FLIGHT_MAX as u32).await.expect("is open");
            let refused = replica.propose(txn(1, &[("configmaps", "a")], 0)).await.err();
            assert_eq!(refused, Some(ProposeError::Unavailable { reason: BUSY.to_owned() }));
            drop(taken);
            let written = replica.propose(txn(2, &[("configmaps", "b")], 0)).await.expect("there are places");
            let names: Vec<_> = written.moment.state.range("").map(|object| object.key.to_string()).collect();
            assert_eq!(names, ["core/configmaps/default/b"]);
        });
    }

    #[test]
    fn what_a_snapshot_does_not_remember_is_unknown_and_not_absent() {
        let learned = |was_applied, others| env::simulate(1, learned_from_a_snapshot(was_applied, others));
        let kept = u128::from(OUTCOMES_KEPT);
        assert_eq!(learned(true, 5), Ok(Some(Outcome::Committed { revision: 1 })));
        assert_eq!(learned(false, 5), Ok(None));
        assert_eq!(learned(true, kept), Err(ProposeError::Unknown));
    }
}
