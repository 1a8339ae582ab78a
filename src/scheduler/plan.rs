//! The row of the scheduler, and what a round becomes.

use std::sync::{Arc, LazyLock};

use api::{Key, time};
use projection::nodes::Node;
use projection::pods::{DEFAULT_SCHEDULER, Pod};
use projection::{Controller, Intent, LastOutcomes, Op, Plan, Reason, Told, World};
use serde_json::{Value, json};

use crate::limits::{BINDINGS_MAX, CELLS_MAX, CONDITIONS_MAX, NOTE_BYTES_MAX};
use crate::round::{Round, Unplaced};
use crate::wakes;

/// The scheduler. It has one key: a round is about all pods that wait.
pub const SCHEDULER: Controller = Controller {
    name: "scheduler",
    actor: "system:kube-scheduler",
    component: DEFAULT_SCHEDULER,
    wakes: wakes::wakes,
    keys: wakes::keys,
    plan,
};

/// The one key.
pub static KEY: LazyLock<Key> = LazyLock::new(|| Key::internal("scheduler", DEFAULT_SCHEDULER));

const FAILED: &str = "FailedScheduling";

/// What the API server says of a gated pod when it is created.
const GATED: &str = "Scheduling is blocked due to non-empty scheduling gates";

fn plan(world: &World, _: &Key, _: &LastOutcomes, now_ms: u64) -> Plan {
    let round = Round::of(world, BINDINGS_MAX, CELLS_MAX);
    let mut plan = Plan::default();
    plan.intents.extend(round.placed.iter().map(|(pod, node)| binding(pod, node)));
    let mut conditions = 0;
    for (pod, unplaced) in &round.unplaced {
        let (reason, message) = match unplaced {
            Unplaced::Gated => ("SchedulingGated", GATED),
            Unplaced::NoNode(message) => ("Unschedulable", &**message),
        };
        let Some(condition) = condition(pod, reason, message, now_ms) else { continue };
        if conditions == CONDITIONS_MAX {
            plan.requeue_at(now_ms);
            break;
        }
        conditions += 1;
        plan.intents.push(condition);
        if *unplaced != Unplaced::Gated {
            let message = shortened(message);
            plan.reasons.push(Reason { about: pod.key().clone(), is_warning: true, reason: FAILED, message });
        }
    }
    if round.is_cut {
        plan.requeue_at(now_ms);
    }
    plan
}

fn binding(pod: &Arc<Pod>, node: &Arc<Node>) -> Intent {
    let (key, name) = (pod.key(), node.name());
    let uid = pod.object.meta.uid.clone();
    let message = format!("Successfully assigned {}/{} to {name}", key.namespace(), key.name());
    Intent::one(Op::Bind { pod: key.clone(), uid, node: name.to_owned() }).while_live(&node.object).telling(
        Told {
            about: key.clone(),
            done: Some(("Scheduled", message)),
            refused: Some((FAILED, "binding rejected: ")),
        },
    )
}

/// Writes the condition that says why a pod has no node; `None`: it says so already.
fn condition(pod: &Pod, reason: &str, message: &str, now_ms: u64) -> Option<Intent> {
    let mut conditions = match pod.object.view().at(&["status", "conditions"]).to_value() {
        Value::Array(conditions) => conditions,
        _ => Vec::new(),
    };
    let mut since = json!(time::rfc3339(now_ms));
    let at = conditions.iter().position(|condition| condition["type"] == "PodScheduled");
    let known = at.and_then(|at| conditions.get(at)).filter(|known| known["status"] == "False");
    if let Some(known) = known {
        if known["reason"] == reason && known["message"] == message {
            return None;
        }
        since = known["lastTransitionTime"].clone();
    }
    let mut condition = json!({
        "type": "PodScheduled",
        "status": "False",
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    });
    if pod.object.meta.generation > 0 {
        condition["observedGeneration"] = pod.object.meta.generation.into();
    }
    match at.and_then(|at| conditions.get_mut(at)) {
        Some(place) => *place = condition,
        None => conditions.push(condition),
    }
    Some(Intent::patch(&pod.object, "status", json!({"status": {"conditions": conditions}})))
}

/// As long as an Event may be.
fn shortened(message: &str) -> String {
    const END: &str = " ...";
    if message.len() <= NOTE_BYTES_MAX {
        return message.to_owned();
    }
    format!("{}{END}", &message[..message.floor_char_boundary(NOTE_BYTES_MAX - END.len())])
}
