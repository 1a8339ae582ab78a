//! The tail of the log, decoded, for those who read what was just written: replication and apply.

use std::collections::VecDeque;

use openraft::EntryPayload;

use crate::limits::ENTRY_OVERHEAD_BYTES;
use crate::types::RaftEntry;

/// Where a read is answered from.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// From memory: as many entries as fit.
    Cached(Vec<RaftEntry>),
    /// From the store: these indexes stand in the log but not in memory.
    Stored { from: u64, to: u64 },
}

/// The newest entries up to a number of bytes, and the bounds of the whole log. Indexes are Raft's.
#[derive(Debug)]
pub(super) struct TailCache {
    bytes_max: usize,
    bytes: usize,
    entries: VecDeque<RaftEntry>,
    /// The first index that was not purged.
    begin: u64,
    /// The index that the next entry will have.
    next: u64,
}

impl TailCache {
    /// Empty, over a log that holds `begin..next`.
    pub(super) fn new(begin: u64, next: u64, bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, entries: VecDeque::new(), begin, next: next.max(begin) }
    }

    /// Adds an entry that was appended to the log.
    pub(super) fn push(&mut self, entry: RaftEntry) {
        if self.count() == 0 {
            // An empty log may go on anywhere.
            self.begin = entry.log_id.index;
        }
        self.bytes += cost(&entry);
        self.next = entry.log_id.index + 1;
        self.entries.push_back(entry);
        // The newest entry stays however large it is: replication wants it next.
        while self.bytes > self.bytes_max && self.entries.len() > 1 {
            self.pop_front();
        }
    }

    /// Drops entries from `next` on.
    pub(super) fn truncate(&mut self, next: u64) {
        // What was purged does not come back.
        let next = next.max(self.begin);
        while self.next > next {
            self.next -= 1;
            if let Some(entry) = self.entries.pop_back() {
                self.bytes -= cost(&entry);
            } else {
                self.next = next;
            }
        }
    }

    /// Drops entries before `begin`; the log may end before it, and then goes on there.
    pub(super) fn purge(&mut self, begin: u64) {
        self.begin = self.begin.max(begin);
        while !self.entries.is_empty() && self.first() < self.begin {
            self.pop_front();
        }
        self.next = self.next.max(self.begin);
    }

    /// Entries of `from..to` that stand in the log, cut at `bytes_max` but at least one.
    pub(super) fn find(&self, from: u64, to: u64, bytes_max: usize) -> Found {
        let (from, to) = (from.max(self.begin), to.min(self.next));
        if from >= to {
            return Found::Cached(Vec::new());
        }
        let first = self.first();
        if from < first {
            return Found::Stored { from, to: to.min(first) };
        }
        let mut taken_bytes = 0;
        let wanted = self.entries.range((from - first) as usize..(to - first) as usize);
        let fitting = wanted.enumerate().take_while(|(place, entry)| {
            taken_bytes += cost(entry);
            *place == 0 || taken_bytes <= bytes_max
        });
        Found::Cached(fitting.map(|(_, entry)| entry.clone()).collect())
    }

    /// The index of the oldest entry in memory, [`Self::next`] when there is none.
    fn first(&self) -> u64 {
        self.next - self.entries.len() as u64
    }

    fn pop_front(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= cost(&entry);
        }
    }

    /// Entries that the log holds.
    pub(super) fn count(&self) -> u64 {
        self.next - self.begin
    }

    /// The first index that was not purged.
    pub(super) fn begin(&self) -> u64 {
        self.begin
    }
}

/// What an entry takes in memory, roughly.
pub(super) fn cost(entry: &RaftEntry) -> usize {
    let payload = if let EntryPayload::Normal(command) = &entry.payload { command.payload.len() } else { 0 };
    ENTRY_OVERHEAD_BYTES + payload
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{LeaderId, LogId};

    fn entry(index: u64) -> RaftEntry {
        RaftEntry {
            log_id: LogId::new(LeaderId { term: 1, node_id: 1 }, index),
            payload: EntryPayload::Blank,
        }
    }

    fn filled(begin: u64, next: u64, held: usize) -> TailCache {
        let mut cache = TailCache::new(begin, begin, held * ENTRY_OVERHEAD_BYTES);
        (begin..next).for_each(|index| cache.push(entry(index)));
        cache
    }

    fn check(cache: &TailCache, range: std::ops::Range<u64>, entries_max: usize, expect: &str) {
        let found = match cache.find(range.start, range.end, entries_max * ENTRY_OVERHEAD_BYTES) {
            Found::Cached(entries) => {
                format!("{:?}", entries.iter().map(|e| e.log_id.index).collect::<Vec<_>>())
            }
            Found::Stored { from, to } => format!("stored {from}..{to}"),
        };
        assert_eq!(found, expect, "{range:?}");
    }

    #[test]
    fn reads_are_clamped_cut_and_sent_to_the_store_where_memory_ends() {
        let cache = filled(2, 10, 4);
        check(&cache, 6..10, 9, "[6, 7, 8, 9]");
        check(&cache, 7..99, 9, "[7, 8, 9]");
        check(&cache, 6..10, 2, "[6, 7]");
        check(&cache, 6..10, 0, "[6]");
        check(&cache, 0..10, 9, "stored 2..6");
        check(&cache, 3..5, 9, "stored 3..5");
        check(&cache, 10..12, 9, "[]");
        check(&cache, std::ops::Range { start: 8, end: 7 }, 9, "[]");
    }

    #[test]
    fn truncation_and_purge_move_the_ends() {
        let mut cache = filled(0, 10, 4);
        cache.truncate(8);
        check(&cache, 6..10, 9, "[6, 7]");
        cache.truncate(3);
        check(&cache, 0..10, 9, "stored 0..3");
        cache.push(entry(3));
        check(&cache, 3..10, 9, "[3]");
        cache.purge(2);
        check(&cache, 0..10, 9, "stored 2..3");
        cache.purge(20);
        assert_eq!((cache.begin(), cache.count(), cache.bytes), (20, 0, 0));
        cache.push(entry(20));
        check(&cache, 0..30, 9, "[20]");
        cache.truncate(0);
        assert_eq!((cache.begin(), cache.count(), cache.bytes), (20, 0, 0));
        cache.push(entry(25));
        check(&cache, 0..30, 9, "[25]");
    }
}
