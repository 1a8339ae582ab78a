//! `rbac.authorization.k8s.io`.

use super::{Cell, Cells, Kinds, Row, joined};
use Cell::{Age, Code, Name};

pub(super) static KINDS: Kinds = &[
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", BINDING),
    ("rbac.authorization.k8s.io", "RoleBinding", BINDING),
];

const BINDING: &[Cell] = &[Name, Code(role), Age, Code(subjects)];

fn role(row: Row<'_>, cells: &mut Cells<'_>) {
    let [kind, name] = row.object.get("roleRef").pick(["kind", "name"]);
    cells.text(&format!("{}/{}", kind.text(), name.text()));
}

/// Users, groups and service accounts: a cell each.
fn subjects(row: Row<'_>, cells: &mut Cells<'_>) {
    let subjects = row.object.get("subjects");
    for kind in ["User", "Group", "ServiceAccount"] {
        let of_kind = subjects.items().filter(|subject| subject.get("kind").is(kind));
        let shown = of_kind.map(|subject| {
            let [namespace, name] = subject.pick(["namespace", "name"]);
            match kind {
                "ServiceAccount" => format!("{}/{}", namespace.text(), name.text()),
                _ => name.text().into_owned(),
            }
        });
        cells.text(&joined(shown, ", "));
    }
}
