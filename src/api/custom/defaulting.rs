//! Nulls that stand for nothing go, and what was left out is filled in, at any depth.

use serde_json::{Map, Value};

use super::structural::Structural;

/// Fills in an object of a schema.
pub fn fill(object: &mut Map<String, Value>, schema: &Structural) {
    drop_nulls(object, schema);
    fill_members(object, schema);
}

/// Null of what is neither nullable nor has a default means that it is not there.
fn drop_nulls(object: &mut Map<String, Value>, schema: &Structural) {
    object.retain(|name, value| {
        let of = schema.member(name);
        if value.is_null() {
            return of.is_none_or(|of| of.is_nullable || of.default.is_some());
        }
        if let Some(of) = of {
            drop_nulls_within(value, of);
        }
        true
    });
}

fn drop_nulls_within(value: &mut Value, schema: &Structural) {
    match value {
        Value::Object(map) => drop_nulls(map, schema),
        Value::Array(items) => {
            if let Some(of) = &schema.items {
                items.iter_mut().for_each(|item| drop_nulls_within(item, of));
            }
        }
        _ => {}
    }
}

fn fill_members(object: &mut Map<String, Value>, schema: &Structural) {
    for (name, of) in &schema.properties {
        let Some(default) = &of.default else { continue };
        if object.get(name).is_none_or(|value| value.is_null() && !of.is_nullable) {
            object.insert(name.clone(), default.clone());
        }
    }
    for (name, value) in object.iter_mut() {
        if let Some(of) = schema.member(name) {
            fill_value(value, of);
        }
    }
}

fn fill_value(value: &mut Value, of: &Structural) {
    match (&mut *value, &of.default) {
        (Value::Null, Some(default)) if !of.is_nullable => *value = default.clone(),
        _ => {}
    }
    match value {
        Value::Object(map) => fill_members(map, of),
        Value::Array(items) => {
            if let Some(of) = &of.items {
                items.iter_mut().for_each(|item| fill_value(item, of));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_at_any_depth() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "object", "default": {}, "properties": {"x": {"type": "integer", "default": 1}}},
            "b": {"type": "string"},
            "c": {"type": "string", "nullable": true, "default": "c"},
            "list": {"type": "array", "items": {"type": "object", "properties": {"y": {"type": "string", "default": "z"}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"w": {"default": [1]}}}},
        }});
        let schema = Structural::read(schema.as_object().expect("a map"));
        let fill = |given: Value| {
            let Value::Object(mut map) = given else { panic!("{given}") };
            fill(&mut map, &schema);
            Value::Object(map)
        };
        assert_eq!(fill(json!({})), json!({"a": {"x": 1}, "c": "c"}));
        assert_eq!(fill(json!({"a": null, "b": null, "c": null})), json!({"a": {"x": 1}, "c": null}));
        assert_eq!(
            fill(json!({"a": {"x": null}, "list": [{}, null], "map": {"k": {}, "n": null}, "c": "d"})),
            json!({"a": {"x": 1}, "list": [{"y": "z"}, null], "map": {"k": {"w": [1]}}, "c": "d"})
        );
    }
}
