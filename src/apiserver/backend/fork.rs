//! A State that goes its own way in memory: what would happen if. Nothing of it reaches the log.

use std::sync::Arc;

use base::env;
use parking_lot::Mutex;
use replica::{
    AtLeastError, Behind, Committed, Gone, Moment, ProposeError, Unavailable, View, ViewError, WatchEnd,
};
use state::{Batch, Change, Entry, State, Txn};

use super::{Backend, Changes};

/// A fork of a State. It leads itself, and everything that is proposed is applied at once.
pub struct Fork(Mutex<Forked>);

struct Forked {
    moment: Arc<Moment>,
    /// What was changed since the last [`Fork::changes`].
    changes: Vec<Change>,
}

impl Fork {
    /// Of this State.
    pub fn of(state: State) -> Self {
        let (index, term) = (state.index(), state.term());
        let moment = Arc::new(Moment { state, index, term });
        Self(Mutex::new(Forked { moment, changes: Vec::new() }))
    }

    /// Takes what was changed since the last call, and the State that it led to.
    pub fn changes(&self) -> (State, Vec<Change>) {
        let mut forked = self.0.lock();
        (forked.moment.state.clone(), std::mem::take(&mut forked.changes))
    }
}

#[async_trait::async_trait]
impl Backend for Fork {
    fn moment(&self) -> Arc<Moment> {
        Arc::clone(&self.0.lock().moment)
    }

    async fn linearizable(&self) -> Result<Arc<Moment>, Unavailable> {
        Ok(self.moment())
    }

    async fn at_least(&self, revision: u64) -> Result<Arc<Moment>, AtLeastError> {
        let moment = self.moment();
        match moment.revision() {
            current if current < revision => Err(AtLeastError::TooLarge { revision, current }),
            _ => Ok(moment),
        }
    }

    async fn exact(&self, _: &str, revision: u64) -> Result<View, ViewError> {
        let moment = self.moment();
        let floor = moment.revision();
        if revision == floor { Ok(View::Memory(moment)) } else { Err(Gone { revision, floor }.into()) }
    }

    async fn propose(&self, txn: Txn) -> Result<Committed, ProposeError> {
        let mut forked = self.0.lock();
        let before = &forked.moment;
        let (index, term) = (before.index + 1, before.term);
        let batch = Batch { time_ms: env::wall_ms().max(before.state.time_ms()), txns: vec![txn] };
        let applied = state::apply(&before.state, &Entry { index, term, batch: &batch });
        let moment = Arc::new(Moment { state: applied.state, index, term });
        forked.moment = Arc::clone(&moment);
        forked.changes.extend(applied.changes);
        let (_, outcome) = applied.outcomes.into_iter().next().expect("one transaction, one outcome");
        Ok(Committed { outcome, moment })
    }

    fn watch(&self, _: &str, revision: u64) -> Result<Box<dyn Changes>, WatchEnd> {
        Err(Gone { revision, floor: u64::MAX }.into())
    }

    fn caught_up(&self) -> Result<(), Behind> {
        Ok(())
    }

    fn leading_term(&self) -> Option<u64> {
        Some(self.moment().term)
    }
}
