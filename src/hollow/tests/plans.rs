//! What comes next for a pod, as data.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use base::env::{self, Instant};
use expect_test::expect;

use crate::nodes::{Rounds, Turn};
use crate::plan::{Step, plan};
use crate::pod::{Behaviour, Container, Pod, Restart, Told};
use crate::template::{Facts, Template};

const RUNNING: Told = Told::Running { restarts: 0 };

fn pod(told: Told, restart: Restart, now: Instant) -> Pod {
    Pod {
        uid: "u".into(),
        revision: 1,
        behaviour: Behaviour::default(),
        restart,
        node: 0,
        template: Arc::new(Template::new(&[], &[])),
        address: None,
        told,
        is_overwritten: false,
        since: now,
        deleted: None,
        started_s: 0,
        failures: 0,
        retry_at: None,
        waits: None,
        is_busy: false,
    }
}

/// What comes next that long after `told` became so, with changes to the pod.
fn check(told: Told, restart: Restart, change: fn(&mut Pod, Instant), after_ms: u64, expect: &str) {
    env::simulate(1, async {
        let start = env::monotonic();
        let mut pod = pod(told, restart, start);
        change(&mut pod, start);
        let step = match plan(&pod, start + Duration::from_millis(after_ms)) {
            Step::Wait(at) => format!("wait until {} ms", at.duration_since(start).as_millis()),
            Step::Tell(told) => format!("tell {told:?}"),
            step => format!("{step:?}"),
        };
        assert_eq!(step, expect, "{told:?} {restart:?} after {after_ms} ms");
    });
}

#[test]
fn what_comes_next() {
    use Restart::{Always, Never, OnFailure};
    let succeeds = |pod: &mut Pod, _| pod.behaviour.succeed_after = Some(Duration::from_secs(5));
    let fails = |pod: &mut Pod, _| pod.behaviour.fail_after = Some(Duration::from_secs(5));
    let both = |pod: &mut Pod, _| {
        pod.behaviour.fail_after = Some(Duration::from_secs(3));
        pod.behaviour.succeed_after = Some(Duration::from_secs(5));
    };
    let deleted = |pod: &mut Pod, now| pod.deleted = Some(now);
    let failed = |pod: &mut Pod, now| pod.retry_at = Some(now + Duration::from_secs(1));
    let nothing = |_: &mut Pod, _| {};
    check(Told::Nothing, Always, nothing, 0, "tell Running { restarts: 0 }");
    check(Told::Nothing, Always, failed, 0, "wait until 1000 ms");
    check(Told::Nothing, Always, failed, 1_000, "tell Running { restarts: 0 }");
    check(RUNNING, Always, nothing, 9_000_000, "Rest");
    check(RUNNING, Always, |pod, _| pod.is_overwritten = true, 0, "tell Running { restarts: 0 }");
    check(Told::Succeeded, Always, |pod, _| pod.is_overwritten = true, 0, "Rest");
    check(RUNNING, Never, succeeds, 4_999, "wait until 5000 ms");
    check(RUNNING, Never, succeeds, 5_000, "tell Succeeded");
    check(RUNNING, OnFailure, succeeds, 5_000, "tell Succeeded");
    check(RUNNING, Always, succeeds, 5_000, "tell Running { restarts: 1 }");
    check(RUNNING, Never, fails, 5_000, "tell Failed");
    check(RUNNING, OnFailure, fails, 5_000, "tell Running { restarts: 1 }");
    check(RUNNING, Never, both, 3_000, "tell Failed");
    check(Told::Succeeded, Always, succeeds, 9_000, "Rest");
    check(Told::Nothing, Always, deleted, 0, "wait until 500 ms");
    check(RUNNING, Always, deleted, 500, "Remove");
    check(Told::Failed, Never, deleted, 500, "Remove");
}

/// How often a node has a turn whose Lease holds for 40 s.
const INTERVAL: Duration = Duration::from_secs(10);

#[test]
fn turns_are_spread_over_the_interval() {
    env::simulate(1, async {
        let start = env::monotonic();
        let mut rounds = Rounds::new(start, 4, INTERVAL);
        let mut reports = 0;
        for turn in 0..4 * 61 {
            assert_eq!(rounds.due() - start, INTERVAL * turn / 4);
            let (node, what) = rounds.take();
            assert_eq!(node, turn as usize % 4);
            reports += usize::from(what == Turn::Report);
        }
        // Ten minutes: each of the four tells twice, never all at once.
        assert_eq!(reports, 8);
    });
}

