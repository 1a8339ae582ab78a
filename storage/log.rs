//! The Raft log as bytes by index, with the vote and a few markers beside it.

use bytes::Bytes;

use crate::error::{Result, StorageError};

/// One log record. `bytes` is opaque here; the raft crate encodes term, leader and payload in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Position in the log, from 1, without holes.
    pub index: u64,
    /// What the raft crate encoded.
    pub bytes: Bytes,
}

/// The ends of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// The marker given to the last [`LogStore::purge`]; `None` before the first.
    pub purged: Option<LogRecord>,
    /// The last record, `None` when the log holds none.
    pub last: Option<LogRecord>,
}

/// Where the Raft log lives. Every call blocks; every call may be made from any thread.
///
/// # Contract
/// - All writes go through one ordered journal: after a crash what is found is a prefix of the writes
///   made, in order, and holds at least everything made before the last [`LogStore::sync`] that
///   returned `Ok`. So a vote is never lost while a later record survives.
/// - A record is readable as soon as `append` returned, durable only after a `sync` that began later.
/// - After the first failed write or sync, every later write and sync fails (a disk that failed once
///   is not trusted again), reads go on. Lack of space is the one exception: see
///   [`crate::StorageError::is_out_of_space`].
pub trait LogStore: Send + Sync + 'static {
    /// The log's ends.
    fn state(&self) -> Result<LogState>;

    /// Appends records whose indexes follow the last one without a hole (in an empty log: the purge
    /// marker; without one the first index is free). Not durable until `sync`.
    fn append(&self, records: &[LogRecord]) -> Result<()>;

    /// Records `from..to` that the log holds, in order: all, or as many as fit into `bytes_max` but at
    /// least one.
    /// Stops early only for `bytes_max`; a hole inside the log is corruption and an error.
    fn read(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<LogRecord>>;

    /// Removes every record after `index` (0: all).
    fn truncate_after(&self, index: u64) -> Result<()>;

    /// Removes every record up to and including `marker.index` and keeps `marker` as
    /// [`LogState::purged`], atomically. The log may be shorter than that.
    fn purge(&self, marker: &LogRecord) -> Result<()>;

    /// Stores the vote durably: it is on disk when this returns.
    fn save_vote(&self, vote: &[u8]) -> Result<()>;

    /// The vote saved last.
    fn vote(&self) -> Result<Option<Bytes>>;

    /// Stores the committed marker, best effort: never synced for its own sake.
    fn save_committed(&self, committed: Option<&[u8]>) -> Result<()>;

    /// The committed marker, perhaps an old one.
    fn committed(&self) -> Result<Option<Bytes>>;

    /// Makes everything written before this call durable.
    fn sync(&self) -> Result<()>;

    /// Bytes of the records held, for purge decisions; an estimate.
    fn size_bytes(&self) -> u64;
}

/// Refuses records that do not follow `expected` (`None`: the first record may have any index) one by one.
pub(crate) fn check_follows(expected: Option<u64>, records: &[LogRecord]) -> Result<()> {
    let Some(first) = records.first() else { return Ok(()) };
    for (expected, record) in (expected.unwrap_or(first.index)..).zip(records) {
        if record.index != expected {
            return Err(StorageError::Misuse(format!(
                "log record {} does not follow: {expected} comes next",
                record.index
            )));
        }
    }
    Ok(())
}
