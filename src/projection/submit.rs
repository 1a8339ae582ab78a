//! Where intents go.

use api::Status;

use crate::intent::Intent;

/// The way of intents into the log, through the same admission as any request.
///
/// # Guarantees
/// - At [`Done::revision`], State includes what was done.
/// - Refused and stale intents changed nothing. What came of [`NotDone::Unknown`] is told by later States, or, after a
///   change of leaders, by the guard of the term: it is then never applied.
#[async_trait::async_trait]
pub trait Submit: Send + Sync + 'static {
    /// Decides on the newest State what the intent writes, and proposes it with the guard that `term` is still the
    /// leader's.
    ///
    /// # Errors
    /// [`NotDone`].
    async fn submit(&self, actor: &str, term: u64, intent: &Intent) -> Result<Done, NotDone>;
}

/// An intent that was applied, also here; or there was nothing to change.
#[derive(Clone, Debug)]
pub struct Done {
    /// State's revision after it.
    pub revision: u64,
    /// The names of the objects that its operations were about, in their order.
    pub names: Vec<String>,
}

/// Why an intent was not done.
#[derive(Clone, Debug)]
pub enum NotDone {
    /// Admission refused it: the next plan is told.
    Refused(Box<Status>),
    /// Something that it relied on had changed by then; at this revision State shows it.
    Stale(u64),
    /// The log took nothing, or nobody knows whether it did.
    Unknown(String),
}
