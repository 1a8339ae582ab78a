//! Whom the kubelet asks besides the engine: the control plane, the pod network, and who makes up what a container
//! is given. Each is a trait, with its fake in `outside/fake.rs`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{PodStatus, Secret, Service};

use crate::engine::Mount;
use crate::pod::{DesiredPod, PodKey};

pub mod fake;

/// Something worth telling about a pod, in the words of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `spec.containers{web}`, for one that is about a container.
    pub field_path: Option<String>,
    /// `Warning` instead of `Normal`.
    pub is_warning: bool,
    /// `Started`, `BackOff`...
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Why the control plane did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The object is not there, or another one has its name.
    #[error("{0}")]
    NotFound(String),
    /// It will not be done as it is asked for, however often.
    #[error("{0}")]
    Refused(String),
    /// Anything else: it is tried again.
    #[error("{0}")]
    Failed(String),
}

/// The masters, as a kubelet needs them.
#[async_trait]
pub trait ControlPlane: Send + Sync {
    /// Writes the parts of a pod's status that a kubelet owns; must refuse when the uid is another one.
    async fn patch_status(&self, pod: &PodKey, status: &PodStatus) -> Result<(), ControlError>;
    /// Lets a pod that was asked to go be gone: deletes it with that uid and no grace period.
    async fn confirm_deletion(&self, pod: &PodKey) -> Result<(), ControlError>;
    /// Tells of an event. Never waits: what cannot be told is dropped.
    fn record_event(&self, pod: &PodKey, event: Event);
    /// One Secret.
    async fn secret(&self, namespace: &str, name: &str) -> Result<Secret, ControlError>;
    /// All Services that a pod of this namespace learns of through its environment.
    async fn services(&self, namespace: &str) -> Result<Vec<Service>, ControlError>;
}

/// A port of the node that leads to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The node's address it is taken on; `None` is all of them.
    pub host_ip: Option<String>,
    /// The port of the node.
    pub host_port: u16,
    /// The port of the pod.
    pub container_port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

/// What the network could not do, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NetworkError(pub String);

/// Gives sandboxes an address.
#[async_trait]
pub trait PodNetwork: Send + Sync {
    /// Connects the network namespace of the process `pid`. Called again for one that is connected, after a restart
    /// of the agent, it answers the addresses that it has.
    async fn attach(&self, pod: &PodKey, pid: u32, ports: &[HostPort]) -> Result<Vec<IpAddr>, NetworkError>;
    /// Takes back addresses and ports; fine when there are none.
    async fn detach(&self, pod: &PodKey) -> Result<(), NetworkError>;
    /// The uids of all pods that have some.
    async fn pods(&self) -> BTreeSet<String>;
}

/// What one container is given, resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerInputs {
    /// In place of the image's entrypoint.
    pub command: Option<Vec<String>>,
    /// In place of the image's command.
    pub args: Option<Vec<String>>,
    /// Names and values.
    pub env: Vec<(String, String)>,
    /// Volumes.
    pub mounts: Vec<Mount>,
    /// In place of the image's.
    pub working_dir: Option<String>,
}

/// What the kubelet knows and the object does not say yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The pod's.
    pub pod_ips: Vec<String>,
    /// The node's.
    pub host_ips: Vec<String>,
}

/// What is wrong with what a container should be given, in the words of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InputsError(pub String);

/// Makes up what containers are given.
#[async_trait]
pub trait Inputs: Send + Sync {
    /// Prepares the volumes of a pod; may be called again. The error is the text of a `FailedMount` event.
    async fn prepare(&self, pod: &DesiredPod) -> Result<(), InputsError>;
    /// The pod runs with its volumes, and is so now: what volumes show follows it until they are taken back. Never waits.
    fn follow(&self, pod: &Arc<DesiredPod>);
    /// What this container is given. The error is the text of a `CreateContainerConfigError`.
    async fn resolve(
        &self,
        pod: &DesiredPod,
        container: &str,
        addresses: &Addresses,
    ) -> Result<ContainerInputs, InputsError>;
    /// Takes back the volumes of a pod that ended; fine when there are none.
    async fn release(&self, pod: &PodKey) -> Result<(), InputsError>;
    /// The uids of all pods that have some.
    async fn pods(&self) -> BTreeSet<String>;
}
