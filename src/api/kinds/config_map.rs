//! `v1 ConfigMap`: configuration as text or bytes.

use serde_json::Value;

use super::{DATA_BYTES_MAX, count, decoded_bytes, entries, immutable_errors, key_errors};
use crate::field_error::FieldError;
use crate::fields::CONFIG_MAP;
use crate::object::Object;
use crate::resource::{ALL_VERBS, Column, Resource, Retention, Strategy};

/// The row.
pub static RESOURCE: Resource = Resource {
    group: "",
    version: "v1",
    plural: "configmaps",
    singular: "configmap",
    kind: "ConfigMap",
    short_names: &["cm"],
    namespaced: true,
    verbs: ALL_VERBS,
    retention: Retention::Day,
    schema: &CONFIG_MAP,
    columns: &[Column {
        name: "Data",
        kind: "string",
        description: "Data contains the configuration data. Each key must consist of alphanumeric characters, '-', '_' or '.'.",
        cell: |object| count(object, &["data", "binaryData"]),
    }],
    selectable: &[],
    strategy: Strategy {
        validate,
        validate_update: |new, old| immutable_errors(new, old, &["data", "binaryData"]),
        ..Strategy::PLAIN
    },
};

fn validate(object: &Object) -> Vec<FieldError> {
    let mut errors = key_errors(object, "data");
    let is_binary = |key: &str| entries(object, "binaryData").any(|(binary, _)| binary == key);
    for (key, _) in entries(object, "data").filter(|(key, _)| is_binary(key)) {
        let path = format!("data[{key}]");
        errors.push(FieldError::invalid(&path, key.as_str(), "duplicate of key present in binaryData"));
    }
    errors.extend(key_errors(object, "binaryData"));
    let text = entries(object, "data").filter_map(|(_, value)| value.as_str()).map(str::len);
    let binary =
        entries(object, "binaryData").filter_map(|(_, value)| Value::as_str(value)).map(decoded_bytes);
    if text.chain(binary).sum::<usize>() > DATA_BYTES_MAX {
        errors.push(FieldError::too_long("[]", DATA_BYTES_MAX));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(tree: Value) -> Object {
        Object::from_tree(tree, &RESOURCE).expect("conforms").0
    }

    fn check(errors: &[FieldError], expect: &[&str]) {
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn keys_and_sizes() {
        check(&validate(&object(json!({"data": {"a": "b"}, "binaryData": {"c": "AAAA"}}))), &[]);
        check(
            &validate(&object(json!({"data": {"..": "b", "a": ""}, "binaryData": {"a": ""}}))),
            &[
                "data[..]: Invalid value: \"..\": must not be '..'",
                "data[a]: Invalid value: \"a\": duplicate of key present in binaryData",
            ],
        );
        check(&validate(&object(json!({"data": {"a": "x".repeat(DATA_BYTES_MAX)}}))), &[]);
        check(
            &validate(&object(json!({"data": {"a": "x".repeat(DATA_BYTES_MAX + 1)}}))),
            &["[]: Too long: may not be more than 1048576 bytes"],
        );
    }

    #[test]
    fn an_immutable_one_keeps_its_data() {
        let old = object(json!({"immutable": true, "data": {"a": "b"}}));
        let update = RESOURCE.strategy.validate_update;
        check(
            &update(
                &object(json!({"immutable": true, "data": {"a": "b"}, "metadata": {"labels": {"x": "y"}}})),
                &old,
            ),
            &[],
        );
        check(
            &update(&object(json!({"data": {"a": "c"}})), &old),
            &[
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set",
            ],
        );
    }
}
