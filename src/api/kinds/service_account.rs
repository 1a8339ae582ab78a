//! `v1 ServiceAccount`: who pods are.

use serde_json::{Value, json};

use crate::object::Object;
use crate::resource::{Particular, Strategy};

/// What is particular.
pub static KIND: Particular = Particular {
    kind: "ServiceAccount",
    strategy: Strategy {
        prepare_create: only_names,
        prepare_update: |new, _| only_names(new),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

/// Secrets are named; whatever else a reference to one says is dropped.
fn only_names(object: &mut Object) {
    let secrets = object.fields.get_mut("secrets").and_then(Value::as_array_mut);
    for secret in secrets.into_iter().flatten() {
        *secret = match secret.get("name") {
            Some(name) => json!({ "name": name }),
            None => json!({}),
        };
    }
}
