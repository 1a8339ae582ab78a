//! The log of the memory twin.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::journal::Replay;
use super::{Line, Mutant, Point};
use crate::error::Result;
use crate::log::{LogRecord, LogState, LogStore, check_follows};
use crate::under_way::WRITE_LIMIT;

/// What a log holds.
#[derive(Clone, Debug, Default)]
pub(super) struct LogContent {
    records: BTreeMap<u64, Bytes>,
    size_bytes: u64,
    purged: Option<LogRecord>,
    vote: Option<Bytes>,
    committed: Option<Bytes>,
}

/// One write to a log.
#[derive(Debug)]
pub(super) enum LogWrite {
    Append(Vec<LogRecord>),
    TruncateAfter(u64),
    Purge(LogRecord),
    Vote(Bytes),
    Committed(Option<Bytes>),
}

impl Replay for LogContent {
    type Write = LogWrite;

    fn replay(&mut self, write: &LogWrite) {
        match write {
            LogWrite::Append(records) => {
                self.size_bytes += records.iter().map(|record| record.bytes.len() as u64).sum::<u64>();
                self.records.extend(records.iter().map(|record| (record.index, record.bytes.clone())));
            }
            LogWrite::TruncateAfter(index) => {
                let removed = self.records.split_off(&(index + 1));
                self.forget(&removed);
            }
            LogWrite::Purge(marker) => {
                let kept = self.records.split_off(&(marker.index + 1));
                let removed = std::mem::replace(&mut self.records, kept);
                self.forget(&removed);
                self.purged = Some(marker.clone());
            }
            LogWrite::Vote(vote) => self.vote = Some(vote.clone()),
            LogWrite::Committed(committed) => self.committed = committed.clone(),
        }
    }
}

impl LogContent {
    fn forget(&mut self, removed: &BTreeMap<u64, Bytes>) {
        self.size_bytes -= removed.values().map(|bytes| bytes.len() as u64).sum::<u64>();
    }

    fn last(&self) -> Option<LogRecord> {
        let (index, bytes) = self.records.last_key_value()?;
        Some(LogRecord { index: *index, bytes: bytes.clone() })
    }

    /// The index the next record must have; `None` when any will do.
    fn next_index(&self) -> Option<u64> {
        let last = self.records.last_key_value().map(|(index, _)| *index);
        last.or(self.purged.as_ref().map(|marker| marker.index)).map(|index| index + 1)
    }

    fn read(&self, from: u64, to: u64, bytes_max: usize) -> Vec<LogRecord> {
        let mut found = Vec::new();
        let mut bytes_found = 0;
        for (index, bytes) in self.records.range(from..to.max(from)) {
            bytes_found += bytes.len();
            if bytes_found > bytes_max && !found.is_empty() {
                break;
            }
            found.push(LogRecord { index: *index, bytes: bytes.clone() });
        }
        found
    }
}

/// A handle to the log.
pub(super) struct MemoryLog {
    line: Line,
}

impl MemoryLog {
    pub(super) fn new(line: Line) -> Self {
        Self { line }
    }

    fn ask<T>(&self, question: impl FnOnce(&LogContent) -> T) -> Result<T> {
        self.line.check()?;
        Ok(question(self.line.disk.log.lock().now()))
    }
}

impl LogStore for MemoryLog {
    fn state(&self) -> Result<LogState> {
        self.ask(|log| LogState { purged: log.purged.clone(), last: log.last() })
    }

    fn append(&self, records: &[LogRecord]) -> Result<()> {
        self.line.pass(Point::Append);
        check_follows(self.ask(LogContent::next_index)?, records)?;
        self.line.write("appending to the log", || {
            self.line.disk.log.lock().write(LogWrite::Append(records.to_vec()));
            Ok(())
        })
    }

    fn read(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<LogRecord>> {
        self.line.pass(Point::Read);
        self.ask(|log| log.read(from, to, bytes_max))
    }

    fn truncate_after(&self, index: u64) -> Result<()> {
        self.line.essential_write("truncating the log", LogWrite::TruncateAfter(index))
    }

    fn purge(&self, marker: &LogRecord) -> Result<()> {
        self.line.pass(Point::Purge);
        let already =
            self.ask(|log| log.purged.as_ref().is_some_and(|purged| purged.index > marker.index))?;
        if already {
            return Ok(());
        }
        self.line.essential_write("purging the log", LogWrite::Purge(marker.clone()))
    }

    fn save_vote(&self, vote: &[u8]) -> Result<()> {
        self.line.essential_write("saving the vote", LogWrite::Vote(Bytes::copy_from_slice(vote)))?;
        if self.line.sync("syncing the vote", Mutant::SyncDoesNothing)? {
            self.line.disk.log.lock().sync();
        }
        Ok(())
    }

    fn vote(&self) -> Result<Option<Bytes>> {
        self.ask(|log| log.vote.clone())
    }

    fn save_committed(&self, committed: Option<&[u8]>) -> Result<()> {
        self.line.pass(Point::SaveCommitted);
        let committed = committed.map(Bytes::copy_from_slice);
        self.line.essential_write("saving the committed marker", LogWrite::Committed(committed))
    }

    fn committed(&self) -> Result<Option<Bytes>> {
        self.ask(|log| log.committed.clone())
    }

    fn sync(&self) -> Result<()> {
        self.line.pass(Point::Sync);
        if self.line.sync("syncing the log", Mutant::SyncDoesNothing)? {
            self.line.disk.log.lock().sync();
        }
        Ok(())
    }

    fn size_bytes(&self) -> u64 {
        self.line.disk.log.lock().now().size_bytes
    }
}

impl Line {
    /// A small write that also a full disk has room for.
    fn essential_write(&self, operation: &'static str, write: LogWrite) -> Result<()> {
        self.check()?;
        self.opening.health.guard(operation, WRITE_LIMIT, || self.disk.faults.before_write(operation))?;
        self.disk.log.lock().write(write);
        Ok(())
    }
}
