//! Dropping versions below a floor, a bounded step at a time, beside readers and the writer.

use std::collections::BTreeMap;

use rocksdb::WriteBatch;

use super::reads::Entry;
use super::versions::{Column, FLOOR_KEY, RocksVersions};
use crate::error::Result;
use crate::frame::{self, Kind};
use crate::versions::{Compacted, Retention};

/// Where the next step of each rule's pass goes on. Lost at a restart, which only repeats a pass.
pub(super) type Cursors = BTreeMap<String, Cursor>;

/// The state of a pass over one rule's keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    floor: u64,
    /// The `index` key looked at last.
    after: Vec<u8>,
    /// The key that `after` belongs to.
    key: Vec<u8>,
    /// Whether the newest version at or below the floor of that key was met.
    met_newest: bool,
    /// That version, when it is a delete marker: dropped after everything older than it is gone, because
    /// without it an older version would come back to life.
    marker: Option<Dropped>,
}

#[derive(Clone, Debug)]
struct Dropped {
    index_key: Vec<u8>,
    revision: u64,
    size_bytes: u32,
}

/// What one step decided.
#[derive(Default)]
struct Step {
    scanned: u64,
    dropped: Vec<Dropped>,
}

impl RocksVersions {
    /// One step: looks at up to `versions_max` index entries and drops what the rule allows.
    pub(super) fn compact_step(&self, retention: &Retention, versions_max: usize) -> Result<Compacted> {
        let mut cursors = self.cursors.lock();
        let floor = self.raise_floor(retention)?;
        let begun = cursors.remove(&retention.prefix).filter(|cursor| cursor.floor == floor);
        let mut cursor = begun.unwrap_or_else(|| Cursor { floor, ..Cursor::default() });
        let step = self.plan_step(&retention.prefix, &mut cursor, versions_max)?;
        let done = self.drop_versions(&step)?;
        if step.scanned > 0 {
            cursors.insert(retention.prefix.clone(), cursor);
        }
        Ok(done)
    }

    /// Records the floor, in memory before on disk: a reader that passed the check holds a moment from
    /// before anything is dropped.
    fn raise_floor(&self, retention: &Retention) -> Result<u64> {
        let prefix = retention.prefix.as_str();
        let wanted = retention.floor.min(self.last_revision());
        let before = self.floors.read().of_rule(prefix);
        if wanted <= before {
            return Ok(before);
        }
        self.floors.write().raise(prefix, wanted);
        let key = [FLOOR_KEY, prefix.as_bytes()].concat();
        self.commit("recording a compaction floor", |batch| {
            let framed = frame::seal(Kind::Number, 0, &key, &[&wanted.to_le_bytes()]);
            batch.put_cf(Column::Meta.of(&self.db), &key, framed);
            0
        })?;
        Ok(wanted)
    }

    fn plan_step(&self, prefix: &str, cursor: &mut Cursor, versions_max: usize) -> Result<Step> {
        let reader = self.reader();
        let mut step = Step::default();
        let mut entries = reader.iterator(Column::Index, None);
        if cursor.after.is_empty() {
            entries.seek(prefix);
        } else {
            entries.seek([cursor.after.as_slice(), &[0]].concat());
        }
        while let Some(entry) = reader.entry(&entries)? {
            if !entry.key.starts_with(prefix.as_bytes()) {
                break;
            }
            if step.scanned == versions_max as u64 {
                return Ok(step);
            }
            step.scanned += 1;
            let index_key = entries.key().unwrap_or_default();
            cursor.look_at(entry, index_key, &mut step.dropped);
            entries.next();
        }
        // The end of the rule's keys: the last one's marker has nothing older left.
        step.dropped.extend(cursor.marker.take());
        Ok(step)
    }

    fn drop_versions(&self, step: &Step) -> Result<Compacted> {
        let dropped_bytes = step.dropped.iter().map(|dropped| u64::from(dropped.size_bytes)).sum();
        let done = Compacted { scanned: step.scanned, dropped: step.dropped.len() as u64, dropped_bytes };
        if !step.dropped.is_empty() {
            self.commit("dropping old versions", |batch| {
                step.dropped.iter().for_each(|dropped| self.delete(batch, dropped));
                -(dropped_bytes as i64)
            })?;
        }
        Ok(done)
    }

    fn delete(&self, batch: &mut WriteBatch, dropped: &Dropped) {
        batch.delete_cf(Column::Records.of(&self.db), dropped.revision.to_be_bytes());
        batch.delete_cf(Column::Index.of(&self.db), &dropped.index_key);
    }
}

impl Cursor {
    /// Decides about one entry; a key's entries come newest first.
    fn look_at(&mut self, entry: Entry<'_>, index_key: &[u8], dropped: &mut Vec<Dropped>) {
        if self.after.is_empty() || self.key != entry.key {
            dropped.extend(self.marker.take());
            self.key = entry.key.to_vec();
            self.met_newest = false;
        }
        self.after = index_key.to_vec();
        if entry.revision > self.floor {
            return;
        }
        let (revision, size_bytes) = (entry.revision, entry.size_bytes);
        let found = Dropped { index_key: index_key.to_vec(), revision, size_bytes };
        if self.met_newest {
            dropped.push(found);
        } else if entry.deleted {
            self.marker = Some(found);
        }
        self.met_newest = true;
    }
}
