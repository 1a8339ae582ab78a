//! The Raft log in RocksDB: one column, the markers before the records, one journal for all.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::env::monotonic;
use bytes::Bytes;
use parking_lot::Mutex;
use rocksdb::{DB, DBRawIterator, ReadOptions, WriteBatch};

use super::failure::classify;
use super::options::Sizing;
use super::pointer::Pointer;
use super::seal::{Mark, Seal};
use crate::error::{Result, StorageError};
use crate::files;
use crate::frame::{self, Fields, Kind};
use crate::health::Health;
use crate::latency::Latency;
use crate::log::{LogRecord, LogState, LogStore, check_follows};
use crate::space::Guard;
use crate::under_way::{SYNC_LIMIT, WRITE_LIMIT};

/// First byte of the keys of records; the index follows, big endian.
const RECORD: u8 = 1;

/// What a record takes in a batch besides its bytes: its frame, its key, their lengths.
const RECORD_ROOM: usize = frame::HEADER_BYTES + 32;

/// What the markers and the head of a batch take.
const MARKERS_ROOM: usize = 128;

/// A marker's key: sorts before all records.
#[derive(Clone, Copy)]
enum Marker {
    Committed,
    Purged,
    /// The index that the first record follows. Kept so that a lost beginning is noticed.
    Start,
    Vote,
    /// How many writes there were, in every one of them: what the seal counts in. RocksDB's own sequence
    /// numbers would not do: they may be lower after a restart that found nothing new.
    Writes,
}

impl Marker {
    fn key(self) -> [u8; 2] {
        let letter = match self {
            Self::Committed => b'c',
            Self::Purged => b'p',
            Self::Start => b's',
            Self::Vote => b'v',
            Self::Writes => b'w',
        };
        [0, letter]
    }
}

/// The log of one master.
pub(super) struct RocksLog {
    directory: PathBuf,
    db: DB,
    seal: Seal,
    health: Health,
    guard: Arc<Guard>,
    pub(super) sync_latency: Latency,
    ends: Mutex<Ends>,
}

/// What is asked often, kept in memory. Locked while a write goes into the journal, never while syncing.
#[derive(Default)]
struct Ends {
    /// The index that the first record follows; `None` in a log that never held one.
    start: Option<u64>,
    /// Bytes of each record from `start + 1` on.
    sizes: VecDeque<u32>,
    size_bytes: u64,
    last: Option<LogRecord>,
    purged: Option<LogRecord>,
    writes: u64,
}

impl Ends {
    fn last_index(&self) -> Option<u64> {
        self.start.map(|start| start + self.sizes.len() as u64)
    }

    /// The index the next record must have; `None` when any will do.
    fn next_index(&self) -> Option<u64> {
        match (&self.last, &self.purged) {
            (Some(last), _) => Some(last.index + 1),
            (None, Some(purged)) => Some(purged.index + 1),
            (None, None) => None,
        }
    }

    fn push(&mut self, record: &LogRecord) {
        if self.sizes.is_empty() {
            self.start = Some(record.index - 1);
        }
        self.sizes.push_back(record.bytes.len() as u32);
        self.size_bytes += record.bytes.len() as u64;
        self.last = Some(record.clone());
    }
}

impl RocksLog {
    /// Opens the log below `data`, or creates it when there never was one.
    pub(super) fn open(data: &Path, sizing: &Sizing, guard: Arc<Guard>) -> Result<Self> {
        let (directory, side_file) = (data.join("log"), data.join("log.synced"));
        let expected = expect(data, &directory, &side_file)?;
        // Before RocksDB begins another: that one lacks nothing.
        let journal = if directory.exists() { newest_journal(&directory)? } else { directory.clone() };
        let options = sizing.log();
        let db =
            DB::open(&options, &directory).map_err(|error| classify("opening the log", &directory, error))?;
        let ends = Reader { db: &db, directory: &directory }.load()?;
        if ends.writes < expected.position {
            return Err(StorageError::corrupt(
                &journal,
                format!(
                    "acknowledged records are missing: the journal was synced up to write {} (log index {}), \
                 it now ends at write {}",
                    expected.position, expected.label, ends.writes
                ),
            ));
        }
        let seal = Seal::begin(&side_file, &directory, ends.writes, ends.last_index().unwrap_or(0))?;
        let health = Health::new(Arc::clone(&sizing.under_way));
        let (sync_latency, ends) = (Latency::default(), Mutex::new(ends));
        Ok(Self { directory, db, seal, health, guard, sync_latency, ends })
    }

