//! What the tests of this crate share: pods from JSON, and a node in memory.

use std::sync::Arc;
use std::time::Duration;

use base::env;
use base::shutdown;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Value, json};

use crate::engine::fake::{Cut, FakeEngine};
use crate::outside::fake::{FakeControlPlane, FakeInputs, FakeNetwork};
use crate::reach::FakeReach;
use crate::worker::Task;
use crate::{DesiredPod, Handle, Kubelet, NodeFacts, Options, PodKey};

/// A pod of this spec, named `web` in `shop`, with uid `u1`.
pub(crate) fn pod(spec: Value) -> Pod {
    named_pod("web", "u1", spec)
}

pub(crate) fn named_pod(name: &str, uid: &str, mut spec: Value) -> Pod {
    // As the API server fills it in.
    if spec.get("restartPolicy").is_none() {
        spec["restartPolicy"] = json!("Always");
    }
    let meta = json!({"name": name, "namespace": "shop", "uid": uid, "generation": 1});
    serde_json::from_value(json!({"metadata": meta, "spec": spec})).expect("a pod")
}

/// One container `main` of the image `app:1`.
pub(crate) fn simple() -> Value {
    json!({"containers": [{"name": "main", "image": "app:1"}]})
}

pub(crate) fn desired(spec: Value) -> DesiredPod {
    DesiredPod::new(pod(spec)).expect("a pod")
}

/// The same pod, asked to go within `grace_s`.
pub(crate) fn deleted(mut pod: Pod, grace_s: i64) -> Pod {
    pod.metadata.deletion_timestamp = Some(crate::time::time(env::wall_ms()));
    pod.metadata.deletion_grace_period_seconds = Some(grace_s);
    pod
}

pub(crate) fn key(name: &str, uid: &str) -> PodKey {
    PodKey { namespace: "shop".into(), name: name.into(), uid: uid.into() }
}

/// A node whose outside is all in memory. The image `app:1` is there.
pub(crate) struct World {
    pub(crate) cut: Arc<Cut>,
    pub(crate) engine: Arc<FakeEngine>,
    pub(crate) control: Arc<FakeControlPlane>,
    pub(crate) network: Arc<FakeNetwork>,
    pub(crate) inputs: Arc<FakeInputs>,
    pub(crate) reach: Arc<FakeReach>,
    root: tempfile::TempDir,
}

/// A kubelet that runs; dropped, it is as if its process had been killed.
pub(crate) struct Running {
    pub(crate) handle: Handle,
    _task: Task<()>,
    _trigger: shutdown::Trigger,
}

impl World {
    pub(crate) fn new() -> Self {
        let cut = Arc::new(Cut::default());
        let engine = Arc::new(FakeEngine::new(Arc::clone(&cut)));
        engine.has_image("app:1", "");
        Self {
            engine,
            control: Arc::new(FakeControlPlane::new(Arc::clone(&cut))),
            network: Arc::new(FakeNetwork::new(Arc::clone(&cut))),
            inputs: Arc::default(),
            reach: Arc::default(),
            root: tempfile::tempdir().expect("a folder"),
            cut,
        }
    }

    pub(crate) fn facts(&self) -> NodeFacts {
        NodeFacts {
            name: "n1".into(),
            ips: vec!["192.168.0.1".into()],
            root: self.root.path().to_owned(),
            cluster_dns: vec!["10.96.0.10".into()],
            cluster_domain: "cluster.local".into(),
        }
    }

    /// Starts a kubelet on the node.
    pub(crate) fn start(&self) -> Running {
        let (kubelet, handle) = Kubelet::with_reach(
            Options { node: self.facts() },
            Arc::clone(&self.engine) as _,
            Arc::clone(&self.control) as _,
            Arc::clone(&self.network) as _,
            Arc::clone(&self.inputs) as _,
            Arc::clone(&self.reach) as _,
        );
        let (trigger, signal) = shutdown::channel();
        Running { handle, _task: Task(env::spawn(kubelet.run(signal))), _trigger: trigger }
    }

    /// Waits until the newest status of a pod is so.
    pub(crate) async fn until(&self, what: &str, uid: &str, is_so: impl Fn(&PodStatus) -> bool) {
        let seen = || self.control.status(uid).is_some_and(|status| is_so(&status));
        let is_reached = env::wait_until(Duration::from_secs(900), Duration::from_millis(50), seen).await;
        assert!(is_reached, "{what}: {}", status_line(&self.control.status(uid).unwrap_or_default()));
    }

    /// The newest status of pod `u1`, as [`status_line`] has it.
    pub(crate) fn shown(&self) -> String {
        status_line(&self.control.status("u1").expect("reported"))
    }

    pub(crate) async fn until_phase(&self, uid: &str, phase: &str) {
        self.until(phase, uid, |status| status.phase.as_deref() == Some(phase)).await;
    }

    pub(crate) async fn until_confirmed(&self, uid: &str) {
        let confirmed = || self.control.confirmed().iter().any(|confirmed| confirmed == uid);
        let limit = Duration::from_secs(900);
        assert!(env::wait_until(limit, Duration::from_millis(50), confirmed).await, "{uid} is confirmed");
    }
}

/// A status in one line: phase, conditions that hold, containers.
pub(crate) fn status_line(status: &PodStatus) -> String {
    let mut line = status.phase.clone().unwrap_or_default();
    if let Some(reason) = &status.reason {
        line += &format!("({reason})");
    }
    let conditions = status.conditions.iter().flatten().filter(|condition| condition.status == "True");
    let holds: Vec<&str> = conditions.map(|condition| condition.type_.as_str()).collect();
    line += &format!(" [{}]", holds.join(" "));
    let all =
        [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
    for container in all.into_iter().flatten().flatten() {
        let state = container.state.clone().unwrap_or_default();
        let shown = match (&state.waiting, &state.running, &state.terminated) {
            (Some(waiting), ..) => {
                format!(
                    "{}({})",
                    waiting.reason.as_deref().unwrap_or("?"),
                    waiting.message.as_deref().unwrap_or("")
                )
            }
            (_, Some(_), _) => "running".to_owned(),
            (.., Some(ended)) => format!(
                "{}={}({})",
                ended.reason.as_deref().unwrap_or("?"),
                ended.exit_code,
                ended.message.as_deref().unwrap_or("")
            ),
            _ => "?".to_owned(),
        };
        let marks = format!(
            "{}{}",
            if container.ready { " ready" } else { "" },
            if container.started == Some(true) { " started" } else { "" }
        );
        line += &format!("; {} {shown}{marks} #{}", container.name, container.restart_count);
        let last = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
        if let Some(last) = last {
            line += &format!(" last={}", last.exit_code);
        }
    }
    line
}
