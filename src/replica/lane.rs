//! Where transactions wait for a place in an entry: bounded in number and bytes, and left again by whoever
//! gives up.
//!
//! # Guarantees
//! - What is given up before the lane's end took it goes nowhere, and is told as not appended.
//! - What was taken is told as unknown, unless its verdict came in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::env::{self, Instant};
use base::ids::NodeId;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::limits::{ENTRY_BYTES_MAX, ENTRY_TXNS_MAX, PROPOSALS_WAITING_BYTES_MAX, PROPOSALS_WAITING_MAX};

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
    /// The same, because too much waits before it.
    Busy,
    /// The leader's disk is full; not in any log.
    OutOfSpace,
    /// Larger than an entry may be; not in any log, now or later.
    TooLarge,
    /// Perhaps appended, perhaps not.
    Unknown,
}

/// One encoded transaction and its request id.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) request: u128,
    pub(crate) bytes: Bytes,
}

/// Encoded transactions that travel together.
struct Item {
    to: Address,
    txns: Vec<Encoded>,
    claim: Claim,
    verdict: oneshot::Sender<Verdict>,
    /// Its share of the lane's bytes.
    _room: OwnedSemaphorePermit,
}

/// Whose an item is: whoever takes it first, the lane's end to send it or the caller to give up.
#[derive(Clone, Debug, Default)]
struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Whether nobody took it before.
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// The way in.
pub(crate) struct Lane {
    items: mpsc::Sender<Item>,
    room: Arc<Semaphore>,
}

/// A lane and its end.
pub(crate) fn lane() -> (Lane, LaneEnd) {
    let (sender, items) = mpsc::channel(PROPOSALS_WAITING_MAX);
    let room = Arc::new(Semaphore::new(PROPOSALS_WAITING_BYTES_MAX));
    (Lane { items: sender, room }, LaneEnd { items, held: None })
}

impl Lane {
    /// Hands over transactions and waits for the verdict, until `deadline`. Cancelled, they are taken back
    /// like at the deadline.
    pub(crate) async fn submit(&self, to: Address, txns: Vec<Encoded>, deadline: Instant) -> Verdict {
        let claim = Claim::default();
        let sent = async {
            let size = size_of(&txns).clamp(1, PROPOSALS_WAITING_BYTES_MAX);
            let room = Arc::clone(&self.room).acquire_many_owned(size as u32).await;
            let room = room.expect("the semaphore is never closed");
            let (verdict, told) = oneshot::channel();
            let item = Item { to, txns, claim: claim.clone(), verdict, _room: room };
            match self.items.send(item).await {
                Ok(()) => told.await.ok(),
                Err(_ended) => None,
            }
        };
        match env::timeout_at(deadline, sent).await {
            Ok(Some(verdict)) => verdict,
            Err(_elapsed) if claim.take() => Verdict::Busy,
            // The lane ended before it took it.
            Ok(None) if claim.take() => Verdict::NotAppended,
            _ => Verdict::Unknown,
        }
    }
}

/// Items for one address, within the bounds of an entry.
pub(crate) struct Group {
    pub(crate) to: Address,
    pub(crate) txns: Vec<Encoded>,
    bytes: usize,
    verdicts: Vec<oneshot::Sender<Verdict>>,
}

impl Group {
    fn to(to: Address) -> Self {
        Self { to, txns: Vec::new(), bytes: 0, verdicts: Vec::new() }
    }

    fn has_room_for(&self, item: &Item) -> bool {
        item.to == self.to
            && self.bytes + size_of(&item.txns) <= ENTRY_BYTES_MAX
            && self.txns.len() + item.txns.len() <= ENTRY_TXNS_MAX
    }

    fn push(&mut self, item: Item) {
        self.bytes += size_of(&item.txns);
        self.txns.extend(item.txns);
        self.verdicts.push(item.verdict);
    }

    pub(crate) fn tell(self, verdict: Verdict) {
        for waiting in self.verdicts {
            // A closed receiver is a caller that gave up.
            let _ = waiting.send(verdict);
        }
    }
}

/// Where a lane's items are taken from.
pub(crate) struct LaneEnd {
    items: mpsc::Receiver<Item>,
    /// Taken from the queue, but not fitting into the last group.
    held: Option<Item>,
}

