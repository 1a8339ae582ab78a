//! Nodes with few taints that a pod had better not bear.

use projection::nodes::Effect;

use crate::case::Case;
use crate::scores::{Rate, SCORE_MAX, Score, to_most};
use crate::snapshot::Snapshot;
use crate::terms::tolerated;

/// Kubernetes' `TaintToleration`.
pub const ROW: Score = Score { weight: 3, rate: Rate::Alone { rate, normalize }, applies: |_| true };

/// How many it does not tolerate.
fn rate(snapshot: &Snapshot<'_>, case: &Case, seat: usize) -> i64 {
    let about = |one: &&crate::terms::Toleration| one.is_about(Effect::PreferNoSchedule);
    let taints = snapshot.seats[seat].node.taints.iter();
    let soft = taints.filter(|taint| taint.effect == Effect::PreferNoSchedule);
    soft.filter(|taint| !tolerated(case.class.tolerations.iter().filter(about), taint)).count() as i64
}

/// None becomes 100, and the most 0.
fn normalize(rates: &mut [i64]) {
    to_most(rates);
    rates.iter_mut().for_each(|rate| *rate = SCORE_MAX - *rate);
}
