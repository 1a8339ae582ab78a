//! Claims of storage: the spec of a PersistentVolumeClaim, and the templates that hold one.

use serde_json::Value;

use super::at::At;
use super::meta;
use crate::names;
use crate::quantity::Quantity;

const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// What the metadata of a template may not hold, and how errors name it.
static UNSETTABLE: &[(&str, &str)] = &[
    ("name", "name"),
    ("generateName", "generateName"),
    ("namespace", "namespace"),
    ("selfLink", "selfLink"),
    ("uid", "uID"),
    ("resourceVersion", "resourceVersion"),
    ("generation", "generation"),
    ("creationTimestamp", "creationTimestamp"),
    ("deletionTimestamp", "deletionTimestamp"),
    ("deletionGracePeriodSeconds", "deletionGracePeriodSeconds"),
    ("ownerReferences", "ownerReferences"),
    ("finalizers", "finalizers"),
    ("managedFields", "managedFields"),
];

/// A claim that is made with a pod or a replica of a StatefulSet.
pub fn template(template: At<'_>) {
    let metadata = template.field("metadata");
    meta::annotations_of(metadata.field("annotations"));
    metadata.field("labels").labels();
    for (field, told) in UNSETTABLE {
        let given = metadata.field(told).with(metadata.field(field).value());
        // Lists and pointers that are given are set, empty or not.
        let is_zero = matches!(given.value(), Some(Value::String(_) | Value::Number(_))) && given.is_empty();
        if given.is_set() && !is_zero {
            given.forbidden("cannot be set");
        }
    }
    spec(template.field("spec"));
}

/// The spec of a new claim.
pub fn spec(spec: At<'_>) {
    changed_spec(spec, None);
}

/// The spec of a claim that may have been allowed more once.
pub fn changed_spec(spec: At<'_>, old: Option<At<'_>>) {
    access_modes(spec.field("accessModes"), "at least 1 access mode is required");
    let had_odd_values = old.is_some_and(|old| old.field("selector").has_odd_label_values());
    spec.field("selector").label_selector_unless(had_odd_values);
    storage(spec);
    let (class, mode) = (spec.field("storageClassName"), spec.field("volumeMode"));
    if !class.text().is_empty() {
        class.check_name(names::dns_subdomain);
    }
    if mode.is_set() {
        mode.one_of(&["Block", "Filesystem"]);
    }
    let had_group = |old: At<'_>| {
        ["dataSource", "dataSourceRef"].iter().any(|field| old.field(field).field("apiGroup").is_set())
    };
    data_sources(spec, old.is_some_and(had_group));
    let attributes = spec.field("volumeAttributesClassName");
    if !attributes.text().is_empty() {
        attributes.check_name(names::dns_subdomain);
    }
}

/// How a volume may be used.
pub fn access_modes(modes: At<'_>, missing: &str) {
    if modes.count() == 0 {
        modes.required(missing);
    }
    for mode in modes.items().filter(|mode| !ACCESS_MODES.contains(&mode.text())) {
        modes.with(mode.value()).not_supported(ACCESS_MODES);
    }
    let is_single = |mode: &At<'_>| mode.text() == "ReadWriteOncePod";
    let is_other = |mode: &At<'_>| !is_single(mode) && ACCESS_MODES.contains(&mode.text());
    if modes.items().any(|mode| is_single(&mode)) && modes.items().any(|mode| is_other(&mode)) {
        modes.forbidden("may not use ReadWriteOncePod with other access modes");
    }
}

/// How much is asked for. Errors leave `requests` out of the path: so does Kubernetes.
fn storage(spec: At<'_>) {
    let asked = spec.field("resources").field("requests").key("storage");
    let place = spec.field("resources").key("storage").with(asked.value());
    match asked.quantity() {
        None => place.required(""),
        Some(asked) if asked <= Quantity::ZERO => place.invalid("must be greater than zero"),
        Some(_) => {}
    }
}

fn data_sources(spec: At<'_>, any_group: bool) {
    let (source, reference) = (spec.field("dataSource"), spec.field("dataSourceRef"));
    for source in [source, reference].iter().filter(|source| source.is_set()) {
        data_source(*source, any_group);
    }
    if !reference.field("namespace").text().is_empty() {
        reference.field("namespace").check_name(names::dns_label);
        if source.is_set() {
            let rule = "may not be specified when dataSourceRef.namespace is specified";
            spec.invalid_value(serde_json::json!({}), rule);
        }
    } else if source.is_set() && reference.is_set() {
        let same = |field| source.field(field).text() == reference.field(field).text();
        let same_group = source.field("apiGroup").value() == reference.field("apiGroup").value();
        if !same_group || !same("kind") || !same("name") {
            spec.invalid_value(serde_json::json!({}), "must match dataSourceRef");
        }
    }
}

fn data_source(source: At<'_>, any_group: bool) {
    source.field("name").require_text();
    source.field("kind").require_text();
    let (group, kind) = (source.field("apiGroup"), source.field("kind").text());
    if !group.text().is_empty() {
        if !any_group {
            group.check_name(names::dns_subdomain);
        }
    } else if kind != "PersistentVolumeClaim" {
        source.invalid_value(kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    }
}
