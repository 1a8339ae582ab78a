//! Which key of which controller is planned next. Pure but for the time that it is told.
//!
//! A key is in one [`Stage`]. What is woken while its own writes are on their way is planned again after they are
//! applied; what fails waits, longer each time.
//!
//! A change may be what a failed key waits for: an account that was made, room that became free. So it shortens the
//! wait, to [`RELEASE_AFTER`] since the failure, and the waits grow from there again, for what was changed may count
//! only a little later. It does not end the wait: the change may be the key's own doing (a status that tells of the
//! refusal), and plan, refusal and status would follow each other as fast as the log takes them.
//!
//! A key whose plan took long rests afterwards, so that it cannot keep the others from their turn however often it is
//! woken: a round of the scheduler over thousands of nodes then finds many pods, instead of each its own round.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use api::Key;

use crate::controller::LastOutcomes;
use crate::limits::{BACKOFF_FIRST, BACKOFF_MAX, PANIC_BACKOFF, RELEASE_AFTER};

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
    /// Not before this time.
    held_until_ms: u64,
    /// Not before this time either, though something changed.
    release_ms: u64,
    /// How long it is held when it fails the next time.
    backoff: Duration,
    last: LastOutcomes,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            stage: Stage::Idle,
            timer: None,
            held_until_ms: 0,
            release_ms: 0,
            backoff: BACKOFF_FIRST,
            last: LastOutcomes::default(),
        }
    }
}

impl Entry {
    /// It failed.
    fn hold(&mut self, now_ms: u64) {
        let wait_ms = |wait: Duration| now_ms + wait.as_millis() as u64;
        self.held_until_ms = wait_ms(self.backoff);
        self.release_ms = wait_ms(self.backoff.min(RELEASE_AFTER));
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
    }

    /// Something about it changed.
    fn release(&mut self) {
        self.held_until_ms = self.held_until_ms.min(self.release_ms);
        self.backoff = self.backoff.min(RELEASE_AFTER);
    }
}

/// What became of a key's intents.
#[derive(Default)]
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
    /// Before this it is not planned again, whatever changes.
    pub rest_until_ms: u64,
}

/// The keys of all controllers.
#[derive(Default)]
pub(crate) struct Queue {
    entries: BTreeMap<Work, Entry>,
    hot: VecDeque<Work>,
    cold: VecDeque<Work>,
    timers: BTreeSet<(u64, Work)>,
    settling: BTreeSet<(u64, Work)>,
    /// Idle keys that are known only until their rest ends.
    resting: BTreeSet<(u64, Work)>,
}

impl Queue {
    /// Something about the key changed.
    pub fn wake(&mut self, work: Work, now_ms: u64) {
        if let Some(entry) = self.entries.get_mut(&work) {
            entry.release();
        }
        self.enter(work, now_ms, true);
    }

    /// The key is looked at when there is nothing better to do.
    pub fn sweep(&mut self, work: Work, now_ms: u64) {
        self.enter(work, now_ms, false);
    }

