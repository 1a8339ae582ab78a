//! How long what failed waits before it is tried again.

use crate::engine::{Container, State};
use crate::limits::{BACKOFF_FIRST_MS, BACKOFF_MAX_MS, BACKOFF_RESET_MS, FAILURE_SHOWN_MS};

/// The waits of one image: 10 s, doubling to 300 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    last_ms: u64,
    failed_ms: u64,
}

impl Waits {
    /// Notes a failure; the wait that follows it.
    pub fn fail(&mut self, now_ms: u64) -> u64 {
        let is_over = now_ms.saturating_sub(self.failed_ms) > BACKOFF_RESET_MS;
        self.last_ms = if is_over { BACKOFF_FIRST_MS } else { double(self.last_ms) };
        self.failed_ms = now_ms;
        self.last_ms
    }
}

fn double(delay_ms: u64) -> u64 {
    (delay_ms * 2).clamp(BACKOFF_FIRST_MS, BACKOFF_MAX_MS)
}

/// The wait that follows the end of this container: what its label says, nothing when it ran long.
///
/// The first restart does not wait, the next ones wait 10 s, 20 s... to 300 s. The wait stands in the label of the
/// container itself, so that a restarted kubelet knows it.
pub fn after(container: &Container) -> u64 {
    match &container.state {
        State::Exited(exit) if exit.finished_ms.saturating_sub(container.created_ms) <= BACKOFF_RESET_MS => {
            container.backoff_ms()
        }
        _ => 0,
    }
}

/// The wait to write on the label of the container that follows `previous`.
pub fn next(previous: Option<&Container>) -> u64 {
    match previous {
        None => 0,
        Some(previous) => double(after(previous)),
    }
}

/// When a container may start again after this one.
pub fn due_ms(container: &Container) -> u64 {
    container.exit().map_or(0, |exit| exit.finished_ms + after(container))
}

/// Whether the wait is shown already, instead of the end that it follows.
pub fn is_shown(container: &Container, now_ms: u64) -> bool {
    let finished_ms = container.exit().map_or(0, |exit| exit.finished_ms);
    now_ms < due_ms(container) && now_ms >= finished_ms + FAILURE_SHOWN_MS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::Exit;
    use crate::names::label;

    fn dead(backoff_ms: u64, ran_ms: u64) -> Container {
        Container {
            id: "c".into(),
            name: "c".into(),
            labels: BTreeMap::from([(label::BACKOFF_MS.into(), backoff_ms.to_string())]),
            image_ref: String::new(),
            created_ms: 1_000,
            state: State::Exited(Exit { finished_ms: 1_000 + ran_ms, ..Exit::default() }),
            message: None,
        }
    }

    #[test]
    fn the_first_restart_is_at_once_and_later_ones_wait_twice_as_long_each() {
        let mut previous = None;
        let mut waits = Vec::new();
        for _ in 0..8 {
            let container = dead(next(previous.as_ref()), 10);
            waits.push(after(&container) / 1000);
            previous = Some(container);
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn whoever_ran_ten_minutes_starts_over() {
        let long = dead(160_000, BACKOFF_RESET_MS + 1);
        assert_eq!((after(&long), next(Some(&long))), (0, 10_000));
        assert_eq!(after(&dead(160_000, BACKOFF_RESET_MS)), 160_000);
    }
}
