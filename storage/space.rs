//! Free space of the file system the data lives on, watched so that RocksDB never meets a full disk:
//! after a refused write to its journal it could not go on without being reopened.
//!
//! Two thresholds. Below [`Reserve::low_bytes`] the layers above refuse proposals and appended entries;
//! what is already on its way still fits, also while a compaction writes tables again before it deletes
//! them. Below [`Reserve::critical_bytes`] the store itself refuses, with nothing written. The rest is for
//! what nobody can refuse: memtables already filled, votes, purges.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::env::{Instant, monotonic};
use parking_lot::Mutex;

use crate::error::{Result, StorageError};

/// How long an answer of the file system is reused: what a quick disk takes meanwhile is far less than lies
/// between the two thresholds.
pub const SPACE_CACHE: Duration = Duration::from_millis(10);

/// Kept free besides what memtables may still take: manifests, side files, small compactions.
pub const RESERVE_FIXED_BYTES: u64 = 4 << 20;

/// The reserve is never more than the file system's size divided by this.
pub const RESERVE_SHARE_MAX: u64 = 4;

/// The store itself refuses at the low mark divided by this, or later.
pub const CRITICAL_SHARE: u64 = 2;

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceState {
    /// Bytes that this process may still write.
    pub free_bytes: u64,
    /// Refuse new proposals and appended entries; reads, votes and purges go on.
    pub is_low: bool,
}

/// How much must stay free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// [`SpaceState::is_low`] below this.
    pub low_bytes: u64,
    /// [`Guard::admit`] refuses below this.
    pub critical_bytes: u64,
}

impl Reserve {
    /// For a file system of `total_bytes` whose stores may still write `pending_bytes` of their own, and
    /// `compacting_bytes` twice for a while.
    pub fn new(total_bytes: u64, pending_bytes: u64, compacting_bytes: u64) -> Self {
        let wanted_bytes = pending_bytes + RESERVE_FIXED_BYTES;
        // What is on its way between the two marks is no more than what memtables hold.
        let low_bytes = wanted_bytes * CRITICAL_SHARE + compacting_bytes;
        let low_bytes = low_bytes.min(total_bytes / RESERVE_SHARE_MAX);
        Self { low_bytes, critical_bytes: wanted_bytes.min(low_bytes / CRITICAL_SHARE) }
    }
}

/// Watches one file system.
#[derive(Debug)]
pub struct Guard {
    directory: PathBuf,
    reserve: Reserve,
    asked: Mutex<Option<(Instant, u64)>>,
}

impl Guard {
    /// Watches the file system that `directory` is on.
    pub fn new(directory: &Path, reserve: Reserve) -> Self {
        Self { directory: directory.to_owned(), reserve, asked: Mutex::new(None) }
    }

    /// What is left, at most [`SPACE_CACHE`] old.
    ///
    /// # Errors
    /// When the file system does not answer.
    pub fn state(&self) -> Result<SpaceState> {
        let free_bytes = self.free_bytes()?;
        Ok(SpaceState { free_bytes, is_low: free_bytes < self.reserve.low_bytes })
    }

    /// Lets an operation begin that writes much.
    ///
    /// # Errors
    /// [`StorageError::OutOfSpace`] when only the last part of the reserve is left.
    pub fn admit(&self, operation: &'static str) -> Result<()> {
        if self.free_bytes()? < self.reserve.critical_bytes {
            return Err(StorageError::OutOfSpace { operation, directory: self.directory.clone() });
        }
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64> {
        let now = monotonic();
        let mut asked = self.asked.lock();
        if let Some((at, free_bytes)) = *asked
            && now.saturating_duration_since(at) < SPACE_CACHE
        {
            return Ok(free_bytes);
        }
        let free_bytes = measure(&self.directory)?.free_bytes;
        *asked = Some((now, free_bytes));
        Ok(free_bytes)
    }
}

/// A file system's size and what is free of it.
#[derive(Clone, Copy, Debug)]
pub struct FileSystem {
    /// All of it.
    pub total_bytes: u64,
    /// What an unprivileged process may still take.
    pub free_bytes: u64,
}

/// Asks the file system that `directory` is on.
///
/// # Errors
/// When it does not answer.
pub fn measure(directory: &Path) -> Result<FileSystem> {
    let failed = |source| StorageError::io("asking for free space", directory, source);
    let path = CString::new(directory.as_os_str().as_bytes()).map_err(|nul| failed(nul.into()))?;
    let mut answer = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `path` is a NUL-terminated string and `answer` has room for the structure; both outlive the
    // call, and all-zero bytes are a valid `statvfs`.
    #[allow(unsafe_code)]
    let (code, answer) = unsafe { (libc::statvfs(path.as_ptr(), answer.as_mut_ptr()), answer.assume_init()) };
    if code != 0 {
        return Err(failed(std::io::Error::last_os_error()));
    }
    let block_bytes = answer.f_frsize;
    Ok(FileSystem { total_bytes: answer.f_blocks * block_bytes, free_bytes: answer.f_bavail * block_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_reserve_covers_what_is_pending_and_never_eats_a_small_disk() {
        let check = |total, pending, compacting, low_mib, critical_mib| {
            let expected = Reserve { low_bytes: low_mib * MIB, critical_bytes: critical_mib * MIB };
            assert_eq!(Reserve::new(total, pending, compacting), expected, "{total} {pending} {compacting}");
        };
        check(1 << 40, 200 * MIB, 100 * MIB, 508, 204);
        check(128 * MIB, 8 * MIB, 0, 24, 12);
        check(128 * MIB, 8 * MIB, 8 * MIB, 32, 12);
        check(64 * MIB, 8 * MIB, 8 * MIB, 16, 8);
    }

    #[test]
    fn a_reserve_above_what_is_free_is_low_and_refuses() {
        let directory = tempfile::tempdir().expect("a directory");
        let roomy = Guard::new(directory.path(), Reserve { low_bytes: 1, critical_bytes: 1 });
        assert!(!roomy.state().expect("answers").is_low);
        assert!(roomy.admit("writing").is_ok());
        let full = Guard::new(directory.path(), Reserve { low_bytes: u64::MAX, critical_bytes: u64::MAX });
        assert!(full.state().expect("answers").is_low);
        assert!(full.admit("writing").is_err_and(|error| error.is_out_of_space()));
    }
}
