//! What the leader does by itself: woken by changes, and by time for what was missed.
//!
//! No controllers: what they write is drawn at random or signed with the cluster's key, and a plan is pure.

use std::convert::Infallible;
use std::time::Duration;

use base::env;
use replica::ProposeError;
use state::{Guard, Outcome, Write};

use crate::backend::Backend;
use crate::verbs::write::transaction;

/// One step of it: these writes, if the guards hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// What was read.
    pub guards: Vec<Guard>,
    /// What to do.
    pub writes: Vec<Write>,
}

/// Something that is done again and again, each time from State alone: a new leader just goes on.
#[async_trait::async_trait]
pub(crate) trait Chore: Send + Sync {
    /// A change of what lies below wakes it.
    fn prefix(&self) -> String;

    /// How often it is done at least.
    fn interval(&self) -> Duration;

    /// Does what there is to do, for as long as this master leads in `term`.
    async fn run(&self, backend: &dyn Backend, term: u64);
}

/// Does it for as long as the returned future is polled; to be dropped anywhere.
pub(crate) async fn again_and_again(backend: &dyn Backend, chore: &dyn Chore) -> Infallible {
    let prefix = chore.prefix();
    let mut changes = backend.watch(&prefix, backend.moment().revision()).ok();
    loop {
        if let Some(term) = backend.leading_term() {
            chore.run(backend, term).await;
        }
        let changed = async {
            match &mut changes {
                Some(changes) => changes.next().await,
                None => std::future::pending().await,
            }
        };
        // All arms may be dropped and taken up again without losing anything.
        tokio::select! {
            biased;
            changed = changed => match changed.as_deref() {
                // Changes are told before the State is shown that holds them. What does not come is left to time.
                Ok([.., last]) => _ = backend.at_least(last.change.revision).await,
                Ok([]) => {}
                Err(_) => changes = backend.watch(&prefix, backend.moment().revision()).ok(),
            },
            () = env::sleep(chore.interval()) => {}
        }
    }
}

/// Whether the step was taken: State may refuse it, and refuses it to whoever does not lead in `term`.
///
/// # Errors
/// When the log takes nothing now, whatever the step.
pub(crate) async fn take(
    backend: &dyn Backend,
    actor: &str,
    Step { mut guards, writes }: Step,
    term: u64,
) -> Result<bool, ProposeError> {
    guards.push(Guard::LeaderTerm { term });
    let refused = match backend.propose(transaction(actor, guards, writes)).await {
        Ok(committed) => match committed.outcome {
            Outcome::Committed { .. } => return Ok(true),
            outcome => format!("{outcome:?}"),
        },
        // Says something about this step alone.
        Err(ProposeError::TooLarge(what)) => what,
        Err(error) => return Err(error),
    };
    tracing::debug!(actor, refused, "a step of the leader's own: looked at again later");
    Ok(false)
}
