//! The status of one container.

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    VolumeMountStatus,
};

use crate::backoff;
use crate::engine::{Container, Exit, State};
use crate::limits::FAILURE_SHOWN_MS;
use crate::plan::View;
use crate::pod::{Kind, Member};
use crate::probe::ProbeKind;
use crate::records::{Hook, HookState, ImageState};
use crate::time::{span, time};

use super::{has_started, of_container, verdict, was};

/// The exit code of what nobody knows the end of: as if it had been killed.
const UNKNOWN_EXIT_CODE: i32 = 137;

/// The reason that Kubernetes gives for it.
const UNKNOWN: &str = "ContainerStatusUnknown";

/// The container's id as a status shows it.
pub(super) fn id(container: &Container) -> String {
    format!("docker://{}", container.id)
}

/// The status of this container; `is_over` when nothing of the pod runs or will.
pub(super) fn status(view: View<'_>, member: &Member, is_over: bool) -> ContainerStatus {
    let old = of_container(&view.records.status, member.name());
    let mut status = match view.observed.newest(member.name()) {
        Some(container) => of_observed(view, member, container, old),
        None => of_missing(view, member, old),
    };
    if is_over {
        end_unknown(view, member, &mut status);
    } else if let Some(waiting) = waits_for(view, member) {
        let state = status.state.replace(waiting_state(waiting));
        if state.as_ref().is_some_and(|state| state.terminated.is_some()) {
            status.last_state = state;
        }
    }
    judge(view, member, &mut status);
    status
}

/// What the object says of it, before it was ever created.
fn blank(view: View<'_>, member: &Member) -> ContainerStatus {
    let container = &member.container;
    let mounts: Vec<VolumeMountStatus> = container
        .volume_mounts
        .iter()
        .flatten()
        .map(|mount| VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only: mount.read_only,
            recursive_read_only: (mount.read_only == Some(true)).then(|| "Disabled".to_owned()),
            ..VolumeMountStatus::default()
        })
        .collect();
    let has_init = view.desired.of_kinds(&[Kind::Init, Kind::Sidecar]).next().is_some();
    let reason = if has_init { "PodInitializing" } else { "ContainerCreating" };
    ContainerStatus {
        name: member.name().to_owned(),
        image: member.image().to_owned(),
        state: Some(waiting_state(ContainerStateWaiting { reason: Some(reason.to_owned()), message: None })),
        volume_mounts: (!mounts.is_empty()).then_some(mounts),
        ..ContainerStatus::default()
    }
}

fn of_observed(
    view: View<'_>,
    member: &Member,
    container: &Container,
    old: Option<&ContainerStatus>,
) -> ContainerStatus {
    let mut status = blank(view, member);
    // What it was made with: what its pod asks for since is not carried out.
    match old.filter(|old| old.container_id == Some(id(container))) {
        Some(old) => {
            status.allocated_resources.clone_from(&old.allocated_resources);
            status.resources.clone_from(&old.resources);
        }
        None => {
            let resources = member.container.resources.clone();
            status.allocated_resources = resources.as_ref().and_then(|resources| resources.requests.clone());
            status.resources = resources;
        }
    }
    status.image_id.clone_from(&container.image_ref);
    status.container_id = Some(id(container));
    status.restart_count = i32::try_from(container.attempt()).unwrap_or(i32::MAX);
    match &container.state {
        State::Created => {}
        // Until its hook ran, nobody is told that it runs.
        State::Running { .. } if view.records.is_starting(&container.id) => {}
        // One that failed ends it.
        State::Running { .. } if has_failed_to_start(view, container) => {}
        State::Running { started_ms, .. } => {
            let running = ContainerStateRunning { started_at: Some(time(*started_ms)) };
            status.state = Some(ContainerState { running: Some(running), ..ContainerState::default() });
        }
        State::Exited(exit) => status.state = Some(terminated(container, exit)),
    }
    let before = view
        .observed
        .containers
        .iter()
        .filter(|other| other.container_name() == member.name())
        .nth(1)
        .and_then(|previous| previous.exit().map(|exit| terminated(previous, exit)));
    status.last_state = before.or_else(|| {
        // The engine lost it, or had it removed: what was said of it last holds.
        let old = old?;
        let ended = |state: &Option<ContainerState>| state.clone().filter(|state| state.terminated.is_some());
        let is_same = old.container_id == status.container_id;
        if is_same { ended(&old.last_state) } else { ended(&old.state).or_else(|| ended(&old.last_state)) }
    });
    status
}

fn has_failed_to_start(view: View<'_>, container: &Container) -> bool {
    view.records.hooks.get(&(container.id.clone(), Hook::PostStart)) == Some(&HookState::Failed)
}

fn of_missing(view: View<'_>, member: &Member, old: Option<&ContainerStatus>) -> ContainerStatus {
    let mut status = blank(view, member);
    let Some(old) = old else { return status };
    let state = old.state.clone().unwrap_or_default();
    if state.terminated.is_some() {
        return old.clone();
    }
    status.restart_count = old.restart_count;
    status.last_state.clone_from(&old.last_state);
    if state.running.is_some() && old.last_state.as_ref().is_none_or(|last| last.terminated.is_none()) {
        let message = "The container could not be located when the pod was deleted.  \
                       The container used to be Running";
        status.last_state = Some(unknown_end(message));
        if !view.desired.is_deleted() {
            status.restart_count += 1;
        }
    }
    status
}

