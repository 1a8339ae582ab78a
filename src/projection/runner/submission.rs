//! The way of a plan's intents to the log and back.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use base::env;
use futures::FutureExt;
use tokio::sync::Semaphore;

use crate::intent::{Intent, Told};
use crate::limits::OFFICE_INTERVAL;
use crate::submit::{Done, NotDone, Submit};

/// The intents of one plan on their way.
pub(super) struct Submission {
    pub(super) submit: Arc<dyn Submit>,
    pub(super) places: Arc<Semaphore>,
    pub(super) actor: &'static str,
    pub(super) term: u64,
}

impl Submission {
    /// What came of each, in their order.
    pub(super) async fn run(&self, intents: Vec<Intent>) -> Vec<(Option<Told>, Result<Done, NotDone>)> {
        let all = intents.into_iter().map(|intent| self.one(intent));
        let outcomes = futures::future::join_all(all).await;
        if outcomes.iter().any(|(_, outcome)| matches!(outcome, Err(NotDone::Unknown(_)))) {
            self.settle().await;
        }
        outcomes
    }

    async fn one(&self, mut intent: Intent) -> (Option<Told>, Result<Done, NotDone>) {
        // Never closed.
        let _place = self.places.acquire().await;
        let told = intent.told.take();
        let submitted =
            AssertUnwindSafe(self.submit.submit(self.actor, self.term, &intent)).catch_unwind().await;
        // It may have been proposed before.
        (told, submitted.unwrap_or_else(|_| Err(NotDone::Unknown("deciding on it panicked".to_owned()))))
    }

    /// Waits until an entry of this leader was applied that came after all of them, or there can be none.
    async fn settle(&self) {
        let nothing = Intent { ops: Vec::new(), guards: Vec::new(), told: None };
        while let Err(NotDone::Unknown(_)) = self.submit.submit(self.actor, self.term, &nothing).await {
            env::sleep(OFFICE_INTERVAL).await;
        }
    }
}
