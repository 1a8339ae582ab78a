//! A replica as the runner of its master's controllers sees it: what is applied there, and whether that master leads.

use projection::{Facts, Leadership, Source};
use replica::Replica;
use replica::tap::{Step, Tap};

/// What a replica applied.
pub struct Applied(pub Tap);

#[async_trait::async_trait]
impl Source for Applied {
    async fn next(&mut self) -> Facts {
        match self.0.next().await {
            Step::Applied(state, changes) => Facts::Applied(state, changes),
            Step::Reset(state) => Facts::Reset(state),
        }
    }
}

/// Whether a replica's master leads.
pub struct Leads(pub Replica);

#[async_trait::async_trait]
impl Leadership for Leads {
    fn term(&self) -> Option<u64> {
        let leadership = *self.0.raft().leadership().borrow();
        leadership.am_leader.then_some(leadership.term)
    }

    async fn confirm(&self) -> bool {
        self.0.linearizable().await.is_ok()
    }
}
