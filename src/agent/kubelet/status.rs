//! The status of a pod, from what is wanted, what is there and what is known: exactly as Kubernetes' kubelet.

use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, Pod, PodIP, PodStatus};

use crate::engine::{Container, State};
use crate::outside::Event;
use crate::plan::View;
use crate::pod::{DesiredPod, Kind, Member};
use crate::probe::ProbeKind;
use crate::time::{millis, time};

mod conditions;
mod containers;
mod phase;

/// Why a pod that ran longer than it may failed, and the text that Kubernetes has for it.
const DEADLINE: (&str, &str) =
    ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline");

/// The whole status.
pub fn generate(view: View<'_>) -> PodStatus {
    let object = &view.desired.pod;
    let old = &view.records.status;
    // What others own stays as the object has it.
    let mut status = object.status.clone().unwrap_or_default();
    status.observed_generation = object.metadata.generation;
    status.start_time = old.start_time.clone().or_else(|| Some(time(view.records.started_ms)));
    if let Some(refusal) = &view.records.refused {
        status.phase = Some("Failed".to_owned());
        status.reason = Some(refusal.reason.to_owned());
        status.message = Some(refusal.message.clone());
        return status;
    }
    let is_over = is_over(view);
    let list = |kinds: &[Kind]| -> Vec<ContainerStatus> {
        view.desired.of_kinds(kinds).map(|member| containers::status(view, member, is_over)).collect()
    };
    let init = list(&[Kind::Init, Kind::Sidecar]);
    let mut app = list(&[Kind::App]);
    app.sort_by(|one, other| one.name.cmp(&other.name));
    let ephemeral = list(&[Kind::Ephemeral]);

    (status.phase, status.reason, status.message) = standing(view, &init, &app, is_over);
    addresses(view, &mut status);
    let phase = status.phase.clone().unwrap_or_default();
    status.conditions = Some(conditions::all(view, &init, &app, &phase));
    status.init_container_statuses = (!init.is_empty()).then_some(init);
    status.container_statuses = Some(app);
    status.ephemeral_container_statuses = (!ephemeral.is_empty()).then_some(ephemeral);
    status
}

/// Whether the pod will not run again.
pub fn is_terminal(status: &PodStatus) -> bool {
    matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
}

/// Whether a pod shows what a status says of the conditions that its kubelet owns; one that ended changes no more.
pub fn is_shown(pod: &Pod, status: &PodStatus) -> bool {
    pod.status.as_ref().is_some_and(|shown| is_terminal(shown) || conditions::are_in(shown, status))
}

/// When the pod has run for as long as it may.
pub fn deadline_ms(view: View<'_>) -> Option<u64> {
    let seconds = view.desired.spec().active_deadline_seconds?;
    let start = view.records.status.start_time.as_ref().map_or(view.records.started_ms, millis);
    Some(start + u64::try_from(seconds).unwrap_or(0) * 1000)
}

/// Whether a container that runs has started: its startup probe succeeded, if it has one.
pub fn has_started(view: View<'_>, member: &Member, container: &Container) -> bool {
    if !container.is_running() {
        return false;
    }
    if ProbeKind::Startup.of(member).is_none() {
        return true;
    }
    verdict(view, container, ProbeKind::Startup)
        .unwrap_or_else(|| was(view, container).is_some_and(|old| old.started == Some(true)))
}

/// Whether any container proper of the sandbox of now was started, so that initialization is over.
pub fn has_any_app_started(view: View<'_>) -> bool {
    view.desired.of_kinds(&[Kind::App]).any(|member| {
        view.observed.active(member.name()).is_some_and(|container| container.state != State::Created)
    })
}

/// Whether all containers proper ran to an end after which none starts again: what else of the pod runs ends too.
pub fn has_run(view: View<'_>) -> bool {
    let has_ended = |member: &Member| {
        let newest = view.observed.newest(member.name());
        newest.is_some_and(|newest| newest.exit().is_some() && !view.restarts(member, newest))
    };
    view.desired.of_kinds(&[Kind::App]).all(has_ended)
}

/// The status of a container by its name, of whatever sort it is.
pub fn of_container<'a>(status: &'a PodStatus, name: &str) -> Option<&'a ContainerStatus> {
    let init = status.init_container_statuses.iter().flatten();
    let app = status.container_statuses.iter().flatten();
    let ephemeral = status.ephemeral_container_statuses.iter().flatten();
    init.chain(app).chain(ephemeral).find(|status| status.name == name)
}

