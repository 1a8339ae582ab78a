//! Names and labels of containers: all that a restarted kubelet knows of the time before.

use std::collections::BTreeMap;

use crate::engine::Container;
use crate::pod::{DesiredPod, Member, PodKey};

/// The name that a sandbox has where a container has its own.
pub const SANDBOX: &str = "POD";

/// The labels, as they are in the engine. Those of Kubernetes' kubelets have their names.
pub mod label {
    /// The pod's name.
    pub const POD_NAME: &str = "io.kubernetes.pod.name";
    /// The pod's namespace.
    pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
    /// The pod's uid.
    pub const POD_UID: &str = "io.kubernetes.pod.uid";
    /// The container's name in its pod; [`super::SANDBOX`] for the sandbox.
    pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
    /// The sandbox that a container has joined.
    pub const SANDBOX_ID: &str = "io.kubernetes.sandbox.id";
    /// How often the container, or the sandbox, was created before.
    pub const ATTEMPT: &str = "annotation.io.kubernetes.container.restartCount";
    /// See [`crate::pod::Member::hash`].
    pub const HASH: &str = "annotation.io.kubernetes.container.hash";
    /// The pod's grace period in seconds, for when the pod itself is not known any more.
    pub const GRACE: &str = "annotation.io.kubernetes.pod.terminationGracePeriod";
    /// Where the container writes its last words.
    pub const MESSAGE_PATH: &str = "annotation.io.kubernetes.container.terminationMessagePath";
    /// `File` or `FallbackToLogsOnError`.
    pub const MESSAGE_POLICY: &str = "annotation.io.kubernetes.container.terminationMessagePolicy";
    /// How long to wait, in milliseconds, before the container is started once more should it end.
    pub const BACKOFF_MS: &str = "io.keelson.container.backoff-ms";
    /// The node: several kubelets may share an engine in tests.
    pub const NODE: &str = "io.keelson.node";
}

/// The engine's name of a container: the same for the same attempt, so that none is created twice.
pub fn container_name(key: &PodKey, container: &str, attempt: u32) -> String {
    let PodKey { namespace, name, uid } = key;
    format!("k8s_{container}_{name}_{namespace}_{uid}_{attempt}")
}

/// Labels of a pod's sandbox.
pub fn sandbox_labels(node: &str, desired: &DesiredPod, attempt: u32) -> BTreeMap<String, String> {
    labels(node, desired, SANDBOX, attempt)
}

/// Labels of one attempt at a container.
pub fn container_labels(
    node: &str,
    desired: &DesiredPod,
    member: &Member,
    attempt: u32,
    sandbox: &str,
    backoff_ms: u64,
) -> BTreeMap<String, String> {
    let mut labels = labels(node, desired, member.name(), attempt);
    let container = &member.container;
    let path = container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
    let policy = container.termination_message_policy.as_deref().unwrap_or("File");
    for (label, value) in [
        (label::SANDBOX_ID, sandbox),
        (label::HASH, &member.hash()),
        (label::MESSAGE_PATH, path),
        (label::MESSAGE_POLICY, policy),
        (label::BACKOFF_MS, &backoff_ms.to_string()),
    ] {
        labels.insert(label.to_owned(), value.to_owned());
    }
    labels
}

fn labels(node: &str, desired: &DesiredPod, container: &str, attempt: u32) -> BTreeMap<String, String> {
    let grace = desired.spec().termination_grace_period_seconds.unwrap_or(crate::limits::GRACE_DEFAULT_S);
    [
        (label::POD_NAME, desired.key.name.as_str()),
        (label::POD_NAMESPACE, &desired.key.namespace),
        (label::POD_UID, &desired.key.uid),
        (label::CONTAINER_NAME, container),
        (label::ATTEMPT, &attempt.to_string()),
        (label::GRACE, &grace.to_string()),
        (label::NODE, node),
    ]
    .into_iter()
    .map(|(label, value)| (label.to_owned(), value.to_owned()))
    .collect()
}

/// What the labels of a container say.
impl Container {
    /// The pod that it belongs to; `None` for what is not ours.
    pub fn pod_key(&self) -> Option<PodKey> {
        Some(PodKey {
            namespace: self.label(label::POD_NAMESPACE)?.to_owned(),
            name: self.label(label::POD_NAME)?.to_owned(),
            uid: self.label(label::POD_UID)?.to_owned(),
        })
    }

    /// Its name in the pod.
    pub fn container_name(&self) -> &str {
        self.label(label::CONTAINER_NAME).unwrap_or_default()
    }

    /// Whether it is a pod's sandbox.
    pub fn is_sandbox(&self) -> bool {
        self.container_name() == SANDBOX
    }

    /// How many were before it.
    pub fn attempt(&self) -> u32 {
        self.label(label::ATTEMPT).and_then(|attempt| attempt.parse().ok()).unwrap_or(0)
    }

    /// The wait that follows its end.
    pub fn backoff_ms(&self) -> u64 {
        self.label(label::BACKOFF_MS).and_then(|delay| delay.parse().ok()).unwrap_or(0)
    }

    /// One label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }
}
