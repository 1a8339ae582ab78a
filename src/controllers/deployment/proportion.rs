//! A deployment that is scaled while it rolls, or while it is paused: every ReplicaSet gets its part.

use super::rollout::{DESIRED_REPLICAS, MAX_REPLICAS, Rollout, Set};
use super::spec::Deployment;

/// Whether the deployment's size changed since its ReplicaSets were sized.
pub(super) fn is_scaled(of: &Deployment, rollout: &Rollout) -> bool {
    let active = rollout.sets.iter().filter(|set| set.replicas > 0);
    active.filter_map(|set| set.annotated(DESIRED_REPLICAS)).any(|desired| desired != of.replicas)
}

/// Sizes the ReplicaSets for the size of the deployment.
pub(super) fn scale(of: &Deployment, rollout: &mut Rollout) {
    if let Some(at) = only(rollout) {
        rollout.sets[at].scale(of, of.replicas, false);
        return;
    }
    if rollout.new_set().is_some_and(|new| is_saturated(of, new)) {
        super::steps::end_old(of, rollout);
    } else if of.is_rolling {
        share(of, rollout);
    }
}

/// The one that has pods, or the latest when none has; `None`: several have, or there is none.
fn only(rollout: &Rollout) -> Option<usize> {
    let active: Vec<usize> = (0..rollout.sets.len()).filter(|at| rollout.sets[*at].replicas > 0).collect();
    match active[..] {
        [] => {
            let latest = rollout.new_set().or_else(|| rollout.old().next_back())?;
            rollout.sets.iter().position(|set| set.object.key == latest.object.key)
        }
        [at] => Some(at),
        _ => None,
    }
}

/// Whether the new one does all of the work.
fn is_saturated(of: &Deployment, new: &Set) -> bool {
    let desired = new.annotated(DESIRED_REPLICAS);
    new.replicas == of.replicas && desired == Some(of.replicas) && new.available() == of.replicas
}

/// Gives each active ReplicaSet its part of what is to be added or taken, in proportion to its size; the largest gets
/// what is left over by rounding.
fn share(of: &Deployment, rollout: &mut Rollout) {
    let mut active: Vec<usize> =
        (0..rollout.sets.len()).filter(|at| rollout.sets[*at].replicas > 0).collect();
    let total: i64 = active.iter().map(|at| rollout.sets[*at].replicas).sum();
    let allowed = if of.replicas > 0 { of.replicas_max() } else { 0 };
    let add = allowed - total;
    // The largest first; of equal ones the newer one gains first, and the older one loses first.
    active.sort_by_key(|at| {
        let age = i64::try_from(*at).unwrap_or(i64::MAX);
        (-rollout.sets[*at].replicas, if add > 0 { -age } else { age })
    });
    let (mut sizes, mut added) = (Vec::new(), 0);
    for at in &active {
        let set = &rollout.sets[*at];
        let part = part(of, set, add, added);
        added += part;
        sizes.push(set.replicas + part);
    }
    if let Some(first) = sizes.first_mut() {
        *first = (*first + add - added).max(0);
    }
    for (at, size) in active.into_iter().zip(sizes) {
        rollout.sets[at].scale(of, size, true);
    }
}

fn part(of: &Deployment, set: &Set, add: i64, added: i64) -> i64 {
    if add == 0 || add == added {
        return 0;
    }
    let (part, rest) = (fraction(of, set), add - added);
    if add > 0 { part.min(rest) } else { part.max(rest) }
}

/// By how much a ReplicaSet grows when it keeps its part of the most that there may be.
fn fraction(of: &Deployment, set: &Set) -> i64 {
    if of.replicas == 0 {
        return -set.replicas;
    }
    let before =
        set.annotated(MAX_REPLICAS).filter(|most| *most > 0).unwrap_or_else(|| of.counted("replicas"));
    if before == 0 {
        return 0;
    }
    let size = (set.replicas * of.replicas_max()) as f64 / before as f64;
    size.round() as i64 - set.replicas
}
