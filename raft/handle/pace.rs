//! Stops the core's clock while nothing depends on it.
//!
//! That clock ticks for two things: a leader sends a beat at the first tick after its interval, and a follower looks at
//! each tick whether it must campaign. Nearly all ticks find nothing to do, and were two thirds of what an idle master
//! did. So the leader's beats are sent from here, by a timer, and a follower's clock runs from when the lease of the
//! leader that it last heard has run out.
//!
//! # Guarantees
//! - A follower campaigns when it would with a clock that always runs: [`Timing::election_min`] after that lease at the
//!   earliest, and the clock runs since a few ticks by then. It also runs on a master that heard nobody yet.
//! - Whoever neither leads nor hears a leader has a clock that runs; so has, at once, who votes for another leader or is
//!   told that the leader gives its office away. One that becomes the only voter waits for the end of the lease.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use base::env::{self, Instant};
use tokio::sync::Notify;

use super::{Inner, Timing};

/// When this master last took something from a leader.
pub(crate) struct Heard {
    since: Instant,
    /// In milliseconds, and one more; 0: never.
    at_ms: AtomicU64,
    /// What came up to then came from a leader that was given up. In the same numbers.
    given_up_ms: AtomicU64,
    forgotten: Notify,
}

impl Heard {
    /// Nobody was heard yet.
    pub(crate) fn nobody() -> Self {
        let (at_ms, given_up_ms) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { since: env::monotonic(), at_ms, given_up_ms, forgotten: Notify::new() }
    }

    /// A leader was heard at this time: when what it sent came, for openraft counts from then.
    pub(crate) fn note(&self, at: Instant) {
        let at_ms = self.number(at);
        if at_ms > self.given_up_ms.load(Ordering::Relaxed) {
            self.at_ms.fetch_max(at_ms, Ordering::Relaxed);
        }
    }

    fn number(&self, at: Instant) -> u64 {
        at.duration_since(self.since).as_millis() as u64 + 1
    }

    /// Another leader is to come: the clock runs until that one is heard, whatever is still answered of the old one's.
    pub(crate) fn forget(&self) {
        self.given_up_ms.fetch_max(self.number(env::monotonic()), Ordering::Relaxed);
        self.at_ms.store(0, Ordering::Relaxed);
        self.forgotten.notify_one();
    }

    fn at(&self) -> Option<Instant> {
        let before_ms = self.at_ms.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.since + Duration::from_millis(before_ms))
    }
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
struct Turn {
    /// Whether to send a beat.
    beats: bool,
    /// Whether the core's clock runs from now on.
    ticks: bool,
    /// When to look again, unless who leads changes before.
    again: Instant,
}

fn turn(leads: bool, heard: Option<Instant>, now: Instant, timing: &Timing) -> Turn {
    if leads {
        return Turn { beats: true, ticks: false, again: now + timing.heartbeat };
    }
    let lease_ends = heard.map(|heard| heard + timing.election_max).filter(|ends| *ends > now);
    match lease_ends {
        Some(ends) => Turn { beats: false, ticks: false, again: ends },
        None => Turn { beats: false, ticks: true, again: now + timing.heartbeat },
    }
}

/// However the pacer ends, the clock runs: openraft does by itself then what is done here.
struct Ending(Weak<Inner>);

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.raft.runtime_config().tick(true);
        }
    }
}

/// Runs until Raft, its runtime or the handle's last clone is gone.
pub(super) async fn pace(weak: Weak<Inner>, heard: Arc<Heard>) {
    let _ending = Ending(Weak::clone(&weak));
    let Some(mut leadership) = weak.upgrade().map(|inner| inner.leadership.clone()) else { return };
    loop {
        let leads = leadership.borrow_and_update().am_leader;
        let Some(inner) = weak.upgrade() else { return };
        let turn = turn(leads, heard.at(), env::monotonic(), &inner.options.timing);
        inner.raft.runtime_config().tick(turn.ticks);
        // An error means that Raft ended, which its observer reports.
        if turn.beats && inner.raft.trigger().heartbeat().await.is_err() {
            return;
        }
        drop(inner);
        // Cancel-safe: a change that was not taken is seen by the next call.
        tokio::select! {
            biased;
            changed = leadership.changed() => if changed.is_err() { return },
            () = heard.forgotten.notified() => {}
            () = env::sleep_until(turn.again) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_and_ticks_come_where_something_depends_on_them() {
        let timing = Timing::default();
        let (start, ms) = (env::monotonic(), Duration::from_millis);
        let (beat, lease) = (timing.heartbeat, timing.election_max);
        let leads = Turn { beats: true, ticks: false, again: start + ms(500) + beat };
        let listens = |again| Turn { beats: false, ticks: false, again };
        let waits = Turn { beats: false, ticks: true, again: start + ms(500) + beat };
        // Whether it leads, when it heard a leader, what it does 500 ms after the start.
        let cases = [
            (true, None, &leads),
            (true, Some(0), &leads),
            (false, None, &waits),
            (false, Some(0), &waits),
            (false, Some(160), &waits),
            (false, Some(161), &listens(start + ms(161) + lease)),
            (false, Some(500), &listens(start + ms(500) + lease)),
        ];
        for (is_leader, heard_ms, expect) in cases {
            let heard = heard_ms.map(|at| start + ms(at));
            assert_eq!(turn(is_leader, heard, start + ms(500), &timing), *expect, "{is_leader} {heard_ms:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_heard_is_noted_to_the_millisecond() {
        let heard = Heard::nobody();
        assert_eq!(heard.at(), None);
        heard.note(heard.since);
        assert_eq!(heard.at(), Some(heard.since));
        env::sleep(Duration::from_millis(7)).await;
        heard.note(env::monotonic());
        heard.note(heard.since);
        assert_eq!(heard.at(), Some(heard.since + Duration::from_millis(7)), "the newest counts");
        heard.forget();
        assert_eq!(heard.at(), None);
        heard.note(env::monotonic());
        assert_eq!(heard.at(), None, "it came from the leader that was given up");
        env::sleep(Duration::from_millis(1)).await;
        heard.note(env::monotonic());
        assert_eq!(heard.at(), Some(env::monotonic()));
    }
}
