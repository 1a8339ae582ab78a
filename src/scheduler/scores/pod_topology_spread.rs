//! Nodes in whose domains few pods of the same sort are.

use crate::case::{Case, Spread};
use crate::scores::{Rate, SCORE_MAX, Score};
use crate::snapshot::Snapshot;

/// Kubernetes' `PodTopologySpread`.
pub const ROW: Score =
    Score { weight: 2, rate: Rate::Around(rate), applies: |case| !case.spread_preferred.is_empty() };

fn rate(snapshot: &Snapshot<'_>, case: &Case, seats: &[usize]) -> Vec<i64> {
    let spreads = &case.spread_preferred;
    let domain = |spread: &Spread, seat: usize| snapshot.topologies[spread.tally.topology].domain_of[seat];
    let is_ignored = |seat: usize| {
        case.class.spread_needs_labels && spreads.iter().any(|spread| domain(spread, seat).is_none())
    };
    let counted: Vec<bool> = seats.iter().map(|seat| !is_ignored(*seat)).collect();
    let weights: Vec<f64> = spreads.iter().map(|spread| weight(snapshot, spread, seats, &counted)).collect();
    let of_seat = |seat: usize| {
        let mut sum = 0.0;
        for (spread, weight) in spreads.iter().zip(&weights) {
            let Some(domain) = domain(spread, seat) else { continue };
            let count = if spread.is_by_host {
                i64::from(snapshot.counters[spread.tally.counter].per_seat[seat])
            } else {
                spread.tally.sums[domain as usize]
            };
            sum += count as f64 * weight + (spread.skew_max - 1) as f64;
        }
        sum.round() as i64
    };
    let rates = seats.iter().zip(&counted).map(|(seat, counted)| counted.then(|| of_seat(*seat)));
    normalize(&rates.collect::<Vec<_>>())
}

/// What a pod more or less counts: more where there are many domains, so that small ones are not drowned out.
fn weight(snapshot: &Snapshot<'_>, spread: &Spread, seats: &[usize], counted: &[bool]) -> f64 {
    let counting = seats.iter().zip(counted).filter(|(_, counted)| **counted).map(|(seat, _)| *seat);
    let domains = if spread.is_by_host {
        counting.count()
    } else {
        let topology = &snapshot.topologies[spread.tally.topology];
        let mut seen = vec![false; topology.domains + 1];
        for seat in counting {
            // Nodes without the label are one domain more.
            seen[topology.domain_of[seat].map_or(topology.domains, |domain| domain as usize)] = true;
        }
        seen.iter().filter(|seen| **seen).count()
    };
    ((domains + 2) as f64).ln()
}

/// The fewest become 100, and what is ignored 0.
fn normalize(rates: &[Option<i64>]) -> Vec<i64> {
    let known = || rates.iter().flatten().copied();
    let (least, most) = (known().min().unwrap_or(i64::MAX), known().max().unwrap_or(0).max(0));
    let one = |rate: &Option<i64>| match rate {
        None => 0,
        Some(_) if most == 0 => SCORE_MAX,
        Some(rate) => SCORE_MAX * (most + least - rate) / most,
    };
    rates.iter().map(one).collect()
}