/// What is told when a status differs from the one before it.
pub fn events(view: View<'_>, status: &PodStatus) -> Vec<Event> {
    let mut events = Vec::new();
    let old = &view.records.status;
    if status.reason.as_deref() == Some(DEADLINE.0) && old.reason.as_deref() != Some(DEADLINE.0) {
        events.push(Event {
            field_path: None,
            is_warning: false,
            reason: DEADLINE.0,
            message: DEADLINE.1.to_owned(),
        });
    }
    for member in &view.desired.members {
        let waiting = |status| {
            let state = of_container(status, member.name()).and_then(|container| container.state.as_ref());
            state.and_then(|state| state.waiting.clone())
        };
        let now = waiting(status);
        let Some(reason) = now.as_ref().and_then(|waiting| waiting.reason.as_deref()) else { continue };
        if now == waiting(old) {
            continue;
        }
        let (is_warning, message) = match reason {
            "CrashLoopBackOff" => {
                let (name, pod) = (member.name(), &view.desired.key);
                (true, format!("Back-off restarting failed container {name} in pod {pod}"))
            }
            "ImagePullBackOff" => (false, format!("Back-off pulling image \"{}\"", member.image())),
            _ => continue,
        };
        let field_path = Some(DesiredPod::field_path(member));
        events.push(Event { field_path, is_warning, reason: "BackOff", message });
    }
    events
}

/// Whether the pod ends, or ended, and nothing of it runs.
fn is_over(view: View<'_>) -> bool {
    let is_ending = view.desired.is_deleted() || is_terminal(&view.records.status);
    is_ending && !view.observed.containers.iter().any(Container::is_running)
}

/// What enough results of a probe agree on.
fn verdict(view: View<'_>, container: &Container, kind: ProbeKind) -> Option<bool> {
    view.records.probes.get(&(container.id.clone(), kind)).and_then(|state| state.verdict)
}

/// What was said of this very container before: all that is known of it right after a restart of the kubelet.
fn was<'a>(view: View<'a>, container: &Container) -> Option<&'a ContainerStatus> {
    let old = of_container(&view.records.status, container.container_name())?;
    (old.container_id == Some(containers::id(container))).then_some(old)
}

type Standing = (Option<String>, Option<String>, Option<String>);

/// Phase, reason and message.
fn standing(view: View<'_>, init: &[ContainerStatus], app: &[ContainerStatus], is_over: bool) -> Standing {
    let old = &view.records.status;
    let object = view.desired.pod.status.as_ref();
    let is_late = deadline_ms(view).is_some_and(|deadline_ms| view.now_ms >= deadline_ms);
    let mut phase = phase::phase(view, init, app, is_over);
    // A pod that ended stays so.
    if let Some(ended) = [Some(old), object].into_iter().flatten().find(|status| is_terminal(status)) {
        phase = ended.phase.as_deref().unwrap_or(phase);
    } else if is_late && phase != "Succeeded" {
        let (reason, message) = DEADLINE;
        return (Some("Failed".to_owned()), Some(reason.to_owned()), Some(message.to_owned()));
    } else if is_over && !matches!(phase, "Succeeded" | "Failed") {
        phase = "Failed";
    }
    if old.phase.as_deref() != Some(phase) {
        return (Some(phase.to_owned()), None, None);
    }
    (Some(phase.to_owned()), old.reason.clone(), old.message.clone())
}

fn addresses(view: View<'_>, status: &mut PodStatus) {
    let host = &view.records.host_ips;
    status.host_ip = host.first().cloned();
    status.host_ips = Some(host.iter().map(|ip| HostIP { ip: ip.clone() }).collect());
    let old = &view.records.status;
    let connected = view.records.network.as_ref().map(|network| &network.ips);
    let own = if view.desired.is_on_host_network() { Some(host) } else { connected };
    // A pod that ended keeps showing the addresses that it had.
    if let Some(ips) = own.filter(|ips| !ips.is_empty()) {
        status.pod_ip = ips.first().cloned();
        status.pod_ips = Some(ips.iter().map(|ip| PodIP { ip: ip.clone() }).collect());
    } else {
        status.pod_ip.clone_from(&old.pod_ip);
        status.pod_ips.clone_from(&old.pod_ips);
    }
}
