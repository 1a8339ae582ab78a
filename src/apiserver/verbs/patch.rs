//! PATCH of one object, as a JSON merge patch (RFC 7386). Other kinds of patches are refused by name.

use std::sync::Arc;

use api::codec::{self, FieldValidation};
use api::{Object, Status, decode};
use axum::response::Response;
use replica::Moment;
use serde_json::{Map, Value};

use super::{Call, revision, update, write};
use crate::errors::Failure;
use crate::server::Context;

const MERGE_PATCH: &str = "application/merge-patch+json";

/// Applies the patch to whichever version there is, unless it names one.
pub(super) async fn handle(context: Arc<Context>, call: Call) -> Result<Response, Failure> {
    let media = call.content_type.split(';').next().unwrap_or_default().trim();
    if media != MERGE_PATCH {
        return Err(Status::unsupported_media_type(&[MERGE_PATCH]).into());
    }
    let malformed =
        |error: decode::DecodeError| Status::bad_request(format!("error decoding patch: {error}"));
    let patch = decode::json(&call.body).map_err(malformed)?.value;
    let named = patch.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
    let stated = revision(named)?;
    let validation = call.field_validation()?;
    let change = |stored: &[u8]| patched(stored, &patch, &call, validation);
    let decide = |moment: &Moment| update::decide(&call, moment, stated, change);
    write::run(&*context.backend, &call, decide).await
}

fn patched(stored: &[u8], patch: &Value, call: &Call, validation: FieldValidation) -> Result<Object, Status> {
    let mut tree = decode::json(stored).map_err(|error| Status::internal(&error.to_string()))?.value;
    merge(&mut tree, patch);
    let (object, _) = codec::from_tree(tree, Vec::new(), call.row, validation)?;
    Ok(object)
}

/// Members of the patch replace those of the target; null removes; anything but an object replaces.
/// The depth of the recursion is bounded by the decoder's.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Map::new().into();
    }
    let Some(target) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.shift_remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merging() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": "foo"}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
            (json!(["a"]), json!({"a": 1}), json!({"a": 1})),
        ];
        for (mut target, patch, expect) in cases {
            merge(&mut target, &patch);
            assert_eq!(target, expect);
        }
    }
}
