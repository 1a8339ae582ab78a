//! RocksDB's options, sized by the file system.

use std::path::Path;
use std::sync::Arc;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, LogLevel, Options,
    WriteBufferManager,
    statistics::{StatsLevel, Ticker},
};

use super::versions::Column;
use crate::error::Result;
use crate::space::{self, Reserve};
use crate::under_way::UnderWay;

/// What a caller may choose; the rest follows from the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RocksOptions {
    /// Shared by all blocks read and, as a charge, by all memtables.
    pub cache_bytes: usize,
    /// One memtable of the log. Twice as large, a master that was filled held 15 MiB more, and wrote a twentieth
    /// less: more of the log is purged before it would be flushed.
    pub log_memtable_bytes_max: usize,
    /// One memtable of the version store's largest column.
    pub versions_memtable_bytes_max: usize,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            log_memtable_bytes_max: 16 << 20,
            versions_memtable_bytes_max: 32 << 20,
        }
    }
}

/// A memtable takes at most the file system's size divided by this.
const MEMTABLE_SHARE: u64 = 128;

/// Below this RocksDB flushes more often than it helps.
const MEMTABLE_BYTES_MIN: u64 = 1 << 20;

/// Memtables a store may hold: one being filled, the others on their way to disk.
const MEMTABLES_MAX: u64 = 3;

/// Memtables' worth of tables that an instance writes again at a time, in a compaction: those that wait before
/// it begins, and the level that they go to.
const COMPACTED_MEMTABLES: u64 = COMPACTED_TABLES + LEVEL_MEMTABLES;

/// Flushed tables after which a compaction begins: RocksDB's default.
const COMPACTED_TABLES: u64 = 4;

/// The first level in memtables: as much as it takes in at a time.
const LEVEL_MEMTABLES: u64 = COMPACTED_TABLES;

/// Open table files per instance; a table beyond that is opened again when it is read.
const OPEN_FILES_MAX: i32 = 512;

/// Journal files kept for overwriting, which costs half of growing a new one.
const RECYCLED_JOURNALS: usize = 2;

/// RocksDB's own diary, which is rotated at this size; two are kept.
const DIARY_BYTES_MAX: usize = 1 << 20;

/// Blocks of the tables: larger than the default because scans are the common read.
const BLOCK_BYTES: usize = 16 << 10;

/// Dirty pages are handed to the disk in steps of this while files are written, so that a sync of the
/// journal does not wait behind a whole table.
const BYTES_PER_SYNC: u64 = 1 << 20;

/// Sizes that fit the file system, and what both instances share.
pub(super) struct Sizing {
    log_memtable_bytes: usize,
    pub(super) versions_memtable_bytes: usize,
    cache: Cache,
    memtables: WriteBufferManager,
    /// Options of each instance begin as copies of these: statistics are shared by all copies, and so
    /// outlive a version store that is replaced.
    log_counted: Options,
    versions_counted: Options,
    /// What must stay free.
    pub(super) reserve: Reserve,
    /// What the stores wait for.
    pub(super) under_way: Arc<UnderWay>,
}

impl Sizing {
    /// Fits the options to the file system that `directory` is on.
    pub(super) fn for_directory(directory: &Path, options: &RocksOptions) -> Result<Self> {
        let total_bytes = space::measure(directory)?.total_bytes;
        let fit = |wanted: usize| {
            (wanted as u64).min((total_bytes / MEMTABLE_SHARE).max(MEMTABLE_BYTES_MIN)) as usize
        };
        let log_memtable_bytes = fit(options.log_memtable_bytes_max);
        let versions_memtable_bytes = fit(options.versions_memtable_bytes_max);
        let memtable_bytes = (log_memtable_bytes + versions_memtable_bytes) as u64;
        let pending_bytes = MEMTABLES_MAX * memtable_bytes;
        let cache = Cache::new_lru_cache(options.cache_bytes);
        let budget = pending_bytes as usize;
        let memtables = WriteBufferManager::new_write_buffer_manager_with_cache(budget, false, cache.clone());
        let reserve = Reserve::new(total_bytes, pending_bytes, COMPACTED_MEMTABLES * memtable_bytes);
        let (log_counted, versions_counted) = (counted(), counted());
        Ok(Self {
            log_memtable_bytes,
            versions_memtable_bytes,
            cache,
            memtables,
            log_counted,
            versions_counted,
            reserve,
            under_way: Arc::default(),
        })
    }

