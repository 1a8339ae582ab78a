//! `v1 Namespace`: where names are unique, and what goes together.

use serde_json::{Value, json};

use crate::field_error::FieldError;
use crate::fields::NAMESPACE;
use crate::names;
use crate::object::Object;
use crate::resource::{ALL_VERBS, Column, Resource, Retention, Selectable, Strategy};

/// The row.
pub static RESOURCE: Resource = Resource {
    group: "",
    version: "v1",
    plural: "namespaces",
    singular: "namespace",
    kind: "Namespace",
    short_names: &["ns"],
    namespaced: false,
    verbs: ALL_VERBS,
    retention: Retention::Day,
    schema: &NAMESPACE,
    columns: &[Column {
        name: "Status",
        kind: "string",
        description: "The status of the namespace",
        cell: |object| object.text(&["status", "phase"]).into(),
    }],
    selectable: &[
        Selectable { path: "name", value: |object| object.meta.name.clone() },
        Selectable { path: "status.phase", value: |object| object.text(&["status", "phase"]).to_owned() },
    ],
    strategy: Strategy {
        name: names::dns_label,
        default,
        prepare_create,
        prepare_update,
        validate,
        validate_update: |_, _| Vec::new(),
        prepare_delete: |object| {
            object.fields.insert("status".into(), json!({"phase": "Terminating"}));
        },
        is_held: |object| !finalizers(object).is_empty(),
    },
};

/// The namespaces that every cluster has, from its first moment.
pub const SYSTEM_NAMESPACES: &[&str] = &["default", "kube-node-lease", "kube-public", "kube-system"];

/// Those of them that cannot be deleted.
pub const UNDELETABLE: &[&str] = &["default", "kube-public", "kube-system"];

/// Finalizer in `spec`: the namespace's content must go first.
pub const CONTENT_FINALIZER: &str = "kubernetes";

/// Label by which selectors of namespaces find one by its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// `spec.finalizers`.
pub fn finalizers(object: &Object) -> &[Value] {
    let items = object.fields.get("spec").and_then(|spec| spec.get("finalizers")).and_then(Value::as_array);
    items.map_or(&[], Vec::as_slice)
}

/// Takes [`CONTENT_FINALIZER`] out of `spec.finalizers`: the content is gone.
pub fn release(object: &mut Object) {
    let kept: Vec<_> =
        finalizers(object).iter().filter(|item| **item != CONTENT_FINALIZER).cloned().collect();
    object
        .fields
        .insert("spec".into(), if kept.is_empty() { json!({}) } else { json!({"finalizers": kept}) });
}

fn default(object: &mut Object) {
    if !object.meta.name.is_empty() {
        object.meta.labels.insert(NAME_LABEL.into(), object.meta.name.clone());
    }
}

fn prepare_create(object: &mut Object) {
    object.fields.insert("status".into(), json!({"phase": "Active"}));
    let mut kept = finalizers(object).to_vec();
    if !kept.iter().any(|item| item == CONTENT_FINALIZER) {
        kept.push(CONTENT_FINALIZER.into());
    }
    object.fields.insert("spec".into(), json!({"finalizers": kept}));
}

/// Finalizers and phase have verbs of their own.
fn prepare_update(new: &mut Object, old: &Object) {
    for field in ["spec", "status"] {
        match old.fields.get(field) {
            Some(value) => new.fields.insert(field.into(), value.clone()),
            None => new.fields.shift_remove(field),
        };
    }
}

fn validate(object: &Object) -> Vec<FieldError> {
    let names = finalizers(object).iter().filter_map(Value::as_str).filter(|name| *name != CONTENT_FINALIZER);
    let wrong = |name: &str| {
        let mut texts = names::qualified(name);
        if !name.contains('/') {
            texts.push("name is neither a standard finalizer name nor is it fully qualified".into());
        }
        texts.into_iter().map(|text| FieldError::invalid("spec.finalizers", name, &text)).collect::<Vec<_>>()
    };
    names.flat_map(wrong).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(tree: Value) -> Object {
        Object::from_tree(tree, &RESOURCE).expect("conforms").0
    }

    #[test]
    fn a_new_one_is_active_labelled_and_held() {
        let mut given = object(json!({"metadata": {"name": "a"}, "status": {"phase": "Terminating"}}));
        default(&mut given);
        prepare_create(&mut given);
        assert_eq!(given.text(&["status", "phase"]), "Active");
        assert_eq!(given.meta.labels[NAME_LABEL], "a");
        assert!((RESOURCE.strategy.is_held)(&given));
        release(&mut given);
        assert!(!(RESOURCE.strategy.is_held)(&given));
    }

    #[test]
    fn an_update_changes_neither_spec_nor_status() {
        let old = object(json!({"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}));
        let mut new = object(json!({"status": {"phase": "Terminating"}}));
        prepare_update(&mut new, &old);
        assert_eq!(new, old);
    }

    #[test]
    fn finalizers_are_qualified() {
        assert!(
            validate(&object(json!({"spec": {"finalizers": ["kubernetes", "example.com/x"]}}))).is_empty()
        );
        let errors = validate(&object(json!({"spec": {"finalizers": ["x"]}})));
        assert_eq!(
            errors[0].to_string(),
            r#"spec.finalizers: Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified"#
        );
    }
}
