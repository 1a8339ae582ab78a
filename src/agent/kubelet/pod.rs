//! A pod as the kubelet wants it: the object, and its containers of all sorts in one list.

use std::fmt;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec};

use crate::limits::GRACE_DEFAULT_S;

/// Which pod: a name may come again, a uid never does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodKey {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The pod's uid.
    pub uid: String,
}

/// As Kubernetes writes pods in messages: `name_namespace(uid)`.
impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}({})", self.name, self.namespace, self.uid)
    }
}

/// What sort of container it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`: starts in its turn, runs as long as the pod.
    Sidecar,
    /// One of `spec.containers`.
    App,
    /// Added to a running pod; never restarted.
    Ephemeral,
}

/// One container of a pod.
#[derive(Clone, Debug)]
pub struct Member {
    /// What sort it is.
    pub kind: Kind,
    /// Its description. An ephemeral container has the same fields.
    pub container: Container,
    /// Whose processes an ephemeral container sees.
    pub target: Option<String>,
}

/// A pod that should run, or should end.
#[derive(Clone, Debug)]
pub struct DesiredPod {
    /// Its identity.
    pub key: PodKey,
    /// The object.
    pub pod: Pod,
    /// Init containers and sidecars, then containers, then ephemeral ones, each in the order of the object.
    pub members: Vec<Member>,
    /// The object is not there any more: what runs ends, and nobody is told.
    pub is_gone: bool,
}

/// An object that is no pod to run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pod {name:?} has no {lacks}: it did not come from an API server")]
pub struct NotAPod {
    /// The object's name, as far as it has one.
    pub name: String,
    /// The field that is missing.
    pub lacks: &'static str,
}

impl DesiredPod {
    /// Takes an object as the API server gave it.
    ///
    /// # Errors
    /// When it lacks what every stored pod has: name, namespace, uid, spec.
    pub fn new(pod: Pod) -> Result<Self, NotAPod> {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let lack = |lacks| NotAPod { name: name.clone(), lacks };
        if name.is_empty() {
            return Err(lack("name"));
        }
        let key = PodKey {
            namespace: pod.metadata.namespace.clone().ok_or_else(|| lack("namespace"))?,
            uid: pod.metadata.uid.clone().ok_or_else(|| lack("uid"))?,
            name: name.clone(),
        };
        let spec = pod.spec.as_ref().ok_or_else(|| lack("spec"))?;
        let members = members(spec);
        Ok(Self { key, pod, members, is_gone: false })
    }

    /// The pod's description; present since [`DesiredPod::new`] asked for it.
    pub fn spec(&self) -> &PodSpec {
        self.pod.spec.as_ref().expect("checked when it was made")
    }

    /// Whether somebody asked for its deletion, or it is gone already.
    pub fn is_deleted(&self) -> bool {
        self.is_gone || self.pod.metadata.deletion_timestamp.is_some()
    }

    /// Whether it uses the node's network instead of one of its own.
    pub fn is_on_host_network(&self) -> bool {
        self.spec().host_network == Some(true)
    }

    /// How long its containers may take to end, in milliseconds.
    pub fn grace_ms(&self) -> u64 {
        let asked = self.pod.metadata.deletion_grace_period_seconds;
        let seconds = asked.or(self.spec().termination_grace_period_seconds).unwrap_or(GRACE_DEFAULT_S);
        u64::try_from(seconds).unwrap_or(0) * 1000
    }

    /// Containers of these sorts, in order.
    pub fn of_kinds<'a>(&'a self, kinds: &'a [Kind]) -> impl Iterator<Item = &'a Member> {
        self.members.iter().filter(move |member| kinds.contains(&member.kind))
    }

    /// Its container of this name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name() == name)
    }

    /// Whether a container that ended with `exit_code` starts again.
    pub fn restarts(&self, member: &Member, exit_code: i32) -> bool {
        if member.kind == Kind::Ephemeral {
            return false;
        }
        let rules = member.container.restart_policy_rules.iter().flatten();
        for rule in rules.filter(|rule| rule.action == "Restart") {
            let Some(codes) = &rule.exit_codes else { continue };
            let is_listed = codes.values.iter().flatten().any(|code| *code == exit_code);
            if is_listed == (codes.operator == "In") {
                return true;
            }
        }
        match self.restart_policy(member) {
            "Always" => true,
            "OnFailure" => exit_code != 0,
            _ => false,
        }
    }

    /// The policy that holds for this container: its own, or the pod's.
    pub fn restart_policy<'a>(&'a self, member: &'a Member) -> &'a str {
        let own = member.container.restart_policy.as_deref();
        let policy = own.or(self.spec().restart_policy.as_deref()).unwrap_or("Always");
        // An init container that succeeded is done, whatever the pod's policy.
        if member.kind == Kind::Init && policy == "Always" { "OnFailure" } else { policy }
    }

    /// The field that an event about this container points to.
    pub fn field_path(member: &Member) -> String {
        let list = match member.kind {
            Kind::Init | Kind::Sidecar => "initContainers",
            Kind::App => "containers",
            Kind::Ephemeral => "ephemeralContainers",
        };
        format!("spec.{list}{{{}}}", member.name())
    }
}

impl Member {
    /// The container's name.
    pub fn name(&self) -> &str {
        &self.container.name
    }

    /// The image that it asks for.
    pub fn image(&self) -> &str {
        self.container.image.as_deref().unwrap_or_default()
    }

    /// What makes two descriptions of a container different, so that one that runs is replaced.
    pub fn hash(&self) -> String {
        // FNV-1a: no stronger one is needed to see a change, and it must never change itself.
        let text = format!("{}\0{}", self.name(), self.image());
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

fn members(spec: &PodSpec) -> Vec<Member> {
    let init = spec.init_containers.iter().flatten().map(|container| {
        let is_sidecar = container.restart_policy.as_deref() == Some("Always");
        let kind = if is_sidecar { Kind::Sidecar } else { Kind::Init };
        Member { kind, container: container.clone(), target: None }
    });
    let app = spec.containers.iter();
    let app = app.map(|container| Member { kind: Kind::App, container: container.clone(), target: None });
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| Member {
        kind: Kind::Ephemeral,
        container: common(container.clone()),
        target: container.target_container_name.clone(),
    });
    init.chain(app).chain(ephemeral).collect()
}

/// The fields that an ephemeral container shares with any other.
fn common(of: EphemeralContainer) -> Container {
    Container {
        args: of.args,
        command: of.command,
        env: of.env,
        env_from: of.env_from,
        image: of.image,
        image_pull_policy: of.image_pull_policy,
        name: of.name,
        resources: of.resources,
        security_context: of.security_context,
        stdin: of.stdin,
        stdin_once: of.stdin_once,
        termination_message_path: of.termination_message_path,
        termination_message_policy: of.termination_message_policy,
        tty: of.tty,
        volume_mounts: of.volume_mounts,
        working_dir: of.working_dir,
        ..Container::default()
    }
}
