//! Pods that the control plane ends: they are told why before they are deleted.

use api::time;
use projection::pods::Pod;
use serde_json::{Value, json};

use super::{conditions, stored};

/// The condition that says why a pod is ended from outside.
const DISRUPTION_TARGET: &str = "DisruptionTarget";

/// A pod's conditions with the reason of its end; `None`: it has that already.
pub(crate) fn target(pod: &Pod, reason: &str, message: &str, now_ms: u64) -> Option<Vec<Value>> {
    let mut all = stored::list(&pod.object, &["status", "conditions"]);
    let mut condition = conditions::new(DISRUPTION_TARGET, "True", reason, message);
    if stored::at(&pod.object, &["status", "observedGeneration"]).as_i64().is_some_and(|seen| seen > 0) {
        condition["observedGeneration"] = pod.object.meta.generation.into();
    }
    let known = all.iter_mut().find(|known| known["type"] == DISRUPTION_TARGET);
    let is_same =
        |known: &Value| ["status", "reason", "message"].iter().all(|name| known[*name] == condition[*name]);
    match known {
        Some(known) if is_same(known) => return None,
        Some(known) if known["status"] == "True" => {
            condition["lastTransitionTime"] = known["lastTransitionTime"].clone();
            *known = condition;
        }
        Some(known) => *known = at(condition, now_ms),
        None => all.push(at(condition, now_ms)),
    }
    Some(all)
}

fn at(mut condition: Value, now_ms: u64) -> Value {
    condition["lastTransitionTime"] = json!(time::rfc3339(now_ms));
    condition
}
