//! The version store in RocksDB.
//!
//! | column | key | value |
//! |---|---|---|
//! | `records` | revision, big endian | flags: deleted; `previous u64`, key (counted), value |
//! | `index` | key, NUL, inverted revision, big endian: newest first | flags: deleted; `previous u64`, `size u32` |
//! | `sides` | as given | as given |
//! | `meta` | `image`, `size`, `floor/PREFIX` | see [`crate::frame::Kind`] |
//!
//! Values are written once, in rising order: compactions move their tables instead of rewriting them, unless
//! they are small, see `merge.rs`.
//! There is no journal; a flush takes all columns to the disk at one point between two batches.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use rocksdb::{ColumnFamily, DB, FlushOptions, WriteBatch};

use super::compact::Cursors;
use super::directory::OwnedDirectory;
use super::failure::classify;
use super::options::Sizing;
use super::reads::Reader;
use super::seal::{Mark, Seal};
use super::snapshot::{self, SnapshotDirectory};
use crate::error::{Result, StorageError};
use crate::floors::Floors;
use crate::frame::{self, Kind};
use crate::health::Health;
use crate::manifest;
use crate::snapshot::SnapshotReader;
use crate::space::Guard;
use crate::under_way::{SYNC_LIMIT, WRITE_LIMIT};
use crate::versions::{Compacted, Image, Retention, Version, VersionBatch, VersionStore, check_batch};

/// The column families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Index,
    Meta,
    Records,
    Sides,
}

impl Column {
    pub(super) const ALL: [Self; 4] = [Self::Index, Self::Meta, Self::Records, Self::Sides];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Meta => "meta",
            Self::Records => "records",
            Self::Sides => "sides",
        }
    }

    pub(super) fn of(self, db: &DB) -> &ColumnFamily {
        db.cf_handle(self.name()).expect("every column is opened with the database")
    }
}

/// Flag of records and index entries: the write removed the key.
pub(super) const DELETED: u8 = 1;

/// Key of the image in `meta`.
pub(super) const IMAGE_KEY: &[u8] = b"image";

/// Key of the bytes held in `meta`.
pub(super) const SIZE_KEY: &[u8] = b"size";

/// Before a rule's prefix: its floor in `meta`.
pub(super) const FLOOR_KEY: &[u8] = b"floor/";

/// What a write takes besides its keys and its value: frames, numbers, lengths, for both columns.
const WRITE_ROOM: usize = 2 * (frame::HEADER_BYTES + 48);

/// One version store.
pub(super) struct RocksVersions {
    pub(super) db: DB,
    seal: Seal,
    health: Health,
    guard: Arc<Guard>,
    /// Held while a batch is made and written, never while something is flushed or scanned.
    writer: Mutex<Writer>,
    durable: Mutex<Option<Image>>,
    /// One memtable of the largest column.
    pub(super) memtable_bytes: usize,
    pub(super) floors: RwLock<Floors>,
    pub(super) cursors: Mutex<Cursors>,
    /// Last, so that the database is closed before its directory may go.
    pub(super) directory: OwnedDirectory,
}

/// What the next batch depends on.
#[derive(Clone, Debug, Default)]
struct Writer {
    image: Option<Image>,
    last_revision: u64,
    size_bytes: u64,
}

impl RocksVersions {
    /// Opens the store in `directory`; `may_create` when there need not be one yet.
    pub(super) fn open(
        directory: OwnedDirectory,
        sizing: &Sizing,
        guard: Arc<Guard>,
        may_create: bool,
    ) -> Result<Self> {
        let path = directory.path();
        let side_file = side_file(path);
        let expected = expect(path, &side_file, may_create)?;
        let db = DB::open_cf_descriptors(&sizing.versions(), path, sizing.columns())
            .map_err(|error| classify("opening the version store", path, error))?;
        let (writer, floors) = load(&db, path)?;
        let position = writer.image.as_ref().map_or(0, |image| image.index + 1);
        if position < expected.position {
            return Err(StorageError::corrupt(
                path,
                format!(
                    "durable versions are missing: the store was flushed at log index {} (revision {}), it now \
                 ends before that",
                    expected.position - 1,
                    expected.label
                ),
            ));
        }
        let seal = Seal::begin(&side_file, path, position, writer.last_revision)?;
        Ok(Self {
            seal,
            health: Health::new(Arc::clone(&sizing.under_way)),
            guard,
            durable: Mutex::new(writer.image.clone()),
            writer: Mutex::new(writer),
            floors: RwLock::new(floors),
            cursors: Mutex::default(),
            memtable_bytes: sizing.versions_memtable_bytes,
            db,
            directory,
        })
    }

    /// Refuses a store that is not at `expected`.
    pub(super) fn check_image(&self, expected: &Image) -> Result<()> {
        let found = self.writer.lock().image.clone();
        if found.as_ref() == Some(expected) {
            return Ok(());
        }
        let what = format!("the snapshot's manifest names log index {}, its tables another", expected.index);
        Err(StorageError::corrupt(self.path(), what))
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A view of one moment.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader::new(&self.db, self.path())
    }

