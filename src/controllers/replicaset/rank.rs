//! Which pods go first when there are too many.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use api::view::View;
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
    // Times count by their magnitude alone: among pods of about one age each goes as likely as any other.
    pods.sort_by_cached_key(|pod| {
        let beside = on_node.get(&*pod.node).copied().unwrap_or_default();
        let ready = if pod.is_ready { magnitude(pod.ready_changed_ms, now_ms) } else { 0 };
        let worth = (!pod.node.is_empty(), phase(pod), pod.is_ready, deletion_cost(pod), Reverse(beside));
        let age = (ready, Reverse(restarts(pod)), magnitude(pod.created_ms, now_ms));
        (worth, age, pod.object.meta.uid.clone())
    });
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

/// The most restarts of one of a pod's containers; of its sidecars where those are equal.
fn restarts(pod: &Pod) -> (i64, i64) {
    let [regular, init, declared] = pod.object.view().find([
        &["status", "containerStatuses"],
        &["status", "initContainerStatuses"],
        &["spec", "initContainers"],
    ]);
    let is_sidecar = |status: &View<'_>| {
        let mut named = declared.items().filter(|one| one.get("name").text() == status.get("name").text());
        named.any(|one| one.get("restartPolicy").is("Always"))
    };
    let count = |status: View<'_>| status.get("restartCount").number();
    let most = regular.items().filter_map(count).max();
    (most.unwrap_or(0), init.items().filter(is_sidecar).filter_map(count).max().unwrap_or(0))
}

/// The binary logarithm of an age in nanoseconds: -1 of what has none, the least of what nobody knows.
fn magnitude(since_ms: u64, now_ms: u64) -> i64 {
    if since_ms == 0 {
        return i64::MIN;
    }
    let age_ns = u128::from(now_ms.saturating_sub(since_ms)) * 1_000_000;
    age_ns.checked_ilog2().map_or(-1, i64::from)
}
