//! What the API server stands on: reads, proposals and watches of one master's replica.
//!
//! Two implementations, the replica and a twin in memory for tests, and one suite ([`conformance`]) that
//! both pass.

use std::sync::Arc;

use replica::{
    AtLeastError, Behind, Committed, Event, Moment, ProposeError, Replica, Unavailable, View, ViewError,
    WatchEnd,
};
use state::Txn;

pub mod conformance;
pub mod fork;
#[cfg(test)]
pub(crate) mod memory;

/// One master's view of the cluster.
#[async_trait::async_trait]
pub trait Backend: Send + Sync + 'static {
    /// What is applied here, perhaps behind the others.
    fn moment(&self) -> Arc<Moment>;

    /// A State that reflects every write acknowledged before this call.
    ///
    /// # Errors
    /// When no quorum answers in time.
    async fn linearizable(&self) -> Result<Arc<Moment>, Unavailable>;

    /// A State at `revision` or newer, waited for.
    ///
    /// # Errors
    /// When it was not reached in time.
    async fn at_least(&self, revision: u64) -> Result<Arc<Moment>, AtLeastError>;

    /// What was under `prefix` at `revision`.
    ///
    /// # Errors
    /// When history does not reach back that far, or cannot be read.
    async fn exact(&self, prefix: &str, revision: u64) -> Result<View, ViewError>;

    /// Proposes, and waits until the outcome is applied here.
    ///
    /// # Errors
    /// When there is no outcome.
    async fn propose(&self, txn: Txn) -> Result<Committed, ProposeError>;

    /// Changes under `prefix` after `revision`.
    ///
    /// # Errors
    /// When history does not reach back that far.
    fn watch(&self, prefix: &str, revision: u64) -> Result<Box<dyn Changes>, WatchEnd>;

    /// Whether everything is applied here that was committed when this master started.
    ///
    /// # Errors
    /// What is lacking.
    fn caught_up(&self) -> Result<(), Behind>;

    /// The term in which this master leads; `None` while it does not.
    fn leading_term(&self) -> Option<u64>;
}

/// A stream of changes.
#[async_trait::async_trait]
pub trait Changes: Send {
    /// Waits for the next changes, in order: at most [`replica::limits::WATCH_BATCH_MAX`]. Cancel-safe.
    ///
    /// # Errors
    /// The stream is then over.
    async fn next(&mut self) -> Result<Vec<Arc<Event>>, WatchEnd>;

    /// A revision up to which every change was handed out.
    fn progress(&mut self) -> u64;
}

#[async_trait::async_trait]
impl Backend for Replica {
    fn moment(&self) -> Arc<Moment> {
        Self::moment(self)
    }

    async fn linearizable(&self) -> Result<Arc<Moment>, Unavailable> {
        Self::linearizable(self).await
    }

    async fn at_least(&self, revision: u64) -> Result<Arc<Moment>, AtLeastError> {
        Self::at_least(self, revision).await
    }

    async fn exact(&self, prefix: &str, revision: u64) -> Result<View, ViewError> {
        Self::exact(self, prefix, revision).await
    }

    async fn propose(&self, txn: Txn) -> Result<Committed, ProposeError> {
        Self::propose(self, txn).await
    }

    fn watch(&self, prefix: &str, revision: u64) -> Result<Box<dyn Changes>, WatchEnd> {
        Ok(Box::new(Self::watch(self, prefix, revision)?))
    }

    fn caught_up(&self) -> Result<(), Behind> {
        Self::caught_up(self)
    }

    fn leading_term(&self) -> Option<u64> {
        let leadership = *self.raft().leadership().borrow();
        leadership.am_leader.then_some(leadership.term)
    }
}

#[async_trait::async_trait]
impl Changes for replica::Watch {
    async fn next(&mut self) -> Result<Vec<Arc<Event>>, WatchEnd> {
        Self::next(self).await
    }

    fn progress(&mut self) -> u64 {
        Self::progress(self)
    }
}