impl LaneEnd {
    /// Waits until something is waiting; `false` when the lane is closed.
    pub(crate) async fn ready(&mut self) -> bool {
        if self.held.is_none() {
            self.held = self.items.recv().await;
        }
        self.held.is_some()
    }

    /// Everything that waits for one address, up to the bounds of an entry, without what was given up.
    pub(crate) fn next_group(&mut self) -> Option<Group> {
        let mut group: Option<Group> = None;
        while let Some(item) = self.held.take().or_else(|| self.items.try_recv().ok()) {
            // Nobody waits for it any more.
            if item.verdict.is_closed() {
                continue;
            }
            if group.as_ref().is_some_and(|group| !group.has_room_for(&item)) {
                self.held = Some(item);
                break;
            }
            if item.claim.take() {
                group.get_or_insert_with(|| Group::to(item.to)).push(item);
            }
        }
        group
    }
}

fn size_of(txns: &[Encoded]) -> usize {
    txns.iter().map(|txn| txn.bytes.len()).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;
    use futures::future::join_all;

    use super::*;

    const TO: Address = Address { leader: 1, term: 1 };
    const WAIT: Duration = Duration::from_secs(2);

    fn txns(request: u128, size: usize) -> Vec<Encoded> {
        vec![Encoded { request, bytes: vec![0; size].into() }]
    }

    fn requests(group: &Group) -> Vec<u128> {
        group.txns.iter().map(|txn| txn.request).collect()
    }

    #[test]
    fn what_was_not_taken_in_time_goes_nowhere_and_what_was_taken_is_unknown() {
        env::simulate(1, async {
            let (lane, mut end) = lane();
            let deadline = env::monotonic() + WAIT;
            let taken = async {
                env::sleep(WAIT / 2).await;
                end.next_group().expect("one waits")
            };
            let early = lane.submit(TO, txns(1, 9), deadline);
            let late = async {
                env::sleep(WAIT * 3 / 4).await;
                lane.submit(TO, txns(2, 9), deadline).await
            };
            let (early, late, taken) = tokio::join!(early, late, taken);
            assert_eq!(requests(&taken), [1]);
            assert_eq!((early, late), (Verdict::Unknown, Verdict::Busy));
            assert!(end.next_group().is_none(), "it was given up");
        });
    }

    #[test]
    fn what_nobody_waits_for_any_more_goes_nowhere() {
        env::simulate(1, async {
            let (lane, mut end) = lane();
            let deadline = env::monotonic() + WAIT;
            assert!(lane.submit(TO, txns(1, 9), deadline).now_or_never().is_none());
            let kept = lane.submit(TO, txns(2, 9), deadline);
            let taken = async { end.ready().await.then(|| end.next_group()).flatten() };
            let (_, taken) = tokio::join!(kept, taken);
            assert_eq!(requests(&taken.expect("one waits")), [2]);
        });
    }

    #[test]
    fn a_lane_that_ended_took_nothing() {
        env::simulate(1, async {
            let (lane, end) = lane();
            let submitted = lane.submit(TO, txns(1, 9), env::monotonic() + WAIT);
            let ends = async { drop(end) };
            assert_eq!(tokio::join!(submitted, ends).0, Verdict::NotAppended);
        });
    }

    #[test]
    fn a_lane_is_bounded_in_bytes() {
        const LARGE: usize = 8 << 20;
        const FIT: usize = PROPOSALS_WAITING_BYTES_MAX / LARGE;
        env::simulate(1, async {
            let (lane, mut end) = lane();
            let deadline = env::monotonic() + WAIT;
            let submitted =
                join_all((0..FIT + 2).map(|request| lane.submit(TO, txns(request as u128, LARGE), deadline)));
            let watched = async {
                env::sleep(WAIT / 2).await;
                assert_eq!(end.items.len(), FIT);
                // Each is larger than a group should be, and goes alone; its bytes are free at once.
                assert_eq!(requests(&end.next_group().expect("some wait")), [0]);
                env::sleep(WAIT / 4).await;
                assert_eq!(end.items.len() + usize::from(end.held.is_some()), FIT);
            };
            let (verdicts, ()) = tokio::join!(submitted, watched);
            assert_eq!(verdicts[0], Verdict::Unknown);
            assert!(verdicts[1..].iter().all(|verdict| *verdict == Verdict::Busy), "{verdicts:?}");
        });
    }
}
