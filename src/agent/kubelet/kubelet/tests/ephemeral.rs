//! Containers that are added to a pod that runs.

use expect_test::expect;
use serde_json::json;

use super::{check, lines, seconds};
use crate::engine::ContainerEngine;
use crate::engine::fake::Script;
use crate::testing::{World, deleted, pod, simple};

#[test]
fn a_container_for_debugging_joins_a_pod_that_runs_and_is_never_restarted() {
    let life = async |world: &World| {
        let node = world.start();
        world.engine.script("debug", [Script::ends(5000, 3)]);
        node.handle.desired(pod(simple())).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        let mut spec = simple();
        spec["ephemeralContainers"] = json!([
            {"name": "debug", "image": "app:1", "targetContainerName": "main"},
            {"name": "stays", "image": "app:1"},
        ]);
        let pod = pod(spec);
        node.handle.desired(pod.clone()).await.expect("a pod");
        seconds(2).await;
        let listed = world.engine.list("n1", None).await.expect("listed");
        let main = listed.iter().find(|container| container.container_name() == "main").expect("it runs");
        let pid_mode = |name: &str| world.engine.config(name).expect("it was created").pid_mode;
        let joined = pid_mode("debug") == Some(format!("container:{}", main.id));
        let mut shown = vec![format!("joined {joined}, the other {:?}", pid_mode("stays"))];
        shown.push(world.shown());
        seconds(60).await;
        shown.push(world.shown());
        node.handle.desired(deleted(pod, 5)).await.expect("a pod");
        world.until_confirmed("u1").await;
        shown.push(world.shown());
        lines(&shown) + "--\n" + &lines(&world.engine.calls())
    };
    check(
        1,
        life,
        &expect![[r#"
        joined true, the other None
        Running [PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled]; main running ready started #0; debug running #0; stays running #0
        Running [PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled]; main running ready started #0; debug Error=3() #0; stays running #0
        Failed [Initialized PodScheduled]; main Error=143() #0; debug Error=3() #0; stays Error=143() #0
        --
        create k8s_POD_web_0
        start k8s_POD_web_0
        create k8s_main_web_0
        start k8s_main_web_0
        create k8s_debug_web_0
        start k8s_debug_web_0
        create k8s_stays_web_0
        start k8s_stays_web_0
        stop k8s_main_web_0
        stop k8s_stays_web_0
        remove k8s_POD_web_0
        remove k8s_main_web_0
        remove k8s_debug_web_0
        remove k8s_stays_web_0
    "#]],
    );
}

#[test]
fn one_that_runs_keeps_no_pod_from_its_end() {
    let life = async |world: &World| {
        let node = world.start();
        world.engine.script("main", [Script::ends(5000, 0)]);
        let mut spec = simple();
        spec["restartPolicy"] = json!("Never");
        spec["ephemeralContainers"] = json!([{"name": "debug", "image": "app:1"}]);
        node.handle.desired(pod(spec)).await.expect("a pod");
        seconds(60).await;
        world.shown() + "\n"
    };
    check(
        1,
        life,
        &expect![[r#"
        Succeeded [Initialized PodScheduled]; main Completed=0() #0; debug Error=143() #0
    "#]],
    );
}
