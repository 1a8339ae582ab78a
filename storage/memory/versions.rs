//! The version store of the memory twin.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::content::{VersionContent, VersionWrite};
use super::journal::Journal;
use super::snapshot::MemorySnapshot;
use super::{Line, Mutant, Point};
use crate::error::Result;
use crate::snapshot::SnapshotReader;
use crate::versions::{Compacted, Image, Retention, Version, VersionBatch, VersionStore, check_batch};

/// A handle to one version store.
pub(super) struct MemoryVersions {
    line: Line,
    content: Arc<Mutex<Journal<VersionContent>>>,
    /// Where the next step of a compaction goes on: the rule's floor and the last key looked at.
    cursors: Mutex<BTreeMap<String, (u64, String)>>,
}

impl MemoryVersions {
    pub(super) fn new(line: Line, content: Arc<Mutex<Journal<VersionContent>>>) -> Self {
        Self { line, content, cursors: Mutex::default() }
    }

    pub(super) fn content(&self) -> Arc<Mutex<Journal<VersionContent>>> {
        Arc::clone(&self.content)
    }

    /// A copy of everything, as files.
    pub(super) fn take(&self) -> Result<MemorySnapshot> {
        self.ask(MemorySnapshot::encode)?
    }

    fn ask<T>(&self, question: impl FnOnce(&VersionContent) -> T) -> Result<T> {
        self.line.check()?;
        Ok(question(self.content.lock().now()))
    }
}

impl VersionStore for MemoryVersions {
    fn image(&self) -> Result<Option<Image>> {
        self.ask(|content| content.image.clone())
    }

    fn write(&self, batch: &VersionBatch) -> Result<()> {
        self.line.pass(Point::VersionsWrite);
        check_batch(self.ask(|content| content.last_revision)?, batch)?;
        self.line.write("writing versions", || {
            let versions = batch.versions.iter().cloned().map(Arc::new).collect();
            let (sides, image) = (batch.sides.clone(), batch.image.clone());
            self.content.lock().write(VersionWrite::Batch { versions, sides, image });
            Ok(())
        })
    }

    fn flush(&self) -> Result<Option<Image>> {
        self.line.pass(Point::VersionsFlush);
        self.line.check()?;
        self.line.disk.faults.admit("flushing versions")?;
        if !self.line.sync("flushing versions", Mutant::FlushDoesNothing)? {
            return self.image();
        }
        let mut content = self.content.lock();
        content.sync();
        Ok(content.durable().image.clone())
    }

    fn durable_image(&self) -> Result<Option<Image>> {
        self.line.check()?;
        Ok(self.content.lock().durable().image.clone())
    }

    fn newest(&self, visit: &mut dyn FnMut(Version)) -> Result<()> {
        let newest = self.ask(VersionContent::newest)?;
        newest.into_iter().for_each(|version| visit((*version).clone()));
        Ok(())
    }

    fn sides(&self, visit: &mut dyn FnMut(&[u8], Bytes)) -> Result<()> {
        let sides = self.ask(|content| content.sides.clone())?;
        sides.into_iter().for_each(|(key, value)| visit(&key, value));
        Ok(())
    }

    fn at(&self, key: &str, revision: u64) -> Result<Option<Version>> {
        self.ask(|content| content.at(key, revision))?
    }

    fn range_at(&self, from: &str, to: &str, revision: u64, limit: usize) -> Result<Vec<Version>> {
        self.ask(|content| content.range_at(from, to, revision, limit))?
    }

    fn history(&self, key: &str, limit: usize) -> Result<Vec<Version>> {
        self.ask(|content| content.history(key, limit))
    }

    fn since(&self, prefix: &str, revision: u64, limit: usize) -> Result<(Vec<Version>, u64)> {
        self.ask(|content| content.since(prefix, revision, limit))?
    }

    fn following(&self, revision: u64, limit: usize) -> Result<Vec<Version>> {
        self.ask(|content| content.following(revision, limit))
    }

    fn floor(&self, prefix: &str) -> Result<u64> {
        self.ask(|content| content.floors.of_prefix(prefix))
    }

    fn compact(&self, retention: &Retention, versions_max: usize) -> Result<Compacted> {
        self.line.write("compacting versions", || {
            let mut content = self.content.lock();
            let prefix = retention.prefix.clone();
            let wanted = retention.floor.min(content.now().last_revision);
            let floor = wanted.max(content.now().floors.of_rule(&prefix));
            if floor > content.now().floors.of_rule(&prefix) {
                content.write(VersionWrite::Floor { prefix: prefix.clone(), floor });
            }
            let mut cursors = self.cursors.lock();
            let after = cursors.remove(&prefix).filter(|(begun, _)| *begun == floor).map(|(_, after)| after);
            let step = Step::plan(content.now(), &prefix, floor, after, versions_max);
            if let Some(reached) = step.reached {
                cursors.insert(prefix, (floor, reached));
            }
            content.write(VersionWrite::Drop { revisions: step.revisions });
            Ok(step.compacted)
        })
    }

    fn size_bytes(&self) -> u64 {
        self.content.lock().now().size_bytes
    }

    fn snapshot(&self, _directory: &Path) -> Result<Box<dyn SnapshotReader>> {
        Ok(Box::new(self.take()?))
    }
}

/// What one step of a compaction will drop.
#[derive(Default)]
struct Step {
    revisions: Vec<u64>,
    compacted: Compacted,
    /// The last key looked at; `None` when there was no key left.
    reached: Option<String>,
}

impl Step {
    fn plan(
        content: &VersionContent,
        prefix: &str,
        floor: u64,
        after: Option<String>,
        versions_max: usize,
    ) -> Self {
        let mut step = Self::default();
        let from = match &after {
            Some(after) => Bound::Excluded(after.as_str()),
            None => Bound::Included(prefix),
        };
        let keys = content.keys.range::<str, _>((from, Bound::Unbounded));
        for (key, revisions) in keys.take_while(|(key, _)| key.starts_with(prefix)) {
            step.compacted.scanned += revisions.len() as u64;
            for revision in content.droppable(key, floor) {
                step.compacted.dropped += 1;
                step.compacted.dropped_bytes += content.records[&revision].value.len() as u64;
                step.revisions.push(revision);
            }
            step.reached = Some(key.clone());
            if step.compacted.scanned >= versions_max as u64 {
                break;
            }
        }
        step
    }
}