#[test]
fn a_pod_is_kept_in_little_memory() {
    // With its key, its uid and its places in maps: some 50 MB for 100,000.
    assert!(size_of::<Pod>() <= 256, "{}", size_of::<Pod>());
}

#[test]
fn a_template_is_filled_in() {
    env::simulate(1, async {
        let container = |name: &str| Container { name: name.into(), image: format!("example.org/{name}") };
        let template = Template::new(&[container("first")], &[container("a")]);
        let facts = Facts {
            uid: "u-1",
            address: Ipv4Addr::new(10, 128, 0, 1),
            host: Ipv4Addr::new(10, 64, 0, 1),
            started_s: 1_767_225_590,
            restarts: 3,
        };
        let not_ready = Behaviour { not_ready: true, ..Behaviour::default() };
        let told = [
            template.patch(Told::Running { restarts: 3 }, not_ready, &facts),
            template.patch(Told::Failed, Behaviour::default(), &facts),
        ];
        expect![[r#"
            {"metadata":{"uid":"u-1"},
            "status":{"phase":"Running","conditions":[{"type":"PodReadyToStartContainers","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"},
            {"type":"Initialized","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"},
            {"type":"Ready","status":"False","lastTransitionTime":"2026-01-01T00:00:00Z","reason":"ContainersNotReady","message":"containers with unready status: [a]"},
            {"type":"ContainersReady","status":"False","lastTransitionTime":"2026-01-01T00:00:00Z","reason":"ContainersNotReady","message":"containers with unready status: [a]"},
            {"type":"PodScheduled","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}],"hostIP":"10.64.0.1","hostIPs":[{"ip":"10.64.0.1"}],"podIP":"10.128.0.1","podIPs":[{"ip":"10.128.0.1"}],"startTime":"2025-12-31T23:59:50Z","containerStatuses":[{"name":"a","image":"example.org/a","imageID":"","ready":false,"started":true,"restartCount":3,"state":{"running":{"startedAt":"2026-01-01T00:00:00Z"}},
            "lastState":{},
            "containerID":"hollow://u-1/a"}],"initContainerStatuses":[{"name":"first","image":"example.org/first","imageID":"","ready":true,"started":false,"restartCount":0,"state":{"terminated":{"exitCode":0,"reason":"Completed","startedAt":"2026-01-01T00:00:00Z","finishedAt":"2026-01-01T00:00:00Z"}},
            "lastState":{},
            "containerID":"hollow://u-1/first"}]}}

            {"metadata":{"uid":"u-1"},
            "status":{"phase":"Failed","conditions":[{"type":"PodReadyToStartContainers","status":"False","lastTransitionTime":"2026-01-01T00:00:00Z"},
            {"type":"Initialized","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"},
            {"type":"Ready","status":"False","lastTransitionTime":"2026-01-01T00:00:00Z","reason":"PodFailed"},
            {"type":"ContainersReady","status":"False","lastTransitionTime":"2026-01-01T00:00:00Z","reason":"PodFailed"},
            {"type":"PodScheduled","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}],"hostIP":"10.64.0.1","hostIPs":[{"ip":"10.64.0.1"}],"podIP":"10.128.0.1","podIPs":[{"ip":"10.128.0.1"}],"startTime":"2025-12-31T23:59:50Z","containerStatuses":[{"name":"a","image":"example.org/a","imageID":"","ready":false,"started":false,"restartCount":3,"state":{"terminated":{"exitCode":1,"reason":"Error","startedAt":"2025-12-31T23:59:50Z","finishedAt":"2026-01-01T00:00:00Z"}},
            "lastState":{},
            "containerID":"hollow://u-1/a"}],"initContainerStatuses":[{"name":"first","image":"example.org/first","imageID":"","ready":true,"started":false,"restartCount":0,"state":{"terminated":{"exitCode":0,"reason":"Completed","startedAt":"2026-01-01T00:00:00Z","finishedAt":"2026-01-01T00:00:00Z"}},
            "lastState":{},
            "containerID":"hollow://u-1/first"}]}}"#]].assert_eq(&told.join("\n\n").replace("},", "},\n"));
    });
}
