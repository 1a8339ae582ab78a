//! Towards a pod that runs: sandbox, init containers in order, containers.

use crate::backoff;
use crate::engine::{Container, State};
use crate::pod::{Kind, Member};
use crate::probe::ProbeKind;
use crate::records::{Attempted, Hook, HookState, ImageState, Why};
use crate::status;

use super::{Draft, Step, View, end};

/// The steps that can be taken now.
pub(super) fn steps(view: View<'_>, draft: &mut Draft) {
    hooks(view, draft);
    // What is being ended is ended first, whatever else the pod needs.
    for member in &view.desired.members {
        if let Some(container) = view.observed.newest(member.name())
            && container.is_running()
            && let Some(stop) = view.records.stopping.get(&container.id)
        {
            end::stop(view, member, container, stop.why, draft);
        }
    }
    if !sandbox(view, draft) {
        return;
    }
    for member in view.desired.of_kinds(&[Kind::Ephemeral]) {
        if !view.observed.newest(member.name()).is_some_and(|container| container.state != State::Created) {
            start(view, member, draft);
        }
    }
    if initialized(view, draft) {
        containers(view, draft);
    }
}

/// Hooks of containers that just started.
fn hooks(view: View<'_>, draft: &mut Draft) {
    for ((id, hook), state) in &view.records.hooks {
        if *state != HookState::Due {
            continue;
        }
        let is_it = |container: &&Container| container.id == *id && container.is_running();
        if let Some(container) = view.observed.containers.iter().find(is_it) {
            let container = container.container_name().to_owned();
            draft.steps.push(Step::RunHook { container, id: id.clone(), hook: *hook });
        }
    }
}

/// Whether containers can join the sandbox; if not, what to do about it.
fn sandbox(view: View<'_>, draft: &mut Draft) -> bool {
    let newest = view.observed.sandboxes.first();
    match newest.map(|sandbox| (&sandbox.state, sandbox)) {
        Some((State::Running { pid, .. }, sandbox)) => {
            let is_connected =
                view.records.network.as_ref().is_some_and(|network| network.sandbox == sandbox.id);
            if !is_connected && !is_waiting(view, draft) {
                draft.steps.push(Step::AttachNetwork { sandbox: sandbox.id.clone(), pid: *pid });
            }
            is_connected
        }
        Some((State::Created, sandbox)) => {
            if !is_waiting(view, draft) {
                draft.steps.push(Step::StartSandbox { id: sandbox.id.clone() });
            }
            false
        }
        Some((State::Exited(_), _)) | None => {
            let mut is_empty = true;
            for member in &view.desired.members {
                if let Some(container) = view.observed.newest(member.name())
                    && container.is_running()
                {
                    is_empty = false;
                    if !view.records.stopping.contains_key(&container.id) {
                        end::stop(view, member, container, Why::SandboxGone, draft);
                    }
                }
            }
            if !is_empty || !is_worth_a_sandbox(view) {
                return false;
            }
            // One that a process of its pod ends again and again comes no faster than that.
            let again = newest.filter(|sandbox| sandbox.attempt() > 0);
            let due_ms = again.map_or(0, |sandbox| sandbox.created_ms + crate::limits::SANDBOX_PAUSE_MS);
            if due_ms > view.now_ms {
                draft.wake(due_ms);
            } else if !is_waiting(view, draft) {
                if view.records.volumes != Attempted::Yes {
                    draft.steps.push(Step::PrepareVolumes);
                }
                let attempt = newest.map_or(0, |sandbox| sandbox.attempt() + 1);
                draft.steps.push(Step::CreateSandbox { attempt });
            }
            false
        }
    }
}

/// Whether a failure before the first container must be waited out.
fn is_waiting(view: View<'_>, draft: &mut Draft) -> bool {
    let failed = view.records.sandbox_failed.as_ref().map_or(0, |failure| failure.retry_ms);
    let volumes = match view.records.volumes {
        Attempted::RetryAt(at_ms) => at_ms,
        Attempted::No | Attempted::Yes => 0,
    };
    let until_ms = failed.max(volumes);
    if until_ms > view.now_ms {
        draft.wake(until_ms);
    }
    until_ms > view.now_ms
}

/// Whether anything of the pod would start in a new sandbox.
fn is_worth_a_sandbox(view: View<'_>) -> bool {
    view.desired.of_kinds(&[Kind::Init, Kind::App]).any(|member| {
        match view.observed.newest(member.name()).and_then(Container::exit) {
            None => true,
            Some(exit) => view.desired.restarts(member, exit.code),
        }
    })
}

/// Whether the containers may start; if not, the next init container does.
fn initialized(view: View<'_>, draft: &mut Draft) -> bool {
    let members: Vec<&Member> = view.desired.of_kinds(&[Kind::Init, Kind::Sidecar]).collect();
    let is_past = status::has_any_app_started(view);
    let last_seen =
        members.iter().rposition(|member| view.observed.active(member.name()).is_some()).unwrap_or(0);
    let mut frontier = if is_past { members.len() } else { last_seen };
    for (position, member) in members.iter().enumerate() {
        if position > frontier {
            return false;
        }
        let is_done = match member.kind {
            Kind::Sidecar => sidecar(view, member, draft),
            _ if position < frontier => true,
            _ => init(view, member, draft),
        };
        if position == frontier && is_done {
            frontier += 1;
        }
    }
    frontier >= members.len()
}

