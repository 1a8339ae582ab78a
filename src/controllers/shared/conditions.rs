//! `status.conditions`, as a list of trees: fields that this program does not know stay.

use api::time;
use serde_json::{Value, json};

/// The condition of a type.
pub(crate) fn find<'c>(conditions: &'c [Value], kind: &str) -> Option<&'c Value> {
    conditions.iter().find(|condition| condition["type"] == kind)
}

/// Whether a condition is true.
pub(crate) fn is_true(conditions: &[Value], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition["status"] == "True")
}

/// Takes the condition of a type away.
pub(crate) fn remove(conditions: &mut Vec<Value>, kind: &str) {
    conditions.retain(|condition| condition["type"] != kind);
}

/// A condition of now, without times.
pub(crate) fn new(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

/// Puts a condition behind the others, unless one of its type has its status and reason already: then that one stays,
/// message and all. The transition counts from `now_ms` when the status changes.
pub(crate) fn set(conditions: &mut Vec<Value>, mut condition: Value, now_ms: u64) {
    let kind = condition["type"].as_str().unwrap_or_default().to_owned();
    let mut changed_at: Value = time::rfc3339(now_ms).into();
    if let Some(before) = find(conditions, &kind)
        && before["status"] == condition["status"]
    {
        if before["reason"] == condition["reason"] {
            return;
        }
        changed_at = before["lastTransitionTime"].clone();
    }
    condition["lastTransitionTime"] = changed_at;
    remove(conditions, &kind);
    conditions.push(condition);
}

/// Conditions as a patch has them: none at all are taken away.
pub(crate) fn patch(conditions: Vec<Value>) -> Value {
    if conditions.is_empty() { Value::Null } else { conditions.into() }
}
