//! The conditions of a pod that its kubelet owns.

use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodStatus};

use crate::plan::View;
use crate::pod::Kind;
use crate::time::time;

/// The conditions that the kubelet sets; all others stay as the object has them.
const OWNED: [&str; 5] =
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// Whether those of a status hold in another one as well, or do not hold there either.
pub(super) fn are_in(shown: &PodStatus, status: &PodStatus) -> bool {
    let mut own = status.conditions.iter().flatten().filter(|one| OWNED.contains(&one.type_.as_str()));
    own.all(|own| {
        let mut all = shown.conditions.iter().flatten();
        all.any(|one| one.type_ == own.type_ && one.status == own.status)
    })
}

/// Whether a condition holds; why not.
struct Finding {
    is_true: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

const HOLDS: Finding = Finding { is_true: true, reason: None, message: None };

fn fails(reason: &'static str, message: Option<String>) -> Finding {
    Finding { is_true: false, reason: Some(reason), message }
}

/// All conditions of the pod.
pub(super) fn all(
    view: View<'_>,
    init: &[ContainerStatus],
    app: &[ContainerStatus],
    phase: &str,
) -> Vec<PodCondition> {
    let object = view.desired.pod.status.as_ref().and_then(|status| status.conditions.clone());
    let mut conditions = object.unwrap_or_default();
    conditions.retain(|condition| !OWNED.contains(&condition.type_.as_str()));
    let ready_containers = || containers_ready(view, init, app, phase);
    let ready = ready(view, &conditions, ready_containers());
    let findings =
        [sandbox_ready(view, phase), initialized(view, init, app, phase), ready, ready_containers(), HOLDS];
    for (type_, finding) in OWNED.into_iter().zip(findings) {
        conditions.push(condition(view, type_, finding));
    }
    conditions
}

fn condition(view: View<'_>, type_: &str, finding: Finding) -> PodCondition {
    let status = if finding.is_true { "True" } else { "False" };
    let old = view.records.status.conditions.iter().flatten();
    let mut same = old.filter(|old| old.type_ == type_ && old.status == status);
    let since = same.next().and_then(|old| old.last_transition_time.clone());
    PodCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        last_transition_time: Some(since.unwrap_or_else(|| time(view.now_ms))),
        observed_generation: view.desired.pod.metadata.generation,
        reason: finding.reason.map(str::to_owned),
        message: finding.message,
        last_probe_time: None,
    }
}

fn sandbox_ready(view: View<'_>, phase: &str) -> Finding {
    let newest = view.observed.sandboxes.first();
    let message = match newest {
        Some(sandbox) if !sandbox.is_running() => "pod sandbox is not ready",
        // Kubernetes keeps the sandbox of a pod that ended for a while.
        None if matches!(phase, "Succeeded" | "Failed") => "pod sandbox is not ready",
        None => "no pod sandbox exists",
        Some(sandbox) => {
            let network = view.records.network.as_ref();
            // Right after a restart nothing is known of the network but that it was there.
            let was_ready = network.is_none() && {
                let mut old = view.records.status.conditions.iter().flatten();
                old.any(|old| old.type_ == OWNED[0] && old.status == "True")
            };
            if was_ready || network.is_some_and(|network| network.sandbox == sandbox.id) {
                return HOLDS;
            }
            "pod sandbox has no IP address"
        }
    };
    fails("PodSandboxNotReady", Some(message.to_owned()))
}

fn initialized(view: View<'_>, init: &[ContainerStatus], app: &[ContainerStatus], phase: &str) -> Finding {
    if phase == "Succeeded" {
        return Finding { reason: Some("PodCompleted"), ..HOLDS };
    }
    if app.iter().any(was_started) {
        return HOLDS;
    }
    let is_incomplete = |status: &&ContainerStatus| {
        let is_sidecar = view.desired.member(&status.name).is_some_and(|member| member.kind == Kind::Sidecar);
        if is_sidecar { status.started != Some(true) } else { !status.ready }
    };
    let names = names(init.iter().filter(is_incomplete));
    if names.is_empty() {
        return HOLDS;
    }
    fails("ContainersNotInitialized", Some(format!("containers with incomplete status: [{names}]")))
}

/// Whether a container ran before, or runs.
fn was_started(status: &ContainerStatus) -> bool {
    let state = status.state.clone().unwrap_or_default();
    let last = status.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
    state.running.is_some() || state.terminated.is_some() || (state.waiting.is_some() && last)
}

fn containers_ready(
    view: View<'_>,
    init: &[ContainerStatus],
    app: &[ContainerStatus],
    phase: &str,
) -> Finding {
    match phase {
        "Succeeded" => return fails("PodCompleted", None),
        "Failed" => return fails("PodFailed", None),
        _ => {}
    }
    // In the order of the object, as Kubernetes names them.
    let members = view.desired.of_kinds(&[Kind::Sidecar, Kind::App]);
    let status = |name: &str| init.iter().chain(app).find(|status| status.name == name);
    let unready = members.filter_map(|member| status(member.name())).filter(|status| !status.ready);
    let names = names(unready);
    if names.is_empty() {
        return HOLDS;
    }
    fails("ContainersNotReady", Some(format!("containers with unready status: [{names}]")))
}

fn ready(view: View<'_>, conditions: &[PodCondition], containers: Finding) -> Finding {
    if !containers.is_true {
        return containers;
    }
    let mut unready = Vec::new();
    for gate in view.desired.spec().readiness_gates.iter().flatten() {
        let name = &gate.condition_type;
        match conditions.iter().find(|condition| condition.type_ == *name) {
            None => {
                unready
                    .push(format!("corresponding condition of pod readiness gate {name:?} does not exist."));
            }
            Some(condition) if condition.status != "True" => unready.push(format!(
                "the status of pod readiness gate {name:?} is not \"True\", but {}",
                condition.status
            )),
            Some(_) => {}
        }
    }
    if unready.is_empty() { HOLDS } else { fails("ReadinessGatesNotReady", Some(unready.join(", "))) }
}

fn names<'a>(statuses: impl Iterator<Item = &'a ContainerStatus>) -> String {
    statuses.map(|status| status.name.as_str()).collect::<Vec<_>>().join(" ")
}
