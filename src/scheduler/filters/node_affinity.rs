//! The nodes that a pod asks for: `nodeSelector` and required node affinity.

use projection::nodes::Node;

use crate::case::Case;
use crate::class::Class;
use crate::filters::Misfit;
use crate::snapshot::Snapshot;

const REASON: &str = "node(s) didn't match Pod's node affinity/selector";

/// Whether a node is one that pods of a class ask for.
pub fn matches(class: &Class, node: &Node) -> bool {
    let labels = node.object.labels();
    class.node_selector.iter().all(|(label, value)| labels.get(label) == Some(value))
        && class.node_terms.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(node)))
}

/// Whether it is one that the pod asks for.
pub fn check(snapshot: &Snapshot<'_>, case: &Case, seat: usize) -> Result<(), Misfit> {
    if matches(&case.class, &snapshot.seats[seat].node) { Ok(()) } else { Err(Misfit::lasting(REASON)) }
}
