//! What several tests of this crate need.

use tempfile::TempDir;

/// A directory in memory where there is one: these tests damage, kill and compare; what a sync costs is
/// not their subject.
pub fn fast_directory() -> TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).expect("a temporary directory")
}
