//! Notices a disk that hangs. A master that waits for one would hold its part in the cluster for ever, and
//! with it whoever waits for the master: it reports a failure, on which the process ends.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};

use base::env;
use storage::under_way::{Overdue, UnderWay};

use crate::failure::Failure;
use crate::limits::DISK_WATCH_EVERY;

/// Watches until it is dropped.
pub(crate) struct Watchdog(#[expect(dead_code, reason = "its drop ends the thread")] mpsc::Sender<()>);

impl Watchdog {
    /// Starts it in a thread of its own: tasks may stand still behind the disk that is watched. In a
    /// simulation there is none, as disks take no time there.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub(crate) fn start(under_way: Arc<UnderWay>, failure: Failure) -> io::Result<Self> {
        let (alive, watched) = mpsc::channel::<()>();
        if !env::is_simulated() {
            env::thread("raft-watchdog", move || {
                let mut seen = None;
                while watched.recv_timeout(DISK_WATCH_EVERY) == Err(RecvTimeoutError::Timeout) {
                    if let Some(overdue) = hangs(&mut seen, under_way.overdue(env::monotonic())) {
                        failure.report(reason(overdue));
                        return;
                    }
                }
            })?;
        }
        Ok(Self(alive))
    }
}

/// What is overdue at two looks in a row. A process that stood still finds what it waited for overdue at
/// first, and then done.
fn hangs(seen: &mut Option<Overdue>, overdue: Option<Overdue>) -> Option<Overdue> {
    let before = std::mem::replace(seen, overdue);
    overdue.filter(|_| overdue == before)
}

fn reason(Overdue { operation, limit, .. }: Overdue) -> String {
    format!(
        "{operation} takes longer than {limit:?}: the disk hangs. This master ends, so that the others go on \
         without it; once its disk works again, start it, and it continues where it was"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_done_at_the_next_look_does_not_hang() {
        let wait = |number| Some(Overdue { number, operation: "syncing the log", limit: Duration::ZERO });
        let mut seen = None;
        let looks = [wait(1), None, wait(2), wait(3), wait(3)].map(|overdue| hangs(&mut seen, overdue));
        assert_eq!(looks, [None, None, None, None, wait(3)]);
    }

    #[test]
    fn a_disk_that_hangs_is_a_failure_that_says_what_to_do() {
        let (under_way, failure) = (Arc::new(UnderWay::default()), Failure::new());
        let _watchdog = Watchdog::start(Arc::clone(&under_way), failure.clone()).expect("a thread");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        // Held until it is noticed.
        let reason =
            under_way.during("saving the vote", Duration::ZERO, || runtime.block_on(failure.reported()));
        for words in ["saving the vote takes longer than 0ns", "the disk hangs", "start it"] {
            assert!(reason.contains(words), "{reason}");
        }
    }
}
