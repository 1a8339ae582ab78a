//! Whole lives of pods, on virtual time.

use std::time::Duration;

use base::env;
use expect_test::{Expect, expect};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::engine::fake::Script;
use crate::engine::{ContainerEngine, EngineError};
use crate::limits::PODS_MAX;
use crate::testing::{World, deleted, key, named_pod, pod, simple, status_line};

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
        let last = status_line(&world.control.status("u1").expect("reported"));
        let (calls, events) = (lines(&world.engine.calls()), lines(&world.control.events()));
        format!("{calls}--\n{events}--\n{last}\n{left} left, {} connected\n", world.network.connected().len())
    };
    check(1, life, &expect![[r#""#]]);
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
    check(1, life, &expect![[r#""#]]);
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
    check(1, all, &expect![[r#""#]]);
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
    check(1, life, &expect![[r#""#]]);
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
        let last = status_line(&world.control.status("u1").expect("reported"));
        format!(
            "{}--\n{}--\n{took} s, {last}\n",
            lines(&world.engine.calls()),
            lines(&world.control.events())
        )
    };
    check(1, life, &expect![[r#""#]]);
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
    check(1, life, &expect![[r#""#]]);
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
        let first = status_line(&world.control.status("u1").expect("reported"));
        seconds(6).await;
        let then = status_line(&world.control.status("u1").expect("reported"));
        world.engine.can_pull("missing:1");
        seconds(10).await;
        let last = status_line(&world.control.status("u1").expect("reported"));
        lines(&[first, then, last]) + "--\n" + &lines(&world.control.events())
    };
    check(1, life, &expect![[r#""#]]);
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
        let mut shown = vec![status_line(&world.control.status("u1").expect("reported"))];
        world.inputs.fail_volumes(None);
        world.inputs.fail_config(Some("configmap \"c\" not found"));
        seconds(10).await;
        shown.push(status_line(&world.control.status("u1").expect("reported")));
        world.inputs.fail_config(None);
        world.engine.fail_next("start", EngineError::Refused("exec: \"nope\": not found".into()));
        seconds(10).await;
        shown.push(status_line(&world.control.status("u1").expect("reported")));
        seconds(20).await;
        shown.push(status_line(&world.control.status("u1").expect("reported")));
        lines(&shown) + "--\n" + &lines(&world.control.events())
    };
    check(1, life, &expect![[r#""#]]);
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
    check(1, life, &expect![[r#""#]]);
}

#[test]
fn a_kubelet_that_comes_back_adopts_what_runs() {
    let life = async |world: &World| {
        let node = world.start();
        let mut pod = pod(simple());
        node.handle.desired(pod.clone()).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        world.engine.crash("main", 3);
        world
            .until("restarted", "u1", |status| status_line(status).contains("running ready started #1"))
            .await;
        pod.status = world.control.status("u1");
        drop(node);
        let before = world.engine.calls().len();
        let reports = world.control.statuses("u1").len();
        let node = world.start();
        node.handle.desired(pod).await.expect("a pod");
        node.handle.synced().await;
        seconds(60).await;
        let did = world.engine.calls().split_off(before);
        let said: Vec<String> = world.control.statuses("u1").iter().skip(reports).map(status_line).collect();
        format!("{did:?}\n{}", lines(&said))
    };
    check(1, life, &expect![[r#""#]]);
}

#[test]
fn what_nobody_wants_ends_once_everything_was_named() {
    let life = async |world: &World| {
        let node = world.start();
        node.handle.desired(pod(simple())).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        drop(node);
        // The pod was deleted and made anew under its name meanwhile.
        let node = world.start();
        node.handle.desired(named_pod("web", "u2", simple())).await.expect("a pod");
        world.until_phase("u2", "Running").await;
        seconds(60).await;
        let both = world.engine.list("n1", None).await.expect("listed").len();
        node.handle.synced().await;
        seconds(5).await;
        let left = world.engine.list("n1", None).await.expect("listed");
        let uids: Vec<String> = left.iter().filter_map(|left| left.pod_key()).map(|key| key.uid).collect();
        format!("{both} before, then {uids:?}, connected {:?}\n", world.network.connected().keys())
    };
    check(1, life, &expect![[r#""#]]);
}

#[test]
fn a_restarted_engine_is_waited_for_and_nothing_is_lost() {
    let life = async |world: &World| {
        let node = world.start();
        let once = named_pod(
            "once",
            "u2",
            json!({"restartPolicy": "Never", "containers": [{"name": "job", "image": "app:1"}]}),
        );
        node.handle.desired(pod(simple())).await.expect("a pod");
        node.handle.desired(once).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        world.until_phase("u2", "Running").await;
        world.engine.go_down();
        seconds(30).await;
        world.engine.come_back();
        world
            .until("restarted", "u1", |status| status_line(status).contains("running ready started #1"))
            .await;
        world.until_phase("u2", "Failed").await;
        let shown = ["u1", "u2"].map(|uid| status_line(&world.control.status(uid).expect("reported")));
        lines(&shown) + "--\n" + &lines(&world.control.events())
    };
    check(1, life, &expect![[r#""#]]);
}

#[test]
fn a_control_plane_that_is_away_holds_up_no_restart_but_does_an_end() {
    let life = async |world: &World| {
        let node = world.start();
        let pod = pod(simple());
        node.handle.desired(pod.clone()).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        world.control.set_down(true);
        world.engine.crash("main", 1);
        seconds(5).await;
        let restarted = world.engine.starts().len();
        node.handle.desired(deleted(pod, 1)).await.expect("a pod");
        seconds(30).await;
        let kept = world.engine.list("n1", None).await.expect("listed").len();
        world.control.set_down(false);
        world.until_confirmed("u1").await;
        let left = world.engine.list("n1", None).await.expect("listed").len();
        format!("{restarted} starts, {kept} kept, {left} left\n")
    };
    check(1, life, &expect!["3 starts, 2 kept, 0 left\n"]);
}

#[test]
fn a_node_takes_no_more_pods_than_it_may() {
    let life = async |world: &World| {
        let node = world.start();
        for number in 0..=PODS_MAX {
            let pod = named_pod(&format!("p{number}"), &format!("u{number}"), simple());
            node.handle.desired(pod).await.expect("a pod");
        }
        world.until_phase(&format!("u{PODS_MAX}"), "Failed").await;
        let status = world.control.status(&format!("u{PODS_MAX}")).expect("reported");
        world.until_phase(&format!("u{}", PODS_MAX - 1), "Running").await;
        format!("{}: {}\n", status_line(&status), status.message.unwrap_or_default())
    };
    check(1, life, &expect![[r#""#]]);
}

/// Lives of a pod whose kubelet is killed after the n-th effect, for each n: the end is the same, and no container
/// (each attempt has a name of its own) is started twice.
#[test]
fn a_kubelet_may_be_killed_after_any_effect() {
    let spec = json!({
        "initContainers": [{"name": "init", "image": "app:1"}],
        "containers": [{"name": "main", "image": "pulled:1", "imagePullPolicy": "IfNotPresent"}],
    });
    let mut cuts = 0;
    loop {
        let (was_cut, end) = env::simulate(7, cut_life(pod(spec.clone()), cuts));
        let main = "[start init 0, start main 0, start main 1]";
        assert_eq!(end, format!("{main} once each; Failed; 0 left"), "cut after {cuts} effects");
        if !was_cut {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 20, "the life has {cuts} effects");
}

async fn cut_life(mut pod: Pod, cuts: usize) -> (bool, String) {
    let world = World::new();
    world.engine.can_pull("pulled:1");
    world.engine.script("init", [Script::ends(1000, 0)]);
    // Crashes once, then runs until it is asked to end.
    world.engine.script("main", [Script::ends(3000, 5), Script::default()]);
    world.cut.after(cuts);
    let mut node = world.start();
    let mut was_cut = false;
    let mut is_asked = false;
    node.handle.desired(pod.clone()).await.expect("a pod");
    loop {
        tokio::select! {
            biased;
            () = world.cut.wait() => {
                was_cut = true;
                world.cut.lift();
                drop(node);
                node = world.start();
                // What the control plane has is what a new kubelet is told.
                pod.status = world.control.status("u1");
                if world.control.confirmed().is_empty() {
                    node.handle.desired(pod.clone()).await.expect("a pod");
                }
                node.handle.synced().await;
            }
            () = env::sleep(Duration::from_millis(500)) => {
                let runs_again = world.engine.starts().keys().any(|name| name.ends_with("_u1_1") && name.contains("_main_"));
                let is_ready = world.control.status("u1").is_some_and(|status| status_line(&status).contains("running ready started #1"));
                if runs_again && is_ready && !is_asked {
                    is_asked = true;
                    pod = deleted(pod, 10);
                    node.handle.desired(pod.clone()).await.expect("a pod");
                }
                if !world.control.confirmed().is_empty() {
                    break;
                }
            }
        }
        assert!(env::wall_ms() < env::SIMULATED_EPOCH_MS + 3_600_000, "no end after {cuts} effects");
    }
    // The last effect may be cut too: its kubelet has nothing left to do, but for remains.
    seconds(30).await;
    let started = world.engine.starts();
    let names: Vec<String> = started
        .keys()
        .filter(|name| !name.contains("_POD_"))
        .map(|name| {
            let parts: Vec<&str> = name.split('_').collect();
            format!("start {} {}", parts[1], parts[5])
        })
        .collect();
    let is_once = started.values().all(|count| *count == 1);
    let phase = world.control.status("u1").and_then(|status| status.phase).unwrap_or_default();
    let left = world.engine.list("n1", None).await.expect("listed").len();
    let once = if is_once { "once each" } else { "SOME TWICE" };
    (was_cut, format!("[{}] {once}; {phase}; {left} left", names.join(", ")))
}
