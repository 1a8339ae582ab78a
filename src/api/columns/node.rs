//! `v1 Node`.

use std::collections::BTreeSet;

use super::{Cell, Cells, Kinds, Row, joined};
use crate::view::View;
use Cell::{Age, Code, Name, Text};

pub(super) static KINDS: Kinds = &[(
    "",
    "Node",
    &[Name, Code(status), Code(roles), Age, Text(&["status", "nodeInfo", "kubeletVersion"]), Code(wide)],
)];

fn status(row: Row<'_>, cells: &mut Cells<'_>) {
    let conditions = row.object.at(&["status", "conditions"]);
    let ready = conditions.items().filter(|one| one.get("type").is("Ready")).last();
    let status = match ready.map(|one| one.get("status").is("True")) {
        None => "Unknown",
        Some(true) => "Ready",
        Some(false) => "NotReady",
    };
    let is_cordoned = row.object.at(&["spec", "unschedulable"]).is_true();
    cells.text(&[status, if is_cordoned { ",SchedulingDisabled" } else { "" }].concat());
}

fn roles(row: Row<'_>, cells: &mut Cells<'_>) {
    let role = |(key, value): (std::borrow::Cow<'_, str>, View<'_>)| match key
        .strip_prefix("node-role.kubernetes.io/")
    {
        Some(role) => Some(role.to_owned()),
        None => (key == "kubernetes.io/role").then(|| value.text().into_owned()),
    };
    let roles: BTreeSet<String> =
        row.metadata.get("labels").members().filter_map(role).filter(|role| !role.is_empty()).collect();
    cells.text(&if roles.is_empty() { "<none>".to_owned() } else { joined(roles.iter(), ",") });
}

fn wide(row: Row<'_>, cells: &mut Cells<'_>) {
    let [addresses, info] = row.object.get("status").pick(["addresses", "nodeInfo"]);
    for kind in ["InternalIP", "ExternalIP"] {
        match addresses.items().find(|one| one.get("type").is(kind)) {
            Some(found) => cells.same(found.get("address")),
            None => cells.text("<none>"),
        }
    }
    let [image, kernel, runtime, architecture] =
        info.pick(["osImage", "kernelVersion", "containerRuntimeVersion", "architecture"]);
    cells.same_or(image, "<unknown>");
    let version = kernel.text();
    let version = if version.is_empty() { "<unknown>" } else { &version };
    match &*architecture.text() {
        "" => cells.text(version),
        architecture => cells.text(&format!("{version} ({architecture})")),
    }
    cells.same_or(runtime, "<unknown>");
}
