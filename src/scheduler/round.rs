//! One round: the pods that wait get nodes, one after the other.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use projection::World;
use projection::nodes::{Node, hash};
use projection::pods::{DEFAULT_SCHEDULER, Pod};

use crate::case::Case;
use crate::class::Class;
use crate::limits::{FEASIBLE_MIN, FEASIBLE_PERCENT_MIN};
use crate::message::message;
use crate::scores;
use crate::snapshot::Snapshot;

/// What came of a round.
#[derive(Default)]
pub struct Round {
    /// Pods that got nodes, in the order of the round.
    pub placed: Vec<(Arc<Pod>, Arc<Node>)>,
    /// Pods that got none, likewise, and why.
    pub unplaced: Vec<(Arc<Pod>, Unplaced)>,
    /// Whether pods were left that nobody looked at.
    pub is_cut: bool,
}

/// Why a pod got no node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unplaced {
    /// It has `schedulingGates`.
    Gated,
    /// No node will do.
    NoNode(Arc<str>),
}

/// The classes of the pods that were looked at.
#[derive(Default)]
struct Cases {
    by_print: BTreeMap<Arc<[u8]>, usize>,
    all: Vec<Case>,
    cells: usize,
    cells_max: usize,
}

impl Cases {
    fn of(&mut self, snapshot: &mut Snapshot<'_>, print: &Arc<[u8]>, pod: &Pod) -> &mut Case {
        if let Some(known) = self.by_print.get(print) {
            return &mut self.all[*known];
        }
        if self.cells > self.cells_max {
            *self = Self { cells_max: self.cells_max, ..Self::default() };
        }
        let class = Class::of(snapshot.world, pod);
        let case = Case::new(snapshot, class);
        let at = self.all.len();
        self.cells += case.cells_max(snapshot);
        self.all.push(case);
        self.by_print.insert(Arc::clone(print), at);
        &mut self.all[at]
    }
}

impl Round {
    /// Gives nodes to at most `placed_max` pods; remembers at most about `cells_max` cells.
    pub fn of(world: &World, placed_max: usize, cells_max: usize) -> Self {
        let mut round = Self::default();
        let waiting = order(world);
        let Some(first) = waiting.first() else { return round };
        let mut snapshot = Snapshot::of(world);
        let mut cases = Cases { cells_max, ..Cases::default() };
        let mut failed: Vec<(Arc<Pod>, Arc<[u8]>)> = Vec::new();
        // Where to begin differs from round to round: else small rounds would look at the same nodes each time.
        let mut start = hash(&first.object.meta.uid) as usize % snapshot.seats.len().max(1);
        for pod in waiting {
            if pod.is_gated {
                round.unplaced.push((pod, Unplaced::Gated));
                continue;
            }
            if round.placed.len() == placed_max {
                round.is_cut = true;
                break;
            }
            let print: Arc<[u8]> = Class::fingerprint(world, &pod).into();
            let case = cases.of(&mut snapshot, &print, &pod);
            let seat = if case.is_hopeless(&snapshot) {
                None
            } else {
                case.catch_up(&mut snapshot);
                pick(&snapshot, case, &pod, &mut start)
            };
            if let Some(seat) = seat {
                snapshot.place(&pod, seat);
                round.placed.push((pod, Arc::clone(&snapshot.seats[seat].node)));
            } else {
                case.failed_at = Some(snapshot.placed.len());
                failed.push((pod, print));
            }
        }
        round.explain(&mut snapshot, &mut cases, failed);
        round
    }

    /// Finds why pods got no node, in the snapshot after the round. Those for which a place came up meanwhile get it in
    /// the next one.
    fn explain(
        &mut self,
        snapshot: &mut Snapshot<'_>,
        cases: &mut Cases,
        failed: Vec<(Arc<Pod>, Arc<[u8]>)>,
    ) {
        let mut messages: BTreeMap<Arc<[u8]>, Option<Arc<str>>> = BTreeMap::new();
        for (pod, print) in failed {
            let message = messages.entry(print).or_insert_with_key(|print| {
                let case = cases.of(snapshot, print, &pod);
                case.catch_up(snapshot);
                message(snapshot, case).map(Into::into)
            });
            if let Some(message) = message {
                self.unplaced.push((pod, Unplaced::NoNode(Arc::clone(message))));
            }
        }
    }
}

/// The pods that wait for this scheduler, the most urgent first.
fn order(world: &World) -> Vec<Arc<Pod>> {
    let mut waiting: Vec<_> =
        world.pods.waiting().filter(|pod| pod.waits_for(DEFAULT_SCHEDULER)).cloned().collect();
    // World has them by key, and the sort is stable.
    waiting.sort_by_key(|pod| (Reverse(pod.priority), pod.created_ms));
    waiting
}

/// The best of the seats that will do, of those that are looked at. `start`: where the looking begins, and then where
/// the next one's does.
fn pick(snapshot: &Snapshot<'_>, case: &mut Case, pod: &Pod, start: &mut usize) -> Option<usize> {
    let seats = snapshot.seats.len();
    let mut found = Vec::new();
    if let Some(only) = case.only.clone() {
        found.extend(only.into_iter().filter(|seat| case.fits(snapshot, *seat)));
    } else {
        let enough = feasible_max(seats);
        let mut looked = 0;
        while looked < seats && found.len() < enough {
            let seat = (*start + looked) % seats;
            looked += 1;
            if case.fits(snapshot, seat) {
                found.push(seat);
            }
        }
        *start = (*start + looked) % seats.max(1);
    }
    if found.len() < 2 {
        return found.pop();
    }
    let uid = hash(&pod.object.meta.uid);
    let totals = scores::totals(snapshot, case, &found);
    let ranked =
        found.iter().zip(totals).map(|(seat, total)| (total, mix(uid ^ snapshot.seats[*seat].hash), *seat));
    ranked.max().map(|(.., seat)| seat)
}

/// How many seats that will do are enough: Kubernetes' `numFeasibleNodesToFind`.
fn feasible_max(seats: usize) -> usize {
    if seats < FEASIBLE_MIN {
        return seats;
    }
    let percent = 50_usize.saturating_sub(seats / 125).max(FEASIBLE_PERCENT_MIN);
    (seats * percent / 100).max(FEASIBLE_MIN)
}

/// Spreads what differs in a few bits over all of them: the finalizer of MurmurHash3.
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kubernetes' own numbers.
    #[test]
    fn how_many_nodes_are_enough() {
        let counts = [10, 99, 100, 1000, 5000, 6000, 15_000];
        assert_eq!(counts.map(feasible_max), [10, 99, 100, 420, 500, 300, 750]);
    }
}
