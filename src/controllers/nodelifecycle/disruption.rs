//! How fast pods are driven from nodes that do not answer. Many such nodes are rather a sign that something else is
//! wrong: then slower, and not at all when no node answers.

use projection::World;
use projection::nodes::{Effect, Node, Truth};

use super::taints::{NOT_READY, UNREACHABLE};

/// Between two nodes of a zone: 0.1 nodes a second.
const INTERVAL_MS: u64 = 10_000;

/// The same in a zone of which more than [`UNHEALTHY_PERCENT`] do not answer: 0.01 nodes a second.
const REDUCED_INTERVAL_MS: u64 = 100_000;

/// Zones up to this size wait altogether then.
const LARGE_ZONE: usize = 50;

const UNHEALTHY_PERCENT: usize = 55;

/// Whether no node answers.
pub(super) fn is_full(world: &World) -> bool {
    let answers = |node: &Node| node.ready == Truth::True && counts(node);
    world.nodes.iter().any(|node| counts(node)) && !world.nodes.iter().any(|node| answers(node))
}

fn counts(node: &Node) -> bool {
    !node.is_excluded_from_disruption
}

/// When a node may be tainted so that its pods leave, in milliseconds since the epoch; `None`: not as things are.
pub(super) fn may_at_ms(world: &World, node: &Node) -> Option<u64> {
    let zone: Vec<_> = world.nodes.iter().filter(|other| other.zone == node.zone).collect();
    let counted = zone.iter().filter(|node| counts(node)).count();
    let unhealthy = zone.iter().filter(|node| counts(node) && node.ready != Truth::True).count();
    // A zone in which nobody answers while others do has failed: no reason to wait.
    let is_partial = unhealthy > 2 && unhealthy < counted && unhealthy * 100 >= counted * UNHEALTHY_PERCENT;
    if is_partial && counted <= LARGE_ZONE {
        return None;
    }
    let interval = if is_partial { REDUCED_INTERVAL_MS } else { INTERVAL_MS };
    let taints = zone.iter().flat_map(|node| node.taints.iter());
    let ours = taints
        .filter(|taint| taint.effect == Effect::NoExecute && [NOT_READY, UNREACHABLE].contains(&&*taint.key));
    Some(ours.map(|taint| taint.added_ms + interval).max().unwrap_or(0))
}
