//! What to do about one namespace.

use std::sync::Arc;

use api::codec::DeleteOptions;
use api::deletion::Propagation;
use api::kinds::namespace::CONTENT_FINALIZER;
use api::{Key, Resource};
use projection::intent::Intent;
use projection::pods::PODS;
use projection::{LastOutcomes, Plan, World};
use serde_json::json;
use state::Object;

use super::conditions::Left;
use crate::shared::stored;

/// Objects deleted by one plan at most: enough to fill the log's entries, few enough that others get their turn.
const BATCH: usize = 500;

/// Plans one namespace.
pub(super) fn plan(world: &World, key: &Key, last: &LastOutcomes, now_ms: u64) -> Plan {
    let mut plan = Plan::default();
    let Some(namespace) = world.state.get(key.as_str()).filter(|found| found.meta.deleting) else {
        return plan;
    };
    let mut finalizers = stored::list(namespace, &["spec", "finalizers"]);
    let count = finalizers.len();
    finalizers.retain(|name| name != CONTENT_FINALIZER);
    if finalizers.len() == count {
        // It was let go before; what it waits for now is others' business.
        return plan;
    }
    let mut left = Left::default();
    left.failures.extend(last.refused.iter().map(|refused| refused.status.message.clone()).take(1));
    let has_pods = empty(world, &format!("{PODS}{}/", key.name()), None, &mut left, &mut plan);
    if !has_pods {
        for row in world.definitions.namespaced() {
            empty(world, &row.prefix(key.name()), Some(row), &mut left, &mut plan);
            if plan.intents.len() >= BATCH {
                break;
            }
        }
    }
    if !has_pods && plan.intents.is_empty() && left.objects.is_empty() {
        // Nothing can be created in it any more: empty it stays.
        let patch = json!({"spec": {"finalizers": finalizers}});
        plan.intents.push(Intent::patch(namespace, "finalize", patch));
        return plan;
    }
    // What is deleted by this plan may be gone at once: what stays is told when nothing is left to delete.
    let mut conditions = stored::list(namespace, &["status", "conditions"]);
    let is_told = plan.intents.is_empty() || !left.failures.is_empty();
    if is_told && left.tell(&mut conditions, now_ms) {
        plan.intents.push(Intent::patch(namespace, "status", json!({"status": {"conditions": conditions}})));
    }
    plan
}

/// Deletes what is under a prefix and not going yet; notes what is going. Tells whether there is anything. Pods are not
/// noted: nothing else is looked at before they are gone.
fn empty(world: &World, prefix: &str, row: Option<&Resource>, left: &mut Left, plan: &mut Plan) -> bool {
    if world.state.count(prefix) == 0 {
        return false;
    }
    for object in world.state.range(prefix) {
        if !object.meta.deleting {
            if plan.intents.len() >= BATCH {
                break;
            }
            plan.intents.push(delete(object));
        } else if let Some(row) = row {
            *left.objects.entry(format!("{}.{}", row.plural, row.group)).or_default() += 1;
            for name in stored::list(object, &["metadata", "finalizers"]) {
                *left.finalizers.entry(name.as_str().unwrap_or_default().to_owned()).or_default() += 1;
            }
        }
    }
    true
}

/// Its dependents are in the namespace and go as well.
fn delete(object: &Arc<Object>) -> Intent {
    let background = Some(Propagation::Background);
    Intent::delete_with(object, DeleteOptions { propagation: background, ..DeleteOptions::default() })
}
