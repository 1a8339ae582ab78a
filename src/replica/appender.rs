//! Two lanes that turn waiting transactions into groups: on the leader into log entries, elsewhere into
//! requests to the leader. While a group is on its way, the next one fills: group commit at the level
//! of entries.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::env;
use base::ids::NodeId;
use bytes::Bytes;
use parking_lot::Mutex;
use raft::{AppendError, CallError, Handle};
use state::Outcome;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::limits::{
    ENTRIES_IN_FLIGHT_MAX, ENTRY_BYTES_MAX, ENTRY_TXNS_MAX, FORWARD_TIMEOUT, FORWARDS_IN_FLIGHT_MAX,
};
use crate::peer;
use crate::replica::Shared;

/// The leader a proposal is made for: any other refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) leader: NodeId,
    pub(crate) term: u64,
}

/// What became of a proposal, short of its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// In the leader's log: the outcome will be learned from the applied log, or lost with the term.
    Appended,
    /// Certainly not in any log.
    NotAppended,
    /// The leader's disk is full; not in any log.
    OutOfSpace,
    /// Larger than an entry may be; not in any log, now or later.
    TooLarge,
    /// Perhaps appended, perhaps not.
    Unknown,
}

/// Encoded transactions that travel together.
pub(crate) struct Item {
    pub(crate) to: Address,
    pub(crate) txns: Vec<Encoded>,
    pub(crate) claim: Claim,
    pub(crate) verdict: oneshot::Sender<Verdict>,
}

/// Whose an item is: whoever takes it first, the lane to send it or the caller to give up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Whether nobody took it before.
    pub(crate) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// One encoded transaction and its request id.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) request: u128,
    pub(crate) bytes: Bytes,
}

/// Items for one address, within the bounds of an entry.
struct Group {
    to: Address,
    txns: Vec<Encoded>,
    verdicts: Vec<oneshot::Sender<Verdict>>,
}

impl Group {
    fn to(to: Address) -> Self {
        Self { to, txns: Vec::new(), verdicts: Vec::new() }
    }

    fn push(&mut self, item: Item) {
        self.txns.extend(item.txns);
        self.verdicts.push(item.verdict);
    }

    fn tell(self, verdict: Verdict) {
        for waiting in self.verdicts {
            // A closed receiver is a caller that gave up.
            let _ = waiting.send(verdict);
        }
    }
}

/// Where items wait.
struct Lane {
    items: mpsc::Receiver<Item>,
    /// Taken from the queue, but not fitting into the last group.
    held: Option<Item>,
}

impl Lane {
    fn new(items: mpsc::Receiver<Item>) -> Self {
        Self { items, held: None }
    }

    /// Waits until something is waiting; `false` when the lane is closed.
    async fn ready(&mut self) -> bool {
        if self.held.is_none() {
            self.held = self.items.recv().await;
        }
        self.held.is_some()
    }

    /// Everything that waits for one address, up to the bounds of an entry.
    fn next_group(&mut self) -> Option<Group> {
        let mut group: Option<Group> = None;
        let mut bytes = 0;
        while let Some(item) = self.held.take().or_else(|| self.items.try_recv().ok()) {
            bytes += size_of(&item);
            let joins = group.as_ref().is_none_or(|group| {
                let count = group.txns.len() + item.txns.len();
                item.to == group.to && bytes <= ENTRY_BYTES_MAX && count <= ENTRY_TXNS_MAX
            });
            if !joins {
                self.held = Some(item);
                break;
            }
            // Otherwise its caller gave up.
            if item.claim.take() {
                group.get_or_insert_with(|| Group::to(item.to)).push(item);
            }
        }
        group
    }
}

fn size_of(item: &Item) -> usize {
    item.txns.iter().map(|txn| txn.bytes.len()).sum()
}

/// The leader's entries between append and apply.
pub(crate) struct InFlight {
    places: Arc<Semaphore>,
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
pub(crate) async fn run_appender(shared: Arc<Shared>, raft: Handle, items: mpsc::Receiver<Item>) {
    let mut lane = Lane::new(items);
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
pub(crate) async fn run_forwarder(raft: Handle, items: mpsc::Receiver<Item>) {
    let mut lane = Lane::new(items);
    let places = Arc::new(Semaphore::new(FORWARDS_IN_FLIGHT_MAX));
    while lane.ready().await {
        let permit = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        let Some(group) = lane.next_group() else { continue };
        let raft = raft.clone();
        env::spawn(async move {
            let request = peer::encode_propose(group.to, &group.txns);
            let reply = raft.call(group.to.leader, peer::PROPOSE, request, FORWARD_TIMEOUT).await;
            let verdict = match reply {
                Ok(reply) => peer::decode_verdict(&reply),
                Err(CallError::NotMember(_)) => Verdict::NotAppended,
                Err(CallError::Transport(error)) if error.is_unsent() => Verdict::NotAppended,
                Err(_) => Verdict::Unknown,
            };
            drop(permit);
            group.tell(verdict);
        });
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
