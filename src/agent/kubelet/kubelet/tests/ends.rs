//! How ends are told, and what follows the end of a sandbox.

use expect_test::expect;
use serde_json::{Value, json};

use super::{check, lines, seconds};
use crate::engine::ContainerEngine;
use crate::engine::fake::Script;
use crate::testing::{World, pod};

/// What a pod says whose container `main` has these fields and does this.
async fn end(fields: Value, script: Script) -> String {
    let world = World::new();
    let node = world.start();
    world.engine.script("main", [script]);
    let mut spec = json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "app:1"}]});
    for (field, value) in fields.as_object().into_iter().flatten() {
        spec["containers"][0][field] = value.clone();
    }
    node.handle.desired(pod(spec)).await.expect("a pod");
    seconds(5).await;
    world.shown()
}

#[test]
fn last_words_come_from_their_file_or_from_the_log_of_a_failure() {
    let all = async |_: &World| {
        let ends = |code, message: &str, log: &str| Script {
            message: message.to_owned(),
            log: log.to_owned(),
            ..Script::ends(1000, code)
        };
        let fallback = json!({"terminationMessagePolicy": "FallbackToLogsOnError"});
        let elsewhere = json!({"terminationMessagePath": "/tmp/last"});
        let long = "x".repeat(5000);
        let mut shown = vec![
            end(json!({}), ends(1, "", "log")).await,
            end(json!({}), ends(0, "done", "log")).await,
            end(elsewhere, ends(1, "words", "log")).await,
            end(fallback.clone(), ends(1, "", "log")).await,
            end(fallback.clone(), ends(1, "words", "log")).await,
            end(fallback.clone(), ends(0, "", "log")).await,
        ];
        let cut = [
            end(json!({}), ends(1, &long, "")).await,
            end(fallback.clone(), ends(1, "", &long)).await,
            end(fallback, ends(1, "", &"y\n".repeat(100))).await,
        ];
        shown.extend(
            cut.map(|line| format!("{} x, {} y", line.matches('x').count(), line.matches('y').count())),
        );
        lines(&shown)
    };
    check(
        1,
        all,
        &expect![[r#"
        Failed [Initialized PodScheduled]; main Error=1() #0
        Succeeded [Initialized PodScheduled]; main Completed=0(done) #0
        Failed [Initialized PodScheduled]; main Error=1(words) #0
        Failed [Initialized PodScheduled]; main Error=1(log) #0
        Failed [Initialized PodScheduled]; main Error=1(words) #0
        Succeeded [Initialized PodScheduled]; main Completed=0() #0
        4096 x, 0 y
        2048 x, 0 y
        0 x, 80 y
    "#]],
    );
}

#[test]
fn who_takes_too_much_memory_is_told_so() {
    let life =
        async |_: &World| end(json!({}), Script { is_oom: true, ..Script::ends(1000, 137) }).await + "\n";
    check(
        1,
        life,
        &expect![[r#"
        Failed [Initialized PodScheduled]; main OOMKilled=137() #0
    "#]],
    );
}

#[test]
fn init_containers_run_again_in_a_new_sandbox() {
    let life = async |world: &World| {
        let node = world.start();
        world.engine.script("init", [Script::ends(1000, 0)]);
        let pod = pod(json!({
            "initContainers": [{"name": "init", "image": "app:1"}],
            "containers": [{"name": "main", "image": "app:1"}],
        }));
        node.handle.desired(pod).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        let before = world.engine.calls().len();
        world.engine.crash("POD", 137);
        seconds(30).await;
        let calls = world.engine.calls().split_off(before);
        let left = world.engine.list("n1", None).await.expect("listed").len();
        let status = world.shown();
        format!("{}{status}\n{left} left\n", lines(&calls))
    };
    check(
        1,
        life,
        &expect![[r#"
        stop k8s_main_web_0
        create k8s_POD_web_1
        start k8s_POD_web_1
        remove k8s_POD_web_0
        create k8s_init_web_1
        start k8s_init_web_1
        create k8s_main_web_1
        start k8s_main_web_1
        Running [PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled]; init Completed=0() ready #1 last=0; main running ready started #1 last=143
        5 left
    "#]],
    );
}

#[test]
fn a_pod_that_does_not_restart_ends_with_its_sandbox() {
    let life = async |world: &World| {
        let node = world.start();
        let mut spec = crate::testing::simple();
        spec["restartPolicy"] = json!("Never");
        node.handle.desired(pod(spec)).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        world.engine.crash("POD", 137);
        world.until_phase("u1", "Failed").await;
        seconds(30).await;
        format!("{}{}\n", lines(&world.engine.calls()), world.shown())
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
        Failed [Initialized PodScheduled]; main Error=143() #0
    "#]],
    );
}

#[test]
fn of_a_pod_that_ended_no_container_waits() {
    let life = async |world: &World| {
        let node = world.start();
        world.engine.script("crashes", [Script::ends(1000, 1)]);
        let pod = pod(json!({
            "activeDeadlineSeconds": 8,
            "containers": [
                {"name": "crashes", "image": "app:1"},
                {"name": "missing", "image": "missing:1"},
                {"name": "runs", "image": "app:1"},
            ],
        }));
        node.handle.desired(pod).await.expect("a pod");
        seconds(7).await;
        let before = world.shown();
        seconds(3).await;
        lines(&[before, world.shown()])
    };
    check(
        1,
        life,
        &expect![[r#"
        Pending [PodReadyToStartContainers Initialized PodScheduled]; crashes Error=1() #1 last=1; missing ImagePullBackOff(Back-off pulling image "missing:1": ErrImagePull: manifest for missing:1 not found) #0; runs running ready started #0
        Failed(DeadlineExceeded) [Initialized PodScheduled]; crashes Error=1() #1 last=1; missing ContainerStatusUnknown=137(The container could not be located when the pod was terminated) #0; runs Error=143() #0
    "#]],
    );
}
