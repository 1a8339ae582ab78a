//! What comes next for a pod. Pure.

use std::time::Duration;

use base::env::Instant;

use crate::pod::{Pod, Restart, Told};

/// How long a pod takes to end once it is deleted.
const END_AFTER: Duration = Duration::from_millis(500);

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing, until something happens to it.
    Rest,
    /// Nothing before this moment.
    Wait(Instant),
    /// The masters are told how it is now.
    Tell(Told),
    /// It has ended, and is removed.
    Remove,
}

pub(crate) fn plan(pod: &Pod, now: Instant) -> Step {
    let step = wanted(pod, now);
    match pod.retry_at {
        Some(at) if at > now && matches!(step, Step::Tell(_) | Step::Remove) => Step::Wait(at),
        _ => step,
    }
}

/// What comes next if nothing failed before.
fn wanted(pod: &Pod, now: Instant) -> Step {
    if let Some(deleted) = pod.deleted {
        return at(deleted + END_AFTER, now, Step::Remove);
    }
    let restarts = match pod.told {
        Told::Nothing => return Step::Tell(Told::Running { restarts: 0 }),
        Told::Succeeded | Told::Failed => return Step::Rest,
        told @ Told::Running { .. } if pod.is_overwritten => return Step::Tell(told),
        Told::Running { restarts } => restarts,
    };
    let fails = pod.behaviour.fail_after.map(|after| (after, Told::Failed));
    let succeeds = pod.behaviour.succeed_after.map(|after| (after, Told::Succeeded));
    let Some((after, end)) = fails.into_iter().chain(succeeds).min_by_key(|(after, _)| *after) else {
        return Step::Rest;
    };
    let is_restarted = match pod.restart {
        Restart::Always => true,
        Restart::OnFailure => end == Told::Failed,
        Restart::Never => false,
    };
    let next = if is_restarted { Told::Running { restarts: restarts + 1 } } else { end };
    at(pod.since + after, now, Step::Tell(next))
}

fn at(due: Instant, now: Instant, step: Step) -> Step {
    if now < due { Step::Wait(due) } else { step }
}
