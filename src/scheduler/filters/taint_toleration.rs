//! Taints that keep pods off.

use projection::nodes::{Effect, Node};

use crate::case::Case;
use crate::class::Class;
use crate::filters::Misfit;
use crate::snapshot::Snapshot;
use crate::terms::tolerated;

const REASON: &str = "node(s) had untolerated taint(s)";

/// Whether pods of a class bear all taints of a node that keep pods off.
pub fn tolerates(class: &Class, node: &Node) -> bool {
    let mut taints = node.taints.iter().filter(|taint| taint.effect != Effect::PreferNoSchedule);
    taints.all(|taint| tolerated(class.tolerations.iter(), taint))
}

/// Whether the pod bears them.
pub fn check(snapshot: &Snapshot<'_>, case: &Case, seat: usize) -> Result<(), Misfit> {
    if tolerates(&case.class, &snapshot.seats[seat].node) { Ok(()) } else { Err(Misfit::lasting(REASON)) }
}