    /// The highest revision written.
    pub(super) fn last_revision(&self) -> u64 {
        self.writer.lock().last_revision
    }

    /// Writes a batch that `fill` completes; the bytes held change by what `fill` returns.
    pub(super) fn commit(
        &self,
        operation: &'static str,
        fill: impl FnOnce(&mut WriteBatch) -> i64,
    ) -> Result<()> {
        let mut writer = self.writer.lock();
        self.commit_locked(&mut writer, operation, WriteBatch::default(), fill)
    }

    fn commit_locked(
        &self,
        writer: &mut Writer,
        operation: &'static str,
        mut batch: WriteBatch,
        fill: impl FnOnce(&mut WriteBatch) -> i64,
    ) -> Result<()> {
        let change = fill(&mut batch);
        let size_bytes = writer.size_bytes.saturating_add_signed(change);
        let framed = frame::seal(Kind::Number, 0, SIZE_KEY, &[&size_bytes.to_le_bytes()]);
        batch.put_cf(Column::Meta.of(&self.db), SIZE_KEY, framed);
        self.health.guard_retryable(operation, WRITE_LIMIT, || {
            self.db.write_without_wal(batch).map_err(|error| classify(operation, self.path(), error))
        })?;
        writer.size_bytes = size_bytes;
        Ok(())
    }

    fn put_batch(&self, into: &mut WriteBatch, batch: &VersionBatch) -> i64 {
        let db = &self.db;
        let mut added_bytes = 0;
        for version in &batch.versions {
            put_version(db, into, version);
            added_bytes += version.value.len() as i64;
        }
        for (key, value) in &batch.sides {
            match value {
                Some(value) => {
                    into.put_cf(Column::Sides.of(db), key, frame::seal(Kind::Side, 0, key, &[value]));
                }
                None => into.delete_cf(Column::Sides.of(db), key),
            }
        }
        if let Some(image) = &batch.image {
            let header = manifest::image_header(image);
            let framed = frame::seal(Kind::Image, 0, IMAGE_KEY, &[&header, &image.head]);
            into.put_cf(Column::Meta.of(db), IMAGE_KEY, framed);
        }
        added_bytes
    }

    /// A checkpoint of the store at `target`, removed on drop unless it is kept.
    pub(super) fn checkpoint(
        &self,
        target: &Path,
        before: Option<&SnapshotDirectory>,
    ) -> Result<SnapshotDirectory> {
        self.guard.admit("taking a snapshot")?;
        if self.writer.lock().image.is_none() {
            return Err(StorageError::Misuse("a store without an image has no snapshot".to_owned()));
        }
        self.merge_small_tables()?;
        snapshot::take(&self.db, self.path(), target, before)
    }
}

/// About what a batch takes in RocksDB's form: grown step by step, it is copied several times.
fn room_for(batch: &VersionBatch) -> usize {
    let versions = batch.versions.iter().map(|version| version.value.len() + 2 * version.key.len());
    let sides = batch.sides.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len));
    let image = batch.image.as_ref().map_or(0, |image| image.head.len());
    versions.chain(sides).chain([image]).map(|bytes| bytes + WRITE_ROOM).sum()
}

fn put_version(db: &DB, batch: &mut WriteBatch, version: &Version) {
    let flags = if version.deleted { DELETED } else { 0 };
    let previous = version.previous.to_le_bytes();
    let record_key = version.revision.to_be_bytes();
    let key_bytes = (version.key.len() as u32).to_le_bytes();
    let record: [&[u8]; 4] = [&previous, &key_bytes, version.key.as_bytes(), &version.value];
    let framed = frame::seal(Kind::Version, flags, &record_key, &record);
    batch.put_cf(Column::Records.of(db), record_key, framed);
    let index_key = index_key(&version.key, version.revision);
    let size_bytes = (version.value.len() as u32).to_le_bytes();
    let framed = frame::seal(Kind::IndexEntry, flags, &index_key, &[&previous, &size_bytes]);
    batch.put_cf(Column::Index.of(db), index_key, framed);
}

/// A version's key in `index`.
pub(super) fn index_key(key: &str, revision: u64) -> Vec<u8> {
    let mut index_key = Vec::with_capacity(key.len() + 9);
    index_key.extend_from_slice(key.as_bytes());
    index_key.push(0);
    index_key.extend_from_slice(&(!revision).to_be_bytes());
    index_key
}

/// Where the next key's versions begin at the earliest.
pub(super) fn after_key(key: &[u8]) -> Vec<u8> {
    [key, &[1]].concat()
}

/// The same end of a range of keys, among `index` keys. A key and NUL stands behind that key, but in front of
/// that key's versions, which begin with the same bytes: as no key holds a NUL, the next one will do.
fn end_in_index(end: &str) -> Cow<'_, str> {
    match end.split_once('\0') {
        Some((key, _)) => Cow::Owned(format!("{key}\u{1}")),
        None => Cow::Borrowed(end),
    }
}

impl VersionStore for RocksVersions {
    fn image(&self) -> Result<Option<Image>> {
        Ok(self.writer.lock().image.clone())
    }

