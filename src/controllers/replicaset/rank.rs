//! Which pods go first when there are too many.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::sync::Arc;

use projection::pods::{Phase, Pod};

use crate::shared::stored;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Sorts pods so that those to be deleted first come first. `beside` holds the pods of all sets of the same owner: who
/// shares a node with many of them goes before others.
pub(crate) fn sort(pods: &mut [&Arc<Pod>], beside: &[&Arc<Pod>], now_ms: u64) {
    let mut on_node: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in beside {
        *on_node.entry(&pod.node).or_default() += 1;
    }
    let costs: BTreeMap<_, _> = pods.iter().map(|pod| (pod.key().clone(), deletion_cost(pod))).collect();
    let first = |pod: &Pod| {
        let beside = on_node.get(&*pod.node).copied().unwrap_or_default();
        (!pod.node.is_empty(), phase(pod), pod.is_ready, costs.get(pod.key()), Reverse(beside))
    };
    pods.sort_by(|one, other| first(one).cmp(&first(other)).then_with(|| by_age(one, other, now_ms)));
}

/// Pods that wait go before those of which nothing is known, and these before those that run.
fn phase(pod: &Pod) -> u8 {
    match pod.phase {
        Phase::Pending => 0,
        Phase::Unknown => 1,
        _ => 2,
    }
}

fn deletion_cost(pod: &Pod) -> i32 {
    let cost = stored::annotation(&pod.object, DELETION_COST);
    cost.and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

/// Ready later, restarted more often, newer.
fn by_age(one: &Pod, other: &Pod, now_ms: u64) -> Ordering {
    let later = |one_ms: u64, other_ms: u64| {
        if one_ms == other_ms {
            return Ordering::Equal;
        }
        match (one_ms, other_ms) {
            (0, _) => Ordering::Less,
            (_, 0) => Ordering::Greater,
            // Times count by their magnitude alone: among pods of about one age each goes as likely as any other.
            _ => magnitude(one_ms, now_ms)
                .cmp(&magnitude(other_ms, now_ms))
                .then_with(|| one.object.meta.uid.cmp(&other.object.meta.uid)),
        }
    };
    let ready = if one.is_ready && other.is_ready {
        later(one.ready_changed_ms, other.ready_changed_ms)
    } else {
        Ordering::Equal
    };
    ready
        .then_with(|| other.restarts.cmp(&one.restarts))
        .then_with(|| later(one.created_ms, other.created_ms))
}

/// The binary logarithm of an age in nanoseconds; -1 of what has none.
fn magnitude(since_ms: u64, now_ms: u64) -> i64 {
    let age_ns = u128::from(now_ms.saturating_sub(since_ms)) * 1_000_000;
    age_ns.checked_ilog2().map_or(-1, i64::from)
}
