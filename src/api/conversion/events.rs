//! `events.k8s.io/v1 Event`: the core Event under newer names.

use super::Conversion;
use crate::object::Object;

/// The row.
pub const V1: Conversion = Conversion {
    seen: ["events.k8s.io", "v1", "events"],
    stored: ["", "v1", "events"],
    store: |event, _| renamed(event, |[new, old]| (new, old)),
    show: |event, _| renamed(event, |[new, old]| (old, new)),
};

/// What both call differently: here, in core.
const NAMES: &[[&str; 2]] = &[
    ["deprecatedCount", "count"],
    ["deprecatedFirstTimestamp", "firstTimestamp"],
    ["deprecatedLastTimestamp", "lastTimestamp"],
    ["deprecatedSource", "source"],
    ["note", "message"],
    ["regarding", "involvedObject"],
    ["reportingController", "reportingComponent"],
];

fn renamed(mut event: Object, way: fn([&'static str; 2]) -> (&'static str, &'static str)) -> Object {
    for (from, to) in NAMES.iter().copied().map(way) {
        if let Some(value) = event.fields.shift_remove(from) {
            event.fields.insert(to.to_owned(), value);
        }
    }
    event
}
