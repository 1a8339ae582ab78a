//! Towards a pod that is no more: hooks, SIGTERM, SIGKILL, sidecars last; then its remains.

use k8s_openapi::api::core::v1::PodStatus;

use crate::engine::{Container, State};
use crate::limits::{GRACE_MIN_MS, KILL_AGAIN_MS};
use crate::pod::{Kind, Member};
use crate::probe::ProbeKind;
use crate::records::{Done, Hook, HookState, Why};

use super::{Draft, Step, View};

/// The steps of a pod's end that can be taken now. Whether nothing is left.
pub(super) fn steps(view: View<'_>, status: &PodStatus, draft: &mut Draft) -> bool {
    let mut is_any_running = false;
    for container in view.observed.containers.iter().filter(|container| container.is_running()) {
        is_any_running = true;
        if let Some(member) = view.desired.member(container.container_name()) {
            stop(view, member, container, Why::PodEnds, draft);
        } else {
            draft.steps.push(Step::Kill { id: container.id.clone() });
        }
    }
    if is_any_running {
        return false;
    }
    if view.records.end_retry_ms > view.now_ms {
        draft.wake(view.records.end_retry_ms);
        return false;
    }
    let done = &view.records.done;
    if !done.contains(&Done::Detached) {
        draft.steps.push(Step::DetachNetwork);
    }
    let remove = |container: &Container| Step::Remove { id: container.id.clone() };
    draft.steps.extend(view.observed.sandboxes.iter().map(remove));
    if !view.desired.is_deleted() {
        return false;
    }
    // Exit codes are told before they are thrown away, to whoever takes them.
    let is_told = view.desired.is_gone
        || view.records.is_unknown
        || [&view.records.reported, &view.records.untold].into_iter().flatten().any(|told| told == status);
    if !is_told {
        return false;
    }
    draft.steps.extend(view.observed.containers.iter().map(remove));
    if !done.contains(&Done::Released) {
        draft.steps.push(Step::Release);
    }
    if !view.desired.is_gone && !view.records.is_unknown && !done.contains(&Done::Confirmed) {
        draft.steps.push(Step::ConfirmDeletion);
    }
    draft.steps.is_empty()
}

/// One container's way to its end.
pub(super) fn stop(view: View<'_>, member: &Member, container: &Container, why: Why, draft: &mut Draft) {
    let id = container.id.clone();
    let stopping = view.records.stopping.get(&id);
    let since_ms = stopping.map_or(view.now_ms, |stop| stop.since_ms);
    let why = stopping.map_or(why, |stop| stop.why);
    if stopping.is_none() {
        draft.steps.push(Step::BeginStop {
            container: member.name().to_owned(),
            id: id.clone(),
            message: message(view, member, why),
            why,
        });
    }
    let grace_ms = grace_ms(view, member, why);
    let deadline_ms = since_ms + grace_ms;
    let has_hook = member.container.lifecycle.as_ref().is_some_and(|hooks| hooks.pre_stop.is_some());
    if has_hook && grace_ms > 0 {
        match view.records.hooks.get(&(id.clone(), Hook::PreStop)) {
            None | Some(HookState::Due) => {
                let container = member.name().to_owned();
                draft.steps.push(Step::RunHook { container, id, hook: Hook::PreStop });
                return;
            }
            Some(HookState::Running) if view.now_ms < deadline_ms => {
                draft.wake(deadline_ms);
                return;
            }
            Some(_) => {}
        }
    }
    let Some(asked_ms) = stopping.and_then(|stop| stop.asked_ms) else {
        if view.now_ms < deadline_ms && why == Why::PodEnds && !is_its_turn(view, member) {
            draft.wake(deadline_ms);
        } else {
            draft.steps.push(Step::Terminate { id });
        }
        return;
    };
    let killed_ms = stopping.and_then(|stop| stop.killed_ms);
    let kill_ms = match killed_ms {
        Some(killed_ms) => killed_ms + KILL_AGAIN_MS,
        None => deadline_ms.max(asked_ms + GRACE_MIN_MS),
    };
    if kill_ms <= view.now_ms {
        draft.steps.push(Step::Kill { id });
    } else {
        draft.wake(kill_ms);
    }
}

/// Whether nothing is left that ends before this one: sidecars end after all containers, the last one first.
fn is_its_turn(view: View<'_>, member: &Member) -> bool {
    if member.kind != Kind::Sidecar {
        return true;
    }
    let position = |name: &str| view.desired.members.iter().position(|other| other.name() == name);
    let own = position(member.name());
    let runs = |other: &Member| {
        let container = view.observed.newest(other.name());
        container.is_some_and(|container| matches!(container.state, State::Running { .. }))
    };
    !view.desired.members.iter().any(|other| {
        let is_before = match other.kind {
            Kind::Sidecar => position(other.name()) > own,
            Kind::Init | Kind::App | Kind::Ephemeral => true,
        };
        is_before && runs(other)
    })
}

/// How long it may take.
fn grace_ms(view: View<'_>, member: &Member, why: Why) -> u64 {
    let is_deleted = view.desired.pod.metadata.deletion_grace_period_seconds.is_some();
    let of_probe = match why {
        Why::Probe(kind) if !is_deleted => {
            kind.of(member).and_then(|probe| probe.termination_grace_period_seconds)
        }
        _ => None,
    };
    let own = of_probe.and_then(|seconds| u64::try_from(seconds).ok()).map(|seconds| seconds * 1000);
    own.unwrap_or_else(|| view.desired.grace_ms())
}

/// The text of the event, as in Kubernetes.
fn message(view: View<'_>, member: &Member, why: Why) -> String {
    let name = member.name();
    let sort = if member.kind == Kind::Sidecar { "Init container" } else { "Container" };
    let text = match why {
        Why::PodEnds | Why::SandboxGone => return format!("Stopping container {name}"),
        Why::PostStart => return "FailedPostStartHook".to_owned(),
        Why::Changed => format!("{sort} {name} definition changed"),
        Why::Probe(ProbeKind::Startup) => format!("{sort} {name} failed startup probe"),
        Why::Probe(_) => format!("{sort} {name} failed liveness probe"),
    };
    let restarts = why == Why::Changed || view.desired.restart_policy(member) != "Never";
    if member.kind == Kind::App && restarts { format!("{text}, will be restarted") } else { text }
}
