//! Nodes that have most left: Kubernetes' `LeastAllocated`.

use crate::case::Case;
use crate::scores::{Rate, SCORE_MAX, Score, as_it_is};
use crate::snapshot::Snapshot;

/// Kubernetes' `NodeResourcesFit`.
pub const ROW: Score =
    Score { weight: 1, rate: Rate::Alone { rate, normalize: as_it_is }, applies: |_| true };

/// The mean of what is left of CPU and of memory, in percent, of those that the node has at all.
fn rate(snapshot: &Snapshot<'_>, case: &Case, seat: usize) -> i64 {
    let seat = &snapshot.seats[seat];
    let (has, taken, asked) = (&seat.node.allocatable, &seat.usage.weight, &case.class.weight);
    let left = [
        left(taken.cpu_milli + asked.cpu_milli, has.cpu_milli),
        left(taken.memory_bytes + asked.memory_bytes, has.memory_bytes),
    ];
    let (sum, count) = left.iter().flatten().fold((0, 0), |(sum, count), left| (sum + left, count + 1));
    if count == 0 { 0 } else { sum / count }
}

/// In percent; `None`: the node has none of it.
fn left(taken: i64, has: i64) -> Option<i64> {
    (has != 0).then(|| if taken > has { 0 } else { (has - taken) * SCORE_MAX / has })
}
