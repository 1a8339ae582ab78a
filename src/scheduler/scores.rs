//! Which of the nodes that will do is best: a table, one file for each row, with Kubernetes' weights.

use crate::case::Case;
use crate::snapshot::Snapshot;

pub mod image_locality;
pub mod inter_pod_affinity;
pub mod node_affinity;
pub mod node_resources_balanced_allocation;
pub mod node_resources_fit;
pub mod pod_topology_spread;
pub mod taint_toleration;

/// The best that a score gives, before its weight.
pub const SCORE_MAX: i64 = 100;

/// How a score is found.
#[derive(Clone, Copy)]
pub enum Rate {
    /// From the node and what is on it; remembered until that changes.
    Alone {
        /// Of one seat.
        rate: fn(&Snapshot<'_>, &Case, usize) -> i64,
        /// Brings those of all seats that will do to 0..=100.
        normalize: fn(&mut [i64]),
    },
    /// From pods elsewhere as well: of all seats that will do, 0..=100 each.
    Around(fn(&Snapshot<'_>, &Case, &[usize]) -> Vec<i64>),
}

/// A row.
pub struct Score {
    /// How much it counts.
    pub weight: i64,
    /// How it is found.
    pub rate: Rate,
    /// Whether it has anything to say of a class.
    pub applies: fn(&Case) -> bool,
}

/// All of them.
pub const SCORES: [Score; 7] = [
    image_locality::ROW,
    inter_pod_affinity::ROW,
    node_affinity::ROW,
    node_resources_balanced_allocation::ROW,
    node_resources_fit::ROW,
    pod_topology_spread::ROW,
    taint_toleration::ROW,
];

/// What one score gives to seats that will do, before its weight.
pub fn rates(snapshot: &Snapshot<'_>, case: &Case, seats: &[usize], score: usize) -> Vec<i64> {
    match SCORES[score].rate {
        Rate::Alone { normalize, .. } => {
            let mut rates: Vec<i64> = seats.iter().map(|seat| case.rate(*seat, score)).collect();
            normalize(&mut rates);
            rates
        }
        Rate::Around(rate) => rate(snapshot, case, seats),
    }
}

/// The sum of all scores, for each seat.
pub fn totals(snapshot: &Snapshot<'_>, case: &Case, seats: &[usize]) -> Vec<i64> {
    let mut totals = vec![0; seats.len()];
    for (index, score) in SCORES.iter().enumerate().filter(|(_, score)| (score.applies)(case)) {
        for (total, rate) in totals.iter_mut().zip(rates(snapshot, case, seats, index)) {
            *total += score.weight * rate;
        }
    }
    totals
}

/// For scores that are 0..=100 as they are.
fn as_it_is(_: &mut [i64]) {}

/// Brings the most to 100 and the others down in proportion.
fn to_most(rates: &mut [i64]) {
    let most = rates.iter().copied().max().unwrap_or(0);
    if most > 0 {
        rates.iter_mut().for_each(|rate| *rate = SCORE_MAX * *rate / most);
    }
}
