//! Probes beyond those of a plain life.

use base::env;
use expect_test::expect;
use k8s_openapi::api::core::v1::PodCondition;
use serde_json::{Value, json};

use super::{check, lines, seconds};
use crate::engine::fake::Script;
use crate::reach::Health;
use crate::testing::{World, pod, status_line};

#[test]
fn a_grpc_probe_says_what_is_wrong_in_the_words_of_kubernetes() {
    let life = async |world: &World| {
        let node = world.start();
        let place = "10.0.0.1:5000/web";
        let probe =
            json!({"grpc": {"port": 5000, "service": "web"}, "periodSeconds": 2, "timeoutSeconds": 1});
        let pod = pod(json!({"containers": [{"name": "main", "image": "app:1", "readinessProbe": probe}]}));
        node.handle.desired(pod).await.expect("a pod");
        seconds(3).await;
        let refused = |code| Health::Refused { code, message: "unknown service".to_owned() };
        for said in [Health::TimedOut, refused(12), refused(5), Health::Answered(2), Health::Answered(9)] {
            world.reach.say(place, said);
            seconds(3).await;
        }
        world.reach.say(place, Health::Answered(1));
        world.until("ready", "u1", |status| status_line(status).contains("main running ready")).await;
        let mut events = world.control.events();
        events.dedup();
        lines(&events.split_off(3))
    };
    check(
        1,
        life,
        &expect![[r#"
        Unhealthy: Readiness probe failed: timeout: failed to connect service "10.0.0.1:5000" within 1s: context deadline exceeded
        Unhealthy: Readiness probe failed: timeout: health rpc did not complete within 1s
        Unhealthy: Readiness probe failed: error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown service
        Unhealthy: Readiness probe failed: error: health rpc probe failed: rpc error: code = NotFound desc = unknown service
        Unhealthy: Readiness probe failed: service unhealthy (responded with "NOT_SERVING")
        Unhealthy: Readiness probe failed: service unhealthy (responded with "9")
    "#]],
    );
}

/// How long a container that does not listen lives on after it failed this probe; and what is told of its end.
async fn outlived(spec: Value) -> String {
    let world = World::new();
    let node = world.start();
    world.engine.script("main", [Script { stops_ms: None, ..Script::default() }]);
    world.engine.script_exec("lives", 1, "no");
    node.handle.desired(pod(spec)).await.expect("a pod");
    let called = async |call: &str| {
        let seen = || world.engine.calls().iter().any(|made| made.starts_with(call));
        let limit = std::time::Duration::from_secs(600);
        assert!(env::wait_until(limit, std::time::Duration::from_millis(100), seen).await, "{call}");
        env::wall_ms()
    };
    let asked_ms = called("stop k8s_main").await;
    let took_ms = called("kill k8s_main").await - asked_ms;
    seconds(2).await;
    let killing: Vec<String> =
        world.control.events().into_iter().filter(|event| event.starts_with("Killing")).collect();
    format!("{} s; {}; {}", took_ms / 1000, killing.join(", "), world.shown())
}

#[test]
fn a_probe_that_fails_too_often_ends_its_container_in_its_own_time() {
    let all = async |_: &World| {
        let probe = |more: Value| {
            let mut probe =
                json!({"exec": {"command": ["lives"]}, "periodSeconds": 1, "failureThreshold": 2});
            for (field, value) in more.as_object().into_iter().flatten() {
                probe[field] = value.clone();
            }
            probe
        };
        let spec = |kind: &str, probe: Value| {
            let mut spec = json!({
                "terminationGracePeriodSeconds": 20, "restartPolicy": "OnFailure",
                "containers": [{"name": "main", "image": "app:1"}],
            });
            spec["containers"][0][kind] = probe;
            spec
        };
        let own = json!({"terminationGracePeriodSeconds": 4});
        lines(&[
            outlived(spec("startupProbe", probe(json!({})))).await,
            outlived(spec("startupProbe", probe(own.clone()))).await,
            outlived(spec("livenessProbe", probe(own))).await,
        ])
    };
    check(
        1,
        all,
        &expect![[r#"
        20 s; Killing: Container main failed startup probe, will be restarted, Killing: Container main failed startup probe, will be restarted; Running [PodReadyToStartContainers Initialized PodScheduled]; main running #1 last=137
        4 s; Killing: Container main failed startup probe, will be restarted, Killing: Container main failed startup probe, will be restarted; Running [PodReadyToStartContainers Initialized PodScheduled]; main running #1 last=137
        4 s; Killing: Container main failed liveness probe, will be restarted, Killing: Container main failed liveness probe, will be restarted; Running [PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled]; main running ready started #1 last=137
    "#]],
    );
}

#[test]
fn probes_do_not_have_the_engine_asked_what_there_is() {
    let life = async |world: &World| {
        let node = world.start();
        world.engine.script_exec("ready", 0, "");
        let probe = json!({"exec": {"command": ["ready"]}, "periodSeconds": 1});
        let pod = pod(json!({"containers": [{"name": "main", "image": "app:1", "readinessProbe": probe}]}));
        node.handle.desired(pod).await.expect("a pod");
        world.until("ready", "u1", |status| status_line(status).contains("main running ready")).await;
        let probes = || world.engine.calls().iter().filter(|call| call.starts_with("exec")).count();
        let (looked, probed) = (world.engine.looks(), probes());
        seconds(100).await;
        let probed = probes() - probed;
        assert!((98..=102).contains(&probed), "{probed} probes");
        format!("{} looks\n", world.engine.looks() - looked)
    };
    // Every twenty seconds, in case an event was lost.
    check(
        1,
        life,
        &expect![[r#"
        5 looks
    "#]],
    );
}

#[test]
fn a_pod_is_ready_when_its_gates_are() {
    let life = async |world: &World| {
        let node = world.start();
        let mut pod = pod(json!({
            "containers": [{"name": "main", "image": "app:1"}],
            "readinessGates": [{"conditionType": "example.com/lb"}],
        }));
        node.handle.desired(pod.clone()).await.expect("a pod");
        world.until_phase("u1", "Running").await;
        let ready = || {
            let status = world.control.status("u1").expect("reported");
            let mut ready = status.conditions.into_iter().flatten().filter(|one| one.type_ == "Ready");
            let ready = ready.next().expect("a condition");
            let (reason, message) = (ready.reason.unwrap_or_default(), ready.message.unwrap_or_default());
            format!("{} {reason} {message}", ready.status)
        };
        let mut shown = vec![ready()];
        for status in ["False", "True"] {
            let mut told = world.control.status("u1").expect("reported");
            let gate = PodCondition {
                type_: "example.com/lb".to_owned(),
                status: status.to_owned(),
                ..PodCondition::default()
            };
            let conditions = told.conditions.get_or_insert_default();
            conditions.retain(|one| one.type_ != gate.type_);
            conditions.push(gate);
            pod.status = Some(told);
            node.handle.desired(pod.clone()).await.expect("a pod");
            seconds(2).await;
            shown.push(ready());
        }
        lines(&shown)
    };
    check(
        1,
        life,
        &expect![[r#"
        False ReadinessGatesNotReady corresponding condition of pod readiness gate "example.com/lb" does not exist.
        False ReadinessGatesNotReady the status of pod readiness gate "example.com/lb" is not "True", but False
        True  
    "#]],
    );
}
