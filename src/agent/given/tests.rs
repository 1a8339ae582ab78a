//! Volumes of pods beside masters in memory, on virtual time; the files are real.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::env;
use client::fake::Fake;
use kubelet::DesiredPod;
use kubelet::outside::Inputs;
use kubelet::outside::fake::FakeControlPlane;
use serde_json::{Value, json};

use super::Given;

const CONFIG: &str = "/api/v1/namespaces/shop/configmaps/config";

struct Node {
    masters: Fake,
    folder: tempfile::TempDir,
    given: Arc<Given>,
    task: env::JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
        // What a test that failed left mounted.
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        for point in points.filter(|point| std::path::Path::new(point).starts_with(self.folder.path())) {
            let _ = std::process::Command::new("umount").args(["--lazy", point]).status();
        }
    }
}

impl Node {
    fn new(masters: Fake, folder: tempfile::TempDir) -> Self {
        let control = Arc::new(FakeControlPlane::default());
        let client = masters.client().expect("masters");
        let facts = inputs::NodeFacts::default();
        let given = Given::open(folder.path(), client, control, facts).expect("a folder");
        let running = Arc::clone(&given);
        let task = env::spawn(async move { running.run().await });
        Self { masters, folder, given, task }
    }

    fn start() -> Self {
        Self::new(Fake::new(1), tempfile::tempdir().expect("a folder"))
    }

    fn config(&self, text: &str) {
        let meta = json!({"name": "config", "namespace": "shop"});
        self.masters.put(CONFIG, json!({"metadata": meta, "data": {"text": text}}));
    }

    fn volumes(&self, uid: &str) -> PathBuf {
        self.folder.path().join("pods").join(uid).join("volumes")
    }

    fn shown(&self, uid: &str, path: &str) -> String {
        std::fs::read_to_string(self.volumes(uid).join(path)).unwrap_or_default()
    }

    /// Waits a moment for a file to say so.
    async fn until(&self, uid: &str, path: &str, text: &str) {
        let is_so = || self.shown(uid, path) == text;
        let is_reached = env::wait_until(Duration::from_secs(1), Duration::from_millis(10), is_so).await;
        assert!(is_reached, "{uid}: {path} says {:?}, not {text:?}", self.shown(uid, path));
    }

    fn watches(&self) -> Vec<String> {
        let asked = self.masters.asked().into_iter().filter(client::fake::Ask::is_watch);
        asked.map(|ask| ask.path).collect()
    }
}

/// The file of the pod's ConfigMap, below its volumes.
const TEXT: &str = "kubernetes.io~configmap/files/text";

/// The file of its labels.
const LABELS: &str = "kubernetes.io~downward-api/about/labels";

fn desired(uid: &str, labels: &Value, volume: &Value) -> Arc<DesiredPod> {
    let object = json!({
        "metadata": {"name": uid, "namespace": "shop", "uid": uid, "labels": labels},
        "spec": {
            "containers": [{"name": "main", "volumeMounts": [{"name": volume["name"], "mountPath": "/v"}]}],
            "volumes": [volume],
        },
    });
    let object = serde_json::from_value(object).expect("a pod");
    Arc::new(DesiredPod::new(object).expect("a pod"))
}

/// A pod that shows the ConfigMap.
fn pod(uid: &str, optional: bool) -> Arc<DesiredPod> {
    let volume = json!({"name": "files", "configMap": {"name": "config", "optional": optional}});
    desired(uid, &json!({}), &volume)
}

