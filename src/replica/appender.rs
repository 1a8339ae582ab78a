//! What takes transactions from the two lanes in groups: on the leader into log entries, elsewhere into
//! requests to the leader. While a group is on its way, the next one fills: group commit at the level
//! of entries.

use std::collections::VecDeque;
use std::sync::Arc;

use base::env;
use bytes::Bytes;
use parking_lot::Mutex;
use raft::{AppendError, CallError, Handle};
use state::Outcome;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lane::{Group, LaneEnd, Verdict};
use crate::limits::{ENTRIES_IN_FLIGHT_MAX, FORWARD_TIMEOUT, FORWARDS_IN_FLIGHT_MAX};
use crate::peer;
use crate::replica::Shared;

/// The leader's entries between append and apply.
pub(crate) struct InFlight {
    pub(crate) places: Arc<Semaphore>,
    taken: Mutex<VecDeque<Place>>,
}

struct Place {
    term: u64,
    first_request: u128,
    _permit: OwnedSemaphorePermit,
}

impl InFlight {
    pub(crate) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(ENTRIES_IN_FLIGHT_MAX)), taken: Mutex::default() }
    }

    /// Frees the place of an applied entry: its first outcome tells which.
    pub(crate) fn applied(&self, outcomes: &[(u128, Outcome)]) {
        if let Some((request, _)) = outcomes.first() {
            self.release(*request);
        }
    }

    fn release(&self, request: u128) {
        self.taken.lock().retain(|place| place.first_request != request);
    }

    /// Frees the places of entries proposed in earlier terms: they may never be applied.
    fn forget_before(&self, term: u64) {
        self.taken.lock().retain(|place| place.term >= term);
    }
}

/// Appends groups to the log while this master leads.
pub(crate) async fn run_appender(shared: Arc<Shared>, raft: Handle, mut lane: LaneEnd) {
    let mut leadership = raft.leadership();
    let mut last_ms = 0;
    while lane.ready().await {
        let permit = loop {
            shared.in_flight.forget_before(leadership.borrow_and_update().term);
            let places = Arc::clone(&shared.in_flight.places);
            tokio::select! {
                biased;
                permit = places.acquire_owned() => break permit.expect("the semaphore is never closed"),
                changed = leadership.changed() => if changed.is_err() { return },
            }
        };
        let Some(group) = lane.next_group() else { continue };
        last_ms = env::wall_ms().max(last_ms).max(shared.moments.newest().state.time_ms());
        append(&shared, &raft, group, permit, last_ms).await;
    }
}

async fn append(shared: &Shared, raft: &Handle, group: Group, permit: OwnedSemaphorePermit, time_ms: u64) {
    let bodies: Vec<Bytes> = group.txns.iter().map(|txn| txn.bytes.clone()).collect();
    let first_request = group.txns.first().map_or(0, |txn| txn.request);
    // The place is taken before the append: the entry may be applied before the call returns.
    let place = Place { term: group.to.term, first_request, _permit: permit };
    shared.in_flight.taken.lock().push_back(place);
    let verdict = match state::codec::encode_batch_of(time_ms, &bodies) {
        Ok(payload) => verdict_of(raft.append(group.to.term, payload).await),
        // Every transaction was checked when it arrived, and a group is smaller than an entry may be.
        Err(_) => Verdict::TooLarge,
    };
    if verdict != Verdict::Appended {
        shared.in_flight.release(first_request);
    }
    group.tell(verdict);
}

fn verdict_of(appended: Result<(), AppendError>) -> Verdict {
    match appended {
        Ok(()) => Verdict::Appended,
        Err(AppendError::NotAppended { .. }) => Verdict::NotAppended,
        Err(AppendError::OutOfSpace) => Verdict::OutOfSpace,
        Err(AppendError::TooLarge { .. }) => Verdict::TooLarge,
        Err(AppendError::Unknown | AppendError::Stopped) => Verdict::Unknown,
    }
}

/// Sends groups to whoever leads while this master does not.
pub(crate) async fn run_forwarder(raft: Handle, mut lane: LaneEnd) {
    let places = Arc::new(Semaphore::new(FORWARDS_IN_FLIGHT_MAX));
    while lane.ready().await {
        let permit = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        let Some(group) = lane.next_group() else { continue };
        let raft = raft.clone();
        env::spawn(async move {
            let verdict = forward(&raft, &group).await;
            drop(permit);
            group.tell(verdict);
        });
    }
}

/// Sends a group to its leader. A leader that went silent is not waited for once a later term is known: the
/// places are needed for the next one.
async fn forward(raft: &Handle, group: &Group) -> Verdict {
    let mut leadership = raft.leadership();
    if leadership.borrow_and_update().term > group.to.term {
        return Verdict::NotAppended;
    }
    let request = peer::encode_propose(group.to, &group.txns);
    let reply = tokio::select! {
        biased;
        reply = raft.call(group.to.leader, peer::PROPOSE, request, FORWARD_TIMEOUT) => reply,
        _superseded = leadership.wait_for(|now| now.term > group.to.term) => return Verdict::Unknown,
    };
    match reply {
        Ok(reply) => peer::decode_verdict(&reply),
        Err(CallError::NotMember(_)) => Verdict::NotAppended,
        Err(CallError::Transport(error)) if error.is_unsent() => Verdict::NotAppended,
        Err(_) => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_append_that_may_stand_in_a_log_leaves_the_outcome_open() {
        let cases = [
            (Ok(()), Verdict::Appended),
            (Err(AppendError::NotAppended { leader: None }), Verdict::NotAppended),
            (Err(AppendError::OutOfSpace), Verdict::OutOfSpace),
            (Err(AppendError::TooLarge { size_bytes: 9, size_bytes_max: 8 }), Verdict::TooLarge),
            (Err(AppendError::Unknown), Verdict::Unknown),
            (Err(AppendError::Stopped), Verdict::Unknown),
        ];
        for (appended, verdict) in cases {
            assert_eq!(verdict_of(appended.clone()), verdict, "{appended:?}");
        }
    }
}
