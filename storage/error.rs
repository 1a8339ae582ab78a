//! What can go wrong with a disk.

use std::path::{Path, PathBuf};

/// Shorthand.
pub type Result<T> = std::result::Result<T, StorageError>;

/// A failed operation of a store.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Stored bytes are not what was written. The master must stop: it would answer wrongly.
    #[error("{file}: {what}; {remedy}")]
    Corrupt {
        /// The damaged file, or the directory when the file is not known.
        file: PathBuf,
        /// What was found.
        what: String,
        /// The way out.
        remedy: &'static str,
    },
    /// The disk is full. Nothing was written; may succeed once space is freed.
    #[error("no space left while {operation} in {directory}")]
    OutOfSpace {
        /// What was being done.
        operation: &'static str,
        /// Where.
        directory: PathBuf,
    },
    /// Another process has it open, or has not wholly ended yet.
    #[error("another process works on {directory}: stop it first")]
    InUse {
        /// What it has open.
        directory: PathBuf,
    },
    /// The operating system or RocksDB refused.
    #[error("{operation} failed in {directory}")]
    Failed {
        /// What was being done.
        operation: &'static str,
        /// Where.
        directory: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An earlier write failed, and a disk that failed once is not trusted again.
    #[error("the store stopped accepting writes after: {first}")]
    Poisoned {
        /// The first failure.
        first: String,
    },
    /// The versions asked for were dropped by a compaction.
    #[error("versions before revision {floor} have been compacted away")]
    Compacted {
        /// The lowest revision at which the question has an exact answer.
        floor: u64,
    },
    /// The caller broke the contract (a hole in the log, a revision that does not rise).
    #[error("{0}")]
    Misuse(String),
}

/// What to tell whoever runs a master whose files are damaged.
pub const REPLACE_MASTER: &str = "this master's data can no longer be trusted: run `kctl cluster remove` for it, \
     empty its data directory and join it again as a new master";

impl StorageError {
    /// Whether stored bytes were damaged.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
    }

    /// Whether the disk was full.
    pub fn is_out_of_space(&self) -> bool {
        matches!(self, Self::OutOfSpace { .. })
    }

    /// An operation that the operating system refused; a full disk becomes [`StorageError::OutOfSpace`].
    pub(crate) fn io(operation: &'static str, directory: &Path, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::StorageFull {
            return Self::OutOfSpace { operation, directory: directory.to_owned() };
        }
        Self::Failed { operation, directory: directory.to_owned(), source: Box::new(source) }
    }

    /// Damage found in `file`, with the one way out there is.
    pub(crate) fn corrupt(file: &Path, what: impl ToString) -> Self {
        Self::Corrupt { file: file.to_owned(), what: what.to_string(), remedy: REPLACE_MASTER }
    }
}
