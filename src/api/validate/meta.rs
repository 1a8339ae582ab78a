//! The rules of `metadata`.

use serde_json::Value;

use super::at::{At, Root};
use super::common::{IMMUTABLE, NEGATIVE};
use crate::apply::Entry;
use crate::meta::ObjectMeta;
use crate::names;
use crate::resource::Resource;

/// How large all annotations of an object may be together, keys and values.
pub(super) const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

/// Groups whose objects may have finalizers of any name.
const ANY_FINALIZERS: &[&str] = &[
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "policy",
];

/// How long a field manager's name may be.
const MANAGER_BYTES_MAX: usize = 128;
/// How long a subresource's name may be.
const SUBRESOURCE_BYTES_MAX: usize = 256;

/// How long the reason of a condition may be.
const REASON_BYTES_MAX: usize = 1024;
/// How long the message of a condition may be.
const MESSAGE_BYTES_MAX: usize = 32 * 1024;

const REASON_RULE: &str = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";

/// What is wrong with a new object's.
pub(super) fn create(root: Root<'_>, resource: &Resource) {
    name(root, resource);
    namespace(root, resource);
    if root.meta().generation < 0 {
        root.meta_field("generation").invalid_value(root.meta().generation, NEGATIVE);
    }
    common(root, resource);
}

/// What is wrong with a changed object's.
pub(super) fn update(root: Root<'_>, old: &ObjectMeta, resource: &Resource) {
    let new = root.meta();
    if old.is_deleting() {
        no_new_finalizers(root, old);
    }
    for wrong in names::path_segment(&new.name, false) {
        root.meta_field("name").invalid_value(new.name.as_str(), &wrong);
    }
    let unchanged = |field: &'static str, new: Option<&str>, old: Option<&str>| {
        if new != old {
            root.meta_field(field).invalid_value(new.map_or(Value::Null, Value::from), IMMUTABLE);
        }
    };
    unchanged("name", Some(&new.name), Some(&old.name));
    unchanged("namespace", Some(&new.namespace), Some(&old.namespace));
    unchanged("uid", Some(&new.uid), Some(&old.uid));
    unchanged("creationTimestamp", Some(&new.creation_timestamp), Some(&old.creation_timestamp));
    unchanged("deletionTimestamp", new.deletion_timestamp.as_deref(), old.deletion_timestamp.as_deref());
    if new.deletion_grace_period_seconds != old.deletion_grace_period_seconds {
        let shown = new.deletion_grace_period_seconds.map_or(Value::Null, Value::from);
        root.meta_field("deletionGracePeriodSeconds").invalid_value(shown, IMMUTABLE);
    }
    if new.generation < 0 {
        root.meta_field("generation").invalid_value(new.generation, NEGATIVE);
    } else if new.generation < old.generation {
        root.meta_field("generation").invalid_value(new.generation, "must not be decremented");
    }
    common(root, resource);
}

fn no_new_finalizers(root: Root<'_>, old: &ObjectMeta) {
    let mut added: Vec<_> =
        root.meta().finalizers.iter().filter(|name| !old.finalizers.contains(name)).collect();
    added.sort();
    added.dedup();
    if !added.is_empty() {
        let listed = added.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let rule = "no new finalizers can be added if the object is being deleted, found new finalizers";
        root.meta_field("finalizers").forbidden(&format!("{rule} []string{{{listed}}}"));
    }
}

fn name(root: Root<'_>, resource: &Resource) {
    let (meta, check) = (root.meta(), resource.strategy().name);
    if !meta.generate_name.is_empty() {
        for wrong in check(&meta.generate_name, true) {
            root.meta_field("generateName").invalid_value(meta.generate_name.as_str(), &wrong);
        }
    }
    if meta.name.is_empty() {
        root.meta_field("name").required("name or generateName is required");
    }
    for wrong in if meta.name.is_empty() { Vec::new() } else { check(&meta.name, false) } {
        root.meta_field("name").invalid_value(meta.name.as_str(), &wrong);
    }
}

fn namespace(root: Root<'_>, resource: &Resource) {
    let place = || root.meta_field("namespace");
    match (resource.namespaced, root.meta().namespace.as_str()) {
        (false, "") => {}
        (false, _) => place().forbidden("not allowed on this type"),
        (true, "") => place().required(""),
        (true, name) => {
            for wrong in names::dns_label(name, false) {
                place().invalid_value(name, &wrong);
            }
        }
    }
}

/// What is wrong with that of an object within an object.
pub(super) fn embedded(root: Root<'_>) {
    let meta = root.meta();
    for (field, name, is_prefix) in [("name", &meta.name, false), ("generateName", &meta.generate_name, true)]
    {
        for wrong in names::path_segment(name, is_prefix) {
            root.meta_field(field).invalid_value(name.as_str(), &wrong);
        }
    }
    if !meta.namespace.is_empty() {
        for wrong in names::dns_label(&meta.namespace, false) {
            root.meta_field("namespace").invalid_value(meta.namespace.as_str(), &wrong);
        }
    }
    if meta.generation < 0 {
        root.meta_field("generation").invalid_value(meta.generation, NEGATIVE);
    }
    of_any(root);
}

fn common(root: Root<'_>, resource: &Resource) {
    of_any(root);
    let is_core_event = (resource.group.as_str(), resource.kind.as_str()) == ("", "Event");
    let may_name = resource.custom.is_some() || ANY_FINALIZERS.contains(&resource.group.as_str());
    if !is_core_event && !may_name {
        root.known_finalizers();
    }
    let meta = root.meta();
    for (at, entry) in meta.managed_fields.iter().enumerate() {
        managed(entry, |field| root.meta_field("managedFields").index(at).field(field));
    }
}

