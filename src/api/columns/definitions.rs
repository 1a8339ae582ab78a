//! `apiextensions.k8s.io`.

use super::{CREATED, Cell, Cells, Kinds, Row, joined};
use Cell::{Code, Joined, Name, Text};

pub(super) static KINDS: Kinds = &[(
    "apiextensions.k8s.io",
    "CustomResourceDefinition",
    &[
        Name,
        Text(&["spec", "scope"]),
        Code(versions),
        CREATED,
        Text(&["spec", "group"]),
        Text(&["spec", "names", "kind"]),
        Joined(&["spec", "names", "shortNames"]),
        Code(established),
    ],
)];

/// Those that are served, and which of them is stored.
fn versions(row: Row<'_>, cells: &mut Cells<'_>) {
    let served =
        row.object.at(&["spec", "versions"]).items().filter(|version| version.get("served").is_true());
    let mark = |is_stored: bool| if is_stored { "(storage)" } else { "" };
    let shown = served.map(|version| version.get("name").text() + mark(version.get("storage").is_true()));
    let mut shown: Vec<_> = shown.collect();
    shown.sort_unstable();
    cells.text(&joined(shown.iter(), ","));
}

fn established(row: Row<'_>, cells: &mut Cells<'_>) {
    let mut conditions = row.object.at(&["status", "conditions"]).items();
    cells.flag(conditions.any(|one| one.get("type").is("Established") && one.get("status").is("True")));
}
