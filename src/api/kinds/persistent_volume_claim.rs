//! `v1 PersistentVolumeClaim`: storage that is asked for.

use serde_json::{Map, Value, json};

use crate::object::Object;
use crate::quantity::Quantity;
use crate::resource::{Particular, Strategy};
use crate::same;
use crate::validate::IMMUTABLE;
use crate::validate::at::{At, Root};
use crate::validate::pod::resources::{amount, is_native};
use crate::validate::{claim, whole};

/// What is particular.
pub static KIND: Particular = Particular {
    kind: "PersistentVolumeClaim",
    strategy: Strategy {
        prepare_create: |object| {
            object.fields.insert("status".into(), json!({"phase": "Pending"}));
            prepare_sources(object, None);
        },
        prepare_update: |new, old| prepare_sources(new, Some(old)),
        prepare_status: drop_health,
        validate: |new| claim::spec(new.field("spec")),
        validate_update,
        validate_status,
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

/// Where a class was named before there was a field for it.
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

const RESIZES: &[&str] = &[
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

/// Two fields say where the data comes from. The older knows two kinds of sources and drops all others.
fn prepare_sources(object: &mut Object, old: Option<&Object>) {
    let before = old.and_then(Object::spec);
    let was_used =
        |field: &str| before.and_then(|spec| spec.get(field)).is_some_and(|source| !source.is_null());
    let in_use = was_used("dataSource") || was_used("dataSourceRef");
    let had_reference = was_used("dataSourceRef");
    let Some(spec) = object.spec_mut() else { return };
    // Sources in other namespaces are a feature that is off.
    let is_elsewhere = spec.get("dataSourceRef").is_some_and(|source| !text(source, "namespace").is_empty());
    if is_elsewhere && !had_reference {
        spec.shift_remove("dataSourceRef");
    }
    if !in_use && spec.get("dataSourceRef").is_none() && !spec.get("dataSource").is_some_and(is_old_source) {
        spec.shift_remove("dataSource");
    }
    complete_sources(spec);
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn is_old_source(source: &Value) -> bool {
    let sources = [("PersistentVolumeClaim", ""), ("VolumeSnapshot", "snapshot.storage.k8s.io")];
    sources.contains(&(text(source, "kind"), text(source, "apiGroup")))
}

/// Each of the two fields is filled in from the other, where it can say the same.
fn complete_sources(spec: &mut Map<String, Value>) {
    let copy = |source: &Value| {
        let mut copy = Map::new();
        copy.extend(source.get("apiGroup").map(|group| ("apiGroup".to_owned(), group.clone())));
        for field in ["kind", "name"] {
            copy.insert(field.into(), text(source, field).into());
        }
        Value::Object(copy)
    };
    match (spec.get("dataSource"), spec.get("dataSourceRef")) {
        (Some(source), None) => drop(spec.insert("dataSourceRef".into(), copy(source))),
        (None, Some(source)) if text(source, "namespace").is_empty() => {
            let source = copy(source);
            spec.insert("dataSource".into(), source);
        }
        _ => {}
    }
}

/// The health of volumes is a feature that is off.
fn drop_health(new: &mut Object, old: &Object) {
    let was_used = old.fields.get("status").is_some_and(|status| status.get("healthStatus").is_some());
    if let Some(Value::Object(status)) = new.fields.get_mut("status").filter(|_| !was_used) {
        status.shift_remove("healthStatus");
    }
}

fn requested(spec: At<'_>) -> Option<Quantity> {
    spec.field("resources").field("requests").field("storage").quantity()
}

fn validate_update(new: Root<'_>, old: Root<'_>) {
    let (spec, before) = (new.field("spec"), old.field("spec"));
    claim::changed_spec(spec, Some(before));
    class_annotation(new, old);
    let (mut now, mut was) =
        (spec.map().cloned().unwrap_or_default(), before.map().cloned().unwrap_or_default());
    complete_sources(&mut was);
    level(new, old, &mut now, &mut was);
    let (now, was) = (Value::from(now), Value::from(was));
    if !same::field_of("core.v1.PersistentVolumeClaim", "spec", Some(&now), Some(&was)) {
        let difference = whole::difference(Some(&was), Some(&now), "PersistentVolumeClaimSpec");
        spec.forbidden(&format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n{difference}"
        ));
    }
    let capacity =
        old.field("status").field("capacity").field("storage").quantity().unwrap_or(Quantity::ZERO);
    let asked = requested(spec).unwrap_or(Quantity::ZERO);
    if asked < requested(before).unwrap_or(Quantity::ZERO) && asked <= capacity {
        let place = spec.field("resources").field("requests").field("storage");
        place.forbidden("field can not be less than status.capacity");
    }
    let mode = spec.field("volumeMode");
    if mode.value() != before.field("volumeMode").value() {
        new.place("volumeMode").invalid_value(mode.value().cloned().unwrap_or_default(), IMMUTABLE);
    }
    let class = spec.field("volumeAttributesClassName");
    let is_applied = old.field("status").field("currentVolumeAttributesClassName").is_set();
    if class.value() != before.field("volumeAttributesClassName").value()
        && is_applied
        && class.text().is_empty()
    {
        let what = if class.is_set() { "empty string" } else { "nil" };
        class.forbidden(&format!(
            "update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"
        ));
    }
}

/// Whether the class moves from the annotation to the field.
fn moves_class(new: Root<'_>, old: Root<'_>) -> bool {
    let class = new.field("spec").field("storageClassName");
    old.meta().annotations.get(CLASS).is_some_and(|was| {
        !old.field("spec").field("storageClassName").is_set()
            && class.is_set()
            && class.text() == was
            && new.meta().annotations.get(CLASS).is_none_or(|now| now == was)
    })
}

fn class_annotation(new: Root<'_>, old: Root<'_>) {
    let of = |root: Root<'_>| root.meta().annotations.get(CLASS).cloned().unwrap_or_default();
    if !moves_class(new, old) && of(new) != of(old) {
        new.meta_field("annotations").field(CLASS).invalid_value(of(new), IMMUTABLE);
    }
}

/// Makes the changes that are allowed undone, so that what differs then is not allowed.
fn level(new: Root<'_>, old: Root<'_>, now: &mut Map<String, Value>, was: &mut Map<String, Value>) {
    fn put(map: &mut Map<String, Value>, field: &str, value: Option<Value>) {
        match value {
            Some(value) => drop(map.insert(field.into(), value)),
            None => drop(map.shift_remove(field)),
        }
    }
    if old.field("spec").field("volumeName").is_empty() {
        put(was, "volumeName", now.get("volumeName").cloned());
    }
    let (class, before) =
        (new.field("spec").field("storageClassName"), old.field("spec").field("storageClassName"));
    let annotated = old.meta().annotations.get(CLASS);
    let is_first = class.is_set() && !before.is_set() && annotated.is_none_or(|was| was == class.text());
    if moves_class(new, old) || is_first {
        put(now, "storageClassName", before.value().cloned());
    }
    if new.field("status").field("phase").text() != "Bound" {
        return;
    }
    put(now, "volumeAttributesClassName", was.get("volumeAttributesClassName").cloned());
    let size = old.field("spec").field("resources").field("requests").field("storage").value();
    let requests = now.get_mut("resources").and_then(|resources| resources.get_mut("requests"));
    if let Some(requests) = requests.and_then(Value::as_object_mut) {
        put(requests, "storage", Some(size.cloned().unwrap_or_else(|| "0".into())));
    }
}

fn validate_status(new: Root<'_>, _old: Root<'_>) {
    let status = new.field("status");
    if new.field("spec").field("accessModes").count() == 0 {
        new.place("Spec").field("accessModes").required("");
    }
    for (_, size) in status.field("capacity").entries() {
        not_negative(size);
    }
    let states = status.field("allocatedResourceStatuses");
    for (name, state) in states.entries() {
        resource(states, name);
        if !RESIZES.contains(&state.text()) {
            states.report(|path| crate::FieldError::not_supported(path, name, RESIZES));
        }
    }
    let allocated = status.field("allocatedResources");
    for (name, size) in allocated.entries() {
        if resource(allocated, name) && not_negative(size) {
            amount(size, "storage");
        }
    }
}

fn not_negative(size: At<'_>) -> bool {
    let is_negative = size.quantity().is_some_and(|size| size < Quantity::ZERO);
    if let Some(size_given) = size.quantity().filter(|_| is_negative) {
        let shown = i64::try_from(size_given.in_units(0)).unwrap_or(i64::MIN);
        size.invalid_value(shown, "must be a valid resource quantity");
    }
    !is_negative
}

fn resource(list: At<'_>, name: &str) -> bool {
    let wrong = crate::names::qualified(name);
    wrong.iter().for_each(|wrong| list.invalid_value(name, wrong));
    let is_unknown = wrong.is_empty() && is_native(name) && name != "storage";
    if is_unknown {
        list.report(|path| crate::FieldError::not_supported(path, name, &["storage"]));
    }
    wrong.is_empty() && !is_unknown
}
