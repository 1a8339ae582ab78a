//! `apiextensions.k8s.io/v1 CustomResourceDefinition`: a resource that is made by describing it.

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

use crate::custom::{definition, is, items, naming, text};
use crate::field_error::FieldError;
use crate::object::{Object, member};
use crate::resource::{Particular, Resource, Strategy};
use crate::validate::at::Root;

/// The row.
pub static RESOURCE: LazyLock<Arc<Resource>> =
    LazyLock::new(|| Resource::builtin("apiextensions.k8s.io", "v1", "customresourcedefinitions"));

/// The finalizer of a definition that has instances: they go first.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// What is particular.
pub static KIND: Particular = Particular {
    group: "apiextensions.k8s.io",
    kind: "CustomResourceDefinition",
    counted: Some("spec"),
    strategy: Strategy {
        default,
        prepare_create,
        prepare_update,
        validate: |root| report(root, definition::errors(root.object, None)),
        validate_update: |new, old| report(new, definition::errors(new.object, Some(old.object))),
        validate_status: |new, _| report(new, definition::status_errors(new.object)),
        prepare_delete,
        is_held: |object| !object.meta.is_deleting(),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

fn report(root: Root<'_>, errors: Vec<FieldError>) {
    errors.into_iter().for_each(|error| root.report(error));
}

fn default(object: &mut Object) {
    let storage = storage_version(object);
    let spec = member(&mut object.fields, "spec");
    let names = spec.entry("names").or_insert_with(|| json!({}));
    let kind = text(names, "kind").to_owned();
    if text(names, "singular").is_empty() && !kind.is_empty() {
        names["singular"] = kind.to_lowercase().into();
    }
    if text(names, "listKind").is_empty() && !kind.is_empty() {
        names["listKind"] = format!("{kind}List").into();
    }
    spec.entry("conversion").or_insert_with(|| json!({"strategy": "None"}));
    if let Some(service) =
        spec.get_mut("conversion").and_then(|given| given.pointer_mut("/webhook/clientConfig/service"))
        && let Some(service) = service.as_object_mut()
    {
        service.entry("port").or_insert_with(|| 443.into());
    }
    let status = member(&mut object.fields, "status");
    let has_stored =
        status.get("storedVersions").and_then(Value::as_array).is_some_and(|names| !names.is_empty());
    if let (false, Some(storage)) = (has_stored, storage) {
        status.insert("storedVersions".into(), json!([storage]));
    }
}

/// The version in which objects are stored.
pub fn storage_version(object: &Object) -> Option<String> {
    let versions = items(object.fields.get("spec"), "versions");
    versions.iter().find(|version| is(version, "storage")).map(|version| text(version, "name").to_owned())
}

fn prepare_create(object: &mut Object) {
    object.fields.insert("status".into(), json!({}));
    store(object);
}

fn prepare_update(new: &mut Object, _: &Object) {
    store(new);
}

/// A definition never goes at once: something of it may be stored.
fn prepare_delete(object: &mut Object) {
    if !object.meta.finalizers.iter().any(|name| name == CLEANUP_FINALIZER) {
        object.meta.finalizers.push(CLEANUP_FINALIZER.into());
    }
    let now = object.meta.deletion_timestamp.clone().unwrap_or_default();
    let why = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    naming::set_condition(object, "Terminating", true, "InstanceDeletionPending", why, &now);
}

/// Remembers that objects are stored in the version of now.
fn store(object: &mut Object) {
    let Some(storage) = storage_version(object) else { return };
    let stored = member(&mut object.fields, "status").entry("storedVersions").or_insert_with(|| json!([]));
    if let Some(stored) = stored.as_array_mut().filter(|known| !known.iter().any(|known| *known == *storage))
    {
        stored.push(storage.into());
    }
}
