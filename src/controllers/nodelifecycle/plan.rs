//! What to do about one node.

use api::{Key, time};
use projection::intent::Intent;
use projection::nodes::Node;
use projection::{LastOutcomes, Plan, Reason, World};
use serde_json::{Value, json};
use state::Guard;

use super::{health, taints};
use crate::shared::{conditions, stored};

/// How often a node that is not ready is looked at: others decide whether its pods leave.
const MONITOR_PERIOD_MS: u64 = 5_000;

/// How long a node is new, and told of as such: less than it takes until a reason that is told again counts again.
const NEW_MS: u64 = 10_000;

/// Pods of one plan.
const BATCH: usize = 500;

/// Plans one node.
pub(super) fn plan(world: &World, key: &Key, _: &LastOutcomes, now_ms: u64) -> Plan {
    let mut plan = Plan::default();
    let Some(node) = world.nodes.get(key.name()) else { return plan };
    plan.reasons.extend(registered(node, now_ms));
    let all = stored::list(&node.object, &["status", "conditions"]);
    match health::patience_ms(world, node, &all) {
        Some(left) => plan.requeue_at(now_ms + left + 1),
        None => {
            if let Some(intent) = health::unknown(world, node, &all, now_ms) {
                // The rest follows from what is written now.
                plan.intents.push(intent);
                return plan;
            }
        }
    }
    let before = stored::list(&node.object, &["spec", "taints"]);
    let wanted = taints::wanted(world, node, &before, &all, now_ms);
    if wanted.all != before {
        let taints = if wanted.all.is_empty() { Value::Null } else { wanted.all.into() };
        plan.intents.push(Intent::patch(&node.object, "", json!({"spec": {"taints": taints}})));
    }
    if !conditions::is_true(&all, "Ready") {
        plan.requeue_at(wanted.again_ms.unwrap_or(u64::MAX).clamp(now_ms + 1, now_ms + MONITOR_PERIOD_MS));
    }
    if conditions::find(&all, "Ready").is_some_and(|ready| ready["status"] == "Unknown") {
        mark_pods(world, node, &mut plan, now_ms);
    }
    plan
}

/// That a new node was noticed, in the words of Kubernetes' controller.
fn registered(node: &Node, now_ms: u64) -> Option<Reason> {
    let created = stored::at(&node.object, &["metadata", "creationTimestamp"]);
    let created_ms = time::parse_rfc3339(created.as_str()?)?;
    (now_ms < created_ms + NEW_MS).then(|| Reason {
        about: node.object.key.clone(),
        is_warning: false,
        reason: "RegisteredNode",
        message: format!("Node {name} event: Registered Node {name} in Controller", name = node.name()),
    })
}

/// Nobody says any more that the pods of a silent node are ready.
fn mark_pods(world: &World, node: &Node, plan: &mut Plan, now_ms: u64) {
    for pod in world.pods.on(node.name()).filter(|pod| pod.is_ready).take(BATCH) {
        let mut all = stored::list(&pod.object, &["status", "conditions"]);
        for ready in all.iter_mut().filter(|condition| condition["type"] == "Ready") {
            ready["status"] = "False".into();
            ready["lastTransitionTime"] = time::rfc3339(now_ms).into();
        }
        let mut intent = Intent::patch(&pod.object, "status", json!({"status": {"conditions": all}}));
        intent.guards.push(Guard::Live { key: node.object.key.clone(), uid: node.object.meta.uid.clone() });
        plan.intents.push(intent);
        plan.reasons.push(Reason {
            about: pod.key().clone(),
            is_warning: true,
            reason: "NodeNotReady",
            message: "Node is not ready".to_owned(),
        });
    }
}
