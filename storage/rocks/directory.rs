//! Directories that go with their last user unless they are kept.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::files;

/// A directory, with files beside it that belong to it, removed on drop unless [`OwnedDirectory::keep`]
/// was called last.
#[derive(Debug)]
pub(super) struct OwnedDirectory {
    path: PathBuf,
    beside: Vec<PathBuf>,
    kept: AtomicBool,
}

impl OwnedDirectory {
    /// Owns `path`: removed on drop.
    pub(super) fn temporary(path: PathBuf, beside: Vec<PathBuf>) -> Self {
        Self { path, beside, kept: AtomicBool::new(false) }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Stays when dropped, or (`false`) goes.
    pub(super) fn keep(&self, kept: bool) {
        self.kept.store(kept, Ordering::SeqCst);
    }
}

impl Drop for OwnedDirectory {
    fn drop(&mut self) {
        if self.kept.load(Ordering::SeqCst) {
            return;
        }
        for path in std::iter::once(&self.path).chain(&self.beside) {
            if path.exists() {
                files::remove(path);
            }
        }
    }
}
