//! Nodes of which CPU and memory are used alike.

use crate::case::Case;
use crate::scores::{Rate, SCORE_MAX, Score, as_it_is};
use crate::snapshot::Snapshot;

/// Kubernetes' `NodeResourcesBalancedAllocation`. Of pods that ask for nothing it says nothing: they would all go to one node.
pub const ROW: Score = Score {
    weight: 1,
    rate: Rate::Alone { rate, normalize: as_it_is },
    applies: |case| case.class.requests.cpu_milli != 0 || case.class.requests.memory_bytes != 0,
};

/// By how much the pod brings the two closer: 75 when it changes nothing.
fn rate(snapshot: &Snapshot<'_>, case: &Case, seat: usize) -> i64 {
    let seat = &snapshot.seats[seat];
    let (has, taken, asked) = (&seat.node.allocatable, &seat.usage.requests, &case.class.requests);
    let balance = |times: i64| {
        let cpu = share(taken.cpu_milli + times * asked.cpu_milli, has.cpu_milli);
        let memory = share(taken.memory_bytes + times * asked.memory_bytes, has.memory_bytes);
        let deviation = match (cpu, memory) {
            (Some(cpu), Some(memory)) => ((cpu - memory) / 2.0).abs(),
            _ => 0.0,
        };
        ((1.0 - deviation) * SCORE_MAX as f64) as i64
    };
    SCORE_MAX / 2 + (SCORE_MAX / 2 + balance(1) - balance(0)) / 2
}

/// `None`: the node has none of it.
fn share(taken: i64, has: i64) -> Option<f64> {
    (has != 0).then(|| (taken as f64 / has as f64).min(1.0))
}
