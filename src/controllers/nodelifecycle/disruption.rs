//! How fast pods are driven from nodes that do not answer. Many such nodes are rather a sign that something else is
//! wrong: then slower, and not at all when no node answers.

use projection::World;
use projection::nodes::{Effect, Node, Truth};

use super::taints::{NOT_READY, UNREACHABLE};

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
    let rules = &world.rules;
    let is_partial =
        unhealthy > 2 && unhealthy < counted && unhealthy * 100 >= counted * rules.unhealthy_zone_percent;
    if is_partial && counted <= rules.large_cluster_size_threshold {
        return None;
    }
    let interval =
        if is_partial { rules.secondary_node_eviction_interval_ms } else { rules.node_eviction_interval_ms }?;
    let taints = zone.iter().flat_map(|node| node.taints.iter());
    let ours = taints
        .filter(|taint| taint.effect == Effect::NoExecute && [NOT_READY, UNREACHABLE].contains(&&*taint.key));
    Some(ours.map(|taint| taint.added_ms + interval).max().unwrap_or(0))
}
