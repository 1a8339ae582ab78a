//! What a kubelet knows of a pod besides what the engine shows: results of what it did, in memory only.
//!
//! All of it may be lost: a restarted kubelet begins with [`Records::new`] and finds out again.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::PodStatus;

use crate::backoff::Waits;
use crate::engine::Image;
use crate::pod::DesiredPod;
use crate::probe::{ProbeKind, ProbeState};
use crate::time;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    /// The node's addresses.
    pub host_ips: Vec<String>,
    /// Why the node does not take the pod at all.
    pub refused: Option<Refusal>,
    /// When the kubelet saw the pod first.
    pub started_ms: u64,
    /// Whether its volumes are there.
    pub volumes: Attempted,
    /// The last failure to make a sandbox or to connect it.
    pub sandbox_failed: Option<Failure>,
    /// The sandbox that is connected, and the addresses that it has.
    pub network: Option<Network>,
    /// How far the image of a container's next start is, by container.
    pub images: BTreeMap<String, ImageRecord>,
    /// Waits of images that could not be pulled, by image.
    pub pull_waits: BTreeMap<String, Waits>,
    /// Why a container's last start failed, by container.
    pub failures: BTreeMap<String, Failure>,
    /// Hooks of containers, by id.
    pub hooks: BTreeMap<(String, Hook), HookState>,
    /// Probes of containers, by id.
    pub probes: BTreeMap<(String, ProbeKind), ProbeState>,
    /// Containers that are being ended, by id.
    pub stopping: BTreeMap<String, Stopping>,
    /// The status that was made last; the pod's own at first.
    pub status: PodStatus,
    /// The status that the control plane has, as far as this kubelet knows.
    pub reported: Option<PodStatus>,
    /// The status that the control plane does not take, so often was it refused.
    pub untold: Option<PodStatus>,
    /// The control plane does not know the pod any more.
    pub is_unknown: bool,
    /// Last words of containers that ended, by id.
    pub messages: BTreeMap<String, String>,
    /// What is done of a pod's end.
    pub done: BTreeSet<Done>,
    /// When the step of an end that failed is tried again.
    pub end_retry_ms: u64,
}

/// Why a node does not take a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Something that is done at most once, and tried again when it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attempted {
    /// Not yet.
    #[default]
    No,
    /// It failed, and is due again at this time.
    RetryAt(u64),
    /// Done.
    Yes,
}

/// A start that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// `CreateContainerConfigError`...
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// When it is tried again.
    pub retry_ms: u64,
}

/// A connected sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The sandbox's id.
    pub sandbox: String,
    /// The pod's addresses.
    pub ips: Vec<String>,
}

/// The image of the next start of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRecord {
    /// Which start it is for: each one looks, and pulls where the policy says so.
    pub attempt: u32,
    /// How far it is.
    pub state: ImageState,
}

/// How far an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageState {
    /// Somebody looks for it, or pulls it.
    Working,
    /// It is there.
    Ready(Image),
    /// It is not.
    Failed(ImageFailure),
}

/// Why an image is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFailure {
    /// `ErrImagePull`, `ErrImageNeverPull`, `ImageInspectError`, `InvalidImageName`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// When it failed.
    pub failed_ms: u64,
    /// When it is tried again.
    pub retry_ms: u64,
}

/// A hook of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// Right after its start.
    PostStart,
    /// Before it is asked to end.
    PreStop,
}

/// How far a hook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookState {
    /// It must run.
    Due,
    /// It runs.
    Running,
    /// It ran.
    Done,
    /// It failed.
    Failed,
}

/// A container that is being ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopping {
    /// Since when.
    pub since_ms: u64,
    /// Why.
    pub why: Why,
    /// When it was asked to.
    pub asked_ms: Option<u64>,
    /// When it was killed last.
    pub killed_ms: Option<u64>,
}

/// Why a container is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The pod ends.
    PodEnds,
    /// The sandbox that it joined is gone.
    SandboxGone,
    /// Its description changed.
    Changed,
    /// A probe failed too often.
    Probe(ProbeKind),
    /// Its hook failed.
    PostStart,
}

/// What is done of a pod's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Done {
    /// Its addresses are taken back.
    Detached,
    /// Its volumes and files are.
    Released,
    /// The control plane let it go.
    Confirmed,
}

impl Records {
    /// What is known of a pod that was not seen before.
    pub fn new(desired: &DesiredPod, host_ips: Vec<String>, now_ms: u64) -> Self {
        let status = desired.pod.status.clone().unwrap_or_default();
        let started_ms = status.start_time.as_ref().map_or(now_ms, time::millis);
        Self { host_ips, started_ms, status, ..Self::default() }
    }

    /// Whether the hook of this container still holds others up.
    pub fn is_starting(&self, id: &str) -> bool {
        let hook = self.hooks.get(&(id.to_owned(), Hook::PostStart));
        matches!(hook, Some(HookState::Due | HookState::Running))
    }

    /// Forgets what is about containers that are gone.
    pub fn forget(&mut self, is_there: impl Fn(&str) -> bool) {
        self.hooks.retain(|(id, _), _| is_there(id));
        self.probes.retain(|(id, _), _| is_there(id));
        self.stopping.retain(|id, _| is_there(id));
        self.messages.retain(|id, _| is_there(id));
    }
}
