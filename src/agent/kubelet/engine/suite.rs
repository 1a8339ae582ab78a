//! What every engine must do, and one pod's life on a real one.
//!
//! Docker's part starts an engine of its own (`engine/suite/own.rs`), where that can be.

use std::sync::Arc;
use std::time::Duration;

use base::env;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::json;

use super::docker::Docker;
use super::fake::{FakeEngine, Script};
use super::{Container, ContainerConfig, ContainerEngine, EngineError, Output, SessionOptions, Signal};
use crate::limits::ENGINE_TIMEOUT_S;
use crate::names::label;
use crate::outside::fake::{FakeControlPlane, FakeInputs, FakeNetwork};
use crate::pause;
use crate::testing::{deleted, key, named_pod, status_line};
use crate::worker::Task;
use crate::{Kubelet, NodeFacts, Options};
use own::Own;

mod own;

/// The node under which Docker's tests run: what they leave is theirs.
const NODE: &str = "suite";

/// An image with a shell.
const SHELL: &str = "keelson/suite:1";

/// An archive of an image that is busybox alone.
fn shell_archive() -> Bytes {
    let program = std::fs::read("/bin/busybox").expect("busybox-static is installed");
    pause::archive_of(SHELL, &["/bin/busybox", "sh"], "bin/busybox", program)
}

fn config(name: &str, command: &[&str]) -> ContainerConfig {
    let labels = [(label::NODE, NODE), (label::POD_UID, "u-suite"), (label::CONTAINER_NAME, name)];
    ContainerConfig {
        name: format!("k8s_{name}_suite"),
        image: SHELL.to_owned(),
        labels: labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into_iter().collect(),
        command: Some(command.iter().map(|word| (*word).to_owned()).collect()),
        network_mode: "none".to_owned(),
        ipc_mode: "shareable".to_owned(),
        ..ContainerConfig::default()
    }
}

async fn shown(engine: &dyn ContainerEngine, id: &str) -> Option<Container> {
    let listed = engine.list(NODE, Some("u-suite")).await.expect("listed");
    listed.into_iter().find(|container| container.id == id)
}

async fn until_ended(engine: &dyn ContainerEngine, id: &str) -> i32 {
    let deadline = env::monotonic() + Duration::from_secs(ENGINE_TIMEOUT_S);
    while env::monotonic() < deadline {
        if let Some(exit) = shown(engine, id).await.and_then(|container| container.exit().cloned()) {
            return exit.code;
        }
        env::sleep(Duration::from_millis(20)).await;
    }
    panic!("{id} does not end");
}

/// The suite itself.
async fn conforms(engine: &dyn ContainerEngine) {
    for old in engine.list(NODE, Some("u-suite")).await.expect("listed") {
        engine.remove(&old.id).await.expect("removed");
    }
    let mut events = engine.events(NODE);
    // Events are followed from the first look at them on.
    let first = env::spawn(async move { events.next().await });
    assert!(engine.image(SHELL).await.expect("asked").is_some());
    assert_eq!(engine.image("keelson/nobody:1").await.expect("asked"), None);

    let ends = config("ends", &["/bin/busybox", "sh", "-c", "echo said; exit 3"]);
    let id = engine.create(&ends).await.expect("created");
    assert!(matches!(engine.create(&ends).await, Err(EngineError::Conflict(_))), "a name is taken once");
    let created = shown(engine, &id).await.expect("listed");
    assert_eq!((created.state, created.labels), (super::State::Created, ends.labels));
    engine.start(&ends.name).await.expect("started by its name");
    assert_eq!(until_ended(engine, &id).await, 3);
    let mut log = engine.logs(&id, super::LogOptions::default()).await.expect("a log");
    assert_eq!(log.next().await, Some(Ok(Output::Stdout(Bytes::from("said\n")))));

    let waits = config(
        "waits",
        &["/bin/busybox", "sh", "-c", "trap 'exit 143' TERM; while :; do busybox sleep 0.05; done"],
    );
    let id = engine.create(&waits).await.expect("created");
    engine.start(&id).await.expect("started");
    let again = engine.start(&id).await;
    assert!(matches!(again, Ok(()) | Err(EngineError::Conflict(_))), "{again:?}");
    assert!(shown(engine, &id).await.is_some_and(|container| container.is_running()));
    let command = ["/bin/busybox", "sh", "-c", "exit 4"].map(str::to_owned).to_vec();
    let options = SessionOptions { command, stdout: true, stderr: true, ..SessionOptions::default() };
    let mut session = engine.exec(&id, options).await.expect("runs");
    while session.output.next().await.is_some() {}
    assert_eq!(session.control.exit_code().await.expect("asked"), Some(4));
    engine.signal(&id, Signal::Stop).await.expect("asked");
    assert_eq!(until_ended(engine, &id).await, 143);
    engine.signal(&id, Signal::Kill).await.expect("fine for what ended");

    for container in engine.list(NODE, Some("u-suite")).await.expect("listed") {
        engine.remove(&container.id).await.expect("removed");
        engine.remove(&container.id).await.expect("fine for what is not there");
    }
    let event = env::timeout(Duration::from_secs(60), first).await.expect("in time").expect("followed");
    assert_eq!(event.map(|event| event.map(|event| event.pod_uid)), Some(Ok("u-suite".to_owned())));
    assert_eq!(engine.list(NODE, Some("u-suite")).await, Ok(Vec::new()));
    assert!(matches!(engine.start("nobody").await, Err(EngineError::NotFound(_))));
}