    /// Bytes written since the start, by part.
    pub(super) fn written(&self) -> Vec<(&'static str, u64)> {
        let (log, versions) = (&self.log_counted, &self.versions_counted);
        vec![
            ("log journal", log.get_ticker_count(Ticker::WalFileBytes)),
            ("log flush", log.get_ticker_count(Ticker::FlushWriteBytes)),
            ("log compaction", log.get_ticker_count(Ticker::CompactWriteBytes)),
            ("versions flush", versions.get_ticker_count(Ticker::FlushWriteBytes)),
            ("versions compaction", versions.get_ticker_count(Ticker::CompactWriteBytes)),
        ]
    }

    /// The log: its journal is synced, and written to memory first, so that an append is no system call.
    pub(super) fn log(&self) -> Options {
        let mut options = self.common(&self.log_counted);
        self.tables(&mut options, self.log_memtable_bytes);
        options.set_manual_wal_flush(true);
        options.set_recycle_log_file_num(RECYCLED_JOURNALS);
        // The stricter modes forbid recycling, and refuse a torn tail that was never acknowledged. The
        // seal tells a torn tail from a lost record.
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        // A journal file lost or cut in front of another would be passed over in silence.
        options.set_track_and_verify_wals_in_manifest(true);
        options
    }

    /// The version store as a whole: no journal, so all columns must reach the disk together.
    pub(super) fn versions(&self) -> Options {
        let mut options = self.common(&self.versions_counted);
        options.create_missing_column_families(true);
        options.set_atomic_flush(true);
        options
    }

    /// The version store's columns.
    pub(super) fn columns(&self) -> Vec<ColumnFamilyDescriptor> {
        let describe = |column: &Column| {
            let mut options = Options::default();
            self.tables(&mut options, self.versions_memtable_bytes);
            ColumnFamilyDescriptor::new(column.name(), options)
        };
        Column::ALL.iter().map(describe).collect()
    }

    fn common(&self, counted: &Options) -> Options {
        let mut options = counted.clone();
        options.create_if_missing(true);
        options.set_max_background_jobs(2);
        options.set_max_open_files(OPEN_FILES_MAX);
        options.set_keep_log_file_num(2);
        options.set_max_log_file_size(DIARY_BYTES_MAX);
        options.set_log_level(LogLevel::Warn);
        options.set_stats_dump_period_sec(0);
        options.set_bytes_per_sync(BYTES_PER_SYNC);
        options.set_manifest_preallocation_size(64 << 10);
        options.set_write_buffer_manager(&self.memtables);
        options
    }

    fn tables(&self, options: &mut Options, memtable_bytes: usize) {
        let mut tables = BlockBasedOptions::default();
        tables.set_block_cache(&self.cache);
        tables.set_cache_index_and_filter_blocks(true);
        tables.set_block_size(BLOCK_BYTES);
        options.set_block_based_table_factory(&tables);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_write_buffer_size(memtable_bytes);
        options.set_max_write_buffer_number(MEMTABLES_MAX as i32);
        options.set_target_file_size_base(memtable_bytes as u64);
        options.set_max_bytes_for_level_base(LEVEL_MEMTABLES * memtable_bytes as u64);
    }
}

/// Options that count what is written, and nothing that costs more.
fn counted() -> Options {
    let mut options = Options::default();
    options.enable_statistics();
    options.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
    options
}
