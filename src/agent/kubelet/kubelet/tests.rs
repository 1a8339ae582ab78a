//! Whole lives of pods, on virtual time.

use std::time::Duration;

use base::env;
use expect_test::{Expect, expect};
use serde_json::json;

use crate::engine::fake::Script;
use crate::engine::{ContainerEngine, EngineError};
use crate::testing::{World, deleted, key, pod, simple, status_line};

mod ends;
mod ephemeral;
mod hooks;
mod images;
mod killed;
mod probes;
mod refusals;
mod restarts;
mod sidecars;

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| line.replace("_shop_u1", "") + "\n").collect()
}

fn check(seed: u64, live: impl AsyncFnOnce(&World) -> String, expect: &Expect) {
    expect.assert_eq(&env::simulate(seed, async { live(&World::new()).await }));
}

async fn seconds(seconds: u64) {
    env::sleep(Duration::from_secs(seconds)).await;
}

#[test]
fn a_pod_runs_and_goes() {
    let life = async |world: &World| {
        let node = world.start();
        let pod = pod(simple());
        node.handle.desired(pod.clone()).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        node.handle.desired(deleted(pod, 30)).await.expect("a pod");
        world.until_confirmed("u1").await;
        node.handle.gone(key("web", "u1")).await;
        let left = world.engine.list("n1", None).await.expect("listed").len();
        let last = world.shown();
        let (calls, events) = (lines(&world.engine.calls()), lines(&world.control.events()));
        format!("{calls}--\n{events}--\n{last}\n{left} left, {} connected\n", world.network.connected().len())
    };
    check(
        1,
        life,
        &expect![[r#"
        create k8s_POD_web_0
        start k8s_POD_web_0
        create k8s_main_web_0
        start k8s_main_web_0
        stop k8s_main_web_0
        remove k8s_POD_web_0
        remove k8s_main_web_0
        --
        Pulled: Container image "app:1" already present on machine and can be accessed by the pod
        Created: Container created
        Started: Container started
        Killing: Stopping container main
        --
        Failed [Initialized PodScheduled]; main Error=143() #0
        0 left, 0 connected
    "#]],
    );
}

#[test]
fn a_container_that_crashes_waits_longer_each_time() {
    let life = async |world: &World| {
        let node = world.start();
        world.engine.script("main", [Script::ends(1000, 1)]);
        node.handle.desired(pod(simple())).await.expect("a pod");
        let mut shown = String::new();
        let start = env::wall_ms();
        let mut seen = 0;
        for _ in 0..4000 {
            env::sleep(Duration::from_millis(250)).await;
            let starts = world.engine.starts().len();
            if starts != seen {
                shown += &format!("{} s: start {}\n", (env::wall_ms() - start) / 1000, starts - 1);
                seen = starts;
            }
        }
        let last = world.control.statuses("u1");
        let waits = last.iter().rev().find(|status| status_line(status).contains("CrashLoop"));
        shown + &waits.map(status_line).unwrap_or_default() + "\n"
    };
    check(
        1,
        life,
        &expect![[r#"
        0 s: start 1
        1 s: start 2
        12 s: start 3
        33 s: start 4
        74 s: start 5
        155 s: start 6
        316 s: start 7
        617 s: start 8
        918 s: start 9
        Running [PodReadyToStartContainers Initialized PodScheduled]; main CrashLoopBackOff(back-off 5m0s restarting failed container=main pod=web_shop(u1)) #8 last=1
    "#]],
    );
}

/// What became of a pod with this restart policy whose container ends with this code.
async fn fate(policy: &str, exit_code: i32) -> String {
    let world = World::new();
    let node = world.start();
    world.engine.script("main", [Script::ends(1000, exit_code)]);
    let mut spec = simple();
    spec["restartPolicy"] = json!(policy);
    node.handle.desired(pod(spec)).await.expect("a pod");
    seconds(120).await;
    let status = world.control.status("u1").expect("reported");
    format!(
        "{policy} {exit_code}: {}, {} starts\n",
        status.phase.unwrap_or_default(),
        world.engine.starts().len() - 1
    )
}

#[test]
fn restart_policies_decide_what_becomes_of_a_pod() {
    let all = async |_: &World| {
        let mut shown = String::new();
        for policy in ["Always", "OnFailure", "Never"] {
            for code in [0, 1] {
                shown += &fate(policy, code).await;
            }
        }
        shown
    };
    check(
        1,
        all,
        &expect![[r#"
        Always 0: Running, 5 starts
        Always 1: Running, 5 starts
        OnFailure 0: Succeeded, 1 starts
        OnFailure 1: Running, 5 starts
        Never 0: Succeeded, 1 starts
        Never 1: Failed, 1 starts
    "#]],
    );
}

#[test]
fn init_containers_run_in_order_and_sidecars_outlive_the_rest() {
    let life = async |world: &World| {
        let node = world.start();
        world.engine.script("first", [Script::ends(1000, 0)]);
        world.engine.script("third", [Script::ends(1000, 1), Script::ends(1000, 0)]);
        world.engine.script("main", [Script { stops_ms: Some(3000), ..Script::default() }]);
        let pod = pod(json!({
            "initContainers": [
                {"name": "first", "image": "app:1"},
                {"name": "side", "image": "app:1", "restartPolicy": "Always"},
                {"name": "third", "image": "app:1"},
            ],
            "containers": [{"name": "main", "image": "app:1"}],
        }));
        node.handle.desired(pod.clone()).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        node.handle.desired(deleted(pod, 30)).await.expect("a pod");
        world.until_confirmed("u1").await;
        let statuses: Vec<String> = world.control.statuses("u1").iter().map(status_line).collect();
        lines(&world.engine.calls()) + "--\n" + &lines(&statuses)
    };
    check(
        1,
        life,
        &expect![[r#"
        create k8s_POD_web_0
        start k8s_POD_web_0
        create k8s_first_web_0
        start k8s_first_web_0
        create k8s_side_web_0
        start k8s_side_web_0
        create k8s_third_web_0
        start k8s_third_web_0
        create k8s_third_web_1
        start k8s_third_web_1
        create k8s_main_web_0
        start k8s_main_web_0
        stop k8s_main_web_0
        stop k8s_side_web_0
        remove k8s_POD_web_0
        remove k8s_third_web_1
        remove k8s_first_web_0
        remove k8s_side_web_0
        remove k8s_third_web_0
        remove k8s_main_web_0
        --
        Pending [PodScheduled]; first PodInitializing() #0; side PodInitializing() #0; third PodInitializing() #0; main PodInitializing() #0
        Pending [PodReadyToStartContainers PodScheduled]; first PodInitializing() #0; side PodInitializing() #0; third PodInitializing() #0; main PodInitializing() #0
        Pending [PodReadyToStartContainers PodScheduled]; first running started #0; side PodInitializing() #0; third PodInitializing() #0; main PodInitializing() #0
        Pending [PodReadyToStartContainers PodScheduled]; first Completed=0() ready #0; side PodInitializing() #0; third PodInitializing() #0; main PodInitializing() #0
        Pending [PodReadyToStartContainers PodScheduled]; first Completed=0() ready #0; side running ready started #0; third PodInitializing() #0; main PodInitializing() #0
        Pending [PodReadyToStartContainers PodScheduled]; first Completed=0() ready #0; side running ready started #0; third running started #0; main PodInitializing() #0
        Pending [PodReadyToStartContainers PodScheduled]; first Completed=0() ready #0; side running ready started #0; third Error=1() #0; main PodInitializing() #0
        Pending [PodReadyToStartContainers PodScheduled]; first Completed=0() ready #0; side running ready started #0; third running started #1 last=1; main PodInitializing() #0
        Pending [PodReadyToStartContainers Initialized PodScheduled]; first Completed=0() ready #0; side running ready started #0; third Completed=0() ready #1 last=1; main PodInitializing() #0
        Running [PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled]; first Completed=0() ready #0; side running ready started #0; third Completed=0() ready #1 last=1; main running ready started #0
        Running [PodReadyToStartContainers Initialized PodScheduled]; first Completed=0() ready #0; side running ready started #0; third Completed=0() ready #1 last=1; main Error=143() #0
        Failed [Initialized PodScheduled]; first Completed=0() ready #0; side Error=143() #0; third Completed=0() ready #1 last=1; main Error=143() #0
    "#]],
    );
}

#[test]
fn hooks_run_around_a_life_and_what_does_not_listen_is_killed() {
    let life = async |world: &World| {
        let node = world.start();
        world.engine.script("main", [Script { stops_ms: None, ..Script::default() }]);
        world.engine.script_exec("bye", 1, "no");
        let pod = pod(json!({"containers": [{"name": "main", "image": "app:1", "lifecycle": {
            "postStart": {"exec": {"command": ["hello"]}},
            "preStop": {"exec": {"command": ["bye"]}},
        }}]}));
        node.handle.desired(pod.clone()).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        let asked = env::wall_ms();
        node.handle.desired(deleted(pod, 7)).await.expect("a pod");
        world.until_confirmed("u1").await;
        let took = (env::wall_ms() - asked) / 1000;
        let last = world.shown();
        format!(
            "{}--\n{}--\n{took} s, {last}\n",
            lines(&world.engine.calls()),
            lines(&world.control.events())
        )
    };
    check(
        1,
        life,
        &expect![[r#"
        create k8s_POD_web_0
        start k8s_POD_web_0
        create k8s_main_web_0
        start k8s_main_web_0
        exec hello
        exec bye
        stop k8s_main_web_0
        kill k8s_main_web_0
        remove k8s_POD_web_0
        remove k8s_main_web_0
        --
        Pulled: Container image "app:1" already present on machine and can be accessed by the pod
        Created: Container created
        Started: Container started
        Killing: Stopping container main
        FailedPreStopHook: PreStopHook failed
        --
        7 s, Failed [Initialized PodScheduled]; main Error=137() #0
    "#]],
    );
}

#[test]
fn probes_make_ready_and_replace() {
    let life = async |world: &World| {
        let node = world.start();
        world.engine.script_exec("ready", 1, "not yet");
        let pod = pod(json!({"containers": [{"name": "main", "image": "app:1",
            "ports": [{"name": "http", "containerPort": 80}],
            "startupProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 1, "failureThreshold": 30},
            "readinessProbe": {"exec": {"command": ["ready"]}, "periodSeconds": 2},
            "livenessProbe": {"httpGet": {"port": "http", "path": "/ok"}, "periodSeconds": 5, "failureThreshold": 2},
        }]}));
        node.handle.desired(pod).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        seconds(3).await;
        world.reach.answer("http://10.0.0.1:80/ok", 200);
        seconds(4).await;
        world.engine.script_exec("ready", 0, "");
        seconds(4).await;
        world.reach.answer("http://10.0.0.1:80/ok", 500);
        world.until("replaced", "u1", |status| status_line(status).contains("#1")).await;
        let statuses: Vec<String> = world.control.statuses("u1").iter().map(status_line).collect();
        let mut events = world.control.events();
        events.dedup();
        lines(&statuses) + "--\n" + &lines(&events)
    };
    check(
        1,
        life,
        &expect![[r#"
        Pending [Initialized PodScheduled]; main ContainerCreating() #0
        Pending [PodReadyToStartContainers Initialized PodScheduled]; main ContainerCreating() #0
        Running [PodReadyToStartContainers Initialized PodScheduled]; main running #0
        Running [PodReadyToStartContainers Initialized PodScheduled]; main running started #0
        Running [PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled]; main running ready started #0
        Running [PodReadyToStartContainers Initialized PodScheduled]; main Error=143() #0
        Running [PodReadyToStartContainers Initialized PodScheduled]; main running #1 last=143
        Running [PodReadyToStartContainers Initialized PodScheduled]; main running started #1 last=143
        Running [PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled]; main running ready started #1 last=143
        --
        Pulled: Container image "app:1" already present on machine and can be accessed by the pod
        Created: Container created
        Started: Container started
        Unhealthy: Startup probe failed: dial tcp 10.0.0.1:80: connect: connection refused
        Unhealthy: Readiness probe failed: not yet
        Unhealthy: Liveness probe failed: HTTP probe failed with statuscode: 500
        Killing: Container main failed liveness probe, will be restarted
        Pulled: Container image "app:1" already present on machine and can be accessed by the pod
        Created: Container created
        Started: Container started
        Unhealthy: Liveness probe failed: HTTP probe failed with statuscode: 500
    "#]],
    );
}

#[test]
fn images_are_pulled_by_policy_and_failures_wait() {
    let life = async |world: &World| {
        let node = world.start();
        world.engine.can_pull("there:1");
        let container = |name: &str, image: &str, policy: &str| json!({"name": name, "image": image, "imagePullPolicy": policy});
        let pod = pod(json!({"containers": [
            container("always", "there:1", "Always"),
            container("missing", "missing:1", "IfNotPresent"),
            container("never", "other:1", "Never"),
        ]}));
        node.handle.desired(pod).await.expect("a pod");
        seconds(2).await;
        let first = world.shown();
        seconds(6).await;
        let then = world.shown();
        world.engine.can_pull("missing:1");
        seconds(10).await;
        let last = world.shown();
        lines(&[first, then, last]) + "--\n" + &lines(&world.control.events())
    };
    check(
        1,
        life,
        &expect![[r#"
        Pending [PodReadyToStartContainers Initialized PodScheduled]; always running ready started #0; missing ErrImagePull(manifest for missing:1 not found) #0; never ErrImageNeverPull(Container image "other:1" is not present with pull policy of Never) #0
        Pending [PodReadyToStartContainers Initialized PodScheduled]; always running ready started #0; missing ImagePullBackOff(Back-off pulling image "missing:1": ErrImagePull: manifest for missing:1 not found) #0; never ErrImageNeverPull(Container image "other:1" is not present with pull policy of Never) #0
        Pending [PodReadyToStartContainers Initialized PodScheduled]; always running ready started #0; missing running ready started #0; never ErrImageNeverPull(Container image "other:1" is not present with pull policy of Never) #0
        --
        Pulling: Pulling image "there:1"
        Pulled: Successfully pulled image "there:1" in 0s (0s including waiting). Image size: 1024 bytes.
        Pulling: Pulling image "missing:1"
        Failed: Failed to pull image "missing:1": manifest for missing:1 not found
        Failed: Error: ErrImagePull
        ErrImageNeverPull: Container image "other:1" is not present with pull policy of Never
        Failed: Error: ErrImageNeverPull
        Created: Container created
        Started: Container started
        BackOff: Back-off pulling image "missing:1"
        Pulling: Pulling image "missing:1"
        Pulled: Successfully pulled image "missing:1" in 0s (0s including waiting). Image size: 1024 bytes.
        ErrImageNeverPull: Container image "other:1" is not present with pull policy of Never
        Failed: Error: ErrImageNeverPull
        Created: Container created
        Started: Container started
    "#]],
    );
}

#[test]
fn what_a_container_lacks_is_shown_until_it_is_there() {
    let life = async |world: &World| {
        let node = world.start();
        world
            .inputs
            .fail_volumes(Some("MountVolume.SetUp failed for volume \"v\" : configmap \"c\" not found"));
        node.handle.desired(pod(simple())).await.expect("a pod");
        seconds(5).await;
        let mut shown = vec![world.shown()];
        world.inputs.fail_volumes(None);
        world.inputs.fail_config(Some("configmap \"c\" not found"));
        seconds(10).await;
        shown.push(world.shown());
        world.inputs.fail_config(None);
        world.engine.fail_next("start", EngineError::Refused("exec: \"nope\": not found".into()));
        seconds(10).await;
        shown.push(world.shown());
        seconds(20).await;
        shown.push(world.shown());
        lines(&shown) + "--\n" + &lines(&world.control.events())
    };
    check(
        1,
        life,
        &expect![[r#"
            Pending [Initialized PodScheduled]; main ContainerCreating() #0
            Pending [PodReadyToStartContainers Initialized PodScheduled]; main CreateContainerConfigError(configmap "c" not found) #0
            Running [PodReadyToStartContainers Initialized PodScheduled]; main RunContainerError(exec: "nope": not found) #0 last=128
            Running [PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled]; main running ready started #1 last=128
            --
            FailedMount: MountVolume.SetUp failed for volume "v" : configmap "c" not found
            Pulled: Container image "app:1" already present on machine and can be accessed by the pod
            Failed: Error: configmap "c" not found
            Created: Container created
            Failed: Error: exec: "nope": not found
            Pulled: Container image "app:1" already present on machine and can be accessed by the pod
            Created: Container created
            Started: Container started
        "#]],
    );
}

#[test]
fn a_pod_may_run_only_so_long() {
    let life = async |world: &World| {
        let node = world.start();
        let mut spec = simple();
        spec["activeDeadlineSeconds"] = json!(5);
        node.handle.desired(pod(spec)).await.expect("a pod");
        world.until_phase("u1", "Failed").await;
        seconds(5).await;
        let status = world.control.status("u1").expect("reported");
        let ran = world.engine.list("n1", None).await.expect("listed").len();
        format!("{}; {}\n{ran} left\n", status_line(&status), status.message.unwrap_or_default())
    };
    check(
        1,
        life,
        &expect![[r#"
        Failed(DeadlineExceeded) [Initialized PodScheduled]; main Error=143() #0; Pod was active on the node longer than the specified deadline
        1 left
    "#]],
    );
}
