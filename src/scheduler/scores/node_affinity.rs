//! Nodes that a pod prefers.

use crate::case::Case;
use crate::scores::{Rate, Score, to_most};
use crate::snapshot::Snapshot;

/// Kubernetes' `NodeAffinity`.
pub const ROW: Score = Score {
    weight: 2,
    rate: Rate::Alone { rate, normalize: to_most },
    applies: |case| !case.class.node_preferences.is_empty(),
};

/// The weights of the terms that hold.
fn rate(snapshot: &Snapshot<'_>, case: &Case, seat: usize) -> i64 {
    let node = &snapshot.seats[seat].node;
    let holding = case.class.node_preferences.iter().filter(|(_, term)| term.matches(node));
    holding.map(|(weight, _)| weight).sum()
}
