//! Stored objects as the plans read them.

use api::Key;
use projection::World;
use serde_json::{Map, Value};
use state::Object;

/// An object as a tree, with every field that it has.
pub(crate) fn tree(object: &Object) -> Value {
    serde_json::from_slice(&object.bytes.to_bytes()).unwrap_or_default()
}

/// One value of an object, by the path of members that leads to it; null when it is absent.
pub(crate) fn at(object: &Object, path: &[&str]) -> Value {
    object.view().at(path).to_value()
}

/// A map of an object, empty when it is absent.
pub(crate) fn map(object: &Object, path: &[&str]) -> Map<String, Value> {
    match at(object, path) {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A list of an object, empty when it is absent.
pub(crate) fn list(object: &Object, path: &[&str]) -> Vec<Value> {
    match at(object, path) {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

/// One of an object's annotations.
pub(crate) fn annotation(object: &Object, name: &str) -> Option<String> {
    let found = object.view().at(&["metadata", "annotations", name]);
    found.is_text().then(|| found.text().into_owned())
}

/// Whether nothing can be created in a namespace: it is going, or gone.
pub(crate) fn is_closed(world: &World, namespace: &str) -> bool {
    let key = Key::object("", "namespaces", "", namespace);
    world.state.get(key.as_str()).is_none_or(|found| found.meta.deleting)
}

/// The keys of a collection.
pub(crate) fn keys(world: &World, collection: &str, wakes: &mut projection::Wakes) {
    for object in world.state.range(collection) {
        wakes.add(&object.key);
    }
}

/// Whether a status says anything new. Go leaves zeros out of what it stores, but for fields that may be unknown
/// (`pointers`): elsewhere 0 and nothing are the same.
pub(crate) fn differs(before: &Value, after: &Value, pointers: &[&str]) -> bool {
    let differs = |(name, value): (&String, &Value)| match &before[name] {
        Value::Null => pointers.contains(&name.as_str()) && !value.is_null() || !is_nothing(value),
        was => was != value,
    };
    after.as_object().is_some_and(|after| after.iter().any(differs))
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || *value == 0
}

/// The merge patch that makes one map of another: what is no longer in it is taken away.
pub(crate) fn map_patch(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let gone =
        before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let new = after.iter().filter(|(name, value)| before.get(*name) != Some(value));
    gone.chain(new.map(|(name, value)| (name.clone(), value.clone()))).collect()
}

/// Takes one of an object's finalizers away.
pub(crate) fn without_finalizer(object: &Object, name: &str) -> projection::Intent {
    let mut finalizers = list(object, &["metadata", "finalizers"]);
    finalizers.retain(|one| one != name);
    let finalizers = if finalizers.is_empty() { Value::Null } else { finalizers.into() };
    projection::Intent::patch(object, "", serde_json::json!({"metadata": {"finalizers": finalizers}}))
}
