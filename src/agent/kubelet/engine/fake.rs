//! An engine in memory, on the environment's time.
//!
//! What containers do is written down beforehand ([`Script`]), by their name in the pod. Failures can be ordered, and
//! the engine can go away and come back, as a restarted one: everything that ran has ended then.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::env;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::{
    Container, ContainerConfig, ContainerEngine, Credentials, EngineError, EngineEvent, Exit, Image,
    LogOptions, Output, OutputStream, Session, SessionControl, SessionOptions, Signal, State,
};
use crate::names::label;
use crate::pause;
pub use cut::Cut;

mod cut;

/// Events that wait for who follows them.
const EVENTS_MAX: usize = 1024;

/// What a container does once it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Ends by itself after so long; `None` runs on.
    pub runs_ms: Option<u64>,
    /// With this code.
    pub exit_code: i32,
    /// Ends so long after SIGTERM, with 143; `None` does not listen.
    pub stops_ms: Option<u64>,
    /// What it leaves in its termination message.
    pub message: String,
    /// What it wrote.
    pub log: String,
    /// Whether its end is the kernel's, for the memory that it takes.
    pub is_oom: bool,
}

/// Runs on, and ends at once when it is asked to.
impl Default for Script {
    fn default() -> Self {
        Self {
            runs_ms: None,
            exit_code: 0,
            stops_ms: Some(0),
            message: String::new(),
            log: String::new(),
            is_oom: false,
        }
    }
}

impl Script {
    /// Ends by itself.
    pub fn ends(runs_ms: u64, exit_code: i32) -> Self {
        Self { runs_ms: Some(runs_ms), exit_code, ..Self::default() }
    }
}

struct Made {
    container: Container,
    config: ContainerConfig,
    script: Script,
    starts: usize,
    exits_at: Option<(u64, i32)>,
}

#[derive(Default)]
struct Inner {
    images: BTreeMap<String, Image>,
    registry: BTreeMap<String, Image>,
    accounts: BTreeMap<String, Credentials>,
    made: BTreeMap<String, Made>,
    scripts: BTreeMap<String, VecDeque<Script>>,
    failures: BTreeMap<String, VecDeque<EngineError>>,
    execs: BTreeMap<String, (i32, String)>,
    calls: Vec<String>,
    starts: BTreeMap<String, usize>,
    looks: usize,
    is_down: bool,
    ids: usize,
}

/// See the module.
pub struct FakeEngine {
    inner: Arc<Mutex<Inner>>,
    events: Mutex<broadcast::Sender<EngineEvent>>,
    cut: Arc<Cut>,
}

impl Default for FakeEngine {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl FakeEngine {
    /// An empty one, whose effects `cut` counts.
    pub fn new(cut: Arc<Cut>) -> Self {
        let (events, _) = broadcast::channel(EVENTS_MAX);
        Self { inner: Arc::default(), events: Mutex::new(events), cut }
    }

    /// An image that is on the node.
    pub fn has_image(&self, name: &str, user: &str) {
        self.inner.lock().images.insert(name.to_owned(), made_up(name, user));
    }

    /// An image that can be pulled.
    pub fn can_pull(&self, name: &str) {
        self.inner.lock().registry.insert(name.to_owned(), made_up(name, ""));
    }

    /// An image that only this account can pull.
    pub fn can_pull_as(&self, name: &str, account: Credentials) {
        self.can_pull(name);
        self.inner.lock().accounts.insert(name.to_owned(), account);
    }

    /// What the next containers of this name do, one after the other; the last one stays.
    pub fn script(&self, container: &str, scripts: impl IntoIterator<Item = Script>) {
        self.inner.lock().scripts.insert(container.to_owned(), scripts.into_iter().collect());
    }

    /// What a command in a container prints, and its exit code. Others print nothing and end well.
    pub fn script_exec(&self, command: &str, exit_code: i32, output: &str) {
        self.inner.lock().execs.insert(command.to_owned(), (exit_code, output.to_owned()));
    }

    /// The next call of this name (`create`, `start`, `pull`...) fails so.
    pub fn fail_next(&self, call: &str, error: EngineError) {
        self.inner.lock().failures.entry(call.to_owned()).or_default().push_back(error);
    }

    /// The engine stops: calls fail, events end, and everything that ran is killed.
    pub fn go_down(&self) {
        let now_ms = env::wall_ms();
        let mut inner = self.inner.lock();
        inner.is_down = true;
        for made in inner.made.values_mut().filter(|made| made.container.is_running()) {
            made.end(now_ms, 137);
        }
        *self.events.lock() = broadcast::channel(EVENTS_MAX).0;
    }

