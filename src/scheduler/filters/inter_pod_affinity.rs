//! Pods that a pod must have near or far, and those that must have it far.

use crate::case::Case;
use crate::filters::Misfit;
use crate::snapshot::Snapshot;

const NOT_NEAR: &str = "node(s) didn't match pod affinity rules";
const NOT_FAR: &str = "node(s) didn't match pod anti-affinity rules";
const UNWELCOME: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

/// Whether all of them are where they must be.
pub fn check(snapshot: &Snapshot<'_>, case: &Case, seat: usize) -> Result<(), Misfit> {
    if !is_near(snapshot, case, seat) {
        return Err(Misfit::lasting(NOT_NEAR));
    }
    let mut far = case.far.iter();
    if far.any(|tally| tally.at(snapshot, seat).is_some_and(|count| count > 0)) {
        return Err(Misfit::resolvable(NOT_FAR));
    }
    let is_against = |(topology, sums): &(usize, Vec<i64>)| {
        let domain = snapshot.topologies[*topology].domain_of[seat];
        domain.is_some_and(|domain| sums[domain as usize] > 0)
    };
    if case.others.against.iter().any(is_against) {
        return Err(Misfit::resolvable(UNWELCOME));
    }
    Ok(())
}

/// Whether each term has a pod near that all terms mean. Where there is none in the whole cluster, a pod that they mean
/// itself may be the first, on a node that has all the labels.
fn is_near(snapshot: &Snapshot<'_>, case: &Case, seat: usize) -> bool {
    let mut found = true;
    for tally in &case.near {
        let Some(count) = tally.at(snapshot, seat) else { return false };
        found &= count > 0;
    }
    let is_first =
        || case.is_own_neighbour && case.near.iter().all(|tally| tally.sums.iter().all(|sum| *sum == 0));
    found || is_first()
}
