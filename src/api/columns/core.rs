//! The legacy group, but for pods, nodes, events, and what belongs to networks or storage.

use super::{Cell, Cells, Kinds, Row, joined};
use Cell::{Age, Code, Containers, Count, Labels, Name, Number, Text};

pub(super) static KINDS: Kinds = &[
    ("", "ComponentStatus", &[Name, Code(component)]),
    ("", "ConfigMap", &[Name, Count(&[&["data"], &["binaryData"]]), Age]),
    ("", "Namespace", &[Name, Text(&["status", "phase"]), Age]),
    (
        "",
        "PodTemplate",
        &[Name, Containers(&["template", "spec"]), Labels(&["template", "metadata", "labels"])],
    ),
    (
        "",
        "ReplicationController",
        &[
            Name,
            Number(&["spec", "replicas"]),
            Number(&["status", "replicas"]),
            Number(&["status", "readyReplicas"]),
            Age,
            Containers(&["spec", "template", "spec"]),
            Labels(&["spec", "selector"]),
        ],
    ),
    ("", "ResourceQuota", &[Name, Code(quota), Age]),
    ("", "Secret", &[Name, Text(&["type"]), Count(&[&["data"]]), Age]),
    ("", "ServiceAccount", &[Name, Age]),
    ("apiregistration.k8s.io", "APIService", &[Name, Code(backing), Code(available), Age]),
    ("coordination.k8s.io", "Lease", &[Name, Text(&["spec", "holderIdentity"]), Age]),
    ("node.k8s.io", "RuntimeClass", &[Name, Text(&["handler"]), Age]),
    (
        "scheduling.k8s.io",
        "PriorityClass",
        &[Name, Number(&["value"]), Cell::Flag(&["globalDefault"]), Age, Text(&["preemptionPolicy"])],
    ),
    ("storagemigration.k8s.io", "StorageVersionMigration", &[Name, Code(migrated), Code(migration)]),
];

fn component(row: Row<'_>, cells: &mut Cells<'_>) {
    let healthy = row.object.get("conditions").items().find(|one| one.get("type").is("Healthy"));
    cells.text(match healthy.map(|one| one.get("status").is("True")) {
        None => "Unknown",
        Some(true) => "Healthy",
        Some(false) => "Unhealthy",
    });
    for member in ["message", "error"] {
        cells.text(&healthy.map(|one| one.get(member).text()).unwrap_or_default());
    }
}

/// What is used of each resource: of requests and the rest, and of limits.
fn quota(row: Row<'_>, cells: &mut Cells<'_>) {
    let [hard, used] = row.object.get("status").pick(["hard", "used"]);
    let mut lines: Vec<(bool, String)> = hard
        .members()
        .map(|(name, hard)| {
            let used = used.get(&name);
            let used = if used.is_there() { used.text() } else { "0".into() };
            (name.starts_with("limits."), format!("{name}: {used}/{}", hard.text()))
        })
        .collect();
    lines.sort_unstable();
    for is_limit in [false, true] {
        let of_column = lines.iter().filter(|line| line.0 == is_limit);
        cells.text(&joined(of_column.map(|line| &line.1), ", "));
    }
}

fn backing(row: Row<'_>, cells: &mut Cells<'_>) {
    let service = row.object.at(&["spec", "service"]);
    let [namespace, name] = service.pick(["namespace", "name"]);
    cells.text(&match service.is_there() {
        true => format!("{}/{}", namespace.text(), name.text()),
        false => "Local".to_owned(),
    });
}

fn available(row: Row<'_>, cells: &mut Cells<'_>) {
    let conditions = row.object.at(&["status", "conditions"]);
    let Some(condition) = conditions.items().find(|one| one.get("type").is("Available")) else {
        return cells.text("Unknown");
    };
    let [status, reason] = condition.pick(["status", "reason"]);
    match &*reason.text() {
        reason if !status.is("True") && !reason.is_empty() => {
            cells.text(&format!("{} ({reason})", status.text()))
        }
        _ => cells.same(status),
    }
}

fn migrated(row: Row<'_>, cells: &mut Cells<'_>) {
    let [group, resource] = row.object.at(&["spec", "resource"]).pick(["group", "resource"]);
    let of = crate::GroupResource { group: &group.text(), resource: &resource.text() };
    cells.text(&of.to_string());
}

/// The last of the conditions that hold.
fn migration(row: Row<'_>, cells: &mut Cells<'_>) {
    let conditions = row.object.at(&["status", "conditions"]);
    let holding =
        conditions.items().filter(|one| one.get("status").is("True")).map(|one| one.get("type").text());
    let last = holding.filter(|kind| ["Running", "Failed", "Succeeded"].contains(&&**kind)).last();
    cells.text(&last.unwrap_or("Unknown".into()));
}