    /// Whether nothing was ever synced: a master that was not yet in use.
    pub(super) fn is_unused(data: &Path) -> Result<bool> {
        Ok(Mark::load(&data.join("log.synced"))?.is_none_or(|mark| mark.position == 0))
    }

    fn reader(&self) -> Reader<'_> {
        Reader { db: &self.db, directory: &self.directory }
    }

    fn write(&self, ends: &mut Ends, operation: &'static str, mut batch: WriteBatch) -> Result<()> {
        let writes = ends.writes + 1;
        put_marker(&mut batch, Marker::Writes, &writes.to_le_bytes());
        self.health.guard(operation, WRITE_LIMIT, || {
            self.db.write(batch).map_err(|error| classify(operation, &self.directory, error))
        })?;
        ends.writes = writes;
        Ok(())
    }

    fn sync_journal(&self, operation: &'static str) -> Result<()> {
        if crate::mutant::keeps_log_in_memory() {
            return Ok(());
        }
        let (position, label) = {
            let ends = self.ends.lock();
            (ends.writes, ends.last_index().unwrap_or(0))
        };
        self.health.guard(operation, SYNC_LIMIT, || {
            let started = monotonic();
            let flushed = self.db.flush_wal(!crate::mutant::skips_sync());
            flushed.map_err(|error| classify(operation, &self.directory, error))?;
            self.sync_latency.record(monotonic().saturating_duration_since(started));
            self.seal.advance(position, label)
        })
    }
}

impl LogStore for RocksLog {
    fn state(&self) -> Result<LogState> {
        let ends = self.ends.lock();
        Ok(LogState { purged: ends.purged.clone(), last: ends.last.clone() })
    }

    fn append(&self, records: &[LogRecord]) -> Result<()> {
        let Some(first) = records.first() else { return Ok(()) };
        let mut ends = self.ends.lock();
        check_follows(ends.next_index(), records)?;
        if first.index == 0 {
            return Err(StorageError::Misuse("log records are counted from 1".to_owned()));
        }
        self.health.check()?;
        self.guard.admit("appending to the log")?;
        // Grown step by step, a batch of this size is copied several times.
        let records_bytes: usize = records.iter().map(|record| record.bytes.len() + RECORD_ROOM).sum();
        let mut batch = WriteBatch::with_capacity_bytes(records_bytes + MARKERS_ROOM);
        if ends.sizes.is_empty() {
            put_marker(&mut batch, Marker::Start, &(first.index - 1).to_le_bytes());
        }
        for record in records {
            let key = record_key(record.index);
            batch.put(key, frame::seal(Kind::LogRecord, 0, &key, &[&record.bytes]));
        }
        self.write(&mut ends, "appending to the log", batch)?;
        records.iter().for_each(|record| ends.push(record));
        Ok(())
    }