fn of_any(root: Root<'_>) {
    let meta = root.meta();
    for (key, value) in &meta.labels {
        for wrong in names::qualified(key) {
            root.meta_field("labels").invalid_value(key.as_str(), &wrong);
        }
        for wrong in names::label_value(value) {
            root.meta_field("labels").invalid_value(value.as_str(), &wrong);
        }
    }
    annotations(
        || root.meta_field("annotations"),
        meta.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())),
    );
    owners(root);
    finalizers(root);
}

/// The keys of annotations, and the size of them all.
pub(super) fn annotations<'a>(place: impl Fn() -> At<'a>, of: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut size = 0;
    for (key, value) in of {
        size += key.len() + value.len();
        // The case does not matter.
        let has_capitals = key.bytes().any(|byte| byte.is_ascii_uppercase());
        let wrong = if has_capitals { names::qualified(&key.to_lowercase()) } else { names::qualified(key) };
        for wrong in wrong {
            place().invalid_value(key, &wrong);
        }
    }
    if size > ANNOTATIONS_BYTES_MAX {
        place().too_long(ANNOTATIONS_BYTES_MAX);
    }
}

/// A map of annotations.
pub(crate) fn annotations_of(at: At<'_>) {
    annotations(|| at, at.entries().map(|(key, value)| (key, value.text())));
}

/// The size of a map of annotations.
pub(super) fn annotations_size(at: At<'_>) {
    if at.entries().map(|(key, value)| key.len() + value.text().len()).sum::<usize>() > ANNOTATIONS_BYTES_MAX
    {
        at.too_long(ANNOTATIONS_BYTES_MAX);
    }
}

fn owners(root: Root<'_>) {
    let owners = &root.meta().owner_references;
    let mut controller: Option<String> = None;
    for (at, owner) in owners.iter().enumerate() {
        let owner = root.meta_field("ownerReferences").index(at).with(Some(owner));
        let version = owner.field("apiVersion");
        if version.text().is_empty() {
            version.required("must not be empty");
        } else if !is_group_version(version.text()) {
            version.invalid("must be <group>/<version> or <version>");
        }
        for field in ["kind", "name", "uid"].map(|field| owner.field(field)) {
            if field.text().is_empty() {
                field.required("must not be empty");
            }
        }
        if (version.text(), owner.field("kind").text()) == ("v1", "Event") {
            owner.invalid("/v1, Kind=Event is disallowed from being an owner");
        }
        if owner.field("controller").is_true() {
            let name = format!("{}/{}", owner.field("kind").text(), owner.field("name").text());
            match &controller {
                None => controller = Some(name),
                Some(first) => {
                    let rule = "Only one reference can have Controller set to true. Found \"true\" in references for";
                    let place = root.meta_field("ownerReferences");
                    place.invalid_value(owners.clone(), &format!("{rule} {first} and {name}"));
                }
            }
        }
    }
}

/// `v1` or `apps/v1`.
fn is_group_version(text: &str) -> bool {
    let mut parts = text.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (_, Some(version), None) => !version.is_empty(),
        (_, _, Some(_)) => false,
        _ => true,
    }
}

fn finalizers(root: Root<'_>) {
    let names = &root.meta().finalizers;
    for name in names {
        for wrong in names::qualified(name) {
            root.meta_field("finalizers").invalid_value(name.as_str(), &wrong);
        }
    }
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if has("orphan") && has("foregroundDeletion") {
        let rule = "finalizer orphan and foregroundDeletion cannot be both set";
        root.meta_field("finalizers").invalid_value(names.clone(), rule);
    }
}

fn managed<'a>(entry: &Entry, place: impl Fn(&'static str) -> At<'a>) {
    let operation = entry.operation.as_str();
    if operation.is_empty() {
        place("operation").required("must not be empty");
    } else if !["Apply", "Update"].contains(&operation) {
        place("operation").not_supported_value(operation, &["Apply", "Update"]);
    }
    if !matches!(&*entry.fields_type, "" | "FieldsV1") {
        place("fieldsType").invalid_value(entry.fields_type.as_str(), "must be `FieldsV1`");
    }
    if entry.manager.len() > MANAGER_BYTES_MAX {
        place("manager").too_long(MANAGER_BYTES_MAX);
    }
    if entry.subresource.len() > SUBRESOURCE_BYTES_MAX {
        place("subresource").too_long(SUBRESOURCE_BYTES_MAX);
    }
}

/// The conditions of a status.
pub(crate) fn conditions(conditions: At<'_>) {
    let mut known: Vec<&str> = Vec::new();
    for condition in conditions.items() {
        let (kind, status) = (condition.field("type"), condition.field("status"));
        if known.contains(&kind.text()) {
            condition.duplicate_value(kind.text());
        }
        known.push(kind.text());
        if kind.text().is_empty() {
            kind.required("is required");
        } else {
            kind.label_key();
        }
        status.require_one_of(&["False", "True", "Unknown"]);
        if condition.field("observedGeneration").number() < 0 {
            condition.field("observedGeneration").invalid("must be greater than or equal to zero");
        }
        condition.field("lastTransitionTime").require_text();
        reason(condition.field("reason"));
        if condition.field("message").text().len() > MESSAGE_BYTES_MAX {
            condition.field("message").too_long(MESSAGE_BYTES_MAX);
        }
    }
}

fn reason(reason: At<'_>) {
    if !reason.require_text() {
        return;
    }
    let text = reason.text();
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_,:".contains(&byte);
    let ends = text.ends_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_');
    let begins = text.starts_with(|letter: char| letter.is_ascii_alphabetic());
    if !begins || !ends || !text.bytes().all(is_inner) {
        reason.invalid(REASON_RULE);
    }
    if text.len() > REASON_BYTES_MAX {
        reason.too_long(REASON_BYTES_MAX);
    }
}
