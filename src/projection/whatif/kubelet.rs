//! What nodes do, as far as what-if counts on it.

use api::codec::DeleteOptions;
use api::{Key, time};
use serde_json::{Value, json};
use state::Change;

use crate::controller::{Controller, LastOutcomes, Plan, Wakes};
use crate::intent::Intent;
use crate::pods::{PODS, Phase, Pod};
use crate::world::World;

/// All nodes at once.
pub(super) const KUBELET: Controller =
    Controller { name: "kubelet", actor: "system:node", component: "kubelet", wakes, keys: |_, _| {}, plan };

fn wakes(_: &World, change: &Change, wakes: &mut Wakes) {
    let key = &change.object.key;
    if key.collection() == PODS && !change.deleted {
        wakes.add(key);
    }
}

fn plan(world: &World, key: &Key, _: &LastOutcomes, now_ms: u64) -> Plan {
    let Some(pod) = world.pods.get(key.as_str()) else { return Plan::default() };
    let intent = match pod {
        pod if pod.node.is_empty() => None,
        pod if pod.is_deleting() => {
            let options = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
            Some(Intent::delete_with(&pod.object, options))
        }
        pod if pod.phase == Phase::Pending => {
            Some(Intent::patch(&pod.object, "status", json!({"status": started(pod, now_ms)})))
        }
        _ => None,
    };
    Plan { intents: intent.into_iter().collect(), ..Plan::default() }
}

/// The status of a pod that its node started without trouble.
fn started(pod: &Pod, now_ms: u64) -> Value {
    let runs_on = !matches!(&*pod.object.view().at(&["spec", "restartPolicy"]).text(), "Never" | "OnFailure");
    let now = time::rfc3339(now_ms);
    let known = pod.object.view().at(&["status", "conditions"]).to_value();
    let mut conditions = known.as_array().cloned().unwrap_or_default();
    for name in ["Initialized", "Ready", "ContainersReady"] {
        conditions.retain(|condition| condition["type"] != name);
        let is_met = runs_on || name == "Initialized";
        let status = if is_met { "True" } else { "False" };
        conditions.push(json!({"type": name, "status": status, "lastTransitionTime": now}));
    }
    let phase = if runs_on { "Running" } else { "Succeeded" };
    json!({"phase": phase, "startTime": now, "conditions": conditions})
}
