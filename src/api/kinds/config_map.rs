//! `v1 ConfigMap`: configuration as text or bytes.

use super::{DATA_BYTES_MAX, decoded_bytes, file_key, file_keys, stays_immutable};
use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};

/// What is particular.
pub static KIND: Particular = Particular {
    kind: "ConfigMap",
    strategy: Strategy {
        validate,
        validate_update: |new, old| {
            stays_immutable(new, old, &["data", "binaryData"]);
            validate(new);
        },
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

fn validate(root: Root<'_>) {
    let (data, binary) = (root.field("data"), root.field("binaryData"));
    for (key, entry) in data.entries() {
        file_key(key, entry);
        if binary.key(key).is_set() {
            entry.invalid_value(key, "duplicate of key present in binaryData");
        }
    }
    file_keys(binary);
    let values = |map: At<'_>, size: fn(&str) -> usize| {
        map.entries().map(|(_, value)| size(value.text())).sum::<usize>()
    };
    if values(data, str::len) + values(binary, decoded_bytes) > DATA_BYTES_MAX {
        root.place("[]").too_long(DATA_BYTES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::validate::at::{errors_of, errors_of_change};
    use crate::{FieldError, Object, Resource};

    fn object(tree: Value) -> Object {
        Object::from_tree(tree, &Resource::builtin("", "v1", "configmaps")).expect("conforms").0
    }

    fn check(errors: &[FieldError], expect: &[&str]) {
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn keys_and_sizes() {
        check(&errors_of(&object(json!({"data": {"a": "b"}, "binaryData": {"c": "AAAA"}})), validate), &[]);
        check(
            &errors_of(&object(json!({"data": {"..": "b", "a": ""}, "binaryData": {"a": ""}})), validate),
            &[
                "data[..]: Invalid value: \"..\": must not be '..'",
                "data[a]: Invalid value: \"a\": duplicate of key present in binaryData",
            ],
        );
        check(&errors_of(&object(json!({"data": {"a": "x".repeat(DATA_BYTES_MAX)}})), validate), &[]);
        check(
            &errors_of(&object(json!({"data": {"a": "x".repeat(DATA_BYTES_MAX + 1)}})), validate),
            &["[]: Too long: may not be more than 1048576 bytes"],
        );
    }

    #[test]
    fn an_immutable_one_keeps_its_data() {
        let old = object(json!({"immutable": true, "data": {"a": "b"}}));
        let update = |new: &Object, old| errors_of_change(new, old, KIND.strategy.validate_update);
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
