//! Init containers that run as long as the pod.

use expect_test::expect;
use serde_json::{Value, json};

use super::{check, lines, seconds};
use crate::engine::fake::Script;
use crate::testing::{World, deleted, pod, status_line};

/// An init container of this name that stays, with further fields.
fn sidecar(name: &str, more: Value) -> Value {
    let mut sidecar = json!({"name": name, "image": "app:1", "restartPolicy": "Always"});
    for (field, value) in more.as_object().into_iter().flatten() {
        sidecar[field] = value.clone();
    }
    sidecar
}

/// A container `main` beside `one` and `two`.
fn with_two(policy: &str) -> Value {
    json!({
        "restartPolicy": policy,
        "initContainers": [sidecar("one", json!({})), sidecar("two", json!({}))],
        "containers": [{"name": "main", "image": "app:1"}],
    })
}

/// What the engine was told of ends, and of starts of `main`.
fn ends(world: &World) -> String {
    let mut calls = world.engine.calls();
    calls.retain(|call| {
        call.starts_with("stop") || call.starts_with("kill") || call.contains("start k8s_main")
    });
    lines(&calls)
}

#[test]
fn sidecars_end_in_reverse_once_the_rest_ended_for_good() {
    let all = async |_: &World| {
        let mut shown = String::new();
        for (policy, codes) in
            [("Never", [0, 0]), ("Never", [3, 3]), ("OnFailure", [3, 0]), ("Always", [0, 0])]
        {
            let world = World::new();
            let node = world.start();
            world.engine.script("main", codes.map(|code| Script::ends(1000, code)));
            world.engine.script("two", [Script { stops_ms: Some(2000), ..Script::default() }]);
            node.handle.desired(pod(with_two(policy))).await.expect("a pod");
            seconds(8).await;
            let status = world.control.status("u1").expect("reported");
            shown += &format!("{policy} {codes:?}\n{}{}\n", ends(&world), status_line(&status));
        }
        shown
    };
    check(
        1,
        all,
        &expect![[r#"
        Never [0, 0]
        start k8s_main_web_0
        stop k8s_two_web_0
        stop k8s_one_web_0
        Succeeded [Initialized PodScheduled]; one Error=143() #0; two Error=143() #0; main Completed=0() #0
        Never [3, 3]
        start k8s_main_web_0
        stop k8s_two_web_0
        stop k8s_one_web_0
        Failed [Initialized PodScheduled]; one Error=143() #0; two Error=143() #0; main Error=3() #0
        OnFailure [3, 0]
        start k8s_main_web_0
        start k8s_main_web_1
        stop k8s_two_web_0
        stop k8s_one_web_0
        Succeeded [Initialized PodScheduled]; one Error=143() #0; two Error=143() #0; main Completed=0() #1 last=3
        Always [0, 0]
        start k8s_main_web_0
        start k8s_main_web_1
        Running [PodReadyToStartContainers Initialized PodScheduled]; one running ready started #0; two running ready started #0; main CrashLoopBackOff(back-off 10s restarting failed container=main pod=web_shop(u1)) #1 last=0
    "#]],
    );
}

#[test]
fn sidecars_end_in_reverse_and_last_when_their_pod_is_deleted() {
    let life = async |world: &World| {
        let node = world.start();
        let slow = |stops_ms| [Script { stops_ms: Some(stops_ms), ..Script::default() }];
        world.engine.script("main", slow(3000));
        world.engine.script("two", slow(2000));
        let pod = pod(with_two("Always"));
        node.handle.desired(pod.clone()).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        let before = world.control.statuses("u1").len();
        node.handle.desired(deleted(pod, 30)).await.expect("a pod");
        world.until_confirmed("u1").await;
        let told: Vec<String> = world.control.statuses("u1").iter().skip(before).map(status_line).collect();
        ends(world) + &lines(&told)
    };
    check(
        1,
        life,
        &expect![[r#"
        start k8s_main_web_0
        stop k8s_main_web_0
        stop k8s_two_web_0
        stop k8s_one_web_0
        Running [PodReadyToStartContainers Initialized PodScheduled]; one running ready started #0; two running ready started #0; main Error=143() #0
        Running [PodReadyToStartContainers Initialized PodScheduled]; one running ready started #0; two Error=143() #0; main Error=143() #0
        Failed [Initialized PodScheduled]; one Error=143() #0; two Error=143() #0; main Error=143() #0
    "#]],
    );
}

#[test]
fn a_sidecar_that_does_not_listen_costs_the_others_no_more_than_the_grace_period() {
    let life = async |world: &World| {
        let node = world.start();
        world.engine.script("two", [Script { stops_ms: None, ..Script::default() }]);
        let pod = pod(with_two("Always"));
        node.handle.desired(pod.clone()).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        let asked = base::env::wall_ms();
        node.handle.desired(deleted(pod, 10)).await.expect("a pod");
        world.until_confirmed("u1").await;
        format!("{}{} s\n", ends(world), (base::env::wall_ms() - asked) / 1000)
    };
    check(
        1,
        life,
        &expect![[r#"
        start k8s_main_web_0
        stop k8s_main_web_0
        stop k8s_two_web_0
        stop k8s_one_web_0
        kill k8s_two_web_0
        10 s
    "#]],
    );
}

#[test]
fn a_sidecar_that_ends_starts_again_whatever_the_pods_policy() {
    let life = async |world: &World| {
        let node = world.start();
        world.engine.script("one", [Script::ends(5000, 0), Script::ends(5000, 1), Script::default()]);
        node.handle.desired(pod(with_two("Never"))).await.expect("a pod");
        seconds(30).await;
        world.shown() + "\n"
    };
    check(
        1,
        life,
        &expect![[r#"
        Running [PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled]; one running ready started #2 last=1; two running ready started #0; main running ready started #0
    "#]],
    );
}

#[test]
fn probes_of_a_sidecar_hold_up_what_follows_and_replace_it_alone() {
    let life = async |world: &World| {
        let node = world.start();
        let probe = |command: &str| json!({"exec": {"command": [command]}, "periodSeconds": 1, "failureThreshold": 2});
        for command in ["starts", "ready"] {
            world.engine.script_exec(command, 1, "not yet");
        }
        let mut startup = probe("starts");
        startup["failureThreshold"] = json!(60);
        let side = json!({
            "startupProbe": startup, "readinessProbe": probe("ready"), "livenessProbe": probe("lives"),
        });
        world.engine.script("next", [Script::ends(1000, 0)]);
        let pod = pod(json!({
            "initContainers": [sidecar("side", side), {"name": "next", "image": "app:1"}],
            "containers": [{"name": "main", "image": "app:1"}],
        }));
        node.handle.desired(pod).await.expect("a pod");
        seconds(30).await;
        let mut shown = vec![world.shown()];
        world.engine.script_exec("starts", 0, "");
        seconds(10).await;
        shown.push(world.shown());
        world.engine.script_exec("ready", 0, "");
        seconds(2).await;
        shown.push(world.shown());
        world.engine.script_exec("lives", 1, "dead");
        world
            .until("replaced", "u1", |status| status_line(status).contains("side running ready started #1"))
            .await;
        shown.push(world.shown());
        let mut events = world.control.events();
        events.dedup();
        lines(&shown) + "--\n" + &lines(&events)
    };
    check(
        1,
        life,
        &expect![[r#"
        Pending [PodReadyToStartContainers PodScheduled]; side running #0; next PodInitializing() #0; main PodInitializing() #0
        Running [PodReadyToStartContainers Initialized PodScheduled]; side running started #0; next Completed=0() ready #0; main running ready started #0
        Running [PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled]; side running ready started #0; next Completed=0() ready #0; main running ready started #0
        Running [PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled]; side running ready started #1 last=143; next Completed=0() ready #0; main running ready started #0
        --
        Pulled: Container image "app:1" already present on machine and can be accessed by the pod
        Created: Container created
        Started: Container started
        Unhealthy: Startup probe failed: not yet
        Pulled: Container image "app:1" already present on machine and can be accessed by the pod
        Unhealthy: Readiness probe failed: not yet
        Created: Container created
        Started: Container started
        Unhealthy: Readiness probe failed: not yet
        Pulled: Container image "app:1" already present on machine and can be accessed by the pod
        Created: Container created
        Started: Container started
        Unhealthy: Readiness probe failed: not yet
        Unhealthy: Liveness probe failed: dead
        Killing: Init container side failed liveness probe
        Pulled: Container image "app:1" already present on machine and can be accessed by the pod
        Created: Container created
        Started: Container started
        Unhealthy: Liveness probe failed: dead
    "#]],
    );
}
