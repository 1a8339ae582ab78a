//! Nodes that were cordoned.

use projection::nodes::Effect;

use crate::case::Case;
use crate::filters::Misfit;
use crate::snapshot::Snapshot;

const REASON: &str = "node(s) were unschedulable";

/// The taint that a cordoned node gets; who tolerates it is not kept from a node that has not got it yet.
const TAINT: &str = "node.kubernetes.io/unschedulable";

/// Whether it is open, or open to this pod.
pub fn check(snapshot: &Snapshot<'_>, case: &Case, seat: usize) -> Result<(), Misfit> {
    let mut tolerations = case.class.tolerations.iter();
    if snapshot.seats[seat].node.is_unschedulable
        && !tolerations.any(|one| one.tolerates(TAINT, "", Effect::NoSchedule))
    {
        return Err(Misfit::lasting(REASON));
    }
    Ok(())
}
