//! The MVCC store: every version of every key, by revision.
//!
//! Written behind the applied log in batches, each atomic with the position it brings the store to.
//! Its newest versions are the image that a restart begins from; its older ones are history: watch
//! replay, exact lists, blame, time travel.

use std::path::Path;

use bytes::Bytes;

use crate::error::{Result, StorageError};
use crate::snapshot::SnapshotReader;

/// Bytes of values after which one answer ends, however many versions were asked for: about what a page of
/// ordinary objects takes, and little enough that many readers of the largest ones fit into memory, each with
/// an answer that it does not get rid of.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

/// One write to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The key written.
    pub key: String,
    /// The revision the write took; unique and rising over the whole store.
    pub revision: u64,
    /// The revision of the key's version before this one; 0 for none (the write created the key).
    pub previous: u64,
    /// Whether the write removed the key. `value` is then the last object.
    pub deleted: bool,
    /// Opaque: the object and its stamp as the state crate encodes them.
    pub value: Bytes,
}

/// What the store's content corresponds to, kept in the same batch as the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The log index applied last.
    pub index: u64,
    /// The highest revision written.
    pub revision: u64,
    /// Opaque: Raft position, membership, state hash, everything of State that is not a version.
    pub head: Bytes,
}

/// Writes that become visible and durable together.
#[derive(Clone, Debug, Default)]
pub struct VersionBatch {
    /// Rising revisions, all above [`Image::revision`] so far.
    pub versions: Vec<Version>,
    /// Small side records (recent outcomes, limits): `None` removes. Keys are opaque.
    pub sides: Vec<(Vec<u8>, Option<Bytes>)>,
    /// The image after this batch.
    pub image: Option<Image>,
}

/// Which versions a compaction may drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Keys that start with this belong to the rule.
    pub prefix: String,
    /// For each key the newest version at or below `floor` stays (unless it is a delete), all above
    /// stay, and everything older goes.
    pub floor: u64,
}

/// What one compaction step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Versions looked at.
    pub scanned: u64,
    /// Versions dropped.
    pub dropped: u64,
    /// Bytes of the values dropped.
    pub dropped_bytes: u64,
}

/// The history of one cluster on one master. Every call blocks; calls may come from any thread, and
/// readers never wait for the writer.
///
/// # Contract
/// - [`VersionStore::write`] is atomic: after a crash each batch is there whole or not at all, and the
///   batches found are a prefix of those written. What precedes a returned [`VersionStore::flush`] is
///   durable.
/// - A read sees all batches whose `write` returned, and one consistent moment.
/// - A question about a moment below [`VersionStore::floor`] is refused
///   ([`crate::StorageError::Compacted`]), also when a compaction overtakes it. What is asked of the
///   versions held ([`VersionStore::history`], [`VersionStore::following`]) never is.
/// - Damaged bytes are an error ([`crate::StorageError::is_corrupt`]), never a wrong answer.
pub trait VersionStore: Send + Sync + 'static {
    /// The image the content corresponds to; `None` when nothing was ever written.
    fn image(&self) -> Result<Option<Image>>;

    /// Appends a batch. Keys hold no NUL byte. [`crate::StorageError::is_out_of_space`] leaves nothing
    /// written and may be tried again.
    fn write(&self, batch: &VersionBatch) -> Result<()>;

    /// Makes all written batches durable; returns the durable image.
    fn flush(&self) -> Result<Option<Image>>;

    /// The image as of the last completed flush: what a power cut would leave.
    fn durable_image(&self) -> Result<Option<Image>>;

    /// Visits the newest version of each key that is not deleted, in order of revision: the order they
    /// lie in on disk, so that a whole image loads at the speed of one scan.
    fn newest(&self, visit: &mut dyn FnMut(Version)) -> Result<()>;

    /// Visits all side records in key order.
    fn sides(&self, visit: &mut dyn FnMut(&[u8], Bytes)) -> Result<()>;

    /// The version of `key` that was current at `revision`; `None` when it did not exist then.
    fn at(&self, key: &str, revision: u64) -> Result<Option<Version>>;

    /// Versions current at `revision` of keys in `from..to` (byte order), at most `limit` and no more once
    /// they hold [`ANSWER_BYTES_MAX`]: only an empty answer says that there is nothing left. A key and NUL is
    /// the end right behind that key.
    fn range_at(&self, from: &str, to: &str, revision: u64, limit: usize) -> Result<Vec<Version>>;

    /// All kept versions of `key`, newest first, at most `limit`.
    fn history(&self, key: &str, limit: usize) -> Result<Vec<Version>>;

    /// Writes after `revision` in order of revision, of keys starting with `prefix`, at most `limit` and no
    /// more once they hold [`ANSWER_BYTES_MAX`], and the revision up to which the answer is complete: ask
    /// again from there for more.
    fn since(&self, prefix: &str, revision: u64, limit: usize) -> Result<(Vec<Version>, u64)>;

    /// The versions still held after `revision`, of all keys, in order of revision, at most `limit` and no
    /// more once they hold [`ANSWER_BYTES_MAX`]. Answers also below every floor: compacted ones are then
    /// missing from it.
    fn following(&self, revision: u64, limit: usize) -> Result<Vec<Version>>;

    /// The lowest revision from which [`VersionStore::since`] is complete for keys under `prefix`, and
    /// at which [`VersionStore::range_at`] is exact.
    fn floor(&self, prefix: &str) -> Result<u64>;

    /// Drops what `retention` allows, a bounded step at a time: call until `scanned` is 0. The floor
    /// is recorded before anything is dropped.
    fn compact(&self, retention: &Retention, versions_max: usize) -> Result<Compacted>;

    /// Bytes of values held, for retention by size; an estimate.
    fn size_bytes(&self) -> u64;

    /// A consistent copy of the whole store at its current image, history included, without stopping
    /// writers for longer than one batch. RocksDB: hard links in `directory`, which must not exist yet,
    /// stands on the same file system, and goes when the reader is dropped.
    fn snapshot(&self, directory: &Path) -> Result<Box<dyn SnapshotReader>>;
}

/// What one answer still has room for. The version that crosses [`ANSWER_BYTES_MAX`] belongs to it, so that
/// whoever asks again gets on.
pub(crate) struct Room {
    versions: usize,
    bytes: usize,
}

impl Room {
    pub(crate) fn of(limit: usize) -> Self {
        Self { versions: limit, bytes: ANSWER_BYTES_MAX }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.versions == 0 || self.bytes == 0
    }

    pub(crate) fn take(&mut self, value_bytes: usize) {
        self.versions = self.versions.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(value_bytes);
    }
}

/// Refuses a batch whose keys cannot be stored or whose revisions do not rise above `last_revision`.
pub(crate) fn check_batch(last_revision: u64, batch: &VersionBatch) -> Result<()> {
    let mut last = last_revision;
    for version in &batch.versions {
        if version.revision <= last || version.previous >= version.revision {
            return Err(StorageError::Misuse(format!(
                "revision {} of {} (previous {}) does not rise above {last}",
                version.revision, version.key, version.previous
            )));
        }
        if version.key.contains('\0') {
            return Err(StorageError::Misuse(format!("the key {:?} holds a NUL byte", version.key)));
        }
        last = version.revision;
    }
    match &batch.image {
        Some(image) if image.revision < last => Err(StorageError::Misuse(format!(
            "an image at revision {} does not cover revision {last}",
            image.revision
        ))),
        _ => Ok(()),
    }
}
