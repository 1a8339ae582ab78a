//! JSON merge patch (RFC 7386).

use serde_json::{Map, Value};

/// Members of the patch replace those of the target; null removes; anything but an object replaces.
/// The depth of the recursion is bounded by the decoder's.
pub fn merge(target: &mut Value, patch: &Value) {
    match patch {
        Value::Object(changes) => members(target, changes),
        other => *target = other.clone(),
    }
}

/// The same with a patch that is an object.
pub(super) fn members(target: &mut Value, changes: &Map<String, Value>) {
    if !target.is_object() {
        *target = Map::new().into();
    }
    let Some(target) = target.as_object_mut() else { return };
    for (name, value) in changes {
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
