//! The bodies in which the masters are told of pods. They differ in few places from pod to pod: the rest is made
//! once for all pods with the same containers.

use std::net::Ipv4Addr;

use base::env;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::pod::{Behaviour, Container, Told};

// Characters that stand for what differs; Unicode keeps them free for such uses, and JSON does not escape them.
const UID: char = '\u{e000}';
const ADDRESS: char = '\u{e001}';
const HOST: char = '\u{e002}';
const STARTED: char = '\u{e003}';
const NOW: char = '\u{e004}';
/// Stands between quotes, which go with it: it is a number.
const RESTARTS: char = '\u{e005}';

/// A text with places in it: what stands before each, and the rest.
#[derive(Debug)]
struct Text(Vec<(Box<str>, char)>, Box<str>);

impl Text {
    fn of(value: &Value) -> Self {
        let text = value.to_string().replace(&format!("\"{RESTARTS}\""), &RESTARTS.to_string());
        let (mut parts, mut rest) = (Vec::new(), text.as_str());
        while let Some(at) = rest.find(|next| (UID..=RESTARTS).contains(&next)) {
            let place = rest[at..].chars().next().unwrap_or(UID);
            parts.push((rest[..at].into(), place));
            rest = &rest[at + place.len_utf8()..];
        }
        Self(parts, rest.into())
    }

    fn fill(&self, facts: &Facts<'_>) -> String {
        let address = facts.address.to_string();
        let host = facts.host.to_string();
        let (started, now) = (time(facts.started_s), time(env::wall_ms() / 1000));
        let restarts = facts.restarts.to_string();
        let mut text = String::new();
        for (before, place) in &self.0 {
            text.push_str(before);
            text.push_str(match *place {
                UID => facts.uid,
                ADDRESS => &address,
                HOST => &host,
                STARTED => &started,
                NOW => &now,
                _ => &restarts,
            });
        }
        text.push_str(&self.1);
        text
    }
}

fn time(seconds: u64) -> String {
    Timestamp::from_second(seconds as i64).unwrap_or_default().to_string()
}

/// What differs from pod to pod.
pub(crate) struct Facts<'p> {
    pub(crate) uid: &'p str,
    pub(crate) address: Ipv4Addr,
    pub(crate) host: Ipv4Addr,
    pub(crate) started_s: u64,
    pub(crate) restarts: u32,
}

/// What pods with the same containers have in common.
#[derive(Debug)]
pub(crate) struct Template {
    ready: Text,
    not_ready: Text,
    succeeded: Text,
    failed: Text,
}

impl Template {
    pub(crate) fn new(init: &[Container], containers: &[Container]) -> Self {
        let text = |phase: &str, state: Value, ready: Result<(), (&str, String)>| {
            Text::of(&body(phase, init, containers, &state, &ready))
        };
        let running = || json!({"running": {"startedAt": NOW.to_string()}});
        let names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
        let unready = format!("containers with unready status: [{}]", names.join(" "));
        Self {
            ready: text("Running", running(), Ok(())),
            not_ready: text("Running", running(), Err(("ContainersNotReady", unready))),
            succeeded: text(
                "Succeeded",
                ended(0, "Completed", STARTED),
                Err(("PodCompleted", String::new())),
            ),
            failed: text("Failed", ended(1, "Error", STARTED), Err(("PodFailed", String::new()))),
        }
    }

    /// The patch that tells this.
    pub(crate) fn patch(&self, told: Told, behaviour: Behaviour, facts: &Facts<'_>) -> String {
        let text = match told {
            Told::Succeeded => &self.succeeded,
            Told::Failed => &self.failed,
            Told::Running { .. } | Told::Nothing if behaviour.not_ready => &self.not_ready,
            Told::Running { .. } | Told::Nothing => &self.ready,
        };
        text.fill(facts)
    }
}

fn ended(code: u32, reason: &str, started: char) -> Value {
    json!({"terminated": {
        "exitCode": code, "reason": reason,
        "startedAt": started.to_string(), "finishedAt": NOW.to_string(),
    }})
}

fn body(
    phase: &str,
    init: &[Container],
    containers: &[Container],
    state: &Value,
    ready: &Result<(), (&str, String)>,
) -> Value {
    let condition = |kind: &str, ready: &Result<(), (&str, String)>| {
        let mut condition = json!({
            "type": kind, "status": if ready.is_ok() { "True" } else { "False" },
            "lastTransitionTime": NOW.to_string(),
        });
        let (reason, message) = ready.as_ref().err().map_or(("", ""), |(reason, message)| (*reason, message));
        for (field, text) in
            [("reason", reason), ("message", message)].iter().filter(|(_, text)| !text.is_empty())
        {
            condition[*field] = (*text).into();
        }
        condition
    };
    let is_running = phase == "Running";
    let init: Vec<Value> = init
        .iter()
        .map(|container| status(container, &ended(0, "Completed", NOW), true, false, false))
        .collect();
    let containers: Vec<Value> = containers
        .iter()
        .map(|container| status(container, state, ready.is_ok(), is_running, true))
        .collect();
    let alive = if is_running { Ok(()) } else { Err(("", String::new())) };
    let mut status = json!({
        "phase": phase,
        "conditions": [
            condition("PodReadyToStartContainers", &alive),
            condition("Initialized", &Ok(())),
            condition("Ready", ready),
            condition("ContainersReady", ready),
            condition("PodScheduled", &Ok(())),
        ],
        "hostIP": HOST.to_string(),
        "hostIPs": [{"ip": HOST.to_string()}],
        "podIP": ADDRESS.to_string(),
        "podIPs": [{"ip": ADDRESS.to_string()}],
        "startTime": STARTED.to_string(),
        "containerStatuses": containers,
    });
    if !init.is_empty() {
        status["initContainerStatuses"] = init.into();
    }
    json!({"metadata": {"uid": UID.to_string()}, "status": status})
}

fn status(
    container: &Container,
    state: &Value,
    is_ready: bool,
    is_started: bool,
    may_restart: bool,
) -> Value {
    let restarts = if may_restart { json!(RESTARTS.to_string()) } else { json!(0) };
    json!({
        "name": container.name, "image": container.image, "imageID": "", "ready": is_ready, "started": is_started,
        "restartCount": restarts, "state": state, "lastState": {},
        "containerID": format!("hollow://{UID}/{}", container.name),
    })
}
