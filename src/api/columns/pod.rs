//! `v1 Pod`: the table that is asked for most, and the one that thinks most about what to show.

use super::{Cell, Cells, Kinds, Row, is_condition};
use crate::time;
use crate::view::View;

pub(super) static KINDS: Kinds = &[("", "Pod", &[Cell::Code(pod)])];

const SUCCEEDED: &str = r#"[{"type":"Completed","status":"True","reason":"Succeeded","message":"The pod has completed successfully."}]"#;
const FAILED: &str =
    r#"[{"type":"Completed","status":"True","reason":"Failed","message":"The pod failed."}]"#;

fn pod(row: Row<'_>, cells: &mut Cells<'_>) {
    let [name, created, deleted] = row.metadata.pick(["name", "creationTimestamp", "deletionTimestamp"]);
    let (spec, status) = read(row.object);
    match &*status.phase.text() {
        "Succeeded" => cells.set_conditions(SUCCEEDED),
        "Failed" => cells.set_conditions(FAILED),
        _ => {}
    }
    let summary = Summary::of(&spec, &status);
    cells.same(name);
    cells.text(&format!("{}/{}", summary.ready, spec.long_running()));
    cells.text(&shown_reason(&status, summary.reason, deleted.is_there()));
    cells.text(&summary.restarts.shown(cells));
    cells.age(created);
    cells.same_or(status.ips.items().next().map_or(View::ABSENT, |first| first.get("ip")), "<none>");
    cells.same_or(spec.node, "<none>");
    cells.same_or(status.nominated_node, "<none>");
    cells.text(&readiness_gates(&spec, &status));
}

/// What is shown of `spec`.
struct Spec<'b> {
    containers: View<'b>,
    init_containers: View<'b>,
    node: View<'b>,
    readiness_gates: View<'b>,
}

impl Spec<'_> {
    /// How many containers are meant to run as long as the pod: sidecars are init containers that do.
    fn long_running(&self) -> usize {
        self.containers.count() + self.init_containers.items().filter(|one| is_sidecar(*one)).count()
    }

    fn is_sidecar(&self, name: View<'_>) -> bool {
        // The last of a name decides, as it would in a map.
        let named = self.init_containers.items().filter(|one| one.get("name").bytes() == name.bytes());
        named.last().is_some_and(is_sidecar)
    }
}

fn is_sidecar(init_container: View<'_>) -> bool {
    init_container.get("restartPolicy").is("Always")
}

/// What is shown of `status`.
struct Status<'b> {
    conditions: View<'b>,
    containers: View<'b>,
    init_containers: View<'b>,
    ips: View<'b>,
    nominated_node: View<'b>,
    phase: View<'b>,
    reason: View<'b>,
}

/// Both, in one pass over the object.
fn read(object: View<'_>) -> (Spec<'_>, Status<'_>) {
    let [
        containers,
        init_containers,
        node,
        readiness_gates,
        conditions,
        container_statuses,
        init_container_statuses,
        ips,
        nominated_node,
        phase,
        reason,
    ] = object.find([
        &["spec", "containers"],
        &["spec", "initContainers"],
        &["spec", "nodeName"],
        &["spec", "readinessGates"],
        &["status", "conditions"],
        &["status", "containerStatuses"],
        &["status", "initContainerStatuses"],
        &["status", "podIPs"],
        &["status", "nominatedNodeName"],
        &["status", "phase"],
        &["status", "reason"],
    ]);
    let spec = Spec { containers, init_containers, node, readiness_gates };
    let (containers, init_containers) = (container_statuses, init_container_statuses);
    (spec, Status { conditions, containers, init_containers, ips, nominated_node, phase, reason })
}

/// How often containers restarted, and when last.
#[derive(Clone, Copy, Default)]
struct Restarts<'b> {
    count: i64,
    last: View<'b>,
    last_us: Option<i64>,
}

impl<'b> Restarts<'b> {
    fn add(&mut self, container: &Container<'b>) {
        self.count += container.restarts;
        let finished = container.last_termination.get("finishedAt");
        let finished_us = time::parse(&finished.text());
        if finished_us > self.last_us {
            (self.last, self.last_us) = (finished, finished_us);
        }
    }

    fn shown(&self, cells: &Cells<'_>) -> String {
        if self.count == 0 || self.last_us.is_none() {
            return self.count.to_string();
        }
        format!("{} ({} ago)", self.count, cells.since(self.last))
    }
}

/// The status of one container.
struct Container<'b> {
    name: View<'b>,
    is_ready: bool,
    is_started: bool,
    restarts: i64,
    last_termination: View<'b>,
    running: View<'b>,
    terminated: View<'b>,
    waiting: View<'b>,
}

impl<'b> Container<'b> {
    fn read(status: View<'b>) -> Self {
        let [name, state, last_state, ready, restarts, started] =
            status.pick(["name", "state", "lastState", "ready", "restartCount", "started"]);
        let [running, terminated, waiting] = state.pick(["running", "terminated", "waiting"]);
        Self {
            name,
            is_ready: ready.is_true(),
            is_started: started.is_true(),
            restarts: restarts.number().unwrap_or_default(),
            last_termination: last_state.get("terminated"),
            running,
            terminated,
            waiting,
        }
    }

