//! Everything that is applied here, in order, for whoever follows all of it.
//!
//! # Guarantees
//! - What is read is gapless: each step's State is what its changes made of the State before.
//! - Who reads too slowly, or begins, is told the newest State instead, in one step.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use state::{Change, State};
use tokio::sync::Notify;

use crate::limits::TAP_STEPS_MAX;
use crate::moment::Moment;
use crate::replica::{Replica, Shared};

/// A step of what is applied.
#[derive(Debug)]
pub enum Step {
    /// These changes led to this State; also for entries without changes.
    Applied(State, Vec<Change>),
    /// This is the State now, whatever was before.
    Reset(State),
}

/// Steps that wait for the one reader.
#[derive(Default)]
pub(crate) struct Steps {
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Default)]
struct Waiting {
    steps: VecDeque<(Arc<Moment>, Vec<Change>)>,
    /// Nobody reads, or something is missing in front of `steps`.
    is_broken: bool,
    /// Whether anybody reads.
    is_read: bool,
}

impl Steps {
    /// Adds a step; its moment is published already.
    pub(crate) fn publish(&self, moment: &Arc<Moment>, changes: &[Change]) {
        let mut waiting = self.waiting.lock();
        if waiting.is_read && !waiting.is_broken {
            if waiting.steps.len() < TAP_STEPS_MAX {
                waiting.steps.push_back((Arc::clone(moment), changes.to_vec()));
            } else {
                waiting.is_broken = true;
                waiting.steps.clear();
            }
        }
        drop(waiting);
        self.more.notify_one();
    }

    /// Everything is different: a snapshot was installed.
    pub(crate) fn reset(&self) {
        let mut waiting = self.waiting.lock();
        waiting.is_broken = true;
        waiting.steps.clear();
        drop(waiting);
        self.more.notify_one();
    }
}

/// The one reader of a replica's steps.
pub struct Tap {
    shared: Arc<Shared>,
    /// The entry up to which everything was read.
    index: u64,
}

impl Replica {
    /// Follows everything that is applied here; the first step is a reset. For one reader at a time.
    pub fn tap(&self) -> Tap {
        let shared = self.shared_arc();
        let mut waiting = shared.steps.waiting.lock();
        (waiting.is_read, waiting.is_broken) = (true, true);
        waiting.steps.clear();
        drop(waiting);
        Tap { shared, index: 0 }
    }
}

impl Tap {
    /// Waits for the next step. Cancel-safe.
    pub async fn next(&mut self) -> Step {
        loop {
            if let Some(step) = self.take() {
                return step;
            }
            self.shared.steps.more.notified().await;
        }
    }

    fn take(&mut self) -> Option<Step> {
        let mut waiting = self.shared.steps.waiting.lock();
        if std::mem::take(&mut waiting.is_broken) {
            // Steps that wait from here on may be part of this moment already: they are skipped.
            let newest = self.shared.moments.newest();
            self.index = newest.index;
            return Some(Step::Reset(newest.state.clone()));
        }
        while let Some((moment, changes)) = waiting.steps.pop_front() {
            if moment.index > self.index {
                self.index = moment.index;
                return Some(Step::Applied(moment.state.clone(), changes));
            }
        }
        None
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.shared.steps.waiting.lock().is_read = false;
    }
}

#[cfg(test)]
mod tests {
    use base::env;

    use super::*;
    use crate::testing::Alone;

    fn seen(step: Step) -> (u64, Option<usize>) {
        match step {
            Step::Applied(state, changes) => (state.revision(), Some(changes.len())),
            Step::Reset(state) => (state.revision(), None),
        }
    }

    fn tap(alone: &Alone) -> Tap {
        let shared = Arc::clone(&alone.shared);
        let mut waiting = shared.steps.waiting.lock();
        (waiting.is_read, waiting.is_broken) = (true, true);
        drop(waiting);
        Tap { shared, index: 0 }
    }

    #[test]
    fn a_tap_begins_with_what_is_there_and_misses_nothing_after_it() {
        env::simulate(1, async {
            let mut alone = Alone::new();
            alone.write(&[("configmaps", "a")]).await;
            let mut tap = tap(&alone);
            alone.write(&[("configmaps", "b")]).await;
            assert_eq!(seen(tap.next().await), (2, None));
            alone.write(&[("configmaps", "c"), ("configmaps", "d")]).await;
            alone.write(&[("configmaps", "e")]).await;
            assert_eq!(seen(tap.next().await), (4, Some(2)));
            assert_eq!(seen(tap.next().await), (5, Some(1)));
            assert!(tap.take().is_none());
        });
    }

    #[test]
    fn who_reads_too_slowly_is_told_the_newest() {
        env::simulate(1, async {
            let mut alone = Alone::new();
            let mut tap = tap(&alone);
            assert_eq!(seen(tap.next().await), (0, None));
            for _ in 0..TAP_STEPS_MAX + 10 {
                alone.write(&[("configmaps", "a")]).await;
            }
            let newest = (TAP_STEPS_MAX + 10) as u64;
            assert_eq!(seen(tap.next().await), (newest, None));
            alone.write(&[("configmaps", "a")]).await;
            assert_eq!(seen(tap.next().await), (newest + 1, Some(1)));
        });
    }
}
