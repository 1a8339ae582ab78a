//! What runs containers, as the kubelet needs it.
//!
//! [`docker::Docker`] is the real one, [`fake::FakeEngine`] lives in memory, and `engine/suite.rs` is what both pass.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::io::AsyncWrite;

pub mod docker;
pub mod fake;
#[cfg(test)]
mod suite;

/// What is created.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerConfig {
    /// The engine's name of it; see [`crate::names::container_name`].
    pub name: String,
    /// See [`crate::names::label`].
    pub labels: BTreeMap<String, String>,
    /// An image that is there, by id or name.
    pub image: String,
    /// In place of the image's entrypoint; `None` keeps that one.
    pub command: Option<Vec<String>>,
    /// In place of the image's command; `None` keeps that one.
    pub args: Option<Vec<String>>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// `None` keeps the image's.
    pub working_dir: Option<String>,
    /// `uid`, `uid:gid`; `None` keeps the image's.
    pub user: Option<String>,
    /// Only of a sandbox: who joins it shares its name.
    pub hostname: Option<String>,
    /// A terminal instead of three streams.
    pub tty: bool,
    /// Whether it reads from who attaches.
    pub stdin: bool,
    /// Whether its input ends with the first who attaches.
    pub stdin_once: bool,
    /// The signal that asks it to end; `None` keeps the image's.
    pub stop_signal: Option<String>,
    /// Files and folders of the host.
    pub mounts: Vec<Mount>,
    /// `none`, `host` or `container:ID`.
    pub network_mode: String,
    /// `shareable`, `host` or `container:ID`.
    pub ipc_mode: String,
    /// `host`, `container:ID`; `None` is one of its own.
    pub pid_mode: Option<String>,
    /// See `config/resources.rs`.
    pub resources: Resources,
    /// See `config/security.rs`.
    pub security: Security,
}

/// A file or folder of the host in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// Where it is on the host.
    pub host_path: String,
    /// Where the container sees it.
    pub container_path: String,
    /// Whether it may not write.
    pub is_read_only: bool,
    /// `rslave` or `rshared`; `None` is private.
    pub propagation: Option<String>,
}

/// Limits of the kernel's control groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Share of the processors relative to others.
    pub cpu_shares: Option<i64>,
    /// Microseconds of each period.
    pub cpu_quota_us: Option<i64>,
    /// Length of the period.
    pub cpu_period_us: Option<i64>,
    /// The most memory.
    pub memory_bytes: Option<i64>,
}

/// What a container may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Everything.
    pub is_privileged: bool,
    /// Whether its root cannot be written.
    pub is_root_read_only: bool,
    /// Groups besides its own.
    pub groups: Vec<String>,
    /// Capabilities beyond the engine's choice, without `CAP_`.
    pub cap_add: Vec<String>,
    /// Capabilities taken from that choice.
    pub cap_drop: Vec<String>,
    /// The engine's own words: `no-new-privileges`, `seccomp=unconfined`.
    pub options: Vec<String>,
    /// Kernel settings; only of a sandbox.
    pub sysctls: BTreeMap<String, String>,
    /// Whether the files of `/proc` that are hidden otherwise are shown.
    pub is_proc_unmasked: bool,
}

/// What the engine shows of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The engine's id.
    pub id: String,
    /// The engine's name.
    pub name: String,
    /// As they were given.
    pub labels: BTreeMap<String, String>,
    /// What `imageID` of a status shows.
    pub image_ref: String,
    /// When it was created, in milliseconds since the epoch, as all times here.
    pub created_ms: u64,
    /// What it does.
    pub state: State,
    /// Its last words, once it ended. Filled by who observes the pod, not by the engine.
    pub message: Option<String>,
}

/// What a container does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Created; nobody tried to start it.
    Created,
    /// It runs.
    Running {
        /// Since when.
        started_ms: u64,
        /// Its first process, as the host counts.
        pid: u32,
    },
    /// It ended, or could not be started.
    Exited(Exit),
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// 128 and more: by that signal.
    pub code: i32,
    /// When it started; 0 for what never did.
    pub started_ms: u64,
    /// When it ended.
    pub finished_ms: u64,
    /// Whether the kernel ended it for the memory that it took.
    pub is_oom: bool,
    /// Why it could not be started.
    pub start_error: Option<String>,
}

impl Container {
    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// How it ended, if it did.
    pub fn exit(&self) -> Option<&Exit> {
        match &self.state {
            State::Exited(exit) => Some(exit),
            State::Created | State::Running { .. } => None,
        }
    }
}

/// An image that is on the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// `sha256:...`.
    pub id: String,
    /// Whom its processes run as when nobody says: `""`, `1000`, `1000:1000`, `nginx`.
    pub user: String,
    /// On disk.
    pub size_bytes: u64,
}

