//! Nodes that have a pod's images.

use crate::case::Case;
use crate::scores::{Rate, SCORE_MAX, Score, as_it_is};
use crate::snapshot::Snapshot;

/// Kubernetes' `ImageLocality`.
pub const ROW: Score = Score {
    weight: 1,
    rate: Rate::Alone { rate, normalize: as_it_is },
    applies: |case| !case.class.images.is_empty(),
};

const MB: i64 = 1024 * 1024;

/// Less than this saves nothing worth speaking of: Kubernetes' `minThreshold`.
const SIZE_MIN: i64 = 23 * MB;

/// More than this of a container counts no more: Kubernetes' `maxContainerThreshold`.
const SIZE_MAX: i64 = 1000 * MB;

/// What of the images is there, in bytes, each as far as it is on all nodes: one that is on a few only shall not draw
/// all pods there.
fn rate(snapshot: &Snapshot<'_>, case: &Case, seat: usize) -> i64 {
    let here = &snapshot.seats[seat].node.images;
    if here.is_empty() {
        return 0;
    }
    let nodes = snapshot.seats.len() as f64;
    let images = case.class.images.iter().filter_map(|image| Some((image, here.get(image)?)));
    let sizes = images.map(|(image, size)| {
        let share = f64::from(snapshot.world.nodes.with_image(image)) / nodes;
        (*size as f64 * share) as i64
    });
    let most = SIZE_MAX * case.class.images.len() as i64;
    let sum = sizes.sum::<i64>().min(most).max(SIZE_MIN);
    SCORE_MAX * (sum - SIZE_MIN) / (most - SIZE_MIN)
}
