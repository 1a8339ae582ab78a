//! Which key of which controller is planned next. Pure but for the time that it is told.
//!
//! A key is in one [`Stage`]. What is woken while its own writes are on their way is planned again after they are
//! applied; what fails waits, longer each time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use api::Key;

use crate::controller::LastOutcomes;
use crate::limits::{BACKOFF_FIRST, BACKOFF_MAX};

/// A key of the controller with this index in the table.
pub(crate) type Work = (usize, Key);

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is to be done, or only at the time in `timer`.
    Idle,
    /// It stands in one of the lines.
    Waiting,
    /// It was planned; its intents are on their way. `again`: it was woken since.
    Submitting { again: bool },
    /// They are applied at this revision, which World has not reached.
    Settling { revision: u64, again: bool },
}

struct Entry {
    stage: Stage,
    /// When it is looked at without a wake.
    timer: Option<u64>,
    /// Not before this time, woken or not.
    held_until_ms: u64,
    last: LastOutcomes,
}

/// What became of a key's intents.
pub(crate) struct Ended {
    /// The highest revision of what was done.
    pub revision: u64,
    /// What was refused.
    pub last: LastOutcomes,
    /// Whether something had changed meanwhile: it is planned again at once.
    pub is_stale: bool,
    /// Whether the log took nothing.
    pub is_unknown: bool,
    /// When the plan wants to be looked at again.
    pub requeue_ms: Option<u64>,
}

/// The keys of all controllers.
#[derive(Default)]
pub(crate) struct Queue {
    entries: BTreeMap<Work, Entry>,
    hot: VecDeque<Work>,
    cold: VecDeque<Work>,
    timers: BTreeSet<(u64, Work)>,
    settling: BTreeSet<(u64, Work)>,
}

impl Queue {
    /// Something about the key changed.
    pub fn wake(&mut self, work: Work, now_ms: u64) {
        self.enter(work, now_ms, true);
    }

    /// The key is looked at when there is nothing better to do.
    pub fn sweep(&mut self, work: Work, now_ms: u64) {
        self.enter(work, now_ms, false);
    }

    fn enter(&mut self, work: Work, now_ms: u64, is_hot: bool) {
        let entry = self.entries.entry(work.clone()).or_insert_with(|| Entry {
            stage: Stage::Idle,
            timer: None,
            held_until_ms: 0,
            last: LastOutcomes::default(),
        });
        match &mut entry.stage {
            Stage::Idle if entry.held_until_ms > now_ms => {
                let at = entry.held_until_ms;
                self.set_timer(&work, Some(at));
            }
            Stage::Idle => {
                entry.stage = Stage::Waiting;
                if is_hot { &mut self.hot } else { &mut self.cold }.push_back(work);
            }
            Stage::Waiting => {}
            Stage::Submitting { again } | Stage::Settling { again, .. } => *again = true,
        }
    }

    /// The next key to plan, with what came of its last plan. Its intents are on their way until [`Self::ended`].
    pub fn next(&mut self) -> Option<(Work, LastOutcomes)> {
        let work = self.hot.pop_front().or_else(|| self.cold.pop_front())?;
        self.set_timer(&work, None);
        let entry = self.entries.get_mut(&work)?;
        entry.stage = Stage::Submitting { again: false };
        Some((work, std::mem::take(&mut entry.last)))
    }

    /// How many keys wait, those of a sweep included.
    pub fn len(&self) -> usize {
        self.hot.len() + self.cold.len()
    }

    /// The intents of a key have their outcomes. World stands at `reached`.
    pub fn ended(&mut self, work: &Work, ended: Ended, reached: u64, now_ms: u64) {
        let Some(entry) = self.entries.get_mut(work) else { return };
        let Stage::Submitting { again } = entry.stage else { return };
        let failed = !ended.last.refused.is_empty() || ended.is_unknown;
        entry.last = ended.last;
        if failed {
            let doublings = entry.last.failures.saturating_sub(1).min(20);
            let wait = (BACKOFF_FIRST * (1 << doublings)).min(BACKOFF_MAX);
            entry.held_until_ms = now_ms + wait.as_millis() as u64;
        } else {
            entry.held_until_ms = 0;
        }
        let again = again || ended.is_stale || failed;
        entry.stage = Stage::Settling { revision: ended.revision, again };
        self.set_timer(work, ended.requeue_ms);
        if ended.revision > reached {
            self.settling.insert((ended.revision, work.clone()));
        } else {
            self.settle(work, now_ms);
        }
    }

    /// Leaves a key alone for some time.
    pub fn hold(&mut self, work: &Work, until_ms: u64) {
        if let Some(entry) = self.entries.get_mut(work) {
            entry.held_until_ms = until_ms;
            entry.stage = Stage::Idle;
        }
    }

    /// World reached a revision.
    pub fn reached(&mut self, revision: u64, now_ms: u64) {
        while let Some((at, _)) = self.settling.first()
            && *at <= revision
        {
            if let Some((_, work)) = self.settling.pop_first() {
                self.settle(&work, now_ms);
            }
        }
    }