/// Whether an init container ran to a good end; if not, it goes on.
fn init(view: View<'_>, member: &Member, draft: &mut Draft) -> bool {
    let active = view.observed.active(member.name());
    match active.map(|container| &container.state) {
        Some(State::Running { .. }) => false,
        Some(State::Exited(exit)) if exit.code == 0 => true,
        // One that failed for good has failed the pod, and the plan is another one.
        Some(State::Exited(_) | State::Created) | None => {
            start(view, member, draft);
            false
        }
    }
}

/// Keeps a sidecar running. Whether what follows it may start.
fn sidecar(view: View<'_>, member: &Member, draft: &mut Draft) -> bool {
    match view.observed.active(member.name()) {
        Some(container) if container.is_running() => {
            if view.records.stopping.contains_key(&container.id) {
                return false;
            }
            replace_if_needed(view, member, container, draft);
            status::has_started(view, member, container) && !view.records.is_starting(&container.id)
        }
        _ => {
            start(view, member, draft);
            false
        }
    }
}

/// Keeps containers running, in their order: a hook of one holds up the start of the next.
fn containers(view: View<'_>, draft: &mut Draft) {
    for member in view.desired.of_kinds(&[Kind::App]) {
        let active = view.observed.active(member.name());
        match active.map(|container| (&container.state, container)) {
            Some((State::Running { .. }, container)) => {
                if !view.records.stopping.contains_key(&container.id) {
                    replace_if_needed(view, member, container, draft);
                }
                if view.records.is_starting(&container.id) {
                    return;
                }
            }
            Some((State::Exited(_), container)) => {
                if view.restarts(member, container) {
                    start(view, member, draft);
                }
            }
            Some((State::Created, _)) => start(view, member, draft),
            None => {
                let old = view.observed.newest(member.name()).and_then(Container::exit);
                if old.is_none_or(|exit| view.desired.restarts(member, exit.code)) {
                    start(view, member, draft);
                }
            }
        }
    }
}

/// Ends a container that must be replaced.
fn replace_if_needed(view: View<'_>, member: &Member, container: &Container, draft: &mut Draft) {
    let verdict = |kind| {
        let state = view.records.probes.get(&(container.id.clone(), kind));
        state.and_then(|state| state.verdict)
    };
    let hook = view.records.hooks.get(&(container.id.clone(), Hook::PostStart));
    let hash = container.label(crate::names::label::HASH);
    let why = if hash.is_some_and(|hash| hash != member.hash()) {
        Why::Changed
    } else if verdict(ProbeKind::Liveness) == Some(false) {
        Why::Probe(ProbeKind::Liveness)
    } else if verdict(ProbeKind::Startup) == Some(false) {
        Why::Probe(ProbeKind::Startup)
    } else if hook == Some(&HookState::Failed) {
        Why::PostStart
    } else {
        return;
    };
    end::stop(view, member, container, why, draft);
}

/// One start of a container, as far as it can go now.
fn start(view: View<'_>, member: &Member, draft: &mut Draft) {
    let name = member.name();
    let newest = view.observed.newest(name);
    if let Some(created) = newest.filter(|container| container.state == State::Created) {
        draft.steps.push(Step::StartContainer { container: name.to_owned(), attempt: created.attempt() });
        return;
    }
    // Another sandbox is another life: waits begin anew, as they do where a node or its engine was stopped.
    let active = view.observed.active(name);
    if let Some(dead) = active.filter(|_| member.kind != Kind::Ephemeral) {
        let due_ms = backoff::due_ms(dead);
        if due_ms > view.now_ms {
            draft.wake(due_ms);
            let shown_ms =
                due_ms.min(dead.exit().map_or(0, |exit| exit.finished_ms) + crate::limits::FAILURE_SHOWN_MS);
            if shown_ms > view.now_ms {
                draft.wake(shown_ms);
            }
            return;
        }
    }
    if let Some(failure) = view.records.failures.get(name)
        && failure.retry_ms > view.now_ms
    {
        draft.wake(failure.retry_ms);
        return;
    }
    let attempt = attempt(view, name);
    if !image(view, name, attempt, draft) || is_waiting(view, draft) {
        return;
    }
    if view.records.volumes != Attempted::Yes {
        draft.steps.push(Step::PrepareVolumes);
    }
    let container = name.to_owned();
    draft.steps.push(Step::CreateContainer {
        container: container.clone(),
        attempt,
        backoff_ms: backoff::next(active),
    });
    draft.steps.push(Step::StartContainer { container, attempt });
}

/// Which start it is. What the engine lost is in the status still.
fn attempt(view: View<'_>, name: &str) -> u32 {
    if let Some(newest) = view.observed.newest(name) {
        return newest.attempt() + 1;
    }
    let was = status::of_container(&view.records.status, name).filter(|was| was.container_id.is_some());
    was.map_or(0, |was| u32::try_from(was.restart_count).unwrap_or(0) + 1)
}

/// Whether the image of this start is there; if not, it is looked for.
fn image(view: View<'_>, name: &str, attempt: u32, draft: &mut Draft) -> bool {
    let record = view.records.images.get(name).filter(|record| record.attempt == attempt);
    match record.map(|record| &record.state) {
        Some(ImageState::Ready(_)) => true,
        Some(ImageState::Working) => false,
        Some(ImageState::Failed(failure)) if failure.retry_ms > view.now_ms => {
            draft.wake(failure.retry_ms);
            let shown_ms = failure.failed_ms + crate::limits::FAILURE_SHOWN_MS;
            if shown_ms > view.now_ms {
                draft.wake(shown_ms);
            }
            false
        }
        Some(ImageState::Failed(_)) | None => {
            draft.steps.push(Step::EnsureImage { container: name.to_owned(), attempt });
            false
        }
    }
}
