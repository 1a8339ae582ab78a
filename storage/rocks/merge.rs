//! Merging tables that are small.
//!
//! Records come in rising order, so RocksDB moves each flushed table down whole: no other overlaps it. A flush
//! that came early (a restart, a snapshot) leaves a small table for good, and opening a store and taking a
//! snapshot cost time per table.

use rocksdb::{BottommostLevelCompaction, CompactOptions, LiveFile};

use super::failure::classify;
use super::versions::{Column, RocksVersions};
use crate::error::Result;

/// So many small tables, one after another, become one: less often, and there are more of them; more often,
/// and the same bytes are written again more often.
const SMALL_TABLES: usize = 16;

/// A table is small below the size of a memtable divided by this. Those of full memtables are not, compressed
/// as they are; what comes of merges soon is not either.
const SMALL_SHARE: usize = 8;

impl RocksVersions {
    /// Merges small tables wherever many lie side by side. Reads and writes go on.
    pub(super) fn merge_small_tables(&self) -> Result<()> {
        let failed = |error| classify("listing tables", self.path(), error);
        let tables = self.db.live_files().map_err(failed)?;
        let mut options = CompactOptions::default();
        // The default lets tables on the last level alone.
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        options.set_exclusive_manual_compaction(false);
        for column in [Column::Records, Column::Index] {
            let own = tables.iter().filter(|table| table.column_family_name == column.name());
            for run in small_runs(own.collect(), self.memtable_bytes / SMALL_SHARE) {
                let first = run.first().and_then(|table| table.start_key.as_deref());
                let last = run.last().and_then(|table| table.end_key.as_deref());
                // What it fails of is met again by the next write or read.
                self.db.compact_range_cf_opt(column.of(&self.db), first, last, &options);
            }
        }
        Ok(())
    }
}

/// The tables, by key, that lie side by side, each with fewer than `small_bytes`, where there are many.
fn small_runs(mut tables: Vec<&LiveFile>, small_bytes: usize) -> Vec<Vec<&LiveFile>> {
    tables.sort_by(|a, b| a.start_key.cmp(&b.start_key));
    let runs = tables.split(|table| table.size >= small_bytes);
    runs.filter(|run| run.len() >= SMALL_TABLES).map(<[_]>::to_vec).collect()
}
