//! Why a pod waits, node by node, for people.

use std::sync::Arc;

use api::Key;
use projection::World;

use crate::case::Case;
use crate::class::Class;
use crate::filters;
use crate::snapshot::Snapshot;

/// The nodes that will not do for a pod, by name, each with the filter that says so and its reason. Empty when there is
/// no such pod. What is left out will do.
pub fn explain(world: &World, pod: &Key) -> Vec<(Arc<str>, &'static str, String)> {
    let Some(pod) = world.pods.get(pod.as_str()) else { return Vec::new() };
    let mut snapshot = Snapshot::of(world);
    let case = Case::new(&mut snapshot, Class::of(world, pod));
    let one = |seat: usize| {
        let (filter, misfit) = filters::misfit(&snapshot, &case, seat)?;
        Some((snapshot.seats[seat].node.name().into(), filter, misfit.reasons.join(", ")))
    };
    let mut all: Vec<_> = (0..snapshot.seats.len()).filter_map(one).collect();
    all.sort();
    all
}