    fn read(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<LogRecord>> {
        let (from, to, records) = {
            let ends = self.ends.lock();
            let (Some(start), Some(last)) = (ends.start, ends.last_index()) else { return Ok(Vec::new()) };
            let (from, to) = (from.max(start + 1), to.min(last + 1));
            // Made under the lock: it sees the log exactly as the ends describe it.
            (from, to, self.reader().records(from, to))
        };
        let mut found = Vec::new();
        let mut bytes_found = 0;
        self.reader().visit(records, from, to, &mut |record| {
            bytes_found += record.bytes.len();
            if bytes_found > bytes_max && !found.is_empty() {
                return false;
            }
            found.push(record);
            true
        })?;
        Ok(found)
    }

    fn truncate_after(&self, index: u64) -> Result<()> {
        let mut ends = self.ends.lock();
        let (Some(start), Some(last)) = (ends.start, ends.last_index()) else { return Ok(()) };
        let kept = index.clamp(start, last);
        if kept == last {
            return Ok(());
        }
        let last_kept = if kept == start { None } else { Some(self.reader().record(kept)?) };
        // One by one: a range would cover records appended again at these indexes in every later read,
        // and the damage of a block of ranges is not always noticed.
        let mut batch = WriteBatch::default();
        (kept + 1..=last).for_each(|removed| batch.delete(record_key(removed)));
        self.write(&mut ends, "truncating the log", batch)?;
        let removed = ends.sizes.split_off((kept - start) as usize);
        ends.size_bytes -= removed.iter().map(|size| u64::from(*size)).sum::<u64>();
        ends.last = last_kept;
        Ok(())
    }

    fn purge(&self, marker: &LogRecord) -> Result<()> {
        let mut ends = self.ends.lock();
        if ends.purged.as_ref().is_some_and(|purged| purged.index > marker.index) {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        put_marker(&mut batch, Marker::Purged, &purged_body(marker));
        let start = ends.start.unwrap_or(marker.index);
        if marker.index >= start {
            put_marker(&mut batch, Marker::Start, &marker.index.to_le_bytes());
            batch.delete_range(record_key(start + 1), record_key(marker.index + 1));
        }
        self.write(&mut ends, "purging the log", batch)?;
        ends.purged = Some(marker.clone());
        if marker.index >= start {
            let removed = ((marker.index - start) as usize).min(ends.sizes.len());
            let removed_bytes: u64 = ends.sizes.drain(..removed).map(u64::from).sum();
            ends.size_bytes -= removed_bytes;
            ends.start = Some(marker.index);
        }
        if ends.sizes.is_empty() {
            ends.last = None;
        }
        Ok(())
    }

    fn save_vote(&self, vote: &[u8]) -> Result<()> {
        let mut batch = WriteBatch::default();
        put_marker(&mut batch, Marker::Vote, vote);
        self.write(&mut self.ends.lock(), "saving the vote", batch)?;
        self.sync_journal("saving the vote")
    }

    fn vote(&self) -> Result<Option<Bytes>> {
        self.reader().marker(Marker::Vote)
    }

    fn save_committed(&self, committed: Option<&[u8]>) -> Result<()> {
        let mut batch = WriteBatch::default();
        match committed {
            Some(committed) => put_marker(&mut batch, Marker::Committed, committed),
            None => batch.delete(Marker::Committed.key()),
        }
        self.write(&mut self.ends.lock(), "saving the committed marker", batch)
    }

    fn committed(&self) -> Result<Option<Bytes>> {
        self.reader().marker(Marker::Committed)
    }

    fn sync(&self) -> Result<()> {
        self.sync_journal("syncing the log")
    }

    fn size_bytes(&self) -> u64 {
        self.ends.lock().size_bytes
    }
}

/// The questions that need no state beside the database.
struct Reader<'a> {
    db: &'a DB,
    directory: &'a Path,
}

impl<'a> Reader<'a> {
    fn failed(&self, error: rocksdb::Error) -> StorageError {
        classify("reading the log", self.directory, error)
    }

    fn damaged(&self, what: impl ToString) -> StorageError {
        StorageError::corrupt(self.directory, what)
    }

    fn marker(&self, marker: Marker) -> Result<Option<Bytes>> {
        let Some(framed) = self.db.get_pinned(marker.key()).map_err(|error| self.failed(error))? else {
            return Ok(None);
        };
        let frame = frame::open(Kind::LogMarker, &marker.key(), &framed);
        let frame = frame.map_err(|damage| self.damaged(damage))?;
        Ok(Some(Bytes::copy_from_slice(frame.body)))
    }

    fn record(&self, index: u64) -> Result<LogRecord> {
        let mut found = None;
        self.visit(self.records(index, index + 1), index, index + 1, &mut |record| {
            found = Some(record);
            true
        })?;
        found.ok_or_else(|| self.damaged(format!("log record {index} is missing")))
    }

    /// An iterator over the records `from..to`, at the first of them.
    fn records(&self, from: u64, to: u64) -> DBRawIterator<'a> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(record_key(to));
        let mut records = self.db.raw_iterator_opt(options);
        records.seek(record_key(from));
        records
    }

