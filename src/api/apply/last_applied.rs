//! What `kubectl apply` noted down when the client merged: the annotation lets its user move to the server's way
//! without conflicts, and back.

use serde_json::{Map, Value};

use super::By;
use super::compare;
use super::conflict::Conflict;
use super::typed::Members;
use super::{check, fields};
use crate::encode;
use crate::resource::Resource;

/// Only this manager's applies look at the annotation.
const MANAGER: &str = "kubectl";

/// The annotation.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// How large all annotations of an object may be.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

fn annotations(object: &Value) -> Option<&Map<String, Value>> {
    object.pointer("/metadata/annotations")?.as_object()
}

fn noted(object: &Value) -> Option<&str> {
    annotations(object)?.get(LAST_APPLIED)?.as_str().filter(|text| !text.is_empty())
}

/// Takes away the conflicts about fields that are as the user last applied them from a client.
pub(super) fn allow(row: &Resource, live: &Value, conflicts: &mut Vec<Conflict<'_>>, by: &By<'_>) {
    let Some(noted) = noted(live).filter(|_| by.manager == MANAGER) else { return };
    let Ok(last) = serde_json::from_str::<Value>(noted) else { return };
    let version = last.get("apiVersion").and_then(Value::as_str);
    if version != Some(&*row.api_version()) || check::object(&last, &row.schema).is_some() {
        return;
    }
    let members = |object| Members::of(Some(object), false);
    let Ok(found) = compare::objects(members(&last), members(live), &row.schema) else { return };
    let unchanged = fields::of(&last, &row.schema)
        .difference(&found.modified)
        .difference(&found.added)
        .difference(&found.removed);
    for conflict in conflicts.iter_mut() {
        conflict.fields = conflict.fields.difference(&unchanged);
    }
    conflicts.retain(|conflict| !conflict.fields.is_empty());
}

/// Notes down in the annotation, where there is one, what the user applies now.
pub(super) fn refresh(object: &mut Value, wanted: &Value, by: &By<'_>) {
    if by.manager != MANAGER || noted(object).is_none() {
        return;
    }
    let mut wanted = wanted.clone();
    if let Some(meta) = wanted.get_mut("metadata").and_then(Value::as_object_mut) {
        match meta.get_mut("annotations").and_then(Value::as_object_mut) {
            Some(annotations) if annotations.values().all(Value::is_string) => {
                annotations.shift_remove(LAST_APPLIED);
            }
            // What is no map of texts is none at all to Kubernetes, also in what it notes down.
            _ => _ = meta.shift_remove("annotations"),
        }
    }
    let mut text = Vec::new();
    encode::any(&mut text, &wanted);
    text.push(b'\n');
    let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else {
        return;
    };
    annotations.insert(LAST_APPLIED.to_owned(), String::from_utf8(text).expect("JSON is text").into());
    let size = |(name, value): (&String, &Value)| name.len() + value.as_str().map_or(0, str::len);
    if annotations.iter().map(size).sum::<usize>() > ANNOTATIONS_BYTES_MAX {
        annotations.shift_remove(LAST_APPLIED);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_noted_down_has_no_annotations_that_are_none() {
        let by = By { manager: MANAGER, subresource: "", now: "" };
        for (annotations, told) in [
            (json!({"a": "b", LAST_APPLIED: "x"}), r#""annotations":{"a":"b"},"#),
            (json!({LAST_APPLIED: "x"}), r#""annotations":{},"#),
            (json!(null), ""),
            (json!({"a": null}), ""),
        ] {
            let mut object = json!({"metadata": {"annotations": {LAST_APPLIED: "{}"}}});
            refresh(&mut object, &json!({"metadata": {"annotations": annotations, "name": "n"}}), &by);
            let expected = format!("{{\"metadata\":{{{told}\"name\":\"n\"}}}}\n");
            assert_eq!(noted(&object), Some(&*expected));
        }
    }
}