    fn settle(&mut self, work: &Work, now_ms: u64) {
        let Some(entry) = self.entries.get_mut(work) else { return };
        let Stage::Settling { again, .. } = entry.stage else { return };
        entry.stage = Stage::Idle;
        let is_done = entry.timer.is_none() && entry.last.failures == 0;
        if again {
            self.wake(work.clone(), now_ms);
        } else if is_done {
            self.entries.remove(work);
        }
    }

    /// Wakes what is due; returns when the next is.
    pub fn tick(&mut self, now_ms: u64) -> Option<u64> {
        while let Some((at, _)) = self.timers.first() {
            if *at > now_ms {
                return Some(*at);
            }
            let Some((_, work)) = self.timers.pop_first() else { break };
            if let Some(entry) = self.entries.get_mut(&work) {
                entry.timer = None;
            }
            self.wake(work, now_ms);
        }
        None
    }

    fn set_timer(&mut self, work: &Work, at: Option<u64>) {
        let Some(entry) = self.entries.get_mut(work) else { return };
        if let Some(before) = entry.timer.take() {
            self.timers.remove(&(before, work.clone()));
        }
        entry.timer = at;
        if let Some(at) = at {
            self.timers.insert((at, work.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(name: &str) -> Work {
        (0, Key::object("", "pods", "default", name))
    }

    fn done(revision: u64) -> Ended {
        let last = LastOutcomes::default();
        Ended { revision, last, is_stale: false, is_unknown: false, requeue_ms: None }
    }

    fn next(queue: &mut Queue) -> Option<String> {
        queue.next().map(|((_, key), _)| key.name().to_owned())
    }

    #[test]
    fn a_key_waits_once_however_often_it_is_woken_and_before_those_of_a_sweep() {
        let mut queue = Queue::default();
        queue.sweep(work("swept"), 0);
        for _ in 0..3 {
            queue.wake(work("a"), 0);
        }
        queue.wake(work("b"), 0);
        let order: Vec<_> = std::iter::from_fn(|| next(&mut queue)).collect();
        assert_eq!(order, ["a", "b", "swept"]);
    }

    #[test]
    fn a_key_is_planned_again_only_when_its_own_writes_are_applied() {
        let mut queue = Queue::default();
        queue.wake(work("a"), 0);
        assert!(next(&mut queue).is_some());
        queue.wake(work("a"), 0);
        assert_eq!(next(&mut queue), None, "its intents are on their way");
        queue.ended(&work("a"), done(7), 5, 0);
        assert_eq!(next(&mut queue), None, "World has not seen them");
        queue.reached(6, 0);
        assert_eq!(next(&mut queue), None);
        queue.reached(7, 0);
        assert_eq!(next(&mut queue).as_deref(), Some("a"), "it was woken meanwhile");
        queue.ended(&work("a"), done(8), 8, 0);
        assert_eq!(next(&mut queue), None);
        assert!(queue.entries.is_empty(), "nothing is left of it");
    }

    #[test]
    fn what_is_refused_waits_longer_each_time_though_it_is_woken() {
        let mut queue = Queue::default();
        let (mut now, mut waits) = (0, Vec::new());
        queue.wake(work("a"), now);
        for failures in 1..=20 {
            assert!(next(&mut queue).is_some());
            let refused = crate::controller::Refused { intent: 0, status: api::Status::bad_request("no") };
            let last = LastOutcomes { refused: vec![refused], failures };
            queue.ended(&work("a"), Ended { last, ..done(0) }, 0, now);
            queue.wake(work("a"), now);
            assert_eq!(next(&mut queue), None, "it is held");
            let at = queue.tick(now).expect("it will be tried again");
            waits.push(at - now);
            now = at;
            queue.tick(now);
        }
        assert_eq!(waits[..4], [20, 40, 80, 160]);
        assert_eq!(waits[19], BACKOFF_MAX.as_millis() as u64);
    }

    #[test]
    fn a_timer_wakes_and_a_wake_before_it_replaces_it() {
        let mut queue = Queue::default();
        queue.wake(work("a"), 0);
        assert!(next(&mut queue).is_some());
        queue.ended(&work("a"), Ended { requeue_ms: Some(100), ..done(0) }, 0, 0);
        assert_eq!((queue.tick(99), next(&mut queue)), (Some(100), None));
        assert_eq!((queue.tick(100), next(&mut queue).as_deref()), (None, Some("a")));
        queue.ended(&work("a"), Ended { requeue_ms: Some(200), ..done(0) }, 0, 100);
        queue.wake(work("a"), 150);
        assert_eq!(next(&mut queue).as_deref(), Some("a"));
        queue.ended(&work("a"), done(0), 0, 150);
        assert_eq!((queue.tick(300), next(&mut queue)), (None, None), "the timer went with the plan");
    }
}
