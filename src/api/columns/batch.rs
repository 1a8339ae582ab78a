//! `batch`.

use super::{Cell, Cells, Kinds, Row, is_condition};
use crate::time;
use Cell::{Age, Code, Containers, Count, Name, Selector, Since, Text, TextOr};

pub(super) static KINDS: Kinds = &[
    (
        "batch",
        "CronJob",
        &[
            Name,
            Text(&["spec", "schedule"]),
            TextOr(&["spec", "timeZone"], "<none>"),
            Code(suspend),
            Count(&[&["status", "active"]]),
            Since(&["status", "lastScheduleTime"], "<none>"),
            Age,
            Containers(&["spec", "jobTemplate", "spec", "template", "spec"]),
            Selector(&["spec", "jobTemplate", "spec", "selector"]),
        ],
    ),
    (
        "batch",
        "Job",
        &[
            Name,
            Code(status),
            Code(completions),
            Code(duration),
            Age,
            Containers(&["spec", "template", "spec"]),
            Selector(&["spec", "selector"]),
        ],
    ),
];

fn suspend(row: Row<'_>, cells: &mut Cells<'_>) {
    cells.text(match row.object.at(&["spec", "suspend"]) {
        given if !given.is_there() => "<unset>",
        given if given.is_true() => "True",
        _ => "False",
    });
}

/// The first that holds.
fn status(row: Row<'_>, cells: &mut Cells<'_>) {
    let conditions = row.object.at(&["status", "conditions"]);
    let of = |kinds: &[&'static str]| kinds.iter().copied().find(|kind| is_condition(conditions, kind));
    let status = of(&["Complete", "Failed"])
        .or_else(|| row.is_deleting().then_some("Terminating"))
        .or_else(|| of(&["Suspended", "FailureTarget", "SuccessCriteriaMet"]));
    cells.text(status.unwrap_or("Running"));
}

fn completions(row: Row<'_>, cells: &mut Cells<'_>) {
    let succeeded = row.object.at(&["status", "succeeded"]).number().unwrap_or_default();
    let [wanted, parallelism] = row.object.get("spec").pick(["completions", "parallelism"]);
    cells.text(&match (wanted.number(), parallelism.number()) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, Some(parallelism @ 2..)) => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    });
}

fn duration(row: Row<'_>, cells: &mut Cells<'_>) {
    let [start, completion] = row.object.get("status").pick(["startTime", "completionTime"]);
    let text = match (time::parse(&start.text()), time::parse(&completion.text())) {
        (None, _) => String::new(),
        (Some(_), None) => cells.since(start),
        (Some(start), Some(end)) => time::span(end - start),
    };
    cells.text(&text);
}