    fn write(&self, batch: &VersionBatch) -> Result<()> {
        let mut writer = self.writer.lock();
        check_batch(writer.last_revision, batch)?;
        self.health.check()?;
        self.guard.admit("writing versions")?;
        let into = WriteBatch::with_capacity_bytes(room_for(batch));
        self.commit_locked(&mut writer, "writing versions", into, |into| self.put_batch(into, batch))?;
        if let Some(version) = batch.versions.last() {
            writer.last_revision = version.revision;
        }
        if let Some(image) = &batch.image {
            writer.last_revision = writer.last_revision.max(image.revision);
            writer.image = Some(image.clone());
        }
        Ok(())
    }

    fn flush(&self) -> Result<Option<Image>> {
        self.health.check()?;
        self.guard.admit("flushing versions")?;
        let (image, last_revision) = {
            let writer = self.writer.lock();
            (writer.image.clone(), writer.last_revision)
        };
        if crate::mutant::keeps_versions_in_memory() {
            return Ok(image);
        }
        let mut options = FlushOptions::default();
        options.set_wait(true);
        let columns = Column::ALL.map(|column| column.of(&self.db));
        self.health.guard_retryable("flushing versions", WRITE_LIMIT, || {
            let flushed = self.db.flush_cfs_opt(&columns, &options);
            flushed.map_err(|error| classify("flushing versions", self.path(), error))
        })?;
        let position = image.as_ref().map_or(0, |image| image.index + 1);
        self.health.guard("sealing versions", SYNC_LIMIT, || self.seal.advance(position, last_revision))?;
        let mut durable = self.durable.lock();
        if durable.as_ref().map(|image| image.index) < image.as_ref().map(|image| image.index) {
            *durable = image;
        }
        Ok(durable.clone())
    }

    fn durable_image(&self) -> Result<Option<Image>> {
        Ok(self.durable.lock().clone())
    }

    fn newest(&self, visit: &mut dyn FnMut(Version)) -> Result<()> {
        self.reader().newest(visit)
    }

    fn sides(&self, visit: &mut dyn FnMut(&[u8], Bytes)) -> Result<()> {
        self.reader().sides(visit)
    }

    fn at(&self, key: &str, revision: u64) -> Result<Option<Version>> {
        let reader = self.reader();
        // The floor is asked after the reader took its moment: what is dropped later, it still sees.
        crate::floors::require(self.floors.read().of_key(key), revision)?;
        reader.at(key, revision)
    }

    fn range_at(&self, from: &str, to: &str, revision: u64, limit: usize) -> Result<Vec<Version>> {
        let reader = self.reader();
        crate::floors::require(self.floors.read().of_range(from, to), revision)?;
        reader.range_at(&end_in_index(from), &end_in_index(to), revision, limit)
    }

    fn history(&self, key: &str, limit: usize) -> Result<Vec<Version>> {
        self.reader().history(key, limit)
    }

    fn since(&self, prefix: &str, revision: u64, limit: usize) -> Result<(Vec<Version>, u64)> {
        let last_revision = self.last_revision();
        let reader = self.reader();
        crate::floors::require(self.floors.read().of_prefix(prefix), revision)?;
        reader.since(prefix, revision, last_revision, limit)
    }

    fn following(&self, revision: u64, limit: usize) -> Result<Vec<Version>> {
        self.reader().following(revision, limit)
    }

    fn floor(&self, prefix: &str) -> Result<u64> {
        Ok(self.floors.read().of_prefix(prefix))
    }

    fn compact(&self, retention: &Retention, versions_max: usize) -> Result<Compacted> {
        self.compact_step(retention, versions_max)
    }

    fn size_bytes(&self) -> u64 {
        self.writer.lock().size_bytes
    }

    fn snapshot(&self, directory: &Path) -> Result<Box<dyn SnapshotReader>> {
        Ok(Box::new(self.checkpoint(directory, None)?))
    }
}

/// The seal beside the store's directory.
pub(super) fn side_file(directory: &Path) -> PathBuf {
    directory.with_extension("synced")
}

fn expect(directory: &Path, side_file: &Path, may_create: bool) -> Result<Mark> {
    let exists = directory.join("CURRENT").exists();
    match Mark::load(side_file)? {
        Some(mark) if mark.position > 0 || exists => {
            mark.check_manifest(directory)?;
            Ok(mark)
        }
        Some(mark) => Ok(mark),
        None if may_create && !exists => {
            Seal::prepare(side_file)?;
            Ok(Mark::default())
        }
        None => Err(StorageError::corrupt(side_file, "the side file of the version store is missing")),
    }
}

fn load(db: &DB, path: &Path) -> Result<(Writer, Floors)> {
    let reader = Reader::new(db, path);
    let image = reader.image()?;
    let last_revision = reader.last_revision()?.max(image.as_ref().map_or(0, |image| image.revision));
    let size_bytes = reader.number(SIZE_KEY)?.unwrap_or(0);
    Ok((Writer { image, last_revision, size_bytes }, reader.floors()?))
}
