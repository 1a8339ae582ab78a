//! Statuses that the masters do not take.

use base::env;
use expect_test::expect;

use super::{check, seconds};
use crate::testing::{World, pod, simple};

#[test]
fn a_status_that_is_refused_for_good_is_tried_ever_more_seldom() {
    let life = async |world: &World| {
        let node = world.start();
        let since = env::wall_ms();
        world.control.refuse(Some("Pod \"web\" is invalid: status.podIP: Invalid value"));
        node.handle.desired(pod(simple())).await.expect("a pod");
        seconds(1000).await;
        let tried: Vec<u64> = world.control.refused().iter().map(|at_ms| (at_ms - since) / 1000).collect();
        world.control.refuse(None);
        world.until_phase("u1", "Running").await;
        format!("tried at {tried:?} s\n")
    };
    check(
        1,
        life,
        &expect![[r#"
        tried at [0, 10, 30, 70, 150, 310, 610, 910] s
    "#]],
    );
}
