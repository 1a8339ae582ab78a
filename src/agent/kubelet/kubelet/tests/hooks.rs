//! What runs after a container's start and before its end.

use expect_test::expect;
use serde_json::{Value, json};

use super::{check, lines, seconds};
use crate::testing::{World, deleted, pod, status_line};

fn with_hooks(policy: &str, hooks: Value) -> Value {
    json!({
        "restartPolicy": policy,
        "containers": [{"name": "main", "image": "app:1", "lifecycle": hooks,
            "ports": [{"name": "http", "containerPort": 80}]}],
    })
}

/// What becomes of a pod whose container fails in its first hook.
async fn failing(policy: &str) -> String {
    let world = World::new();
    let node = world.start();
    world.engine.script_exec("hello", 2, "no such file");
    let spec = with_hooks(policy, json!({"postStart": {"exec": {"command": ["hello"]}}}));
    node.handle.desired(pod(spec)).await.expect("a pod");
    seconds(15).await;
    let mut shown: Vec<String> = world.control.statuses("u1").iter().map(status_line).collect();
    shown.retain(|line| line.contains("#0"));
    shown.push(world.shown());
    shown.dedup();
    lines(&shown) + &lines(&world.control.events())
}

#[test]
fn a_container_whose_first_hook_fails_ends_and_starts_as_its_policy_says() {
    let all = async |_: &World| failing("Always").await + "--\n" + &failing("Never").await;
    check(
        1,
        all,
        &expect![[r#"
        Pending [Initialized PodScheduled]; main ContainerCreating() #0
        Pending [PodReadyToStartContainers Initialized PodScheduled]; main ContainerCreating() #0
        Running [PodReadyToStartContainers Initialized PodScheduled]; main PostStartHookError(Exec lifecycle hook ([hello]) for Container "main" in Pod "web_shop(u1)" failed - error: command terminated with exit code 2, message: "no such file") #0 last=143
        Running [PodReadyToStartContainers Initialized PodScheduled]; main Error=143() #2 last=143
        Pulled: Container image "app:1" already present on machine and can be accessed by the pod
        Created: Container created
        Started: Container started
        FailedPostStartHook: PostStartHook failed
        Killing: FailedPostStartHook
        Pulled: Container image "app:1" already present on machine and can be accessed by the pod
        Created: Container created
        Started: Container started
        FailedPostStartHook: PostStartHook failed
        Killing: FailedPostStartHook
        BackOff: Back-off restarting failed container main in pod web_shop(u1)
        Pulled: Container image "app:1" already present on machine and can be accessed by the pod
        Created: Container created
        Started: Container started
        FailedPostStartHook: PostStartHook failed
        Killing: FailedPostStartHook
        --
        Pending [Initialized PodScheduled]; main ContainerCreating() #0
        Pending [PodReadyToStartContainers Initialized PodScheduled]; main ContainerCreating() #0
        Failed [Initialized PodScheduled]; main Error=143() #0
        Pulled: Container image "app:1" already present on machine and can be accessed by the pod
        Created: Container created
        Started: Container started
        FailedPostStartHook: PostStartHook failed
        Killing: FailedPostStartHook
    "#]],
    );
}

#[test]
fn hooks_ask_servers_and_take_any_answer() {
    let life = async |world: &World| {
        let node = world.start();
        world.reach.answer("http://10.0.0.1:80/hello?x=1", 500);
        let hooks = json!({
            "postStart": {"httpGet": {"port": "http", "path": "/hello?x=1"}},
            "preStop": {"httpGet": {"port": 81, "host": "10.9.9.9", "scheme": "HTTPS", "path": "bye"}},
        });
        let pod = pod(with_hooks("Always", hooks));
        node.handle.desired(pod.clone()).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        node.handle.desired(deleted(pod, 5)).await.expect("a pod");
        world.until_confirmed("u1").await;
        lines(&world.reach.calls()) + &lines(&world.control.events())
    };
    check(
        1,
        life,
        &expect![[r#"
        http://10.0.0.1:80/hello?x=1
        https://10.9.9.9:81/bye
        Pulled: Container image "app:1" already present on machine and can be accessed by the pod
        Created: Container created
        Started: Container started
        Killing: Stopping container main
        FailedPreStopHook: PreStopHook failed
    "#]],
    );
}
