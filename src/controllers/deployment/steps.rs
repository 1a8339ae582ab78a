//! One step of a rollout.

use super::rollout::{Rollout, Set};
use super::spec::Deployment;

/// A rolling update: the new ReplicaSet grows as far as the surge lets it, or else the old ones shrink as far as
/// availability lets them. Tells whether anything moved.
pub(super) fn roll(of: &Deployment, rollout: &mut Rollout) -> bool {
    grow_new(of, rollout) || shrink_old(of, rollout)
}

fn grow_new(of: &Deployment, rollout: &mut Rollout) -> bool {
    let Some(size) = rollout.new_set().map(|new| new.replicas) else { return false };
    let wanted = if size > of.replicas { of.replicas } else { rollout.new_size(of, size) };
    rollout.new_set_mut().is_some_and(|new| new.scale(of, wanted, false))
}

fn shrink_old(of: &Deployment, rollout: &mut Rollout) -> bool {
    if rollout.old().all(|set| set.replicas == 0) {
        return false;
    }
    let available_min = of.replicas - of.unavailable;
    let coming = rollout.new_set().map_or(0, |new| new.replicas - new.available());
    let most = rollout.replicas() - available_min - coming;
    if most <= 0 {
        return false;
    }
    // Of those that are to have no pods, what is still there is going.
    let active = rollout.old().filter(|set| set.replicas > 0).chain(rollout.new_set());
    let spare = active.map(Set::available).sum::<i64>() - available_min;
    let cleaned = shrink_unhealthy(of, rollout, most);
    cleaned + shrink_healthy(of, rollout, spare) > 0
}

/// Pods that are not available serve nobody: they go first.
fn shrink_unhealthy(of: &Deployment, rollout: &mut Rollout, most: i64) -> i64 {
    let mut gone = 0;
    for set in rollout.old_mut().filter(|set| set.replicas > 0) {
        let count = (most - gone).min(set.replicas - set.available());
        if count > 0 {
            set.scale(of, set.replicas - count, false);
            gone += count;
        }
    }
    gone
}

fn shrink_healthy(of: &Deployment, rollout: &mut Rollout, spare: i64) -> i64 {
    let mut gone = 0;
    for set in rollout.old_mut() {
        let count = set.replicas.min(spare - gone);
        if count > 0 {
            set.scale(of, set.replicas - count, false);
            gone += count;
        }
    }
    gone
}

/// Everything old ends before anything new begins: the first half.
pub(super) fn end_old(of: &Deployment, rollout: &mut Rollout) -> bool {
    let mut has_moved = false;
    for set in rollout.old_mut() {
        has_moved |= set.scale(of, 0, false);
    }
    has_moved
}
