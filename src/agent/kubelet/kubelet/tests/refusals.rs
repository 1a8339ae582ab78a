//! Statuses that the masters do not take, or overwrite.

use base::env;
use expect_test::expect;

use super::{check, seconds};
use crate::testing::{World, deleted, pod, simple};

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

#[test]
fn a_pod_whose_status_nobody_takes_goes_when_it_is_deleted() {
    let life = async |world: &World| {
        let node = world.start();
        node.handle.desired(pod(simple())).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        world.control.refuse(Some("Pod \"web\" is invalid: status.podIP: Invalid value"));
        let since = env::wall_ms();
        node.handle.desired(deleted(pod(simple()), 1)).await.expect("a pod");
        let mut gone_s = None;
        for second in 0..100 {
            seconds(1).await;
            gone_s = gone_s.or((!world.control.confirmed().is_empty()).then_some(second));
        }
        let tried: Vec<u64> = world.control.refused().iter().map(|at_ms| (at_ms - since) / 1000).collect();
        format!("tried at {tried:?} s, gone after {gone_s:?} s\n")
    };
    check(
        1,
        life,
        &expect![[r#"
        tried at [0, 10, 30] s, gone after Some(30) s
    "#]],
    );
}

#[test]
fn a_pod_that_others_say_is_not_ready_is_told_of_again() {
    let life = async |world: &World| {
        let node = world.start();
        node.handle.desired(pod(simple())).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        seconds(10).await;
        let reports = || world.control.statuses("u1").len();
        let shows = async |version: &str, is_ready: bool| {
            let mut seen = pod(simple());
            seen.metadata.resource_version = Some(version.to_owned());
            let mut status = world.control.status("u1").expect("reported");
            for condition in status.conditions.iter_mut().flatten().filter(|_| !is_ready) {
                condition.status = "False".to_owned();
            }
            seen.status = Some(status);
            let before = reports();
            node.handle.desired(seen).await.expect("a pod");
            seconds(60).await;
            reports() - before
        };
        let mut told = Vec::new();
        for (version, is_ready) in [("1", true), ("2", false), ("3", true), ("4", true), ("5", false)] {
            told.push((is_ready, shows(version, is_ready).await));
        }
        let last = world.control.status("u1").expect("reported");
        let holding = last.conditions.iter().flatten().filter(|one| one.status == "True").count();
        format!("{told:?}, and {holding} conditions hold\n")
    };
    check(
        1,
        life,
        &expect![[r#"
        [(true, 0), (false, 1), (true, 0), (true, 0), (false, 1)], and 5 conditions hold
    "#]],
    );
}
