//! Events, in the words of the legacy group and in those of `events.k8s.io`.

use super::{Cell, Cells, Kinds, Row};
use crate::view::View;

pub(super) static KINDS: Kinds =
    &[("", "Event", &[Cell::Code(event)]), ("events.k8s.io", "Event", &[Cell::Code(event)])];

/// The member that the one group or the other has.
fn either<'b>(object: View<'b>, one: &str, other: &str) -> View<'b> {
    let [one, other] = object.pick([one, other]);
    if one.is_there() { one } else { other }
}

fn event(row: Row<'_>, cells: &mut Cells<'_>) {
    let object = row.object;
    let [kind, reason, series, event_time] = object.pick(["type", "reason", "series", "eventTime"]);
    let first = match either(object, "firstTimestamp", "deprecatedFirstTimestamp") {
        given if given.is_there() => cells.since(given),
        _ => cells.since(event_time),
    };
    let last = match (series, either(object, "lastTimestamp", "deprecatedLastTimestamp")) {
        (series, _) if series.is_there() => cells.since(series.get("lastObservedTime")),
        (_, given) if given.is_there() => cells.since(given),
        _ => first.clone(),
    };
    let count = match either(object, "count", "deprecatedCount").number() {
        _ if series.is_there() => series.get("count").number().unwrap_or_default(),
        None | Some(0) => 1,
        Some(count) => count,
    };
    let about = either(object, "involvedObject", "regarding");
    let message = either(object, "message", "note").text();
    cells.text(&last);
    cells.same(kind);
    cells.same(reason);
    cells.text(&target(about));
    cells.same(about.get("fieldPath"));
    cells.text(&source(object));
    cells.text(message.trim());
    cells.text(&first);
    cells.number(count);
    cells.same(row.metadata.get("name"));
}

fn target(about: View<'_>) -> String {
    let [kind, name] = about.pick(["kind", "name"]);
    let kind = kind.text().to_lowercase();
    if name.text().is_empty() { kind } else { format!("{kind}/{}", name.text()) }
}

/// Who tells of it, and where from.
fn source(object: View<'_>) -> String {
    let [component, host] = either(object, "source", "deprecatedSource").pick(["component", "host"]);
    let controller = either(object, "reportingComponent", "reportingController");
    let instance = object.get("reportingInstance");
    let first = |one: View<'_>, other: View<'_>| {
        if one.text().is_empty() { other.text().into_owned() } else { one.text().into_owned() }
    };
    let (who, place) = (first(component, controller), first(host, instance));
    if place.is_empty() { who } else { format!("{who}, {place}") }
}
