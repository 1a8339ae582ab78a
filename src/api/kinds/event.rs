//! `v1 Event` and `events.k8s.io/v1 Event`: what happened, twice: the newer has other names for some fields and stricter
//! rules.

use serde_json::Value;

use crate::names;
use crate::resource::{Particular, Retention, Selectable, Strategy, selectable};
use crate::validate::at::{At, Root};
use crate::validate::common::IMMUTABLE;
use crate::view::View;

/// What is particular.
pub static KIND: Particular = Particular {
    kind: "Event",
    retention: Retention::Window,
    selectable: &[
        selectable!("involvedObject.kind", "involvedObject", "kind"),
        selectable!("involvedObject.namespace", "involvedObject", "namespace"),
        selectable!("involvedObject.name", "involvedObject", "name"),
        selectable!("involvedObject.uid", "involvedObject", "uid"),
        selectable!("involvedObject.apiVersion", "involvedObject", "apiVersion"),
        selectable!("involvedObject.resourceVersion", "involvedObject", "resourceVersion"),
        selectable!("involvedObject.fieldPath", "involvedObject", "fieldPath"),
        selectable!("reason", "reason"),
        selectable!("reportingComponent", "reportingComponent"),
        Selectable { path: "source", value: source },
        selectable!("type", "type"),
    ],
    strategy: Strategy {
        name: names::path_segment,
        validate: |new| plausible(new, &CORE),
        validate_update: |new, _| plausible(new, &CORE),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

/// What is particular in the newer group.
pub static NEW: Particular = Particular {
    group: "events.k8s.io",
    kind: "Event",
    retention: Retention::Window,
    selectable: &[
        selectable!("reason", "reason"),
        selectable!("regarding.kind", "regarding", "kind"),
        selectable!("regarding.namespace", "regarding", "namespace"),
        selectable!("regarding.name", "regarding", "name"),
        selectable!("regarding.uid", "regarding", "uid"),
        selectable!("regarding.apiVersion", "regarding", "apiVersion"),
        selectable!("regarding.resourceVersion", "regarding", "resourceVersion"),
        selectable!("regarding.fieldPath", "regarding", "fieldPath"),
        selectable!("reportingController", "reportingController"),
        selectable!("type", "type"),
    ],
    strategy: Strategy { validate: strict, validate_update: strict_update, ..Strategy::PLAIN },
    ..Particular::NONE
};

/// Who told of it: a component, or in newer events a controller.
fn source(event: View<'_>) -> String {
    let component = event.at(&["source", "component"]).text();
    let named = if component.is_empty() { event.get("reportingComponent").text() } else { component };
    named.into_owned()
}

/// The names of fields that differ. Errors speak of all but the first in the words of the older group.
struct Names {
    controller: &'static str,
    message: &'static str,
    object: &'static str,
}

const CORE: Names = Names { controller: "reportingComponent", message: "message", object: "involvedObject" };
const EVENTS: Names = Names { controller: "reportingController", message: "note", object: "regarding" };

/// How long texts may be.
const NAME_BYTES_MAX: usize = 128;
const MESSAGE_BYTES_MAX: usize = 1024;

/// The place of a field under the name that errors give it.
fn told<'a>(root: Root<'a>, field: &'static str, name: &'static str) -> At<'a> {
    root.place(name).with(root.field(field).value())
}

fn plausible(new: Root<'_>, names: &Names) {
    let namespace = told(new, names.object, "involvedObject").field("namespace");
    let own = new.meta().namespace.as_str();
    let is_timed = new.field("eventTime").is_set();
    let fits = match (is_timed, namespace.text()) {
        (false, "") => own == "default",
        (false, given) => given == own,
        (true, "") => matches!(own, "default" | "kube-system"),
        (true, _) => true,
    };
    if !fits {
        namespace.invalid_value(namespace.text(), "does not match event.namespace");
    }
    if !is_timed {
        return;
    }
    let controller = new.field(names.controller);
    controller.require_text();
    controller.check(crate::names::qualified);
    for field in ["reportingInstance", "action", "reason"].map(|field| new.field(field)) {
        field.require_text();
        at_most(field, NAME_BYTES_MAX);
    }
    at_most(told(new, names.message, "message"), MESSAGE_BYTES_MAX);
}

fn at_most(field: At<'_>, bytes_max: usize) {
    if field.text().len() > bytes_max {
        field.invalid_value("", &format!("can have at most {bytes_max} characters"));
    }
}

fn strict(new: Root<'_>) {
    plausible(new, &EVENTS);
    series(new);
    if !new.field("eventTime").is_set() {
        new.field("eventTime").required("");
    }
    let kind = new.field("type");
    if !matches!(kind.text(), "Normal" | "Warning") {
        kind.invalid_value("", &format!("has invalid value: {}", kind.text()));
    }
    let unused = [
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
    ];
    for (field, name) in unused.into_iter().filter(|(field, _)| !new.field(field).is_empty()) {
        told(new, field, name).invalid_value("", "needs to be unset");
    }
    let source = new.field("deprecatedSource");
    if !source.field("component").is_empty() || !source.field("host").is_empty() {
        new.place("source").invalid_value("", "needs to be unset");
    }
}

fn series(new: Root<'_>) {
    let series = new.field("series");
    if series.is_set() {
        if series.field("count").number() < 2 {
            new.place("series.count").invalid_value("", "should be at least 2");
        }
        if !series.field("lastObservedTime").is_set() {
            new.place("series.lastObservedTime").required("");
        }
    }
}

const MODEL: &str = "events.v1.Event";

/// What a change may not touch, by the names of fields and by those that errors give them.
const FIXED: &[(&str, &str)] = &[
    ("reason", "reason"),
    ("note", "message"),
    ("deprecatedCount", "count"),
    ("type", "type"),
    ("eventTime", "eventTime"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("action", "action"),
    ("reportingController", "reportingController"),
    ("reportingInstance", "reportingInstance"),
    ("regarding", "involvedObject"),
    ("related", "related"),
    ("deprecatedSource", "source"),
];

fn strict_update(new: Root<'_>, old: Root<'_>) {
    plausible(new, &EVENTS);
    if !new.keeps(old, MODEL, "series") {
        series(new);
    }
    for (field, name) in FIXED.iter().filter(|(field, _)| !new.keeps(old, MODEL, field)) {
        let now = told(new, field, name);
        now.invalid_value(shown(now, name), IMMUTABLE);
    }
}

/// A value as Go writes it.
fn shown(at: At<'_>, name: &str) -> Value {
    let parts: &[&str] = match name {
        "involvedObject" => REFERENCE,
        "related" if at.is_set() => REFERENCE,
        "source" => &["Component", "Host"],
        "count" => return at.number().into(),
        "eventTime" | "firstTimestamp" | "lastTimestamp" | "related" => {
            return at.value().cloned().unwrap_or_default();
        }
        _ => return at.text().into(),
    };
    let part = |part: &&str| {
        let found = at.map().and_then(|map| map.iter().find(|(name, _)| name.eq_ignore_ascii_case(part)));
        ((*part).to_owned(), found.map_or_else(|| "".into(), |(_, value)| value.clone()))
    };
    Value::Object(parts.iter().map(part).collect())
}

const REFERENCE: &[&str] =
    &["Kind", "Namespace", "Name", "UID", "APIVersion", "ResourceVersion", "FieldPath"];
