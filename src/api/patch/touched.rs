//! What Kubernetes takes apart to patch it, it puts together by the names of members; the rest stays as it was.

use serde_json::{Map, Value};

use super::json::{below, steps};

/// Sorts what operations looked into.
pub(super) fn by_operations(made: &mut Value, operations: &[Value]) {
    sort(made);
    let paths = operations.iter().flat_map(|operation| [operation.get("from"), operation.get("path")]);
    for path in paths.flatten().filter_map(Value::as_str) {
        let mut at = &mut *made;
        for step in steps(path).into_iter().flat_map(|(before, _)| before) {
            let Some(next) = below(at, &step) else { break };
            sort(next);
            at = next;
        }
    }
}

/// Sorts what members were merged into.
pub(super) fn by_members(made: &mut Value, changes: &Map<String, Value>) {
    sort(made);
    for (name, change) in changes {
        if let (Some(below), Value::Object(changes)) = (made.get_mut(name), change) {
            by_members(below, changes);
        }
    }
}

fn sort(value: &mut Value) {
    if let Value::Object(map) = value {
        map.sort_keys();
    }
}
