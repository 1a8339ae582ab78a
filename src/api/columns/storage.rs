//! `storage.k8s.io`, and volumes and claims of the legacy group.

use super::{Cell, Cells, Kinds, Row, joined};
use crate::view::View;
use Cell::{Age, Code, Count, Flag, Name, Text, TextOr};

const GROUP: &str = "storage.k8s.io";

pub(super) static KINDS: Kinds = &[
    (
        "",
        "PersistentVolume",
        &[
            Name,
            Code(|row, cells| cells.text(&quantity(row.object.at(&["spec", "capacity"])))),
            Code(|row, cells| cells.text(&access_modes(row.object.at(&["spec", "accessModes"])))),
            Text(&["spec", "persistentVolumeReclaimPolicy"]),
            Code(phase),
            Code(claim),
            Code(class),
            TextOr(&["spec", "volumeAttributesClassName"], UNSET),
            Text(&["status", "reason"]),
            Age,
            TextOr(&["spec", "volumeMode"], UNSET),
        ],
    ),
    (
        "",
        "PersistentVolumeClaim",
        &[
            Name,
            Code(phase),
            Text(&["spec", "volumeName"]),
            Code(bound),
            Code(class),
            TextOr(&["spec", "volumeAttributesClassName"], UNSET),
            Age,
            TextOr(&["spec", "volumeMode"], UNSET),
        ],
    ),
    (
        GROUP,
        "CSIDriver",
        &[
            Name,
            Code(|row, cells| {
                let required = row.object.at(&["spec", "attachRequired"]);
                cells.flag(required.is_true() || !required.is_there());
            }),
            Flag(&["spec", "podInfoOnMount"]),
            Flag(&["spec", "storageCapacity"]),
            Code(audiences),
            Flag(&["spec", "requiresRepublish"]),
            Code(modes),
            Age,
        ],
    ),
    (GROUP, "CSINode", &[Name, Count(&[&["spec", "drivers"]]), Age]),
    (GROUP, "CSIStorageCapacity", &[Name, Text(&["storageClassName"]), TextOr(&["capacity"], UNSET)]),
    (
        GROUP,
        "StorageClass",
        &[
            Code(class_name),
            Text(&["provisioner"]),
            TextOr(&["reclaimPolicy"], "Delete"),
            TextOr(&["volumeBindingMode"], "Immediate"),
            Flag(&["allowVolumeExpansion"]),
            Age,
        ],
    ),
    (
        GROUP,
        "VolumeAttachment",
        &[
            Name,
            Text(&["spec", "attacher"]),
            Text(&["spec", "source", "persistentVolumeName"]),
            Text(&["spec", "nodeName"]),
            Flag(&["status", "attached"]),
            Age,
        ],
    ),
    (GROUP, "VolumeAttributesClass", &[Name, Text(&["driverName"]), Age]),
];

const UNSET: &str = "<unset>";

fn phase(row: Row<'_>, cells: &mut Cells<'_>) {
    match row.is_deleting() {
        true => cells.text("Terminating"),
        false => cells.same(row.object.at(&["status", "phase"])),
    }
}

fn claim(row: Row<'_>, cells: &mut Cells<'_>) {
    let claim = row.object.at(&["spec", "claimRef"]);
    let [namespace, name] = claim.pick(["namespace", "name"]);
    cells.text(&match claim.is_there() {
        true => format!("{}/{}", namespace.text(), name.text()),
        false => String::new(),
    });
}

/// The class of a volume or claim. An annotation was there before the field, and still goes first.
fn class(row: Row<'_>, cells: &mut Cells<'_>) {
    let annotation = row.annotation("volume.beta.kubernetes.io/storage-class");
    let field = || row.object.at(&["spec", "storageClassName"]);
    cells.same(if annotation.is_there() { annotation } else { field() });
}

/// Size and modes of the volume that a claim has: two cells.
fn bound(row: Row<'_>, cells: &mut Cells<'_>) {
    let [capacity, modes] = row.object.get("status").pick(["capacity", "accessModes"]);
    let is_bound = !row.object.at(&["spec", "volumeName"]).text().is_empty();
    cells.text(&if is_bound { quantity(capacity) } else { String::new() });
    cells.text(&if is_bound { access_modes(modes) } else { String::new() });
}

fn quantity(resources: View<'_>) -> String {
    let storage = resources.get("storage");
    if storage.is_there() { storage.text().into_owned() } else { "0".to_owned() }
}

fn access_modes(modes: View<'_>) -> String {
    let words = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| modes.items().any(|one| one.is(mode));
    joined(words.iter().filter(|(mode, _)| has(mode)).map(|(_, word)| word), ",")
}

fn audiences(row: Row<'_>, cells: &mut Cells<'_>) {
    let requests = row.object.at(&["spec", "tokenRequests"]);
    cells.text(&match requests.is_there() {
        true => joined(requests.items().map(|one| one.get("audience").text()), ","),
        false => UNSET.to_owned(),
    });
}

fn modes(row: Row<'_>, cells: &mut Cells<'_>) {
    let modes = joined(row.object.at(&["spec", "volumeLifecycleModes"]).items().map(View::text), ",");
    cells.text(if modes.is_empty() { "<none>" } else { &modes });
}

fn class_name(row: Row<'_>, cells: &mut Cells<'_>) {
    let name = row.metadata.get("name");
    match !row.marked.is_empty() && name.is(row.marked) {
        true => cells.text(&format!("{} (default)", name.text())),
        false => cells.same(name),
    }
}

/// The class that claims without one get: the newest of those that are marked so, and of several that are as new the
/// first by name.
pub(super) fn default_class(objects: &mut dyn Iterator<Item = View<'_>>) -> String {
    let is_default = |annotations: View<'_>| {
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
            .iter()
            .any(|name| annotations.get(name).is("true"))
    };
    let candidate = |object: View<'_>| {
        let [name, created, annotations] =
            object.get("metadata").pick(["name", "creationTimestamp", "annotations"]);
        let created = crate::time::parse(&created.text());
        is_default(annotations).then(|| (created, std::cmp::Reverse(name.text().into_owned())))
    };
    objects.filter_map(candidate).max().map(|(_, name)| name.0).unwrap_or_default()
}