    /// The code with which it ended, if it did.
    fn exit_code(&self) -> Option<i64> {
        self.terminated.is_there().then(|| self.terminated.get("exitCode").number().unwrap_or_default())
    }

    /// Why it ended: a reason, else a signal, else a code.
    fn ending(&self) -> String {
        let [reason, signal] = self.terminated.pick(["reason", "signal"]);
        match (&*reason.text(), signal.number().unwrap_or_default()) {
            ("", 0) => format!("ExitCode:{}", self.exit_code().unwrap_or_default()),
            ("", signal) => format!("Signal:{signal}"),
            (reason, _) => reason.to_owned(),
        }
    }

    /// Why it waits; empty when it does not, or does not say.
    fn waiting_reason(&self) -> String {
        self.waiting.get("reason").text().into_owned()
    }
}

/// What the containers say about the pod.
struct Summary<'b> {
    reason: String,
    ready: usize,
    restarts: Restarts<'b>,
}

impl<'b> Summary<'b> {
    fn of(spec: &Spec<'b>, status: &Status<'b>) -> Self {
        let mut summary = Self { reason: first_reason(status), ready: 0, restarts: Restarts::default() };
        let (sidecars, is_done) = summary.add_init_containers(spec, status);
        if is_done || is_condition(status.conditions, "Initialized") {
            // Init containers that are done do not count any more.
            summary.restarts = sidecars;
            summary.add_containers(status);
        }
        summary
    }

    /// Follows the init containers up to the first that is not done. Returns the restarts of those that keep
    /// running, and whether all are done.
    fn add_init_containers(&mut self, spec: &Spec<'b>, status: &Status<'b>) -> (Restarts<'b>, bool) {
        let mut sidecars = Restarts::default();
        for (at, container) in status.init_containers.items().map(Container::read).enumerate() {
            self.restarts.add(&container);
            let is_sidecar = spec.is_sidecar(container.name);
            if is_sidecar {
                sidecars.add(&container);
            }
            if container.exit_code() == Some(0) {
                continue;
            }
            if is_sidecar && container.is_started {
                self.ready += usize::from(container.is_ready);
                continue;
            }
            let why = match container.waiting_reason() {
                _ if container.terminated.is_there() => container.ending(),
                reason if !reason.is_empty() && reason != "PodInitializing" => reason,
                _ => format!("{at}/{}", spec.init_containers.count()),
            };
            self.reason = format!("Init:{why}");
            return (sidecars, false);
        }
        (sidecars, true)
    }

    fn add_containers(&mut self, status: &Status<'b>) {
        let containers: Vec<Container<'b>> = status.containers.items().map(Container::read).collect();
        let (mut has_running, mut failure) = (false, None);
        // The first container has the last word.
        for container in containers.iter().rev() {
            self.restarts.add(container);
            let waiting = container.waiting_reason();
            if !waiting.is_empty() {
                self.reason = waiting;
            } else if let Some(code) = container.exit_code() {
                self.reason = container.ending();
                if code != 0 {
                    failure = Some(self.reason.clone());
                }
            } else if container.is_ready && container.running.is_there() {
                has_running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" {
            let is_ready = || {
                let mut ready = status.conditions.items().filter(|one| one.get("type").is("Ready"));
                ready.any(|one| one.get("status").is("True"))
            };
            self.reason = match failure {
                _ if has_running && is_ready() => "Running".to_owned(),
                Some(failure) => failure,
                None if has_running => "NotReady".to_owned(),
                None => return,
            };
        }
    }
}

/// The reason before any container is asked.
fn first_reason(status: &Status<'_>) -> String {
    let is_gated = |one: View<'_>| one.get("type").is("PodScheduled") && one.get("reason").is(GATED);
    match &*status.reason.text() {
        _ if status.conditions.items().any(is_gated) => GATED.to_owned(),
        "" => status.phase.text().into_owned(),
        reason => reason.to_owned(),
    }
}

const GATED: &str = "SchedulingGated";

fn shown_reason(status: &Status<'_>, reason: String, is_deleting: bool) -> String {
    let is_over = status.phase.is("Failed") || status.phase.is("Succeeded");
    match is_deleting {
        true if status.reason.is("NodeLost") => "Unknown".to_owned(),
        true if !is_over => "Terminating".to_owned(),
        _ => reason,
    }
}

fn readiness_gates(spec: &Spec<'_>, status: &Status<'_>) -> String {
    if !spec.readiness_gates.is_there() {
        return "<none>".to_owned();
    }
    let gates = spec.readiness_gates.items().map(|gate| gate.get("conditionType").text());
    let open = gates.filter(|gate| is_condition(status.conditions, gate)).count();
    format!("{open}/{}", spec.readiness_gates.count())
}
