//! The phase of a pod, from its containers' statuses.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus};

use crate::plan::View;
use crate::pod::{Kind, Member};

/// How many containers are where.
#[derive(Debug, Default)]
struct Count {
    pending_init: usize,
    pending_sidecars: usize,
    has_failed_for_good: bool,
    running: usize,
    waiting: usize,
    stopped: usize,
    stopped_for_good: usize,
    succeeded: usize,
}

/// The phase; `is_over` when nothing of the pod will start again.
pub(super) fn phase(
    view: View<'_>,
    init: &[ContainerStatus],
    app: &[ContainerStatus],
    is_over: bool,
) -> &'static str {
    let mut count = Count::default();
    for status in init.iter().chain(app) {
        let Some(member) = view.desired.member(&status.name) else { continue };
        let state = status.state.clone().unwrap_or_default();
        match member.kind {
            Kind::Init => init_container(view, member, status, &state, &mut count),
            Kind::Sidecar => sidecar(status, &state, &mut count),
            Kind::App => container(view, member, status, &state, &mut count),
            Kind::Ephemeral => {}
        }
    }
    if count.has_failed_for_good {
        return "Failed";
    }
    let has_initialized = super::has_any_app_started(view);
    let is_pending =
        count.pending_init > 0 || (count.pending_sidecars > 0 && !has_initialized) || count.waiting > 0;
    if is_pending && !super::has_run(view) {
        return "Pending";
    }
    if count.running > 0 {
        return "Running";
    }
    if count.stopped == 0 {
        return "Pending";
    }
    if !is_over && count.stopped != count.stopped_for_good {
        return "Running";
    }
    if count.stopped == count.succeeded { "Succeeded" } else { "Failed" }
}

/// The exit code of what ended, or ended before what it waits for now.
fn last_exit(status: &ContainerStatus, state: &ContainerState) -> Option<i32> {
    let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    let ended = state.terminated.as_ref().or(last.filter(|_| state.waiting.is_some()));
    ended.map(|ended| ended.exit_code)
}

fn init_container(
    view: View<'_>,
    member: &Member,
    status: &ContainerStatus,
    state: &ContainerState,
    count: &mut Count,
) {
    match last_exit(status, state) {
        Some(0) => {}
        Some(code) => count.has_failed_for_good |= !view.desired.restarts(member, code),
        None => count.pending_init += 1,
    }
}

fn sidecar(status: &ContainerStatus, state: &ContainerState, count: &mut Count) {
    if state.running.is_some() {
        count.running += 1;
        count.pending_sidecars += usize::from(status.started != Some(true));
    } else if state.waiting.is_some() && last_exit(status, state).is_none() {
        count.pending_sidecars += 1;
        count.waiting += 1;
    }
}

fn container(
    view: View<'_>,
    member: &Member,
    status: &ContainerStatus,
    state: &ContainerState,
    count: &mut Count,
) {
    if state.running.is_some() {
        count.running += 1;
        return;
    }
    let Some(code) = last_exit(status, state) else {
        count.waiting += 1;
        return;
    };
    count.stopped += 1;
    let is_replaced = view.observed.newest(member.name()).is_some_and(|newest| view.restarts(member, newest));
    count.stopped_for_good += usize::from(!is_replaced && !view.desired.restarts(member, code));
    count.succeeded += usize::from(code == 0 && state.terminated.is_some());
}
