//! How large a master lets what it keeps on disk and in memory grow. The defaults are for masters; whoever
//! tests one makes them small, so that minutes of load become milliseconds.

use clap::Args;
use raft::limits::{LOG_KEPT_BYTES, SNAPSHOT_AFTER_BYTES};
use storage::rocks::RocksOptions;

/// Hidden options of `keelson server`. As environment variables they also reach the masters that `up` starts.
#[derive(Args, Clone, Copy, Debug)]
pub struct Sizes {
    /// Bytes appended to the log after which a snapshot is taken.
    #[arg(long, hide = true, env = "KEELSON_SNAPSHOT_AFTER_BYTES", default_value_t = SNAPSHOT_AFTER_BYTES)]
    pub snapshot_after_bytes: u64,
    /// Bytes of log kept behind a snapshot.
    #[arg(long, hide = true, env = "KEELSON_LOG_KEPT_BYTES", default_value_t = LOG_KEPT_BYTES)]
    pub log_kept_bytes: u64,
    /// Bytes of one memtable of each store at most [default: as the stores choose].
    #[arg(long, hide = true, env = "KEELSON_MEMTABLE_BYTES_MAX")]
    pub memtable_bytes_max: Option<usize>,
}

impl Sizes {
    /// Those of the stores.
    pub fn rocks(&self) -> RocksOptions {
        let default = RocksOptions::default();
        let Some(bytes) = self.memtable_bytes_max else { return default };
        RocksOptions { log_memtable_bytes_max: bytes, versions_memtable_bytes_max: bytes, ..default }
    }
}
