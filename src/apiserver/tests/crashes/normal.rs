//! A State as text, without what may well be another: uids, revisions, times, addresses, the ends of generated names, and
//! how often an EndpointSlice was written, for pods that come up together share a write.

use std::collections::BTreeMap;

use serde_json::Value;
use state::State;

/// A line for each object that counts, in order.
pub(super) fn normal(state: &State) -> Vec<String> {
    let objects = state.range("").filter(|object| !object.key.is_internal() && super::counts(object));
    let objects = objects.filter_map(|object| serde_json::from_slice(&object.bytes.to_bytes()).ok());
    let objects: Vec<Value> = objects.map(without_writes).collect();
    let generated = objects.iter().filter_map(|object| {
        let metadata = &object["metadata"];
        Some((metadata["name"].as_str()?.to_owned(), format!("{}*", metadata["generateName"].as_str()?)))
    });
    let names: BTreeMap<String, String> = generated.collect();
    let mut lines: Vec<String> = objects.into_iter().map(|object| told(object, &names).to_string()).collect();
    lines.sort_unstable();
    lines
}

fn without_writes(mut object: Value) -> Value {
    if object["kind"] == "EndpointSlice" {
        object["metadata"]["generation"].take();
    }
    object
}

fn told(value: Value, names: &BTreeMap<String, String>) -> Value {
    match value {
        Value::Object(members) => {
            let stays = |name: &String| !["uid", "resourceVersion", "managedFields"].contains(&&**name);
            let members = members.into_iter().filter(|(name, _)| stays(name));
            members.map(|(name, value)| (name, told(value, names))).collect()
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(|item| told(item, names)).collect();
            items.sort_by_cached_key(Value::to_string);
            items.into()
        }
        Value::String(text) if text.starts_with("2026-01-01T") => "TIME".into(),
        Value::String(text) if text.starts_with("kube-api-access-") => "kube-api-access-*".into(),
        Value::String(text) if text.starts_with("10.1.") => "ADDRESS".into(),
        Value::String(text) => names.get(&text).cloned().unwrap_or(text).into(),
        other => other,
    }
}