fn waiting_state(waiting: ContainerStateWaiting) -> ContainerState {
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn unknown_end(message: &str) -> ContainerState {
    let terminated = ContainerStateTerminated {
        reason: Some(UNKNOWN.to_owned()),
        message: Some(message.to_owned()),
        exit_code: UNKNOWN_EXIT_CODE,
        ..ContainerStateTerminated::default()
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

fn terminated(container: &Container, exit: &Exit) -> ContainerState {
    let reason = match exit {
        Exit { start_error: Some(_), .. } => "StartError",
        Exit { is_oom: true, .. } => "OOMKilled",
        Exit { code: 0, .. } => "Completed",
        Exit { .. } => "Error",
    };
    let message = exit.start_error.clone().or_else(|| container.message.clone());
    let terminated = ContainerStateTerminated {
        container_id: Some(id(container)),
        exit_code: exit.code,
        started_at: Some(time(exit.started_ms)),
        finished_at: Some(time(exit.finished_ms)),
        reason: Some(reason.to_owned()),
        message: message.filter(|message| !message.is_empty()),
        signal: None,
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

/// Once a pod has run, a container that nobody can find when it is over is one that was killed.
fn end_unknown(view: View<'_>, member: &Member, status: &mut ContainerStatus) {
    let is_ended = status.state.as_ref().is_some_and(|state| state.terminated.is_some());
    let has_run = match member.kind {
        Kind::App => {
            let init = view.desired.of_kinds(&[Kind::Init]);
            init.into_iter().all(|init| {
                let observed = view.observed.newest(init.name()).and_then(Container::exit);
                observed.is_some_and(|exit| exit.code == 0)
            }) || super::has_any_app_started(view)
        }
        Kind::Init | Kind::Sidecar | Kind::Ephemeral => status.container_id.is_some(),
    };
    if has_run && !is_ended {
        status.state = Some(unknown_end("The container could not be located when the pod was terminated"));
    }
}

/// What keeps a container that should start from doing so.
fn waits_for(view: View<'_>, member: &Member) -> Option<ContainerStateWaiting> {
    let name = member.name();
    let newest = view.observed.newest(name);
    let should_start = match newest.map(|container| &container.state) {
        None | Some(State::Created) => true,
        Some(State::Running { .. }) => false,
        Some(State::Exited(_)) => newest.is_some_and(|newest| view.restarts(member, newest)),
    };
    let is_ending = view.desired.is_deleted() || super::has_run(view);
    if !should_start || is_ending {
        return None;
    }
    let waiting = |reason: &str, message: String| ContainerStateWaiting {
        reason: Some(reason.to_owned()),
        message: Some(message).filter(|message| !message.is_empty()),
    };
    if let Some(dead) = view.observed.active(name).filter(|dead| dead.exit().is_some())
        && view.now_ms < backoff::due_ms(dead)
    {
        let delay = span(backoff::after(dead));
        let pod = &view.desired.key;
        return backoff::is_shown(dead, view.now_ms).then(|| {
            let message = format!("back-off {delay} restarting failed container={name} pod={pod}");
            waiting("CrashLoopBackOff", message)
        });
    }
    if let Some(ImageState::Failed(failure)) = view.records.images.get(name).map(|record| &record.state) {
        let is_pull = failure.reason == "ErrImagePull";
        let is_waiting = is_pull && view.now_ms >= failure.failed_ms + FAILURE_SHOWN_MS;
        return Some(if is_waiting {
            let message =
                format!("Back-off pulling image \"{}\": ErrImagePull: {}", member.image(), failure.message);
            waiting("ImagePullBackOff", message)
        } else {
            waiting(failure.reason, failure.message.clone())
        });
    }
    let failure = view.records.failures.get(name)?;
    Some(waiting(failure.reason, failure.message.clone()))
}

/// Whether it started, and whether it is ready.
fn judge(view: View<'_>, member: &Member, status: &mut ContainerStatus) {
    if member.kind == Kind::Ephemeral {
        return;
    }
    let state = status.state.as_ref();
    let running = view.observed.newest(member.name());
    let running = running.filter(|_| state.is_some_and(|state| state.running.is_some()));
    let has_started = running.is_some_and(|container| has_started(view, member, container));
    status.started = Some(has_started);
    status.ready = match (member.kind, running) {
        (Kind::Init, _) => {
            let ended = state.and_then(|state| state.terminated.as_ref());
            ended.is_some_and(|ended| ended.exit_code == 0)
        }
        (_, Some(container)) if has_started => {
            ProbeKind::Readiness.of(member).is_none()
                || verdict(view, container, ProbeKind::Readiness)
                    .unwrap_or_else(|| was(view, container).is_some_and(|old| old.ready))
        }
        _ => false,
    };
}
