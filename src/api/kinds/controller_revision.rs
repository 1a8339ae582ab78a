//! `apps/v1 ControllerRevision`: what a StatefulSet or a DaemonSet was at some time.

use serde_json::Value;

use crate::resource::{Particular, Strategy};
use crate::validate::IMMUTABLE;
use crate::validate::at::Root;

/// What is particular.
pub static KIND: Particular = Particular {
    group: "apps",
    kind: "ControllerRevision",
    strategy: Strategy {
        validate: |root| {
            root.field("revision").non_negative();
            match root.field("data").value() {
                None | Some(Value::Null) => root.field("data").required("data is mandatory"),
                Some(Value::Object(_)) => {}
                Some(_) => root.field("data").required("data must be a valid JSON object"),
            }
        },
        validate_update,
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

fn validate_update(new: Root<'_>, old: Root<'_>) {
    new.field("revision").non_negative();
    let data = new.field("data");
    if data.value() != old.field("data").value() {
        data.invalid_value(data.value().cloned().unwrap_or_default(), IMMUTABLE);
    }
}