/// Who pulls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Where the account is.
    pub server: String,
    /// The account.
    pub username: String,
    /// Its password or token.
    pub password: String,
}

/// A signal to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The one that asks it to end: SIGTERM, or what its image or description says.
    Stop,
    /// SIGKILL.
    Kill,
}

/// Which part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Waits for more.
    pub follow: bool,
    /// Only the last lines.
    pub tail: Option<u64>,
    /// Only what was written at or after this second since the epoch.
    pub since_s: Option<i64>,
    /// Each line begins with its time.
    pub timestamps: bool,
}

/// One piece of what a process wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To its standard output, or to its terminal.
    Stdout(Bytes),
    /// To its standard error.
    Stderr(Bytes),
}

/// What to run in a container, or how to attach to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// The program and its arguments; empty for an attach.
    pub command: Vec<String>,
    /// Whether input is wanted.
    pub stdin: bool,
    /// Whether output is wanted.
    pub stdout: bool,
    /// Whether errors are wanted.
    pub stderr: bool,
    /// A terminal instead of three streams.
    pub tty: bool,
}

/// What a process writes, piece by piece.
pub type OutputStream = BoxStream<'static, Result<Output, EngineError>>;

/// A process in a container that somebody talks to.
pub struct Session {
    /// What it reads. Closing it ends its input.
    pub stdin: Pin<Box<dyn AsyncWrite + Send>>,
    /// What it writes; ends with it.
    pub output: OutputStream,
    /// What else can be done with it.
    pub control: Arc<dyn SessionControl>,
}

/// The size of a session's terminal and the end of its process.
#[async_trait]
pub trait SessionControl: Send + Sync {
    /// Sets the size of the terminal, in characters.
    async fn resize(&self, width: u16, height: u16) -> Result<(), EngineError>;
    /// The exit code, once the output ended; `None` for a container that still runs.
    async fn exit_code(&self) -> Result<Option<i32>, EngineError>;
}

/// A container of this pod changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineEvent {
    /// The pod's uid.
    pub pod_uid: String,
}

/// Why the engine did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// There is no such container, image or session.
    #[error("{0}")]
    NotFound(String),
    /// One with that name is there, or it is in that state already.
    #[error("{0}")]
    Conflict(String),
    /// The engine does not answer: it restarts, or it is not there.
    #[error("the container engine does not answer: {0}")]
    Unreachable(String),
    /// The engine's own words.
    #[error("{0}")]
    Refused(String),
}

impl EngineError {
    /// Whether the same call may work as it is once the engine is back.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

/// Runs containers.
///
/// # Guarantees
/// - Every call may be repeated: a name is created once, a running container is not started again (both say
///   [`EngineError::Conflict`] or succeed), and what is not there any more is [`EngineError::NotFound`].
/// - A container that ended keeps its exit code until it is removed, also over a restart of the engine.
#[async_trait]
pub trait ContainerEngine: Send + Sync {
    /// All containers of a node, or those of one pod.
    async fn list(&self, node: &str, pod_uid: Option<&str>) -> Result<Vec<Container>, EngineError>;
    /// Creates a container; its id.
    async fn create(&self, config: &ContainerConfig) -> Result<String, EngineError>;
    /// Starts a created container, by id or name.
    async fn start(&self, container: &str) -> Result<(), EngineError>;
    /// Sends a signal; fine when it ended already.
    async fn signal(&self, container: &str, signal: Signal) -> Result<(), EngineError>;
    /// Removes a container, running or not; fine when it is not there.
    async fn remove(&self, container: &str) -> Result<(), EngineError>;
    /// The image, if it is on the node.
    async fn image(&self, name: &str) -> Result<Option<Image>, EngineError>;
    /// Gets the image from its registry.
    async fn pull(&self, name: &str, credentials: Option<&Credentials>) -> Result<Image, EngineError>;
    /// Takes images from an archive as `docker save` writes it.
    async fn load(&self, archive: Bytes) -> Result<(), EngineError>;
    /// What happens to containers of a node from now on. Ends, with or without an error, when the engine does.
    fn events(&self, node: &str) -> BoxStream<'static, Result<EngineEvent, EngineError>>;
    /// What a container wrote.
    async fn logs(&self, container: &str, options: LogOptions) -> Result<OutputStream, EngineError>;
    /// Runs a program in a container.
    async fn exec(&self, container: &str, options: SessionOptions) -> Result<Session, EngineError>;
    /// Talks to a container's first process.
    async fn attach(&self, container: &str, options: SessionOptions) -> Result<Session, EngineError>;
}
