//! A rich life of a pod whose kubelet is killed after the n-th effect, for each n: volumes that fail at first, a sidecar
//! with a startup probe, hooks, a liveness probe that fails, a port of the node.

use std::collections::BTreeSet;
use std::time::Duration;

use base::env;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::seconds;
use crate::engine::ContainerEngine;
use crate::engine::fake::Script;
use crate::testing::{Running, World, deleted, pod, status_line};

/// How long a life may take.
const LIFE_MS: u64 = 3_600_000;

#[test]
fn a_kubelet_may_be_killed_at_any_moment_of_a_rich_life() {
    let mut cuts = 0;
    while env::simulate(7, Life::new().live(cuts)) {
        cuts += 1;
    }
    assert!(cuts > 40, "the life has {cuts} effects");
}

fn rich() -> Pod {
    let probe = |command: &str, failures: u32| json!({"exec": {"command": [command]}, "periodSeconds": 1, "failureThreshold": failures});
    pod(json!({
        "initContainers": [
            {"name": "side", "image": "app:1", "restartPolicy": "Always", "startupProbe": probe("starts", 600)},
            {"name": "init", "image": "app:1"},
        ],
        "containers": [
            {
                "name": "main", "image": "app:1",
                "ports": [{"containerPort": 80, "hostPort": 8080}],
                "livenessProbe": probe("lives", 3),
                "lifecycle": {
                    "postStart": {"exec": {"command": ["hello"]}},
                    "preStop": {"exec": {"command": ["bye"]}},
                },
            },
            {"name": "next", "image": "app:1"},
        ],
    }))
}

/// One life, and how far it is.
struct Life {
    world: World,
    pod: Pod,
    has_failed: bool,
    is_asked: bool,
    ports: BTreeSet<u16>,
}

impl Life {
    fn new() -> Self {
        let world = World::new();
        let slow = || Script { stops_ms: Some(1000), ..Script::default() };
        world.engine.script("init", [Script::ends(1000, 0)]);
        world.engine.script("main", [slow()]);
        world.engine.script("side", [slow()]);
        world.engine.script_exec("starts", 1, "not yet");
        world.inputs.fail_volumes(Some("not yet"));
        Self { world, pod: rich(), has_failed: false, is_asked: false, ports: BTreeSet::new() }
    }

    /// Lives, with a kubelet that is killed after so many effects. Whether there were as many.
    async fn live(mut self, cuts: usize) -> bool {
        self.world.cut.after(cuts);
        let mut node = self.world.start();
        let mut was_cut = false;
        node.handle.desired(self.pod.clone()).await.expect("a pod");
        while self.world.control.confirmed().is_empty() {
            tokio::select! {
                biased;
                () = self.world.cut.wait() => {
                    was_cut = true;
                    self.world.cut.lift();
                    drop(node);
                    node = self.another().await;
                }
                () = env::sleep(Duration::from_millis(500)) => self.go_on(&node).await,
            }
            let line = self.world.control.status("u1").as_ref().map(status_line);
            assert!(
                env::wall_ms() < env::SIMULATED_EPOCH_MS + LIFE_MS,
                "no end after {cuts} effects: {line:?}"
            );
        }
        // The last effect may be cut too: its kubelet has nothing left to do, but for remains.
        seconds(30).await;
        self.check(cuts).await;
        was_cut
    }

    /// A kubelet that is told what the control plane has.
    async fn another(&mut self) -> Running {
        let node = self.world.start();
        self.pod.status = self.world.control.status("u1");
        if self.world.control.confirmed().is_empty() {
            node.handle.desired(self.pod.clone()).await.expect("a pod");
        }
        node.handle.synced().await;
        node
    }

    /// What happens around the pod.
    async fn go_on(&mut self, node: &Running) {
        let passed_ms = env::wall_ms() - env::SIMULATED_EPOCH_MS;
        if passed_ms > 5_000 {
            self.world.inputs.fail_volumes(None);
        }
        if passed_ms > 30_000 {
            self.world.engine.script_exec("starts", 0, "");
        }
        let line = self.world.control.status("u1").as_ref().map(status_line).unwrap_or_default();
        if !self.has_failed && line.contains("main running ready started #0") {
            self.has_failed = true;
            self.world.engine.script_exec("lives", 1, "dead");
        }
        if self.world.engine.starts().contains_key("k8s_main_web_shop_u1_1") {
            self.world.engine.script_exec("lives", 0, "");
        }
        let ports = self.world.network.connected().into_values().flatten();
        self.ports.extend(ports.map(|port| port.host_port));
        let runs = [
            "side running ready started #0",
            "main running ready started #1 last=143",
            "next running ready started #0",
        ];
        if !self.is_asked && runs.iter().all(|part| line.contains(part)) {
            self.is_asked = true;
            self.pod = deleted(self.pod.clone(), 10);
            node.handle.desired(self.pod.clone()).await.expect("a pod");
        }
    }

    async fn check(&self, cuts: usize) {
        let calls = self.world.engine.calls();
        let after = format!("after {cuts} effects: {calls:#?}");
        let started = self.world.engine.starts();
        let names: Vec<&str> = started.keys().map(|name| name.trim_start_matches("k8s_")).collect();
        let expected = [
            "POD_web_shop_u1_0",
            "init_web_shop_u1_0",
            "main_web_shop_u1_0",
            "main_web_shop_u1_1",
            "next_web_shop_u1_0",
            "side_web_shop_u1_0",
        ];
        assert_eq!(names, expected, "{after}");
        assert!(started.values().all(|count| *count == 1), "some twice {after}");
        let count = |call: &str| calls.iter().filter(|made| *made == call).count();
        assert!(count("exec hello") <= 2, "a hook twice for one start {after}");
        assert!(count("exec bye") >= 2, "a container ended without its hook {after}");
        let first = |call: &str| calls.iter().position(|made| made.starts_with(call));
        let last = |call: &str| calls.iter().rposition(|made| made.starts_with(call));
        assert!(last("stop k8s_main") < first("stop k8s_side"), "a sidecar ends last {after}");
        assert!(last("stop k8s_next") < first("stop k8s_side"), "a sidecar ends last {after}");
        let phase = self.world.control.status("u1").and_then(|status| status.phase);
        assert_eq!(phase.as_deref(), Some("Failed"), "{after}");
        assert_eq!(self.ports, BTreeSet::from([8080]), "{after}");
        assert!(self.world.network.connected().is_empty(), "{after}");
        assert!(self.world.engine.list("n1", None).await.expect("listed").is_empty(), "{after}");
    }
}
