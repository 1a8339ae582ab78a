//! The parts of a running pod that can change.

use serde_json::{Map, Value};

use super::Part;
use crate::kinds::pod::{drop_disabled, pod_resources};
use crate::object::Object;
use crate::validate::pod::parts;

/// Containers that somebody adds to look at the others.
pub(super) const EPHEMERAL_CONTAINERS: Part = Part {
    of: ["", "Pod", "ephemeralcontainers"],
    prepare: |new, old, _| {
        let given = new.spec().and_then(|spec| spec.get("ephemeralContainers")).cloned();
        keep_all(new, old);
        if let Some(spec) = new.spec_mut() {
            put(spec, "ephemeralContainers", given);
            drop_disabled(spec, old.spec());
        }
    },
    validate: |new, old, _| parts::ephemeral_containers(new, old),
};

/// What containers may use.
pub(super) const RESIZE: Part = Part {
    of: ["", "Pod", "resize"],
    prepare: |new, old, _| resize(new, old),
    validate: |new, old, _| parts::resize(new, old),
};

fn resize(new: &mut Object, old: &Object) {
    let lists = |object: &Object| ["containers", "initContainers"].map(|list| list_of(object, list).len());
    // Other containers are refused as they are.
    if lists(new) == lists(old) {
        let given = new.clone();
        keep_all(new, old);
        let Some(spec) = new.spec_mut() else { return };
        for list in ["containers", "initContainers"] {
            let merged = merged(list_of(&given, list), list_of(old, list));
            put(spec, list, (!merged.is_empty()).then_some(Value::Array(merged)));
        }
        put(spec, "resources", given.spec().and_then(|spec| spec.get("resources")).cloned());
    }
    let Some(spec) = new.spec_mut() else { return };
    if !spec.contains_key("resources") {
        put(spec, "resources", old.spec().and_then(|spec| spec.get("resources")).cloned());
    }
    if spec.contains_key("resources") {
        pod_resources(spec);
    }
    drop_disabled(spec, old.spec());
}

fn list_of<'o>(object: &'o Object, list: &str) -> &'o [Value] {
    object.spec().and_then(|spec| spec.get(list)).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The old containers with the new resources; the new ones as they are where they have other names.
fn merged(new: &[Value], old: &[Value]) -> Vec<Value> {
    if new.iter().zip(old).any(|(new, old)| new.get("name") != old.get("name")) {
        return new.to_vec();
    }
    let merge = |(new, old): (&Value, &Value)| {
        let mut container = old.clone();
        if let Some(map) = container.as_object_mut() {
            for field in ["resources", "resizePolicy"] {
                put(map, field, new.get(field).cloned());
            }
        }
        container
    };
    new.iter().zip(old).map(merge).collect()
}

fn put(map: &mut Map<String, Value>, field: &str, value: Option<Value>) {
    match value {
        Some(value) => map.insert(field.to_owned(), value),
        None => map.shift_remove(field),
    };
}

/// Puts back everything, and of the metadata what is not about the write itself.
fn keep_all(new: &mut Object, old: &Object) {
    new.fields.clone_from(&old.fields);
    let (new, old) = (&mut new.meta, &old.meta);
    new.deletion_timestamp.clone_from(&old.deletion_timestamp);
    new.labels.clone_from(&old.labels);
    new.annotations.clone_from(&old.annotations);
    new.finalizers.clone_from(&old.finalizers);
    new.owner_references.clone_from(&old.owner_references);
}