    /// Visits the records `from..to` until `visit` returns `false`; a missing one is damage.
    fn visit(
        &self,
        mut records: DBRawIterator<'_>,
        from: u64,
        to: u64,
        visit: &mut dyn FnMut(LogRecord) -> bool,
    ) -> Result<()> {
        for index in from..to {
            let key = record_key(index);
            let Some((_, framed)) = records.item().filter(|(found, _)| *found == key) else {
                records.status().map_err(|error| self.failed(error))?;
                return Err(self.damaged(format!("log record {index} is missing")));
            };
            let frame = frame::open(Kind::LogRecord, &key, framed);
            let frame =
                frame.map_err(|damage| self.damaged(format!("log record {index} is damaged: {damage}")))?;
            if !visit(LogRecord { index, bytes: Bytes::copy_from_slice(frame.body) }) {
                return Ok(());
            }
            records.next();
        }
        Ok(())
    }

    /// Reads the whole log once: it must have no hole and every record must be whole.
    fn load(&self) -> Result<Ends> {
        let writes = self.number(Marker::Writes)?.unwrap_or(0);
        let mut ends = Ends { purged: self.purged()?, writes, ..Ends::default() };
        let Some(start) = self.number(Marker::Start)? else { return Ok(ends) };
        ends.start = Some(start);
        let mut records = self.db.raw_iterator();
        records.seek_to_last();
        let last = records.key().and_then(record_index);
        records.status().map_err(|error| self.failed(error))?;
        let to = last.unwrap_or(start).max(start) + 1;
        self.visit(self.records(start + 1, to), start + 1, to, &mut |record| {
            ends.push(&record);
            true
        })?;
        Ok(ends)
    }

    fn number(&self, marker: Marker) -> Result<Option<u64>> {
        let body = self.marker(marker)?;
        let number = body.map(|body| Fields(&body).u64()).transpose();
        number.map_err(|damage| self.damaged(damage))
    }

    fn purged(&self) -> Result<Option<LogRecord>> {
        let Some(body) = self.marker(Marker::Purged)? else { return Ok(None) };
        let mut fields = Fields(&body);
        let index = fields.u64().map_err(|damage| self.damaged(damage))?;
        Ok(Some(LogRecord { index, bytes: Bytes::copy_from_slice(fields.0) }))
    }
}

/// What an instance must hold, checked as far as that goes before RocksDB touches it.
fn expect(data: &Path, directory: &Path, side_file: &Path) -> Result<Mark> {
    let exists = directory.join("CURRENT").exists();
    let Some(mark) = Mark::load(side_file)? else {
        if exists {
            return Err(StorageError::corrupt(side_file, "the side file of the log is missing"));
        }
        // The side file is durable before anything else is made: this is no first start that was cut off,
        // and an empty log would let the master vote once more in a term it has voted in.
        if Pointer::is_expected(data)? {
            return Err(StorageError::corrupt(directory, "the log is missing, and its side file with it"));
        }
        Seal::prepare(side_file)?;
        return Ok(Mark::default());
    };
    // At position 0 the instance may have been created only in part; nothing was ever written to it.
    if mark.position > 0 || exists {
        mark.check_manifest(directory)?;
    }
    Ok(mark)
}

/// The journal file written last, for messages: the one whose end is missing.
fn newest_journal(directory: &Path) -> Result<PathBuf> {
    let names = files::names(directory)?;
    let newest = names.iter().rfind(|name| name.ends_with(".log"));
    Ok(newest.map_or_else(|| directory.to_owned(), |name| directory.join(name)))
}

fn put_marker(batch: &mut WriteBatch, marker: Marker, body: &[u8]) {
    let key = marker.key();
    batch.put(key, frame::seal(Kind::LogMarker, 0, &key, &[body]));
}

fn purged_body(marker: &LogRecord) -> Vec<u8> {
    [&marker.index.to_le_bytes(), marker.bytes.as_ref()].concat()
}

fn record_key(index: u64) -> [u8; 9] {
    let mut key = [RECORD; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

fn record_index(key: &[u8]) -> Option<u64> {
    let digits = key.strip_prefix(&[RECORD])?;
    digits.try_into().ok().map(u64::from_be_bytes)
}
