//! Pods that had better be near or far, by either side's wish.

use crate::case::Case;
use crate::scores::{Rate, SCORE_MAX, Score};
use crate::snapshot::Snapshot;

/// Kubernetes' `InterPodAffinity`.
pub const ROW: Score = Score {
    weight: 2,
    rate: Rate::Around(rate),
    applies: |case| !(case.preferred.is_empty() && case.others.liked.is_empty()),
};

fn rate(snapshot: &Snapshot<'_>, case: &Case, seats: &[usize]) -> Vec<i64> {
    let own = |seat: usize| {
        let terms = case.preferred.iter();
        terms.map(|(weight, tally)| weight * tally.at(snapshot, seat).unwrap_or(0)).sum::<i64>()
    };
    let liked = |seat: usize| {
        let sums = case.others.liked.iter();
        let at = sums.filter_map(|(topology, sums)| {
            let domain = snapshot.topologies[*topology].domain_of[seat]?;
            Some(sums[domain as usize])
        });
        at.sum::<i64>()
    };
    let mut rates: Vec<i64> = seats.iter().map(|seat| own(*seat) + liked(*seat)).collect();
    normalize(&mut rates);
    rates
}

/// The least becomes 0 and the most 100.
fn normalize(rates: &mut [i64]) {
    let (Some(least), Some(most)) = (rates.iter().copied().min(), rates.iter().copied().max()) else {
        return;
    };
    for rate in rates {
        // In fractions, as Kubernetes counts it.
        let share = if most > least { (*rate - least) as f64 / (most - least) as f64 } else { 0.0 };
        *rate = (SCORE_MAX as f64 * share) as i64;
    }
}