    fn enter(&mut self, work: Work, now_ms: u64, is_hot: bool) {
        let entry = self.entries.entry(work.clone()).or_default();
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
            entry.hold(now_ms);
            if again {
                entry.release();
            }
        } else {
            let rest_ms = ended.rest_until_ms;
            (entry.held_until_ms, entry.release_ms, entry.backoff) = (rest_ms, rest_ms, BACKOFF_FIRST);
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

    /// The plan of a key panicked: it is left alone for [`PANIC_BACKOFF`], whatever changes meanwhile.
    pub fn panicked(&mut self, work: &Work, now_ms: u64) {
        let until_ms = now_ms + PANIC_BACKOFF.as_millis() as u64;
        if let Some(entry) = self.entries.get_mut(work) {
            (entry.held_until_ms, entry.release_ms) = (until_ms, until_ms);
            entry.stage = Stage::Idle;
            self.set_timer(work, Some(until_ms));
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
        let rests_until_ms = entry.held_until_ms;
        if again {
            self.enter(work.clone(), now_ms, true);
        } else if rests_until_ms > now_ms {
            self.resting.insert((rests_until_ms, work.clone()));
        } else {
            self.forget(work);
        }
    }

    /// Forgets a key of which there is nothing to know.
    fn forget(&mut self, work: &Work) {
        let is_idle =
            |entry: &Entry| entry.stage == Stage::Idle && entry.timer.is_none() && entry.last.failures == 0;
        if self.entries.get(work).is_some_and(is_idle) {
            self.entries.remove(work);
        }
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<u64> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Wakes what is due; returns when the next is.
    pub fn tick(&mut self, now_ms: u64) -> Option<u64> {
        while let Some((until, _)) = self.resting.first()
            && *until <= now_ms
        {
            if let Some((_, work)) = self.resting.pop_first() {
                self.forget(&work);
            }
        }
        while let Some((at, _)) = self.timers.first() {
            if *at > now_ms {
                return Some(*at);
            }
            let Some((_, work)) = self.timers.pop_first() else { break };
            if let Some(entry) = self.entries.get_mut(&work) {
                entry.timer = None;
            }
            self.enter(work, now_ms, true);
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
        Ended { revision, ..Ended::default() }
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

    fn refused(failures: u32) -> Ended {
        let refused = crate::controller::Refused { intent: 0, status: api::Status::bad_request("no") };
        Ended { last: LastOutcomes { refused: vec![refused], failures }, ..done(0) }
    }

    /// How long `a` waits after each of so many failures; `meanwhile` is what happens while it is held.
    fn waits(
        queue: &mut Queue,
        now: &mut u64,
        count: usize,
        mut meanwhile: impl FnMut(&mut Queue, u64),
    ) -> Vec<u64> {
        let mut waits = Vec::new();
        for failures in 1..=count {
            assert!(next(queue).is_some());
            queue.ended(&work("a"), refused(failures as u32), 0, *now);
            meanwhile(queue, *now);
            assert_eq!(next(queue), None, "it is held");
            let at = queue.next_timer().expect("it will be tried again");
            waits.push(at - *now);
            *now = at;
            queue.tick(at);
        }
        waits
    }

    #[test]
    fn what_is_refused_waits_longer_each_time() {
        let (mut queue, mut now) = (Queue::default(), 0);
        queue.wake(work("a"), now);
        let waits = waits(&mut queue, &mut now, 20, |queue, now| queue.sweep(work("a"), now));
        assert_eq!(waits[..4], [20, 40, 80, 160]);
        assert_eq!(waits[19], BACKOFF_MAX.as_millis() as u64);
    }

    #[test]
    fn a_change_ends_a_long_wait_soon_and_never_at_once() {
        let (mut queue, mut now) = (Queue::default(), 0);
        let second = RELEASE_AFTER.as_millis() as u64;
        queue.wake(work("a"), now);
        let woken = waits(&mut queue, &mut now, 20, |queue, now| queue.wake(work("a"), now));
        assert_eq!((woken[..3].to_vec(), woken[19]), (vec![20, 40, 80], second), "however often it is woken");
        let after = waits(&mut queue, &mut now, 9, |_, _| {});
        assert_eq!(after[..3], [second, 2 * second, 4 * second], "what was changed may count a little later");
        assert!(next(&mut queue).is_some());
        queue.ended(&work("a"), refused(1), 0, now);
        queue.tick(now + 10 * second);
        queue.wake(work("a"), now + 10 * second);
        assert_eq!(next(&mut queue).as_deref(), Some("a"), "it has waited long enough");
        queue.wake(work("a"), now + 10 * second);
        queue.ended(&work("a"), refused(1), 0, now + 10 * second);
        assert_eq!(
            queue.next_timer(),
            Some(now + 11 * second),
            "it was woken while its intents were on their way"
        );
    }

    #[test]
    fn a_key_whose_plan_panicked_is_tried_again_much_later_though_it_is_woken() {
        let mut queue = Queue::default();
        queue.wake(work("a"), 0);
        assert!(next(&mut queue).is_some());
        queue.panicked(&work("a"), 0);
        queue.wake(work("a"), 5);
        assert_eq!(next(&mut queue), None);
        let until_ms = PANIC_BACKOFF.as_millis() as u64;
        assert_eq!(queue.next_timer(), Some(until_ms));
        queue.tick(until_ms);
        assert_eq!(next(&mut queue).as_deref(), Some("a"));
    }

    #[test]
    fn a_key_whose_plan_took_long_rests_and_is_planned_once_for_all_that_happens_meanwhile() {
        let mut queue = Queue::default();
        let rests = |until| Ended { rest_until_ms: until, ..done(0) };
        queue.wake(work("a"), 0);
        assert!(next(&mut queue).is_some());
        queue.ended(&work("a"), rests(40), 0, 0);
        for now in [1, 2, 39] {
            queue.wake(work("a"), now);
            assert_eq!((queue.tick(now), next(&mut queue)), (Some(40), None));
        }
        queue.wake(work("b"), 39);
        assert_eq!(next(&mut queue).as_deref(), Some("b"), "others need not wait");
        assert_eq!((queue.tick(40), next(&mut queue).as_deref()), (None, Some("a")));
        queue.wake(work("a"), 41);
        queue.ended(&work("a"), rests(60), 0, 45);
        assert_eq!((queue.tick(59), next(&mut queue)), (Some(60), None), "woken while it was on its way");
        assert_eq!((queue.tick(60), next(&mut queue).as_deref()), (None, Some("a")));
        queue.ended(&work("a"), rests(90), 0, 60);
        queue.ended(&work("b"), done(0), 0, 60);
        assert_eq!((queue.tick(90), next(&mut queue)), (None, None));
        assert!(queue.entries.is_empty(), "nothing is left of them");
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
