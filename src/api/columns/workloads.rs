//! `apps`.

use super::{Cell, Cells, Kinds, Row, labels};
use crate::view::View;
use Cell::{Age, Code, Containers, Labels, Name, Number, Of, Selector};

pub(super) static KINDS: Kinds = &[
    ("apps", "ControllerRevision", &[Name, Code(controller), Number(&["revision"]), Age]),
    (
        "apps",
        "DaemonSet",
        &[
            Name,
            Number(&["status", "desiredNumberScheduled"]),
            Number(&["status", "currentNumberScheduled"]),
            Number(&["status", "numberReady"]),
            Number(&["status", "updatedNumberScheduled"]),
            Number(&["status", "numberAvailable"]),
            Labels(&["spec", "template", "spec", "nodeSelector"]),
            Age,
            Containers(TEMPLATE),
            Selector(&["spec", "selector"]),
        ],
    ),
    (
        "apps",
        "Deployment",
        &[
            Name,
            Of(READY, REPLICAS),
            Number(&["status", "updatedReplicas"]),
            Number(&["status", "availableReplicas"]),
            Age,
            Containers(TEMPLATE),
            Code(selector),
        ],
    ),
    (
        "apps",
        "ReplicaSet",
        &[
            Name,
            Number(REPLICAS),
            Number(&["status", "replicas"]),
            Number(READY),
            Age,
            Containers(TEMPLATE),
            Selector(&["spec", "selector"]),
        ],
    ),
    ("apps", "StatefulSet", &[Name, Of(READY, REPLICAS), Age, Containers(TEMPLATE)]),
];

const REPLICAS: &[&str] = &["spec", "replicas"];
const READY: &[&str] = &["status", "readyReplicas"];
const TEMPLATE: &[&str] = &["spec", "template", "spec"];

/// A deployment tells an empty selector from none.
fn selector(row: Row<'_>, cells: &mut Cells<'_>) {
    let text = labels::requirements(row.object.at(&["spec", "selector"]));
    cells.text(&text.unwrap_or_else(|| "<invalid>".to_owned()));
}

fn controller(row: Row<'_>, cells: &mut Cells<'_>) {
    let owners = row.metadata.get("ownerReferences");
    let Some(owner) = owners.items().find(|owner| owner.get("controller").is_true()) else {
        return cells.text("<none>");
    };
    let [version, kind, name] = owner.pick(["apiVersion", "kind", "name"]).map(View::text);
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let of = crate::GroupResource { group, resource: &kind }.to_string().to_lowercase();
    cells.text(&if of.is_empty() { name.into_owned() } else { format!("{of}/{name}") });
}
