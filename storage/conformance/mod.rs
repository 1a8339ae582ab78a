//! What every implementation of the stores must do, as one suite that each of them runs.
//!
//! The suites compare a store with a trivial model after every operation, and again after restarts: what
//! is found must be what the model says after some prefix of the operations, one that reaches at least
//! to the last sync.

mod log;
mod snapshots;
mod versions;

use std::sync::Arc;

use crate::snapshot::Stores;

pub use log::log_suite;
pub use snapshots::stores_suite;
pub use versions::versions_suite;

/// What a suite found wrong.
pub type Verdict = Result<(), String>;

/// An implementation under test.
pub trait Subject {
    /// Opens the stores: empty ones first, later what the last run left. The suite holds nothing of an
    /// earlier run any more. The way a run ends (closed, killed, power cut) is the subject's choice.
    ///
    /// # Errors
    /// As the stores themselves.
    fn restart(&mut self) -> crate::Result<Arc<dyn Stores>>;
}

/// Makes a subject with empty stores.
pub type NewSubject<'a> = &'a dyn Fn() -> Box<dyn Subject>;

/// How much of the random part is done.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Sequences, each with a seed of its own.
    pub sequences: u64,
    /// Operations of each.
    pub operations: usize,
}

/// Fails with a message that shows both sides.
fn expect_eq<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Verdict {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: found {found:?}, expected {expected:?}"))
}

/// Fails with the operation's name when a store refuses what it must do.
fn done<T>(what: &str, result: crate::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error} ({error:?})"))
}

/// Fails when a store does what it must refuse as the caller's mistake.
fn refused<T>(what: &str, result: crate::Result<T>) -> Verdict {
    match result {
        Err(crate::StorageError::Misuse(_)) => Ok(()),
        Err(error) => Err(format!("{what}: refused with {error:?}")),
        Ok(_) => Err(format!("{what}: was not refused")),
    }
}