/// A pod that shows its label.
fn colored(color: &str) -> Arc<DesiredPod> {
    let labels = json!([{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]);
    desired("u1", &json!({"color": color}), &json!({"name": "about", "downwardAPI": {"items": labels}}))
}

#[test]
fn files_follow_what_they_show_within_moments() {
    env::simulate(1, async {
        let node = Node::start();
        node.config("one");
        node.given.prepare(&pod("u1", false)).await.expect("volumes");
        assert_eq!(node.shown("u1", TEXT), "one");
        node.config("two");
        node.until("u1", TEXT, "two").await;
        // What is gone stays as it was, and what comes back is shown.
        node.masters.remove(CONFIG);
        env::sleep(Duration::from_secs(60)).await;
        assert_eq!(node.shown("u1", TEXT), "two");
        node.config("three");
        node.until("u1", TEXT, "three").await;
    });
}

#[test]
fn files_follow_the_labels_of_the_pod_itself() {
    env::simulate(6, async {
        let node = Node::start();
        if let Err(error) = node.given.prepare(&colored("red")).await {
            // Such volumes are file systems of their own.
            assert!(error.to_string().contains("not permitted"), "{error}");
            eprintln!("SKIPPED: files_follow_the_labels_of_the_pod_itself: this process may not mount");
            return;
        }
        assert_eq!(node.shown("u1", LABELS), "color=\"red\"");
        node.given.follow(&colored("blue"));
        node.until("u1", LABELS, "color=\"blue\"").await;
        node.given.release(&colored("blue").key).await.expect("released");
    });
}

#[test]
fn an_object_that_may_be_missing_is_shown_when_it_comes() {
    env::simulate(2, async {
        let node = Node::start();
        let missing = node.given.prepare(&pod("u2", false)).await.expect_err("nothing is there");
        assert_eq!(
            missing.to_string(),
            "MountVolume.SetUp failed for volume \"files\" : configmap \"config\" not found"
        );
        node.given.prepare(&pod("u1", true)).await.expect("volumes");
        node.config("one");
        node.until("u1", TEXT, "one").await;
    });
}

#[test]
fn an_agent_that_comes_back_goes_on_with_the_files_of_pods_that_run() {
    env::simulate(3, async {
        let mut node = Node::start();
        node.config("one");
        node.given.prepare(&pod("u1", false)).await.expect("volumes");
        node.task.abort();
        let folder = std::mem::replace(&mut node.folder, tempfile::tempdir().expect("a folder"));
        let node = Node::new(node.masters.clone(), folder);
        node.config("two");
        node.given.follow(&pod("u1", false));
        node.until("u1", TEXT, "two").await;
    });
}

#[test]
fn pods_share_a_watch_which_ends_with_the_last() {
    env::simulate(4, async {
        let node = Node::start();
        node.config("one");
        for uid in ["u1", "u2"] {
            node.given.prepare(&pod(uid, false)).await.expect("volumes");
        }
        node.config("two");
        for uid in ["u1", "u2"] {
            node.until(uid, TEXT, "two").await;
        }
        let watches = node.watches();
        let [one] = watches.as_slice() else { panic!("{watches:?}") };
        assert!(one.starts_with("/api/v1/namespaces/shop/configmaps?watch=true&"), "{one}");
        assert!(one.ends_with("&fieldSelector=metadata.name%3Dconfig"), "{one}");
        node.given.release(&pod("u1", false).key).await.expect("released");
        assert_eq!(node.given.config_maps.watched(), 1);
        node.given.release(&pod("u2", false).key).await.expect("released");
        assert_eq!(node.given.config_maps.watched(), 0);
    });
}

#[test]
fn volumes_that_are_taken_back_are_not_made_again() {
    env::simulate(5, async {
        let node = Node::start();
        for attempt in 0..50 {
            node.config(&format!("{attempt}"));
            let pod = pod("u1", false);
            node.given.prepare(&pod).await.expect("volumes");
            node.config("changed");
            // The change arrives before, while and after the volumes go.
            env::sleep(Duration::from_micros(attempt * 100)).await;
            node.given.due.add(["u1".to_owned()]);
            node.given.release(&pod.key).await.expect("released");
            env::sleep(Duration::from_secs(30)).await;
            assert!(!node.volumes("u1").exists(), "attempt {attempt}");
        }
    });
}