    /// It is back.
    pub fn come_back(&self) {
        self.inner.lock().is_down = false;
    }

    /// Ends a container by its name in the pod, as if it had crashed.
    pub fn crash(&self, container: &str, exit_code: i32) {
        let now_ms = env::wall_ms();
        for made in self.inner.lock().made.values_mut() {
            if made.container.container_name() == container && made.container.is_running() {
                made.end(now_ms, exit_code);
                self.tell(&made.container);
            }
        }
    }

    /// Every effect, in order: `start k8s_web_...`.
    pub fn calls(&self) -> Vec<String> {
        self.inner.lock().calls.clone()
    }

    /// How often each container (by the engine's name) was started.
    pub fn starts(&self) -> BTreeMap<String, usize> {
        self.inner.lock().starts.clone()
    }

    /// How often somebody looked at what there is.
    pub fn looks(&self) -> usize {
        self.inner.lock().looks
    }

    /// What a container was created from, by its name in the pod; the newest.
    pub fn config(&self, container: &str) -> Option<ContainerConfig> {
        let inner = self.inner.lock();
        let of_name = inner.made.values().filter(|made| made.container.container_name() == container);
        of_name.max_by_key(|made| made.container.attempt()).map(|made| made.config.clone())
    }

    fn tell(&self, container: &Container) {
        if let Some(uid) = container.label(label::POD_UID) {
            // Nobody follows: nobody is told.
            let _ = self.events.lock().send(EngineEvent { pod_uid: uid.to_owned() });
        }
    }

    /// Whether the call may go on; a failure that was ordered comes first.
    fn enter(&self, call: &str) -> Result<parking_lot::MutexGuard<'_, Inner>, EngineError> {
        let mut inner = self.inner.lock();
        if inner.is_down {
            return Err(EngineError::Unreachable("connection refused".to_owned()));
        }
        if let Some(error) = inner.failures.get_mut(call).and_then(VecDeque::pop_front) {
            return Err(error);
        }
        inner.settle(env::wall_ms());
        Ok(inner)
    }

    /// Tells of the end of a container when it comes.
    fn tell_at(&self, id: &str, delay_ms: u64) {
        let (inner, events, id) = (Arc::clone(&self.inner), self.events.lock().clone(), id.to_owned());
        env::spawn(async move {
            env::sleep(Duration::from_millis(delay_ms)).await;
            let mut inner = inner.lock();
            inner.settle(env::wall_ms());
            let uid = inner.made.get(&id).and_then(|made| made.container.label(label::POD_UID));
            if let Some(uid) = uid {
                let _ = events.send(EngineEvent { pod_uid: uid.to_owned() });
            }
        });
    }
}

fn made_up(name: &str, user: &str) -> Image {
    Image { id: format!("sha256:{name}"), user: user.to_owned(), size_bytes: 1024 }
}

impl Inner {
    fn settle(&mut self, now_ms: u64) {
        for made in self.made.values_mut() {
            if let Some((at_ms, code)) = made.exits_at
                && at_ms <= now_ms
                && made.container.is_running()
            {
                made.end(at_ms, code);
            }
        }
    }

    fn find(&mut self, id_or_name: &str) -> Result<&mut Made, EngineError> {
        let missing = || EngineError::NotFound(format!("No such container: {id_or_name}"));
        let is_it = |made: &&mut Made| made.container.id == id_or_name || made.container.name == id_or_name;
        self.made.values_mut().find(is_it).ok_or_else(missing)
    }
}

impl Made {
    fn end(&mut self, at_ms: u64, code: i32) {
        let State::Running { started_ms, .. } = self.container.state else { return };
        let is_oom = self.script.is_oom;
        let exit = Exit { code, started_ms, finished_ms: at_ms, is_oom, ..Exit::default() };
        self.container.state = State::Exited(exit);
        self.exits_at = None;
        let path = self.config.labels.get(label::MESSAGE_PATH);
        let message = self.config.mounts.iter().find(|mount| Some(&mount.container_path) == path);
        if let Some(mount) = message.filter(|_| !self.script.message.is_empty()) {
            // A test that set no folder up wants no message.
            let _ = std::fs::write(&mount.host_path, &self.script.message);
        }
    }
}

