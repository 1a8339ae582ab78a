//! `autoscaling`.

use super::{Cell, Cells, Kinds, Row, few};
use crate::view::View;
use Cell::{Age, Code, Name, Number};

pub(super) static KINDS: Kinds = &[
    (
        "autoscaling",
        "HorizontalPodAutoscaler",
        &[
            Name,
            Code(reference),
            Code(targets),
            Code(least),
            Number(&["spec", "maxReplicas"]),
            Number(&["status", "currentReplicas"]),
            Age,
        ],
    ),
    ("autoscaling", "Scale", &[Name, Number(&["spec", "replicas"]), Number(&["status", "replicas"]), Age]),
];

const UNKNOWN: &str = "<unknown>";
const NIL: &str = "<nil>";

fn reference(row: Row<'_>, cells: &mut Cells<'_>) {
    let [kind, name] = row.object.at(&["spec", "scaleTargetRef"]).pick(["kind", "name"]);
    cells.text(&format!("{}/{}", kind.text(), name.text()));
}

fn least(row: Row<'_>, cells: &mut Cells<'_>) {
    let replicas = row.object.at(&["spec", "minReplicas"]);
    cells.text(&if replicas.is_there() { replicas.shown() } else { "<unset>".into() });
}

/// What each metric is and should be. In version 1 there is one metric, and it has fields of its own.
fn targets(row: Row<'_>, cells: &mut Cells<'_>) {
    let [version, spec, status] = row.object.pick(["apiVersion", "spec", "status"]);
    if version.is("autoscaling/v1") {
        let used = percent(status.get("currentCPUUtilizationPercentage"), UNKNOWN);
        return cells
            .text(&format!("cpu: {used}/{}", percent(spec.get("targetCPUUtilizationPercentage"), "80%")));
    }
    let mut current = status.get("currentMetrics").items();
    let metrics = spec.get("metrics").items();
    let shown: Vec<String> =
        metrics.map(|metric| target(metric, current.next().unwrap_or(View::ABSENT))).collect();
    cells.text(&if shown.is_empty() { "<none>".to_owned() } else { few(shown.iter(), 2, ", ") });
}

fn target(metric: View<'_>, status: View<'_>) -> String {
    let kind = metric.get("type").text();
    let Some((member, is_resource)) = MEMBERS.iter().find(|row| row.0 == kind).map(|row| (row.1, row.2))
    else {
        return "<unknown type>".to_owned();
    };
    let (wanted, found) = (metric.get(member), status.get(member));
    let [average, value, utilization] =
        wanted.get("target").pick(["averageValue", "value", "averageUtilization"]);
    let current = found.get("current");
    // A metric without a current value still says so, in Go's word for nothing.
    let missing = if found.is_there() { NIL } else { UNKNOWN };
    let or =
        |view: View<'_>, word: &str| if view.is_there() { view.text().into_owned() } else { word.to_owned() };
    match (&*kind, average.is_there()) {
        ("Pods", _) => format!("{}/{}", or(current.get("averageValue"), missing), or(average, NIL)),
        (_, true) if is_resource => {
            let name = wanted.get("name").text();
            format!("{name}: {}/{}", or(current.get("averageValue"), missing), average.text())
        }
        (_, false) if is_resource => {
            let used = percent(current.get("averageUtilization"), UNKNOWN);
            format!("{}: {used}/{}", wanted.get("name").text(), percent(utilization, "<auto>"))
        }
        (_, true) => format!("{}/{} (avg)", or(current.get("averageValue"), UNKNOWN), average.text()),
        (_, false) => format!("{}/{}", or(current.get("value"), missing), or(value, NIL)),
    }
}

/// Types of metrics, the member that describes each, and whether that names a resource.
const MEMBERS: &[(&str, &str, bool)] = &[
    ("ContainerResource", "containerResource", true),
    ("External", "external", false),
    ("Object", "object", false),
    ("Pods", "pods", false),
    ("Resource", "resource", true),
];

fn percent(number: View<'_>, word: &str) -> String {
    number.number().map_or_else(|| word.to_owned(), |number| format!("{number}%"))
}
