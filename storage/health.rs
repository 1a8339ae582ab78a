//! Remembers the first failure of a disk: after it, nothing that writes goes on.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::error::{Result, StorageError};
use crate::under_way::UnderWay;

/// Whether the disk under a store may still be written to.
#[derive(Debug, Default)]
pub(crate) struct Health {
    first: OnceLock<String>,
    pub(crate) under_way: Arc<UnderWay>,
}

impl Health {
    /// Of a store on the disk that `under_way` speaks of.
    pub(crate) fn new(under_way: Arc<UnderWay>) -> Self {
        Self { first: OnceLock::new(), under_way }
    }

    /// Lets a write or sync begin.
    pub(crate) fn check(&self) -> Result<()> {
        match self.first.get() {
            Some(first) => Err(StorageError::Poisoned { first: first.clone() }),
            None => Ok(()),
        }
    }

    /// Runs a write or sync that may take `limit`. Whatever fails in it is the last thing that is tried.
    pub(crate) fn guard<T>(
        &self,
        operation: &'static str,
        limit: Duration,
        write: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.check()?;
        self.under_way.during(operation, limit, write).inspect_err(|error| self.poison(error))
    }

    /// The same where a full disk is no reason to stop: what was not written can be written later.
    pub(crate) fn guard_retryable<T>(
        &self,
        operation: &'static str,
        limit: Duration,
        write: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.check()?;
        self.under_way.during(operation, limit, write).inspect_err(|error| {
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