#[async_trait]
impl ContainerEngine for FakeEngine {
    async fn list(&self, node: &str, pod_uid: Option<&str>) -> Result<Vec<Container>, EngineError> {
        let mut inner = self.enter("list")?;
        inner.looks += 1;
        let is_of = |container: &&Container| {
            container.label(label::NODE) == Some(node)
                && pod_uid.is_none_or(|uid| container.label(label::POD_UID) == Some(uid))
        };
        Ok(inner.made.values().map(|made| &made.container).filter(is_of).cloned().collect())
    }

    async fn create(&self, config: &ContainerConfig) -> Result<String, EngineError> {
        let id = {
            let mut inner = self.enter("create")?;
            if inner.made.values().any(|made| made.container.name == config.name) {
                let text = format!("Conflict. The container name {:?} is already in use", config.name);
                return Err(EngineError::Conflict(text));
            }
            if !inner.images.iter().any(|(name, image)| *name == config.image || image.id == config.image) {
                return Err(EngineError::NotFound(format!("No such image: {}", config.image)));
            }
            inner.ids += 1;
            let id = format!("{:04}", inner.ids);
            let name = config.labels.get(label::CONTAINER_NAME).cloned().unwrap_or_default();
            let script = match inner.scripts.get_mut(&name) {
                Some(scripts) if scripts.len() > 1 => scripts.pop_front(),
                Some(scripts) => scripts.front().cloned(),
                None => None,
            };
            let container = Container {
                id: id.clone(),
                name: config.name.clone(),
                labels: config.labels.clone(),
                image_ref: format!("docker://{}", config.image),
                created_ms: env::wall_ms(),
                state: State::Created,
                message: None,
            };
            let script = script.unwrap_or_default();
            let made = Made { container, config: config.clone(), script, starts: 0, exits_at: None };
            inner.made.insert(id.clone(), made);
            inner.calls.push(format!("create {}", config.name));
            id
        };
        self.cut.passed().await;
        Ok(id)
    }

    async fn start(&self, container: &str) -> Result<(), EngineError> {
        let now_ms = env::wall_ms();
        let (id, exits_in) = {
            let mut inner = match self.enter("start") {
                // As the real one, it remembers what it could not start.
                Err(EngineError::Refused(error)) => {
                    let start_error = Some(error.clone());
                    let exit = Exit { code: 128, finished_ms: now_ms, start_error, ..Exit::default() };
                    self.inner.lock().find(container)?.container.state = State::Exited(exit);
                    return Err(EngineError::Refused(error));
                }
                entered => entered?,
            };
            let made = inner.find(container)?;
            if made.container.state != State::Created {
                return Err(EngineError::Conflict("container already started".to_owned()));
            }
            made.starts += 1;
            let pid = 1000 + u32::try_from(made.starts).unwrap_or(0);
            made.container.state = State::Running { started_ms: now_ms, pid };
            let runs_ms = made.script.runs_ms;
            made.exits_at = runs_ms.map(|runs_ms| (now_ms + runs_ms, made.script.exit_code));
            let (id, name) = (made.container.id.clone(), made.container.name.clone());
            self.tell(&made.container);
            *inner.starts.entry(name.clone()).or_default() += 1;
            inner.calls.push(format!("start {name}"));
            (id, runs_ms)
        };
        exits_in.into_iter().for_each(|runs_ms| self.tell_at(&id, runs_ms));
        self.cut.passed().await;
        Ok(())
    }

    async fn signal(&self, container: &str, signal: Signal) -> Result<(), EngineError> {
        let told = {
            let mut inner = self.enter("signal")?;
            let now_ms = env::wall_ms();
            let Ok(made) = inner.find(container) else { return Ok(()) };
            let name = made.container.name.clone();
            let exit = match signal {
                Signal::Kill => Some((0, 137)),
                Signal::Stop => made.script.stops_ms.map(|stops_ms| (stops_ms, 143)),
            };
            if let Some((delay_ms, code)) = exit {
                made.exits_at = Some((now_ms + delay_ms, code));
            }
            let id = made.container.id.clone();
            inner.settle(now_ms);
            inner.calls.push(format!("{} {name}", if signal == Signal::Kill { "kill" } else { "stop" }));
            exit.map(|(delay_ms, _)| (id, delay_ms))
        };
        told.into_iter().for_each(|(id, delay_ms)| self.tell_at(&id, delay_ms));
        self.cut.passed().await;
        Ok(())
    }

