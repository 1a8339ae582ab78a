//! What was asked of the disk and has not come to an end: how a disk that hangs is noticed.
//!
//! A disk that fails says so, and [`crate::health`] remembers it. One that hangs says nothing: whoever needs
//! it waits for ever, while everything else of a master goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use base::env::{Instant, monotonic};
use parking_lot::Mutex;

/// Longest sync of the log or of a small file. Followers would otherwise wait for ever on a leader whose disk
/// hangs while its heartbeats go on.
pub const SYNC_LIMIT: Duration = Duration::from_secs(10);

/// Longest write to a store, and longest flush of one: both may have to wait until three memtables of 64 MiB
/// are on disk, which at 4 MiB a second, what a bad disk still does, takes 48 s.
pub const WRITE_LIMIT: Duration = Duration::from_secs(60);

/// The operations on one master's disk that somebody waits for.
#[derive(Debug, Default)]
pub struct UnderWay(Mutex<Waits>);

#[derive(Debug, Default)]
struct Waits {
    next: u64,
    by_number: BTreeMap<u64, Wait>,
}

#[derive(Debug)]
struct Wait {
    operation: &'static str,
    began: Instant,
    limit: Duration,
}

/// An operation that takes longer than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Tells it from others that do the same.
    pub number: u64,
    /// What is being done.
    pub operation: &'static str,
    /// How long it may take.
    pub limit: Duration,
}

impl UnderWay {
    /// Does `work`, which may take `limit`.
    pub fn during<T>(&self, operation: &'static str, limit: Duration, work: impl FnOnce() -> T) -> T {
        let number = {
            let mut waits = self.0.lock();
            waits.next += 1;
            let number = waits.next;
            waits.by_number.insert(number, Wait { operation, began: monotonic(), limit });
            number
        };
        let _end = End { under_way: self, number };
        work()
    }

    /// The first operation begun that takes too long at `now`.
    pub fn overdue(&self, now: Instant) -> Option<Overdue> {
        let waits = self.0.lock();
        let is_overdue = |wait: &Wait| now.saturating_duration_since(wait.began) > wait.limit;
        let (number, wait) = waits.by_number.iter().find(|(_, wait)| is_overdue(wait))?;
        Some(Overdue { number: *number, operation: wait.operation, limit: wait.limit })
    }
}

/// Ends a wait, also when the work panics.
struct End<'a> {
    under_way: &'a UnderWay,
    number: u64,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.under_way.0.lock().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_longer_than_its_limit_is_told_until_it_ends() {
        let under_way = UnderWay::default();
        let later = |seconds| under_way.overdue(monotonic() + Duration::from_secs(seconds));
        let sync = Some(Overdue { number: 2, operation: "syncing", limit: SYNC_LIMIT });
        under_way.during("writing", WRITE_LIMIT, || {
            under_way.during("syncing", SYNC_LIMIT, || {
                assert_eq!(later(9), None);
                assert_eq!(later(11), sync);
            });
            assert_eq!(later(11), None, "the sync has ended");
            assert_eq!(later(61).map(|overdue| overdue.operation), Some("writing"));
        });
        assert_eq!(later(61), None);
    }
}
