//! Remembers the first failure of a disk: after it, nothing that writes goes on.

use std::sync::OnceLock;

use crate::error::{Result, StorageError};

/// Whether the disk under a store may still be written to.
#[derive(Debug, Default)]
pub(crate) struct Health {
    first: OnceLock<String>,
}

impl Health {
    /// Lets a write or sync begin.
    pub(crate) fn check(&self) -> Result<()> {
        match self.first.get() {
            Some(first) => Err(StorageError::Poisoned { first: first.clone() }),
            None => Ok(()),
        }
    }

    /// Runs a write or sync. Whatever fails in it is the last thing that is tried.
    pub(crate) fn guard<T>(&self, write: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check()?;
        write().inspect_err(|error| self.poison(error))
    }

    /// The same where a full disk is no reason to stop: what was not written can be written later.
    pub(crate) fn guard_retryable<T>(&self, write: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check()?;
        write().inspect_err(|error| {
            if !error.is_out_of_space() {
                self.poison(error);
            }
        })
    }

    /// Remembers a failure, with its causes.
    fn poison(&self, error: &StorageError) {
        let mut first = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(source) = cause {
            first = format!("{first}: {source}");
            cause = source.source();
        }
        tracing::error!(%first, "a write failed: the store accepts no more");
        // Only the first failure is kept: later ones follow from it.
        let _ = self.first.set(first);
    }
}
