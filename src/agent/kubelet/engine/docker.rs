//! Docker Engine over its socket.
//!
//! # Assumptions
//! The engine may run without a network of its own and be restarted at any time. Calls name no version
//! of its API: an engine answers in its newest, which is 1.41 with Debian 12's, and newer ones understand what is used.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use base::env;
use bollard::errors::Error;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, ExecConfig, ImageInspect, ImageSummary,
};
use bollard::query_parameters::{
    AttachContainerOptions, CreateContainerOptions, CreateImageOptions, EventsOptions, ImportImageOptions,
    InspectContainerOptions, KillContainerOptions, ListContainersOptions, ListImagesOptions, LogsOptions,
    RemoveContainerOptions, ResizeContainerTTYOptions, ResizeExecOptions, StartContainerOptions,
};
use bollard::{ClientVersion, Docker as Client, body_full};
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use tokio::sync::Mutex;

use super::{
    Container, ContainerConfig, ContainerEngine, Credentials, EngineError, EngineEvent, Exit, Image,
    LogOptions, Output, OutputStream, Session, SessionControl, SessionOptions, Signal, State,
};
use crate::limits::{ENGINE_TIMEOUT_S, PODS_MAX};
use crate::names::label;
use crate::time;

mod body;
#[cfg(test)]
mod tests;

/// The oldest API that has all that is used here.
const OLDEST: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };

/// The exit code of a container that could not be started, as containerd has it.
const START_ERROR_CODE: i32 = 128;

/// Images whose digests are remembered; beyond it all are asked for again.
const IMAGE_DIGESTS_MAX: usize = 8 * PODS_MAX;

/// One engine.
pub struct Docker {
    client: Client,
    /// The digests that registries know an image by, by its id: asked for once, for only a pull changes them.
    image_digests: Mutex<BTreeMap<String, Vec<String>>>,
}

/// An image that the engine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageOnNode {
    /// By digests, then by tags.
    pub names: Vec<String>,
    /// On disk.
    pub size_bytes: u64,
}

impl Docker {
    /// The engine behind this socket (`/run/docker.sock`). Agrees on an API version.
    ///
    /// # Errors
    /// When nobody answers there, or the engine is too old.
    pub async fn connect(socket: &str) -> Result<Self, EngineError> {
        let newest = bollard::API_DEFAULT_VERSION;
        let client = Client::connect_with_unix(socket, ENGINE_TIMEOUT_S, newest).map_err(told)?;
        let client = client.negotiate_version().await.map_err(told)?;
        let version = client.client_version();
        if version < OLDEST {
            return Err(EngineError::Refused(format!(
                "the engine is too old: it speaks API {version}, and {OLDEST} is needed"
            )));
        }
        Ok(Self { client, image_digests: Mutex::default() })
    }

