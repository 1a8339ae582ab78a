//! Kubelets, engines and control planes that go away and come back.

use std::time::Duration;

use base::env;
use expect_test::expect;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::{check, lines, seconds};
use crate::engine::ContainerEngine;
use crate::engine::fake::Script;
use crate::limits::PODS_MAX;
use crate::outside::{Inputs, PodNetwork};
use crate::testing::{World, deleted, key, named_pod, pod, simple, status_line};

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
    check(
        1,
        life,
        &expect![[r#"
            []
            Running [PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled]; main running ready started #1 last=3
        "#]],
    );
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
    check(
        1,
        life,
        &expect![[r#"
        4 before, then ["u2", "u2"], connected ["u2"]
    "#]],
    );
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
    check(
        1,
        life,
        &expect![[r#"
        Running [PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled]; main running ready started #1 last=137
        Failed [Initialized PodScheduled]; job Error=137() #0
        --
        Pulled: Container image "app:1" already present on machine and can be accessed by the pod
        Pulled: Container image "app:1" already present on machine and can be accessed by the pod
        Created: Container created
        Started: Container started
        Created: Container created
        Started: Container started
        SandboxChanged: Pod sandbox changed, it will be killed and re-created.
        Pulled: Container image "app:1" already present on machine and can be accessed by the pod
        Created: Container created
        Started: Container started
    "#]],
    );
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
    check(
        1,
        life,
        &expect![[r#"
        Failed(OutOfpods) []: Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: 110, capacity: 110
    "#]],
    );
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

#[test]
fn volumes_follow_a_pod_that_was_adopted_and_one_that_changes() {
    let life = async |world: &World| {
        let node = world.start();
        let mut pod = pod(simple());
        node.handle.desired(pod.clone()).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        drop(node);
        let before = world.inputs.followed().len();
        let node = world.start();
        node.handle.desired(pod.clone()).await.expect("a pod");
        seconds(5).await;
        pod.metadata.labels = Some([("color".to_owned(), "blue".to_owned())].into());
        node.handle.desired(pod.clone()).await.expect("a pod");
        seconds(5).await;
        node.handle.desired(deleted(pod, 1)).await.expect("a pod");
        world.until_confirmed("u1").await;
        let followed = world.inputs.followed();
        let labels = followed[before..].iter().map(|pod| pod.pod.metadata.labels.clone().unwrap_or_default());
        labels.map(|labels| format!("{labels:?}\n")).collect()
    };
    check(
        1,
        life,
        &expect![[r#"
            {}
            {"color": "blue"}
        "#]],
    );
}

#[test]
fn what_is_left_of_pods_that_went_while_no_kubelet_ran_is_taken_back() {
    let life = async |world: &World| {
        let node = world.start();
        node.handle.desired(pod(simple())).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        drop(node);
        // Killed between the last container of a pod and its addresses, and of another its volumes.
        world.network.attach(&key("lost", "u2"), 1, &[]).await.expect("an address");
        world.inputs.leave("u3");
        let node = world.start();
        node.handle.desired(pod(simple())).await.expect("a pod");
        seconds(60).await;
        let before = (world.network.pods().await, world.inputs.pods().await);
        node.handle.synced().await;
        seconds(5).await;
        let after = (world.network.pods().await, world.inputs.pods().await);
        format!("{before:?}\n{after:?}\n")
    };
    check(
        1,
        life,
        &expect![[r#"
            ({"u1", "u2"}, {"u3"})
            ({"u1"}, {})
        "#]],
    );
}

#[test]
fn a_pod_that_is_to_have_other_sizes_tells_those_that_it_has() {
    let life = async |world: &World| {
        let with = |cpu: &str| {
            let mut spec = simple();
            spec["containers"][0]["resources"] = json!({"requests": {"cpu": cpu}});
            pod(spec)
        };
        let node = world.start();
        node.handle.desired(with("100m")).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        node.handle.desired(with("2")).await.expect("a pod");
        seconds(5).await;
        drop(node);
        // The next kubelet knows of the first what the control plane remembers.
        let node = world.start();
        let mut remembered = with("2");
        remembered.status = world.control.status("u1");
        node.handle.desired(remembered).await.expect("a pod");
        seconds(5).await;
        let told =
            world.control.status("u1").and_then(|status| status.container_statuses).unwrap_or_default();
        let allocated = told.iter().map(|one| format!("{:?}\n", one.allocated_resources));
        allocated.collect()
    };
    check(
        1,
        life,
        &expect![[r#"
            Some({"cpu": Quantity("100m")})
        "#]],
    );
}
