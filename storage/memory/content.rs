//! What a version store of the memory twin holds, and the questions that can be asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::journal::Replay;
use crate::error::Result;
use crate::floors::{self, Floors};
use crate::versions::{Image, Room, Version};

/// Versions by revision and by key, and what stands beside them.
#[derive(Clone, Debug, Default)]
pub(super) struct VersionContent {
    pub(super) records: BTreeMap<u64, Arc<Version>>,
    pub(super) keys: BTreeMap<String, BTreeSet<u64>>,
    pub(super) sides: BTreeMap<Vec<u8>, Bytes>,
    pub(super) image: Option<Image>,
    pub(super) floors: Floors,
    pub(super) size_bytes: u64,
    pub(super) last_revision: u64,
}

/// One write to a version store.
#[derive(Debug)]
pub(super) enum VersionWrite {
    Batch { versions: Vec<Arc<Version>>, sides: Vec<(Vec<u8>, Option<Bytes>)>, image: Option<Image> },
    Floor { prefix: String, floor: u64 },
    Drop { revisions: Vec<u64> },
}

impl Replay for VersionContent {
    type Write = VersionWrite;

    fn replay(&mut self, write: &VersionWrite) {
        match write {
            VersionWrite::Batch { versions, sides, image } => {
                versions.iter().for_each(|version| self.insert(Arc::clone(version)));
                for (key, value) in sides {
                    match value {
                        Some(value) => self.sides.insert(key.clone(), value.clone()),
                        None => self.sides.remove(key),
                    };
                }
                if let Some(image) = image {
                    self.last_revision = self.last_revision.max(image.revision);
                    self.image = Some(image.clone());
                }
            }
            VersionWrite::Floor { prefix, floor } => self.floors.raise(prefix, *floor),
            VersionWrite::Drop { revisions } => revisions.iter().for_each(|revision| self.remove(*revision)),
        }
    }
}

impl VersionContent {
    pub(super) fn insert(&mut self, version: Arc<Version>) {
        self.size_bytes += version.value.len() as u64;
        self.last_revision = version.revision;
        self.keys.entry(version.key.clone()).or_default().insert(version.revision);
        self.records.insert(version.revision, version);
    }

    fn remove(&mut self, revision: u64) {
        let Some(version) = self.records.remove(&revision) else { return };
        self.size_bytes -= version.value.len() as u64;
        if let Some(revisions) = self.keys.get_mut(&version.key) {
            revisions.remove(&revision);
            if revisions.is_empty() {
                self.keys.remove(&version.key);
            }
        }
    }

    /// The newest version of each living key, by revision.
    pub(super) fn newest(&self) -> Vec<Arc<Version>> {
        let newest = self.keys.values().filter_map(BTreeSet::last);
        let mut revisions: Vec<u64> = newest.copied().collect();
        revisions.sort_unstable();
        revisions.iter().filter_map(|revision| self.living(*revision)).collect()
    }

    pub(super) fn at(&self, key: &str, revision: u64) -> Result<Option<Version>> {
        floors::require(self.floors.of_key(key), revision)?;
        let revisions = self.keys.get(key);
        let current = revisions.and_then(|revisions| revisions.range(..=revision).next_back());
        Ok(current.and_then(|current| self.living(*current)).map(|version| (*version).clone()))
    }

    pub(super) fn range_at(&self, from: &str, to: &str, revision: u64, limit: usize) -> Result<Vec<Version>> {
        floors::require(self.floors.of_range(from, to), revision)?;
        if from >= to {
            return Ok(Vec::new());
        }
        let keys =
            self.keys.range::<str, _>((std::ops::Bound::Included(from), std::ops::Bound::Excluded(to)));
        let current = keys.filter_map(|(_, revisions)| revisions.range(..=revision).next_back());
        let living = current.filter_map(|revision| self.living(*revision));
        Ok(answer(living, limit))
    }

    pub(super) fn history(&self, key: &str, limit: usize) -> Vec<Version> {
        let revisions = self.keys.get(key).into_iter().flatten().rev().take(limit);
        revisions.filter_map(|revision| self.records.get(revision)).map(|found| (**found).clone()).collect()
    }

    pub(super) fn since(&self, prefix: &str, revision: u64, limit: usize) -> Result<(Vec<Version>, u64)> {
        floors::require(self.floors.of_prefix(prefix), revision)?;
        let mut found = Vec::new();
        let mut room = Room::of(limit);
        for (at, version) in self.records.range(revision.saturating_add(1)..) {
            if room.is_full() {
                return Ok((found, at - 1));
            }
            if version.key.starts_with(prefix) {
                room.take(version.value.len());
                found.push((**version).clone());
            }
        }
        Ok((found, self.last_revision.max(revision)))
    }

    pub(super) fn following(&self, revision: u64, limit: usize) -> Vec<Version> {
        let after = self.records.range(revision.saturating_add(1)..);
        answer(after.map(|(_, version)| Arc::clone(version)), limit)
    }

    /// Of `key`'s versions those that a floor allows to drop, in any order.
    pub(super) fn droppable(&self, key: &str, floor: u64) -> Vec<u64> {
        let Some(revisions) = self.keys.get(key) else { return Vec::new() };
        let mut below: Vec<u64> = revisions.range(..=floor).copied().collect();
        if let Some(newest) = below.last()
            && self.living(*newest).is_some()
        {
            below.pop();
        }
        below
    }

    fn living(&self, revision: u64) -> Option<Arc<Version>> {
        self.records.get(&revision).filter(|version| !version.deleted).cloned()
    }
}

/// The first of `versions` that one answer has room for.
fn answer(versions: impl Iterator<Item = Arc<Version>>, limit: usize) -> Vec<Version> {
    let mut room = Room::of(limit);
    let mut found = Vec::new();
    for version in versions {
        if room.is_full() {
            break;
        }
        room.take(version.value.len());
        found.push((*version).clone());
    }
    found
}
