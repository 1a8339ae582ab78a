//! The node that a pod was made for.

use crate::case::Case;
use crate::filters::Misfit;
use crate::snapshot::Snapshot;

const REASON: &str = "node(s) didn't match the requested node name";

/// Whether it is this one, or any.
pub fn check(snapshot: &Snapshot<'_>, case: &Case, seat: usize) -> Result<(), Misfit> {
    let asked = &*case.class.node_name;
    let is_it = asked.is_empty() || asked == snapshot.seats[seat].node.name();
    if is_it { Ok(()) } else { Err(Misfit::lasting(REASON)) }
}
