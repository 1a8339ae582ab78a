//! `TaintNodesByCondition` and `DefaultTolerationSeconds`: a node is not ready until somebody says that it is, and a pod
//! stays for a while on one that no longer is.

use api::object::member;
use api::{Object, Status};
use serde_json::{Value, json};

use super::{Attempt, Operation};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

fn texts<'v>(of: &'v Value, fields: [&str; 2]) -> [&'v str; 2] {
    fields.map(|field| of[field].as_str().unwrap_or_default())
}

fn list<'o>(object: &'o mut Object, field: &str) -> &'o mut Vec<Value> {
    let list = member(&mut object.fields, "spec").entry(field).or_insert_with(|| json!([]));
    if !list.is_array() {
        *list = json!([]);
    }
    list.as_array_mut().expect("a list by now")
}

/// Taints a new node.
pub(super) fn taint(attempt: &Attempt<'_>, node: &mut Object) -> Result<(), Status> {
    if attempt.operation == Operation::Create && attempt.is_whole("", "Node") {
        let taints = list(node, "taints");
        let is_it = |taint: &Value| texts(taint, ["key", "effect"]) == [NOT_READY, "NoSchedule"];
        if !taints.iter().any(is_it) {
            taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
        }
    }
    Ok(())
}

/// Lets a pod stay that says nothing of its own about it.
pub(super) fn tolerate(attempt: &Attempt<'_>, pod: &mut Object) -> Result<(), Status> {
    if !attempt.is_whole("", "Pod") {
        return Ok(());
    }
    let tolerations = list(pod, "tolerations");
    let said = tolerations.len();
    let settings = attempt.settings;
    let stays = [
        (NOT_READY, settings.not_ready_toleration_seconds),
        (UNREACHABLE, settings.unreachable_toleration_seconds),
    ];
    for (taint, seconds) in stays {
        let is_about = |toleration: &Value| {
            let [key, effect] = texts(toleration, ["key", "effect"]);
            (key.is_empty() || key == taint) && matches!(effect, "" | "NoExecute")
        };
        if !tolerations[..said].iter().any(is_about) {
            tolerations.push(json!({
                "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds,
            }));
        }
    }
    Ok(())
}
