//! `v1 PersistentVolume`: storage that is there.

use serde_json::{Map, Value, json};

use crate::object::Object;
use crate::resource::{Particular, Strategy};
use crate::same;
use crate::validate::at::{At, Root};
use crate::validate::{IMMUTABLE, volume, whole};

/// What is particular.
pub static KIND: Particular = Particular {
    kind: "PersistentVolume",
    strategy: Strategy { prepare_create, stamp, validate, validate_update, ..Strategy::PLAIN },
    ..Particular::NONE
};

const FIXED: &str = "field is immutable, except for updating from beta label to GA";

/// Labels of nodes that had other names once.
const RENAMED: &[(&str, &str)] = &[
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
];

const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";

/// It has waited for a claim since it was created.
fn prepare_create(object: &mut Object) {
    let status = json!({"phase": "Pending", "lastPhaseTransitionTime": object.meta.creation_timestamp});
    object.fields.insert("status".into(), status);
}

/// The time of a phase stays with the phase.
fn stamp(new: &mut Object, old: &Object, now: &str) {
    const SINCE: &str = "lastPhaseTransitionTime";
    let is_same_phase = new.text(&["status", "phase"]) == old.text(&["status", "phase"]);
    let (given, before) = (new.text(&["status", SINCE]), old.text(&["status", SINCE]).to_owned());
    let since = match is_same_phase {
        true if given.is_empty() => before,
        false if given.is_empty() || given == before => now.to_owned(),
        _ => return,
    };
    if let Some(Value::Object(status)) = new.fields.get_mut("status").filter(|_| !since.is_empty()) {
        status.insert(SINCE.to_owned(), since.into());
    }
}

fn validate(new: Root<'_>) {
    volume::spec(new.field("spec"), &new.meta().name, false);
    // Only some sources can be mounted with options.
    let takes_options =
        volume::WITH_MOUNT_OPTIONS.iter().any(|field| new.field("spec").field(field).is_set());
    if !takes_options && new.meta().annotations.contains_key(MOUNT_OPTIONS) {
        let place = new.meta_field("annotations").field(MOUNT_OPTIONS);
        place.forbidden("may not specify mount options for this volume type");
    }
}

/// The sources of a spec, alone. A secret for its expansion may be added later.
fn sources(spec: At<'_>, old: At<'_>) -> Value {
    let mut sources: Map<String, Value> = spec.map().cloned().unwrap_or_default();
    sources.retain(|field, _| volume::is_source(field));
    let had = old.field("csi");
    if let Some(Value::Object(csi)) =
        sources.get_mut("csi").filter(|_| had.is_set() && !had.field("controllerExpandSecretRef").is_set())
    {
        csi.shift_remove("controllerExpandSecretRef");
    }
    sources.into()
}

fn validate_update(new: Root<'_>, old: Root<'_>) {
    validate(new);
    let (spec, before) = (new.field("spec"), old.field("spec"));
    let (now, was) = (sources(spec, before), sources(before, before));
    if !same::field_of("core.v1.PersistentVolume", "spec", Some(&now), Some(&was)) {
        let difference = whole::difference(Some(&was), Some(&now), "PersistentVolumeSource");
        let place = spec.field("persistentvolumesource");
        place.forbidden(&format!("spec.persistentvolumesource is immutable after creation\n{difference}"));
    }
    let affinity = spec.field("nodeAffinity");
    let (now, was) =
        (json!({"nodeAffinity": affinity.value()}), renamed(before.field("nodeAffinity"), affinity));
    let is_same = same::field_of("core.v1.PersistentVolume", "spec", Some(&now), Some(&was));
    if before.field("nodeAffinity").is_set() && !is_same {
        let shown = affinity.value().map(|_| whole::shown(affinity.value(), "VolumeNodeAffinity"));
        new.place("nodeAffinity").invalid_value(shown.unwrap_or_default(), FIXED);
    }
    let mode = spec.field("volumeMode");
    if mode.value() != before.field("volumeMode").value() {
        new.place("volumeMode").invalid_value(mode.value().cloned().unwrap_or_default(), IMMUTABLE);
    }
    let class = spec.field("volumeAttributesClassName");
    if before.field("volumeAttributesClassName").is_set() && !class.is_set() {
        class.forbidden("update from non-nil value to nil is forbidden");
    }
}

/// An affinity whose labels have today's names where `now` has them.
fn renamed(affinity: At<'_>, now: At<'_>) -> Value {
    fn expressions(affinity: &mut Value) -> impl Iterator<Item = &mut Value> {
        let terms = affinity.pointer_mut("/required/nodeSelectorTerms").and_then(Value::as_array_mut);
        terms
            .into_iter()
            .flatten()
            .filter_map(|term| term.get_mut("matchExpressions")?.as_array_mut())
            .flatten()
    }
    let [mut was, mut now] = [affinity, now].map(|at| at.value().cloned().unwrap_or_default());
    for (was, now) in expressions(&mut was).zip(expressions(&mut now)) {
        let [old, new] = [&*was, &*now].map(|at| at.get("key").and_then(Value::as_str).unwrap_or_default());
        // What was never renamed may become empty: so Kubernetes' map of names has it.
        let today = RENAMED.iter().find(|(once, _)| *once == old).map_or("", |(_, today)| *today);
        if today == new {
            was["key"] = new.into();
        }
    }
    json!({ "nodeAffinity": was })
}
