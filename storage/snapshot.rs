//! A store's whole content as files, so that it can be sent to another master.

use bytes::Bytes;

use crate::error::Result;
use crate::space::SpaceState;
use crate::under_way::UnderWay;

/// One file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// A plain file name: no separators, no leading dot.
    pub name: String,
    /// Length in bytes.
    pub size_bytes: u64,
    /// CRC-32C of the content.
    pub crc32c: u32,
}

/// What a snapshot consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The image the snapshot was taken at.
    pub image: crate::versions::Image,
    /// In the order they are sent.
    pub files: Vec<SnapshotFile>,
}

/// A snapshot that can be read, by its sender or before it is opened. Stays readable until dropped.
pub trait SnapshotReader: Send + Sync {
    /// What it consists of.
    fn manifest(&self) -> &Manifest;

    /// Up to `size_max` bytes of file number `file` from `offset`; empty at its end.
    fn read(&self, file: usize, offset: u64, size_max: usize) -> Result<Bytes>;

    /// Reads everything in it, as whoever receives it will: for the sender of one that was refused. Slow.
    ///
    /// # Errors
    /// [`crate::StorageError::Corrupt`] when a file is not what the manifest says, or was damaged already when
    /// the snapshot was taken.
    fn verify(&self) -> Result<()>;

    /// Where its files stand, for those that are files: they can then be linked instead of copied.
    fn directory(&self) -> Option<&std::path::Path> {
        None
    }
}

/// A snapshot being received. Dropped before [`SnapshotWriter::finish`], it leaves nothing behind.
pub trait SnapshotWriter: Send {
    /// Appends to file number `file`; files come in the manifest's order.
    fn write(&mut self, file: usize, bytes: &[u8]) -> Result<()>;

    /// Checks sizes and checksums, syncs files and directory, and returns the snapshot, ready to be
    /// opened by [`crate::snapshot::Stores::adopt`].
    fn finish(self: Box<Self>) -> Result<Box<dyn SnapshotReader>>;
}

/// Everything a master keeps on disk, and how one version store is replaced by a received one.
pub trait Stores: Send + Sync + 'static {
    /// The Raft log.
    fn log(&self) -> std::sync::Arc<dyn crate::LogStore>;

    /// The current version store.
    fn versions(&self) -> std::sync::Arc<dyn crate::VersionStore>;

    /// Takes a snapshot of the current version store (made durable first) and keeps it as the
    /// current snapshot; the one before is dropped once nobody reads it.
    fn take_snapshot(&self) -> Result<std::sync::Arc<dyn SnapshotReader>>;

    /// The snapshot taken or adopted last, also after a restart.
    fn current_snapshot(&self) -> Result<Option<std::sync::Arc<dyn SnapshotReader>>>;

    /// Begins to receive a snapshot.
    fn receive(&self, manifest: &Manifest) -> Result<Box<dyn SnapshotWriter>>;

    /// Opens a received snapshot as a version store beside the current one (slow: reads, verifies).
    fn open_received(&self, snapshot: &dyn SnapshotReader)
    -> Result<std::sync::Arc<dyn crate::VersionStore>>;

    /// Makes an opened store the current one, in one step that a crash leaves done or undone (fast:
    /// a rename). The old store stays readable by whoever holds it.
    fn adopt(&self, opened: std::sync::Arc<dyn crate::VersionStore>) -> Result<()>;

    /// Free space. While it is low, proposals and appended entries are to be refused.
    fn space(&self) -> SpaceState;

    /// What was asked of the disk and has not come to an end. Whoever serves from these stores must end when
    /// that takes too long.
    fn under_way(&self) -> std::sync::Arc<UnderWay>;

    /// The 99th percentile of [`crate::LogStore::sync`] over the last minute, in milliseconds; `None`
    /// when there was none.
    fn sync_p99_ms(&self) -> Option<f64>;

    /// Bytes written to disk since the start, by part of the stores.
    fn written_bytes(&self) -> Vec<(&'static str, u64)>;
}