    /// The engine's own version, as `20.10.24`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn version(&self) -> Result<String, EngineError> {
        let found = self.client.version().await.map_err(told)?;
        Ok(found.version.unwrap_or_default())
    }

    /// Whether it answers. Far cheaper than [`Self::version`], for which Docker runs other programs.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), EngineError> {
        self.client.ping().await.map(drop).map_err(told)
    }

    /// All images.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn images(&self) -> Result<Vec<ImageOnNode>, EngineError> {
        let listed = self.client.list_images(None::<ListImagesOptions>).await.map_err(told)?;
        let image = |found: ImageSummary| {
            let mut names = found.repo_digests;
            names.extend(found.repo_tags);
            // How the engine writes that there is none.
            names.retain(|name| !name.starts_with("<none>") && !name.ends_with("<none>"));
            ImageOnNode { names, size_bytes: u64::try_from(found.size).unwrap_or(0) }
        };
        Ok(listed.into_iter().map(image).collect())
    }

    async fn inspect(&self, id: &str) -> Result<Option<Container>, EngineError> {
        let none = None::<InspectContainerOptions>;
        match self.client.inspect_container(id, none).await.map_err(told) {
            Ok(found) => {
                let digests = self.image_digests(found.image.as_deref().unwrap_or_default()).await?;
                let image_ref = image_ref(&found, &digests);
                Ok(Some(container(found, image_ref)))
            }
            // Removed since it was listed.
            Err(EngineError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn image_digests(&self, id: &str) -> Result<Vec<String>, EngineError> {
        let mut known = self.image_digests.lock().await;
        if let Some(digests) = known.get(id) {
            return Ok(digests.clone());
        }
        let found = match self.client.inspect_image(id).await.map_err(told) {
            Ok(image) => image.repo_digests.unwrap_or_default(),
            // An image may be removed under a container.
            Err(EngineError::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        if known.len() >= IMAGE_DIGESTS_MAX {
            known.clear();
        }
        known.insert(id.to_owned(), found.clone());
        Ok(found)
    }
}

#[async_trait]
impl ContainerEngine for Docker {
    async fn list(&self, node: &str, pod_uid: Option<&str>) -> Result<Vec<Container>, EngineError> {
        let mut labels = vec![format!("{}={node}", label::NODE)];
        labels.extend(pod_uid.map(|uid| format!("{}={uid}", label::POD_UID)));
        let filters = Some([("label".to_owned(), labels)].into_iter().collect());
        let options = ListContainersOptions { all: true, filters, ..ListContainersOptions::default() };
        let listed = self.client.list_containers(Some(options)).await.map_err(told)?;
        let mut containers = Vec::with_capacity(listed.len());
        for summary in listed {
            let Some(id) = summary.id else { continue };
            containers.extend(self.inspect(&id).await?);
        }
        Ok(containers)
    }

    async fn create(&self, config: &ContainerConfig) -> Result<String, EngineError> {
        let options = CreateContainerOptions { name: Some(config.name.clone()), platform: String::new() };
        let created = self.client.create_container(Some(options), body::of(config)).await;
        Ok(created.map_err(told)?.id)
    }

    async fn start(&self, container: &str) -> Result<(), EngineError> {
        self.client.start_container(container, None::<StartContainerOptions>).await.map_err(told)
    }

    async fn signal(&self, container: &str, signal: Signal) -> Result<(), EngineError> {
        let signal = match signal {
            Signal::Kill => "SIGKILL".to_owned(),
            Signal::Stop => {
                let none = None::<InspectContainerOptions>;
                let found = match self.client.inspect_container(container, none).await.map_err(told) {
                    Err(EngineError::NotFound(_)) => return Ok(()),
                    found => found?,
                };
                let asked = found.config.and_then(|config| config.stop_signal);
                asked.filter(|signal| !signal.is_empty()).unwrap_or_else(|| "SIGTERM".to_owned())
            }
        };
        let options = KillContainerOptions { signal };
        match self.client.kill_container(container, Some(options)).await.map_err(told) {
            // It ended before the signal came.
            Err(EngineError::Conflict(_) | EngineError::NotFound(_)) => Ok(()),
            done => done,
        }
    }

    async fn remove(&self, container: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptions { v: true, force: true, link: false };
        match self.client.remove_container(container, Some(options)).await.map_err(told) {
            // Somebody removes it already, or did.
            Err(EngineError::NotFound(_) | EngineError::Conflict(_)) => Ok(()),
            done => done,
        }
    }

    async fn image(&self, name: &str) -> Result<Option<Image>, EngineError> {
        match self.client.inspect_image(name).await.map_err(told) {
            Ok(found) => Ok(Some(image(found))),
            Err(EngineError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn pull(&self, name: &str, credentials: Option<&Credentials>) -> Result<Image, EngineError> {
        let is_whole = name.contains('@') || name.rsplit('/').next().is_some_and(|last| last.contains(':'));
        let whole = if is_whole { name.to_owned() } else { format!("{name}:latest") };
        let options = CreateImageOptions { from_image: Some(whole), ..CreateImageOptions::default() };
        let credentials = credentials.map(|account| bollard::auth::DockerCredentials {
            username: Some(account.username.clone()),
            password: Some(account.password.clone()),
            serveraddress: Some(account.server.clone()),
            ..bollard::auth::DockerCredentials::default()
        });
        let mut progress = self.client.create_image(Some(options), None, credentials);
        while let Some(step) = progress.next().await {
            step.map_err(told)?;
        }
        self.image_digests.lock().await.clear();
        let found = self.image(name).await?;
        found.ok_or_else(|| EngineError::NotFound(format!("the image {name} is not there after its pull")))
    }

    async fn load(&self, archive: Bytes) -> Result<(), EngineError> {
        let options = ImportImageOptions { quiet: true, ..ImportImageOptions::default() };
        let loaded = self.client.import_image(options, body_full(archive), None);
        loaded.try_for_each(|_| async { Ok(()) }).await.map_err(told)
    }

    fn events(&self, node: &str) -> BoxStream<'static, Result<EngineEvent, EngineError>> {
        let filters = [
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), vec![format!("{}={node}", label::NODE)]),
            // Not each exec of a probe.
            ("event".to_owned(), ["die", "start", "destroy", "oom"].map(str::to_owned).to_vec()),
        ];
        let filters = Some(filters.into_iter().collect());
        // The request goes out when somebody first looks: what happens up to then is told as well.
        let now_ms = env::wall_ms();
        let since = Some(format!("{}.{:03}", now_ms / 1000, now_ms % 1000));
        let options = EventsOptions { filters, since, ..EventsOptions::default() };
        let events = self.client.events(Some(options));
        let of_pods = events.try_filter_map(|event| async move {
            let uid = event.actor.and_then(|actor| actor.attributes?.remove(label::POD_UID));
            Ok(uid.map(|pod_uid| EngineEvent { pod_uid }))
        });
        of_pods.map_err(told).boxed()
    }

    async fn logs(&self, container: &str, options: LogOptions) -> Result<OutputStream, EngineError> {
        let options = LogsOptions {
            follow: options.follow,
            stdout: true,
            stderr: true,
            since: options.since_s.map_or(0, |since| i32::try_from(since).unwrap_or(i32::MAX)),
            timestamps: options.timestamps,
            tail: options.tail.map_or_else(|| "all".to_owned(), |tail| tail.to_string()),
            ..LogsOptions::default()
        };
        Ok(outputs(self.client.logs(container, Some(options))))
    }

    async fn exec(&self, container: &str, options: SessionOptions) -> Result<Session, EngineError> {
        let config = ExecConfig {
            attach_stdin: Some(options.stdin),
            attach_stdout: Some(options.stdout),
            attach_stderr: Some(options.stderr && !options.tty),
            tty: Some(options.tty),
            cmd: Some(options.command),
            ..ExecConfig::default()
        };
        let id = self.client.create_exec(container, config).await.map_err(told)?.id;
        let start = StartExecOptions { tty: options.tty, ..StartExecOptions::default() };
        match self.client.start_exec(&id, Some(start)).await.map_err(told)? {
            StartExecResults::Attached { output, input } => {
                let control = Arc::new(ExecControl { client: self.client.clone(), id });
                Ok(Session { stdin: input, output: outputs(output), control })
            }
            StartExecResults::Detached => {
                Err(EngineError::Refused("the engine did not attach to what it runs".to_owned()))
            }
        }
    }

    async fn attach(&self, container: &str, options: SessionOptions) -> Result<Session, EngineError> {
        let attach = AttachContainerOptions {
            stream: true,
            stdin: options.stdin,
            stdout: options.stdout,
            stderr: options.stderr,
            ..AttachContainerOptions::default()
        };
        let attached = self.client.attach_container(container, Some(attach)).await.map_err(told)?;
        let control = Arc::new(AttachControl { client: self.client.clone(), id: container.to_owned() });
        Ok(Session { stdin: attached.input, output: outputs(attached.output), control })
    }
}

/// A program that runs beside a container's own.
struct ExecControl {
    client: Client,
    id: String,
}

#[async_trait]
impl SessionControl for ExecControl {
    async fn resize(&self, width: u16, height: u16) -> Result<(), EngineError> {
        let size = ResizeExecOptions { w: i32::from(width), h: i32::from(height) };
        self.client.resize_exec(&self.id, size).await.map_err(told)
    }

    async fn exit_code(&self) -> Result<Option<i32>, EngineError> {
        let found = self.client.inspect_exec(&self.id).await.map_err(told)?;
        let is_over = found.running == Some(false);
        Ok(found.exit_code.filter(|_| is_over).and_then(|code| i32::try_from(code).ok()))
    }
}

/// A container's own first process.
struct AttachControl {
    client: Client,
    id: String,
}

#[async_trait]
impl SessionControl for AttachControl {
    async fn resize(&self, width: u16, height: u16) -> Result<(), EngineError> {
        let size = ResizeContainerTTYOptions { w: i32::from(width), h: i32::from(height) };
        self.client.resize_container_tty(&self.id, size).await.map_err(told)
    }

    async fn exit_code(&self) -> Result<Option<i32>, EngineError> {
        let none = None::<InspectContainerOptions>;
        let found = self.client.inspect_container(&self.id, none).await.map_err(told)?;
        Ok(container(found, String::new()).exit().map(|exit| exit.code))
    }
}

fn outputs(
    stream: impl futures::Stream<Item = Result<bollard::container::LogOutput, Error>> + Send + 'static,
) -> OutputStream {
    use bollard::container::LogOutput::{Console, StdErr, StdIn, StdOut};
    let outputs = stream.map(|piece| match piece.map_err(told)? {
        StdErr { message } => Ok(Output::Stderr(message)),
        StdOut { message } | StdIn { message } | Console { message } => Ok(Output::Stdout(message)),
    });
    outputs.boxed()
}

fn image(found: ImageInspect) -> Image {
    Image {
        id: found.id.unwrap_or_default(),
        user: found.config.and_then(|config| config.user).unwrap_or_default(),
        size_bytes: found.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
    }
}

/// What `imageID` shows: the digest in the registry that the image was named after, or in another; else its id.
fn image_ref(found: &ContainerInspectResponse, digests: &[String]) -> String {
    let name = found.config.as_ref().and_then(|config| config.image.as_deref()).unwrap_or_default();
    let is_of_it = |digest: &&String| {
        digest
            .split('@')
            .next()
            .and_then(|repository| name.strip_prefix(repository))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@']))
    };
    match digests.iter().find(is_of_it).or_else(|| digests.first()) {
        Some(digest) => format!("docker-pullable://{digest}"),
        None => format!("docker://{}", found.image.as_deref().unwrap_or_default()),
    }
}

fn container(found: ContainerInspectResponse, image_ref: String) -> Container {
    let created_ms = found.created.as_ref().map_or(0, |created| time::parse(created));
    Container {
        id: found.id.unwrap_or_default(),
        name: found.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        labels: found.config.and_then(|config| config.labels).into_iter().flatten().collect(),
        image_ref,
        created_ms,
        state: found.state.map_or(State::Created, |state| self::state(state, created_ms)),
        message: None,
    }
}

fn state(found: bollard::models::ContainerState, created_ms: u64) -> State {
    use ContainerStateStatusEnum as Status;
    let started_ms = found.started_at.as_deref().map_or(0, time::parse);
    let finished_ms = found.finished_at.as_deref().map_or(0, time::parse);
    let error = found.error.filter(|error| !error.is_empty());
    match found.status.unwrap_or(Status::EMPTY) {
        Status::RUNNING | Status::PAUSED | Status::RESTARTING | Status::STOPPING => {
            let pid = found.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
            State::Running { started_ms, pid }
        }
        // The engine leaves what it could not start as it was created, with the error beside it.
        Status::CREATED | Status::EMPTY => match error {
            Some(error) => State::Exited(Exit {
                code: START_ERROR_CODE,
                finished_ms: created_ms,
                start_error: Some(error),
                ..Exit::default()
            }),
            None => State::Created,
        },
        Status::EXITED | Status::DEAD | Status::REMOVING => State::Exited(Exit {
            code: found.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(0),
            started_ms,
            finished_ms: finished_ms.max(started_ms).max(created_ms),
            is_oom: found.oom_killed == Some(true),
            start_error: error.filter(|_| started_ms == 0),
        }),
    }
}

/// What went wrong, in the engine's words.
fn told(error: Error) -> EngineError {
    match error {
        Error::DockerResponseServerError { status_code: 404, message } => EngineError::NotFound(message),
        Error::DockerResponseServerError { status_code: 409, message } => EngineError::Conflict(message),
        // "Already started": a call that was made before.
        Error::DockerResponseServerError { status_code: 304, message } => EngineError::Conflict(message),
        Error::DockerResponseServerError { message, .. } => EngineError::Refused(message),
        Error::DockerStreamError { error } => EngineError::Refused(error),
        Error::IOError { .. }
        | Error::HyperResponseError { .. }
        | Error::HyperLegacyError { .. }
        | Error::RequestTimeoutError
        | Error::SocketNotFoundError(_) => EngineError::Unreachable(error.to_string()),
        other => EngineError::Refused(other.to_string()),
    }
}
