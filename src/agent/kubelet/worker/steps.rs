//! Takes the steps of a plan. What fails is noted with the time of the next try, so that the next plan knows.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use base::{env, resolv_conf};
use tracing::warn;

use super::Worker;
use super::outcomes::Outcome;
use crate::config::{self, files};
use crate::engine::{Container, EngineError, Signal};
use crate::limits::RETRY_MS;
use crate::names;
use crate::outside::{Addresses, ControlError, Event};
use crate::pause;
use crate::plan::{Observed, Step};
use crate::pod::Member;
use crate::probe::ProbeKind;
use crate::prober::{self, Target};
use crate::records::{Attempted, Done, Failure, Hook, HookState, ImageState, Network, Stopping};

/// The steps after this one must wait: what went wrong is noted.
pub(super) struct Stop;

pub(super) type Taken = Result<Result<(), Stop>, EngineError>;

const GO_ON: Taken = Ok(Ok(()));
const STOP: Taken = Ok(Err(Stop));

impl Worker {
    /// Takes steps in order, up to the first that fails.
    ///
    /// # Errors
    /// When the engine is out of reach: nothing is noted then, for nothing is known.
    pub(super) async fn take(&mut self, steps: Vec<Step>, observed: &Observed) -> Result<(), EngineError> {
        for step in steps {
            if self.take_one(step, observed).await?.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn take_one(&mut self, step: Step, observed: &Observed) -> Taken {
        let engine = Arc::clone(&self.shared.engine);
        match step {
            Step::PrepareVolumes => self.prepare_volumes().await,
            Step::CreateSandbox { attempt } => self.create_sandbox(attempt).await,
            Step::StartSandbox { id } => {
                let started = self.start(&id).await;
                self.sandbox_step(started)
            }
            Step::AttachNetwork { sandbox, pid } => self.attach_network(sandbox, pid).await,
            Step::EnsureImage { container, attempt } => self.ensure_image(&container, attempt),
            Step::CreateContainer { container, attempt, backoff_ms } => {
                self.create_container(&container, attempt, backoff_ms, observed).await
            }
            Step::StartContainer { container, attempt } => self.start_container(&container, attempt).await,
            Step::RunHook { container, id, hook } => self.run_hook(&container, id, hook),
            Step::RunProbe { container, id, kind } => self.run_probe(&container, id, kind),
            Step::BeginStop { container, id, message, why } => {
                let stopping = Stopping { since_ms: env::wall_ms(), why, asked_ms: None, killed_ms: None };
                self.records.stopping.insert(id, stopping);
                if let Some(member) = self.desired.member(&container) {
                    self.tell_of(member, false, "Killing", message);
                }
                GO_ON
            }
            Step::Terminate { id } => {
                let sent = engine.signal(&id, Signal::Stop).await;
                let noted = self.records.stopping.get_mut(&id);
                noted.into_iter().for_each(|stop| stop.asked_ms = Some(env::wall_ms()));
                self.logged("ask a container to end", sent)
            }
            Step::Kill { id } => {
                let sent = engine.signal(&id, Signal::Kill).await;
                let noted = self.records.stopping.get_mut(&id);
                noted.into_iter().for_each(|stop| stop.killed_ms = Some(env::wall_ms()));
                self.logged("kill a container", sent)
            }
            Step::Remove { id } => {
                let removed = engine.remove(&id).await;
                self.end_step("remove a container", removed)
            }
            Step::DetachNetwork => self.detach_network().await,
            Step::Release => self.release().await,
            Step::ConfirmDeletion => self.confirm_deletion().await,
        }
    }

    async fn prepare_volumes(&mut self) -> Taken {
        let inputs = Arc::clone(&self.shared.inputs);
        match inputs.prepare(&self.desired).await {
            Ok(()) => {
                self.records.volumes = Attempted::Yes;
                GO_ON
            }
            Err(error) => {
                self.records.volumes = Attempted::RetryAt(env::wall_ms() + RETRY_MS);
                self.tell(Event {
                    field_path: None,
                    is_warning: true,
                    reason: "FailedMount",
                    message: error.to_string(),
                });
                STOP
            }
        }
    }

    async fn create_sandbox(&mut self, attempt: u32) -> Taken {
        let shared = Arc::clone(&self.shared);
        if attempt > 0 {
            let message = "Pod sandbox changed, it will be killed and re-created.".to_owned();
            self.tell(Event { field_path: None, is_warning: false, reason: "SandboxChanged", message });
            self.records.network = None;
            if let Err(error) = shared.network.detach(&self.key).await {
                return self.sandbox_step(Err(EngineError::Refused(error.to_string())));
            }
        }
        let config = config::sandbox(&shared.node, &self.desired, attempt);
        let _permit = shared.starts.acquire().await;
        let mut created = shared.engine.create(&config).await.map(drop);
        if matches!(created, Err(EngineError::NotFound(_))) {
            // Somebody removed the image under a running kubelet.
            created = match shared.engine.load(pause::archive()).await {
                Ok(()) => shared.engine.create(&config).await.map(drop),
                Err(error) => Err(error),
            };
        }
        self.sandbox_step(created)
    }

    /// Notes how a step towards a sandbox went. One that was taken before is taken.
    fn sandbox_step(&mut self, done: Result<(), EngineError>) -> Taken {
        match done {
            Ok(()) | Err(EngineError::Conflict(_)) => {
                self.records.sandbox_failed = None;
                GO_ON
            }
            Err(error) if error.is_unreachable() => Err(error),
            Err(error) => {
                let message = format!("Failed to create pod sandbox: {error}");
                let retry_ms = env::wall_ms() + RETRY_MS;
                self.records.sandbox_failed =
                    Some(Failure { reason: "FailedCreatePodSandBox", message: message.clone(), retry_ms });
                let reason = "FailedCreatePodSandBox";
                self.tell(Event { field_path: None, is_warning: true, reason, message });
                STOP
            }
        }
    }

    async fn attach_network(&mut self, sandbox: String, pid: u32) -> Taken {
        let ips = if self.desired.is_on_host_network() {
            self.shared.node.ips.clone()
        } else {
            let ports = config::host_ports(&self.desired);
            match self.shared.network.attach(&self.key, pid, &ports).await {
                Ok(ips) => ips.iter().map(ToString::to_string).collect(),
                Err(error) => return self.sandbox_step(Err(EngineError::Refused(error.to_string()))),
            }
        };
        let (shared, desired) = (Arc::clone(&self.shared), Arc::clone(&self.desired));
        let addresses = ips.clone();
        let written = env::blocking(move || {
            let dir = config::pod_dir(&shared.node.root, &desired.key);
            let node_hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
            let hosts = files::hosts(&desired, &shared.node, &addresses, &node_hosts);
            let servers = files::resolv_conf(&desired, &shared.node, &resolv_conf::of_host());
            std::fs::create_dir_all(&dir)?;
            write_if_other(&dir.join(files::HOSTS), &hosts)?;
            write_if_other(&dir.join(files::RESOLV_CONF), &servers)
        });
        if let Err(error) = written.await {
            let text = format!("the pod's hosts and resolv.conf could not be written: {error}");
            return self.sandbox_step(Err(EngineError::Refused(text)));
        }
        self.records.done.remove(&Done::Detached);
        self.records.network = Some(Network { sandbox, ips });
        self.sandbox_step(Ok(()))
    }

    fn ensure_image(&mut self, container: &str, attempt: u32) -> Taken {
        let Some(member) = self.desired.member(container).cloned() else { return GO_ON };
        let work = super::outcomes::ensure_image(
            Arc::clone(&self.shared),
            Arc::clone(&self.desired),
            member,
            attempt,
        );
        self.records.images.insert(
            container.to_owned(),
            crate::records::ImageRecord { attempt, state: ImageState::Working },
        );
        self.spawn(work);
        GO_ON
    }

    async fn create_container(
        &mut self,
        container: &str,
        attempt: u32,
        backoff_ms: u64,
        observed: &Observed,
    ) -> Taken {
        let (shared, desired) = (Arc::clone(&self.shared), Arc::clone(&self.desired));
        let Some(member) = desired.member(container) else { return GO_ON };
        let (Some(sandbox), Some(ImageState::Ready(image))) =
            (observed.sandbox(), self.records.images.get(container).map(|record| &record.state))
        else {
            return STOP;
        };
        let addresses = Addresses {
            pod_ips: self.records.network.as_ref().map(|network| network.ips.clone()).unwrap_or_default(),
            host_ips: shared.node.ips.clone(),
        };
        let inputs = match shared.inputs.resolve(&desired, container, &addresses).await {
            Ok(inputs) => inputs,
            Err(error) => {
                return self.start_failed(member, "CreateContainerConfigError", error.to_string());
            }
        };
        let target = member.target.as_deref().and_then(|target| observed.newest(target));
        let start = config::Start {
            node: &shared.node,
            desired: &desired,
            member,
            attempt,
            backoff_ms,
            sandbox: &sandbox.id,
            image,
            inputs,
            target: target.filter(|target| target.is_running()).map(|target| target.id.as_str()),
        };
        let config = match config::container(start) {
            Ok(config) => config,
            Err(error) => {
                return self.start_failed(member, "CreateContainerConfigError", error.to_string());
            }
        };
        let message = config::message_file(&shared.node.root, &desired.key, container, attempt);
        if let Err(error) = env::blocking(move || make_message_file(&message)).await {
            let text = format!("the file of the termination message could not be made: {error}");
            return self.start_failed(member, "CreateContainerError", text);
        }
        let created = {
            let _permit = shared.starts.acquire().await;
            shared.engine.create(&config).await
        };
        match created {
            Ok(_) => {
                self.tell_of(member, false, "Created", "Container created".to_owned());
                GO_ON
            }
            // A call whose answer was lost has created it.
            Err(EngineError::Conflict(_)) => GO_ON,
            Err(error) if error.is_unreachable() => Err(error),
            Err(error) => self.start_failed(member, "CreateContainerError", error.to_string()),
        }
    }

    async fn start_container(&mut self, container: &str, attempt: u32) -> Taken {
        let (shared, desired) = (Arc::clone(&self.shared), Arc::clone(&self.desired));
        let Some(member) = desired.member(container) else { return GO_ON };
        let name = names::container_name(&self.key, container, attempt);
        match self.start(&name).await {
            Ok(()) => self.tell_of(member, false, "Started", "Container started".to_owned()),
            Err(EngineError::Conflict(_)) => return GO_ON,
            Err(error) if error.is_unreachable() => return Err(error),
            Err(error) => return self.start_failed(member, "RunContainerError", error.to_string()),
        }
        self.records.failures.remove(container);
        let hooks = member.container.lifecycle.as_ref();
        if hooks.is_some_and(|hooks| hooks.post_start.is_some()) {
            let listed = shared.engine.list(&shared.node.name, Some(&self.key.uid)).await?;
            let started = listed.into_iter().find(|listed: &Container| listed.name == name);
            let hook = started.map(|started| (started.id, Hook::PostStart));
            self.records.hooks.extend(hook.map(|hook| (hook, HookState::Due)));
        }
        GO_ON
    }

    /// Starts a container or a sandbox when it is its turn: an engine that starts many at a time is slower for all.
    async fn start(&self, container: &str) -> Result<(), EngineError> {
        let _permit = self.shared.starts.acquire().await;
        self.shared.engine.start(container).await
    }

    /// Notes why a container did not start, and says so.
    pub(super) fn start_failed(&mut self, member: &Member, reason: &'static str, message: String) -> Taken {
        self.tell_of(member, true, "Failed", format!("Error: {message}"));
        let retry_ms = env::wall_ms() + RETRY_MS;
        self.records.failures.insert(member.name().to_owned(), Failure { reason, message, retry_ms });
        STOP
    }

    fn run_hook(&mut self, container: &str, id: String, hook: Hook) -> Taken {
        let lifecycle = self.desired.member(container).and_then(|member| member.container.lifecycle.clone());
        let handler = lifecycle.and_then(|lifecycle| match hook {
            Hook::PostStart => lifecycle.post_start,
            Hook::PreStop => lifecycle.pre_stop,
        });
        let Some(handler) = handler else {
            self.records.hooks.insert((id, hook), HookState::Done);
            return GO_ON;
        };
        self.records.hooks.insert((id.clone(), hook), HookState::Running);
        let container = container.to_owned();
        self.beside(container.clone(), id.clone(), move |target| {
            Box::pin(async move {
                let result = prober::hook(&target, &handler).await;
                Outcome::Hook { container, id, hook, result }
            })
        });
        GO_ON
    }

    fn run_probe(&mut self, container: &str, id: String, kind: ProbeKind) -> Taken {
        let probe = self.desired.member(container).and_then(|member| kind.of(member)).cloned();
        let Some(probe) = probe else { return GO_ON };
        let state = self.records.probes.entry((id.clone(), kind)).or_default();
        *state = state.begin(env::wall_ms());
        let container = container.to_owned();
        self.beside(container.clone(), id.clone(), move |target| {
            Box::pin(async move {
                let result = prober::probe(&target, &probe).await;
                Outcome::Probe { container, id, kind, result }
            })
        });
        GO_ON
    }

    /// Runs a hook or a probe beside the loop.
    fn beside(
        &mut self,
        container: String,
        id: String,
        run: impl for<'a> FnOnce(Target<'a>) -> futures::future::BoxFuture<'a, Outcome> + Send + 'static,
    ) {
        let (shared, desired) = (Arc::clone(&self.shared), Arc::clone(&self.desired));
        let ips = self.records.network.as_ref().map(|network| network.ips.clone()).unwrap_or_default();
        self.spawn(async move {
            let Some(member) = desired.member(&container) else { return Outcome::Nothing };
            let target = Target {
                engine: &*shared.engine,
                reach: &*shared.reach,
                pod: &desired.key,
                member,
                id: &id,
                pod_ip: ips.first().map_or("", String::as_str),
            };
            run(target).await
        });
    }

    async fn detach_network(&mut self) -> Taken {
        let detached = if self.desired.is_on_host_network() {
            Ok(())
        } else {
            let detached = self.shared.network.detach(&self.key).await;
            detached.map_err(|error| EngineError::Refused(error.to_string()))
        };
        if detached.is_ok() {
            self.records.network = None;
            self.records.done.insert(Done::Detached);
        }
        self.end_step("take back a pod's addresses", detached)
    }

    async fn release(&mut self) -> Taken {
        let released = self.shared.inputs.release(&self.key).await;
        let mut released = released.map_err(|error| error.to_string());
        if released.is_ok() {
            let dir = config::pod_dir(&self.shared.node.root, &self.key);
            released = match env::blocking(move || std::fs::remove_dir_all(dir)).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
                _ => Ok(()),
            };
        }
        if released.is_ok() {
            self.records.done.insert(Done::Released);
        }
        self.end_step("take back a pod's volumes", released.map_err(EngineError::Refused))
    }

