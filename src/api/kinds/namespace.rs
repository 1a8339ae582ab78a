//! `v1 Namespace`: where names are unique, and what goes together.

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

use crate::names;
use crate::object::Object;
use crate::resource::{Particular, Resource, Strategy, selectable};
use crate::validate::at::Root;

/// The row.
pub static RESOURCE: LazyLock<Arc<Resource>> = LazyLock::new(|| Resource::builtin("", "v1", "namespaces"));

/// What is particular.
pub static KIND: Particular = Particular {
    kind: "Namespace",
    selectable: &[selectable!("status.phase", "status", "phase")],
    strategy: Strategy {
        name: names::dns_label,
        prepare_create,
        prepare_update,
        validate,
        validate_status,
        default: label_name,
        prepare_delete: |object| {
            object.fields.insert("status".into(), json!({"phase": "Terminating"}));
        },
        is_held: |object| !finalizers(object).is_empty(),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

/// The namespaces that every cluster has, from its first moment.
pub const SYSTEM_NAMESPACES: &[&str] = &["default", "kube-node-lease", "kube-public", "kube-system"];

/// Those of them that cannot be deleted.
pub const UNDELETABLE: &[&str] = &["default", "kube-public", "kube-system"];

/// Finalizer in `spec`: the namespace's content must go first.
pub const CONTENT_FINALIZER: &str = "kubernetes";

/// Label by which selectors of namespaces find one by its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

fn label_name(object: &mut Object) {
    let meta = &mut object.meta;
    if !meta.name.is_empty() {
        meta.labels.insert(NAME_LABEL.to_owned(), meta.name.clone());
    }
}

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

fn prepare_create(object: &mut Object) {
    object.fields.insert("status".into(), json!({"phase": "Active"}));
    let mut kept = finalizers(object).to_vec();
    if !kept.iter().any(|item| item == CONTENT_FINALIZER) {
        kept.push(CONTENT_FINALIZER.into());
    }
    object.fields.insert("spec".into(), json!({"finalizers": kept}));
}

/// Finalizers have a verb of their own.
fn prepare_update(new: &mut Object, old: &Object) {
    match old.fields.get("spec") {
        Some(value) => new.fields.insert("spec".into(), value.clone()),
        None => new.fields.shift_remove("spec"),
    };
}

/// The rules of a change through `finalize`.
pub fn validate_finalizers(new: Root<'_>) {
    for item in new.field("spec").field("finalizers").items() {
        item.check(names::qualified);
        item.known_finalizer();
    }
}

/// The phase goes with the deletion.
fn validate_status(new: Root<'_>, _old: Root<'_>) {
    let phase = new.field("status").field("phase");
    let (expected, state) = if new.meta().is_deleting() { ("Terminating", "not ") } else { ("Active", "") };
    if phase.text() != expected {
        let rule = format!("may only be '{expected}' if `deletionTimestamp` is {state}empty");
        new.field("status").field("Phase").invalid_value(phase.text(), &rule);
    }
}

fn validate(root: Root<'_>) {
    let field = root.field("spec").field("finalizers");
    // Errors name the list, not the item.
    for item in field.items().map(|item| field.with(item.value())) {
        item.check(names::qualified);
        item.known_finalizer();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::at::errors_of;

    fn object(tree: Value) -> Object {
        Object::from_tree(tree, &RESOURCE).expect("conforms").0
    }

    #[test]
    fn a_new_one_is_active_labelled_and_held() {
        let mut given = object(json!({"metadata": {"name": "a"}, "status": {"phase": "Terminating"}}));
        given.default(&RESOURCE);
        prepare_create(&mut given);
        assert_eq!(given.text(&["status", "phase"]), "Active");
        assert_eq!(given.meta.labels[NAME_LABEL], "a");
        assert!((KIND.strategy.is_held)(&given));
        release(&mut given);
        assert!(!(KIND.strategy.is_held)(&given));
    }

    #[test]
    fn an_update_does_not_change_the_spec() {
        let old = object(json!({"spec": {"finalizers": ["kubernetes"]}}));
        let mut new = object(json!({"spec": {"finalizers": ["example.com/x"]}}));
        prepare_update(&mut new, &old);
        assert_eq!(new, old);
    }

    #[test]
    fn finalizers_are_qualified() {
        let of = |names: Value| errors_of(&object(json!({"spec": {"finalizers": names}})), validate);
        assert_eq!(of(json!(["kubernetes", "example.com/x"])), []);
        let errors = of(json!(["x"]));
        assert_eq!(
            errors[0].to_string(),
            r#"spec.finalizers: Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified"#
        );
    }
}