#[test]
fn the_fake_conforms() {
    env::simulate(1, async {
        let engine = FakeEngine::default();
        engine.has_image(SHELL, "");
        engine.script("ends", [Script { log: "said\n".into(), ..Script::ends(100, 3) }]);
        engine.script_exec("/bin/busybox sh -c exit 4", 4, "");
        conforms(&engine).await;
    });
}

#[tokio::test]
async fn docker_conforms() {
    let Some(own) = Own::start().await else { return };
    own.engine.load(shell_archive()).await.expect("loaded");
    conforms(&*own.engine).await;
    own.stop();
}

/// Names, a user, no capabilities, and the limits of both versions of control groups.
fn assert_shows_what_it_may(text: &str) {
    let none = "0000000000000000";
    let (inherited, granted) =
        (format!("CapInh:\t{none}\nCapPrm:\t{none}\n"), format!("CapEff:\t{none}\nCapBnd:\t{none}\n"));
    for told in ["nameserver 10.96.0.10\n", "uid=1000 gid=0", &inherited, &granted, "\n67108864\n", "\n50000"]
    {
        assert!(text.contains(told), "{told:?} is not in {text}");
    }
}

/// The walking skeleton: a pod runs on Docker, says so, and goes.
#[tokio::test]
async fn a_pod_lives_on_docker() {
    let Some(own) = Own::start().await else { return };
    let engine = Arc::clone(&own.engine);
    engine.load(shell_archive()).await.expect("loaded");
    let control = Arc::new(FakeControlPlane::default());
    let root = tempfile::tempdir().expect("a folder");
    let node = NodeFacts {
        name: "skeleton".into(),
        ips: vec!["192.168.0.1".into()],
        root: root.path().to_owned(),
        cluster_dns: vec!["10.96.0.10".into()],
        cluster_domain: "cluster.local".into(),
    };
    let (kubelet, handle) = Kubelet::new(
        Options { node },
        Arc::clone(&engine) as _,
        Arc::clone(&control) as _,
        Arc::new(FakeNetwork::default()),
        Arc::new(FakeInputs::default()),
    );
    let (_trigger, signal) = base::shutdown::channel();
    let _running = Task(env::spawn(kubelet.run(signal)));
    handle.synced().await;
    // Limits lie elsewhere in each version of control groups.
    let script = "busybox cat /etc/hosts /etc/resolv.conf; busybox id; busybox grep ^Cap /proc/self/status; \
                  cd /sys/fs/cgroup; busybox cat memory.max memory/memory.limit_in_bytes 2>/dev/null; \
                  busybox cat cpu.max cpu/cpu.cfs_quota_us 2>/dev/null; echo bye > /dev/termination-log; \
                  trap 'exit 5' TERM; while :; do busybox sleep 0.05; done";
    let pod = named_pod(
        "skeleton",
        "u-skeleton",
        json!({"containers": [{
            "name": "main", "image": SHELL, "imagePullPolicy": "Never",
            "command": ["/bin/busybox", "sh", "-c", script],
            "readinessProbe": {"exec": {"command": ["/bin/busybox", "true"]}, "periodSeconds": 1},
            "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}},
            "securityContext": {"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}},
        }]}),
    );
    handle.desired(pod.clone()).await.expect("a pod");
    let line = || status_line(&control.status("u-skeleton").unwrap_or_default());
    let limit = Duration::from_secs(ENGINE_TIMEOUT_S);
    let until = async |what: &str| {
        assert!(
            env::wait_until(limit, Duration::from_millis(20), || line().contains(what)).await,
            "{}",
            line()
        );
    };
    until("main running ready started #0").await;
    let listed = engine.list("skeleton", Some("u-skeleton")).await.expect("listed");
    let main = listed.iter().find(|container| container.container_name() == "main").expect("it runs");
    let mut log = engine.logs(&main.id, super::LogOptions::default()).await.expect("a log");
    let mut text = String::new();
    while let Some(Ok(Output::Stdout(bytes) | Output::Stderr(bytes))) = log.next().await {
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    assert!(text.starts_with("# Kubernetes-managed hosts file.\n"), "{text}");
    assert_shows_what_it_may(&text);
    handle.desired(deleted(pod, 30)).await.expect("a pod");
    let gone = || !control.confirmed().is_empty();
    assert!(env::wait_until(limit, Duration::from_millis(20), gone).await, "{}", line());
    assert!(line().contains("main Error=5(bye\n)"), "{}", line());
    assert_eq!(engine.list("skeleton", None).await, Ok(Vec::new()));
    handle.gone(key("skeleton", "u-skeleton")).await;
}
