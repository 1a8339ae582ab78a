//! Questions to a version store, each answered from one moment.

use std::path::Path;

use bytes::Bytes;
use rocksdb::{DB, DBRawIterator, ReadOptions, Snapshot};

use super::failure::classify;
use super::versions::{Column, DELETED, FLOOR_KEY, IMAGE_KEY, after_key, index_key};
use crate::error::{Result, StorageError};
use crate::floors::Floors;
use crate::frame::{self, Damage, Fields, Frame, Kind};
use crate::manifest;
use crate::versions::{Image, Room, Version};

/// Bytes after the key in an `index` key: NUL and the inverted revision.
const INDEX_SUFFIX_BYTES: usize = 9;

/// How many entries are stepped over before a seek is cheaper.
const STEPS_MAX: u64 = 16;

/// Records that one answer of [`Reader::since`] looks at; the asker continues from where it ended.
const SINCE_SCAN_MAX: usize = 20_000;

/// A moment of the store.
pub(super) struct Reader<'a> {
    db: &'a DB,
    directory: &'a Path,
    moment: Snapshot<'a>,
}

/// An `index` entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a [u8],
    pub(super) revision: u64,
    pub(super) deleted: bool,
    pub(super) size_bytes: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(db: &'a DB, directory: &'a Path) -> Self {
        Self { db, directory, moment: db.snapshot() }
    }

    /// The newest version of each living key, by revision.
    pub(super) fn newest(&self, visit: &mut dyn FnMut(Version)) -> Result<()> {
        let mut revisions = Vec::new();
        self.walk_keys(b"", None, u64::MAX, &mut |entry| {
            if !entry.deleted {
                revisions.push(entry.revision);
            }
            true
        })?;
        revisions.sort_unstable();
        self.visit_records(&revisions, visit)
    }

    /// Reads every block of every column, for RocksDB to look at its checksum.
    pub(super) fn walk(&self) -> Result<()> {
        for column in Column::ALL {
            let mut rows = self.iterator(column, None);
            rows.seek_to_first();
            while rows.valid() {
                rows.next();
            }
            self.finish(&rows)?;
        }
        Ok(())
    }

    pub(super) fn sides(&self, visit: &mut dyn FnMut(&[u8], Bytes)) -> Result<()> {
        let mut sides = self.iterator(Column::Sides, None);
        sides.seek_to_first();
        while let Some((key, framed)) = sides.item() {
            let frame = self.open(Kind::Side, key, framed)?;
            visit(key, Bytes::copy_from_slice(frame.body));
            sides.next();
        }
        self.finish(&sides)
    }

    pub(super) fn at(&self, key: &str, revision: u64) -> Result<Option<Version>> {
        let mut found = None;
        self.walk_keys(key.as_bytes(), Some(after_key(key.as_bytes())), revision, &mut |entry| {
            found = Some((entry.revision, entry.deleted));
            false
        })?;
        match found {
            Some((revision, false)) => self.record(revision).map(Some),
            _ => Ok(None),
        }
    }

    pub(super) fn range_at(&self, from: &str, to: &str, revision: u64, limit: usize) -> Result<Vec<Version>> {
        if limit == 0 || from >= to {
            return Ok(Vec::new());
        }
        let mut revisions = Vec::new();
        let mut room = Room::of(limit);
        self.walk_keys(from.as_bytes(), Some(to.as_bytes().to_vec()), revision, &mut |entry| {
            if !entry.deleted {
                revisions.push(entry.revision);
                room.take(entry.size_bytes as usize);
            }
            !room.is_full()
        })?;
        revisions.sort_unstable();
        let mut found = Vec::with_capacity(revisions.len());
        self.visit_records(&revisions, &mut |version| found.push(version))?;
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    pub(super) fn history(&self, key: &str, limit: usize) -> Result<Vec<Version>> {
        let mut entries = self.iterator(Column::Index, Some(after_key(key.as_bytes())));
        entries.seek(index_key(key, u64::MAX));
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(entry) = self.entry(&entries)?
        {
            found.push(self.record(entry.revision)?);
            entries.next();
        }
        self.finish(&entries)?;
        Ok(found)
    }

    pub(super) fn since(
        &self,
        prefix: &str,
        revision: u64,
        last_revision: u64,
        limit: usize,
    ) -> Result<(Vec<Version>, u64)> {
        let Some(from) = revision.checked_add(1) else { return Ok((Vec::new(), revision)) };
        let mut records = self.iterator(Column::Records, None);
        records.seek(from.to_be_bytes());
        let mut found = Vec::new();
        let mut room = Room::of(limit);
        let mut scanned = 0;
        while let Some((key, framed)) = records.item() {
            let at = self.revision_of(key)?;
            if room.is_full() || scanned == SINCE_SCAN_MAX {
                return Ok((found, at - 1));
            }
            let version = self.version(at, framed)?;
            if version.key.starts_with(prefix) {
                room.take(version.value.len());
                found.push(version);
            }
            scanned += 1;
            records.next();
        }
        self.finish(&records)?;
        Ok((found, last_revision.max(revision)))
    }

    pub(super) fn following(&self, revision: u64, limit: usize) -> Result<Vec<Version>> {
        let Some(from) = revision.checked_add(1) else { return Ok(Vec::new()) };
        let mut records = self.iterator(Column::Records, None);
        records.seek(from.to_be_bytes());
        let mut found = Vec::new();
        let mut room = Room::of(limit);
        while !room.is_full()
            && let Some((key, framed)) = records.item()
        {
            let version = self.version(self.revision_of(key)?, framed)?;
            room.take(version.value.len());
            found.push(version);
            records.next();
        }
        self.finish(&records)?;
        Ok(found)
    }

    pub(super) fn image(&self) -> Result<Option<Image>> {
        let Some(framed) = self.meta(IMAGE_KEY)? else { return Ok(None) };
        let frame = self.open(Kind::Image, IMAGE_KEY, &framed)?;
        manifest::image(frame.body).map(Some).map_err(|damage| self.damaged(damage))
    }

    pub(super) fn number(&self, key: &[u8]) -> Result<Option<u64>> {
        let Some(framed) = self.meta(key)? else { return Ok(None) };
        let frame = self.open(Kind::Number, key, &framed)?;
        Fields(frame.body).u64().map(Some).map_err(|damage| self.damaged(damage))
    }

    pub(super) fn floors(&self) -> Result<Floors> {
        let mut entries = self.iterator(Column::Meta, None);
        entries.seek(FLOOR_KEY);
        let mut floors = Floors::default();
        while let Some((key, framed)) = entries.item() {
            let Some(prefix) = key.strip_prefix(FLOOR_KEY) else { break };
            let prefix = std::str::from_utf8(prefix).map_err(|_| self.damaged(Damage::Fields))?;
            let body = self.open(Kind::Number, key, framed)?.body;
            floors.raise(prefix, Fields(body).u64().map_err(|damage| self.damaged(damage))?);
            entries.next();
        }
        self.finish(&entries)?;
        Ok(floors)
    }

    /// The highest revision that has a record.
    pub(super) fn last_revision(&self) -> Result<u64> {
        let mut records = self.iterator(Column::Records, None);
        records.seek_to_last();
        let last = records.key().map(|key| self.revision_of(key)).transpose()?;
        self.finish(&records)?;
        Ok(last.unwrap_or(0))
    }

    /// Visits, for each key from `from` on and below `to`, its newest entry at or below `revision`, until
    /// `visit` returns `false`.
    fn walk_keys(
        &self,
        from: &[u8],
        to: Option<Vec<u8>>,
        revision: u64,
        visit: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<()> {
        let mut entries = self.iterator(Column::Index, to);
        entries.seek(from);
        let mut steps = 0;
        let mut done: Vec<u8> = Vec::new();
        let mut any_done = false;
        while let Some(entry) = self.entry(&entries)? {
            let is_done = any_done && entry.key == done;
            if !is_done && entry.revision <= revision {
                if !visit(entry) {
                    return Ok(());
                }
                done.clear();
                done.extend_from_slice(entry.key);
                (any_done, steps) = (true, 0);
                entries.next();
            } else if steps < STEPS_MAX {
                steps += 1;
                entries.next();
            } else {
                let target = if is_done { after_key(&done) } else { self.newest_at(entry.key, revision) };
                entries.seek(target);
                steps = 0;
            }
        }
        self.finish(&entries)
    }

    fn newest_at(&self, key: &[u8], revision: u64) -> Vec<u8> {
        [key, &[0], &(!revision).to_be_bytes()].concat()
    }

    /// Reads the records of rising `revisions`: step by step where they lie close, by seeks elsewhere.
    fn visit_records(&self, revisions: &[u64], visit: &mut dyn FnMut(Version)) -> Result<()> {
        let mut records = self.iterator(Column::Records, None);
        let mut reached = None;
        for &revision in revisions {
            let key = revision.to_be_bytes();
            match reached {
                Some(reached) if revision - reached <= STEPS_MAX => {
                    while records.key().is_some_and(|found| found < key.as_slice()) {
                        records.next();
                    }
                }
                _ => records.seek(key),
            }
            reached = Some(revision);
            let Some((_, framed)) = records.item().filter(|(found, _)| *found == key) else {
                self.finish(&records)?;
                return Err(self.missing(revision));
            };
            visit(self.version(revision, framed)?);
        }
        Ok(())
    }

    fn record(&self, revision: u64) -> Result<Version> {
        let column = Column::Records.of(self.db);
        let found = self.moment.get_pinned_cf(column, revision.to_be_bytes());
        let framed = found.map_err(|error| self.failed(error))?.ok_or_else(|| self.missing(revision))?;
        self.version(revision, &framed)
    }

    fn version(&self, revision: u64, framed: &[u8]) -> Result<Version> {
        let frame = self.open(Kind::Version, &revision.to_be_bytes(), framed)?;
        let decode = || -> std::result::Result<Version, Damage> {
            let mut fields = Fields(frame.body);
            let previous = fields.u64()?;
            let key = String::from_utf8(fields.counted()?.to_vec()).map_err(|_| Damage::Fields)?;
            let (deleted, value) = (frame.flags & DELETED != 0, Bytes::copy_from_slice(fields.0));
            Ok(Version { key, revision, previous, deleted, value })
        };
        decode().map_err(|damage| self.damaged(format!("revision {revision}: {damage}")))
    }

    /// The `index` entry an iterator stands on; `None` at its end.
    pub(super) fn entry<'i>(&self, entries: &'i DBRawIterator<'_>) -> Result<Option<Entry<'i>>> {
        let Some((index_key, framed)) = entries.item() else {
            self.finish(entries)?;
            return Ok(None);
        };
        let frame = self.open(Kind::IndexEntry, index_key, framed)?;
        let decode = || -> std::result::Result<Entry<'i>, Damage> {
            let key_bytes = index_key.len().checked_sub(INDEX_SUFFIX_BYTES).ok_or(Damage::Fields)?;
            let (key, suffix) = index_key.split_at(key_bytes);
            let inverted = suffix[1..].try_into().map_err(|_| Damage::Fields)?;
            let mut fields = Fields(frame.body);
            let (_previous, size_bytes) = (fields.u64()?, fields.u32()?);
            let (revision, deleted) = (!u64::from_be_bytes(inverted), frame.flags & DELETED != 0);
            Ok(Entry { key, revision, deleted, size_bytes })
        };
        decode().map(Some).map_err(|damage| self.damaged(damage))
    }

    /// An iterator that does not push what others read out of the cache.
    pub(super) fn iterator(&self, column: Column, to: Option<Vec<u8>>) -> DBRawIterator<'_> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        if let Some(to) = to {
            options.set_iterate_upper_bound(to);
        }
        self.moment.raw_iterator_cf_opt(column.of(self.db), options)
    }

    /// Tells the end of the data from a failed read.
    pub(super) fn finish(&self, iterator: &DBRawIterator<'_>) -> Result<()> {
        iterator.status().map_err(|error| self.failed(error))
    }

    fn meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.moment.get_cf(Column::Meta.of(self.db), key).map_err(|error| self.failed(error))
    }

    fn open<'f>(&self, kind: Kind, place: &[u8], framed: &'f [u8]) -> Result<Frame<'f>> {
        frame::open(kind, place, framed).map_err(|damage| self.damaged(damage))
    }

    fn revision_of(&self, key: &[u8]) -> Result<u64> {
        key.try_into().map(u64::from_be_bytes).map_err(|_| self.damaged(Damage::Fields))
    }

    fn failed(&self, error: rocksdb::Error) -> StorageError {
        classify("reading versions", self.directory, error)
    }

    fn missing(&self, revision: u64) -> StorageError {
        self.damaged(format!("the index names revision {revision}, which is missing"))
    }

    fn damaged(&self, what: impl ToString) -> StorageError {
        StorageError::corrupt(self.directory, what)
    }
}