    async fn remove(&self, container: &str) -> Result<(), EngineError> {
        {
            let mut inner = self.enter("remove")?;
            let Ok(made) = inner.find(container) else { return Ok(()) };
            let (id, name) = (made.container.id.clone(), made.container.name.clone());
            inner.made.remove(&id);
            inner.calls.push(format!("remove {name}"));
        }
        self.cut.passed().await;
        Ok(())
    }

    async fn image(&self, name: &str) -> Result<Option<Image>, EngineError> {
        Ok(self.enter("image")?.images.get(name).cloned())
    }

    async fn pull(&self, name: &str, credentials: Option<&Credentials>) -> Result<Image, EngineError> {
        let image = {
            let mut inner = self.enter("pull")?;
            inner.calls.push(format!("pull {name}"));
            if inner.accounts.get(name).is_some_and(|account| Some(account) != credentials) {
                return Err(EngineError::Refused(format!("pull access denied for {name}")));
            }
            let unknown = || EngineError::NotFound(format!("manifest for {name} not found"));
            let image = inner.registry.get(name).cloned().ok_or_else(unknown)?;
            inner.images.insert(name.to_owned(), image.clone());
            image
        };
        self.cut.passed().await;
        Ok(image)
    }

    async fn load(&self, _archive: Bytes) -> Result<(), EngineError> {
        self.enter("load")?.images.insert(pause::IMAGE.to_owned(), made_up(pause::IMAGE, ""));
        self.cut.passed().await;
        Ok(())
    }

    fn events(&self, _node: &str) -> BoxStream<'static, Result<EngineEvent, EngineError>> {
        if self.inner.lock().is_down {
            let error = EngineError::Unreachable("connection refused".to_owned());
            return stream::once(async { Err(error) }).boxed();
        }
        let events = self.events.lock().subscribe();
        stream::unfold(events, |mut events| async {
            match events.recv().await {
                Ok(event) => Some((Ok(event), events)),
                // Too many, or the engine is gone: who follows looks again.
                Err(_) => None,
            }
        })
        .boxed()
    }

    async fn logs(&self, container: &str, options: LogOptions) -> Result<OutputStream, EngineError> {
        let mut inner = self.enter("logs")?;
        let log = inner.find(container)?.script.log.clone();
        let lines: Vec<&str> = log.split_inclusive('\n').collect();
        let tail = options.tail.map_or(lines.len(), |tail| usize::try_from(tail).unwrap_or(lines.len()));
        let text = lines[lines.len().saturating_sub(tail)..].concat();
        Ok(stream::once(async move { Ok(Output::Stdout(Bytes::from(text))) }).boxed())
    }

    async fn exec(&self, container: &str, options: SessionOptions) -> Result<Session, EngineError> {
        let (code, output) = {
            let mut inner = self.enter("exec")?;
            let command = options.command.join(" ");
            if !inner.find(container)?.container.is_running() {
                return Err(EngineError::Conflict(format!("Container {container} is not running")));
            }
            inner.calls.push(format!("exec {command}"));
            inner.execs.get(&command).cloned().unwrap_or_default()
        };
        self.cut.passed().await;
        let output = stream::once(async move { Ok(Output::Stdout(Bytes::from(output))) }).boxed();
        Ok(Session { stdin: Box::pin(tokio::io::sink()), output, control: Arc::new(FakeControl(code)) })
    }

    /// Talks to a container that gives back what it is told.
    async fn attach(&self, container: &str, _options: SessionOptions) -> Result<Session, EngineError> {
        self.enter("attach")?.find(container)?;
        let (near, far) = tokio::io::duplex(1024);
        let output = stream::unfold(far, |mut far| async {
            let mut buffer = vec![0; 1024];
            let read = tokio::io::AsyncReadExt::read(&mut far, &mut buffer).await.unwrap_or(0);
            buffer.truncate(read);
            (read > 0).then(|| (Ok(Output::Stdout(Bytes::from(buffer))), far))
        });
        Ok(Session { stdin: Box::pin(near), output: output.boxed(), control: Arc::new(FakeControl(0)) })
    }
}

struct FakeControl(i32);

#[async_trait]
impl SessionControl for FakeControl {
    async fn resize(&self, _width: u16, _height: u16) -> Result<(), EngineError> {
        Ok(())
    }

    async fn exit_code(&self) -> Result<Option<i32>, EngineError> {
        Ok(Some(self.0))
    }
}