    async fn confirm_deletion(&mut self) -> Taken {
        match self.shared.control.confirm_deletion(&self.key).await {
            Ok(()) | Err(ControlError::NotFound(_)) => {
                self.records.done.insert(Done::Confirmed);
                GO_ON
            }
            Err(error) => self.end_step("confirm a deletion", Err(EngineError::Refused(error.to_string()))),
        }
    }

    /// A step of a pod's end: what fails is tried again later, with all that follows.
    fn end_step(&mut self, what: &str, done: Result<(), EngineError>) -> Taken {
        if done.as_ref().is_err_and(|error| !error.is_unreachable()) {
            self.records.end_retry_ms = env::wall_ms() + RETRY_MS;
        }
        self.logged(what, done)
    }

    fn logged(&self, what: &str, done: Result<(), EngineError>) -> Taken {
        match done {
            Ok(()) => GO_ON,
            Err(error) if error.is_unreachable() => Err(error),
            Err(error) => {
                warn!(pod = %self.key, %error, "could not {what}; trying again later");
                STOP
            }
        }
    }
}

/// Writes a file in place: containers have it mounted, and would not see another one.
fn write_if_other(path: &Path, text: &str) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    std::fs::write(path, text)
}

/// Any user may write to it.
fn make_message_file(path: &Path) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::write(path, "")?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))
}
