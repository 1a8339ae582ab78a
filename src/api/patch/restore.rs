//! What is wrong with a tree in the words of Go's converter of trees, which puts strategic merge patches into objects.

use serde_json::Value;

use crate::conform;
use crate::schema::{Shape, Type};

/// The first value of a wrong type, in the order of the type's fields; none where the text is that of a body.
pub(super) fn mistake(made: &Value, of: &Type) -> Option<String> {
    let Value::Object(map) = made else {
        return Some(format!("cannot restore struct from: {}", kind_of(made)));
    };
    of.fields().iter().find_map(|field| {
        let value = map.get(&field.name).filter(|value| !value.is_null())?;
        within(value, &field.shape, &field.go)
    })
}

/// Looks into a value; `go` is the name of its type where the shape does not tell.
fn within(value: &Value, shape: &Shape, go: &str) -> Option<String> {
    match (shape, value) {
        (_, Value::Null) => None,
        (Shape::Struct(of), value) => mistake(value, of),
        (Shape::Map(of), Value::Object(map)) => map.values().find_map(|value| within(value, of, "")),
        (Shape::Map(_), value) => Some(format!("cannot restore map from {}", kind_of(value))),
        (Shape::List(of), Value::Array(items)) => items.iter().find_map(|value| within(value, of, "")),
        (Shape::Bytes, Value::String(text)) => {
            conform::bytes(text.clone()).err().map(|error| format!("error decoding from json: {error}"))
        }
        (Shape::List(_) | Shape::Bytes, value) => {
            Some(format!("cannot restore slice from {}", kind_of(value)))
        }
        (Shape::Bool, Value::Bool(_)) | (Shape::Text, Value::String(_)) => None,
        (Shape::Int32 | Shape::Int64 | Shape::Float, Value::Number(_)) => None,
        // Go turns whole numbers into letters, but not here.
        (Shape::Text, Value::Number(number)) if !number.is_f64() => {
            let go = if go.is_empty() { "string" } else { go };
            Some(format!("cannot convert int64 to {go}"))
        }
        (Shape::Bool, _) => Some(unrecognized("bool")),
        (Shape::Text, _) => Some(unrecognized("string")),
        (Shape::Int32, _) => Some(unrecognized("int32")),
        (Shape::Int64, _) => Some(unrecognized("int64")),
        (Shape::Float, _) => Some(unrecognized("float64")),
        _ => None,
    }
}

fn unrecognized(kind: &str) -> String {
    format!("unrecognized type: {kind}")
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::builtin;

    #[test]
    fn in_the_words_of_go() {
        let cases = [
            (json!({"replicas": "many"}), "unrecognized type: int32"),
            (json!({"paused": 1}), "unrecognized type: bool"),
            (json!({"selector": []}), "cannot restore struct from: slice"),
            (json!({"selector": {"matchLabels": "a"}}), "cannot restore map from string"),
            (json!({"selector": {"matchLabels": {"a": 1}}}), "cannot convert int64 to string"),
            (json!({"selector": {"matchLabels": {"a": true}}}), "unrecognized type: string"),
            (json!({"template": {"spec": {"containers": {}}}}), "cannot restore slice from map"),
        ];
        let of = builtin("io.k8s.api.apps.v1.DeploymentSpec");
        for (made, expect) in cases {
            assert_eq!(mistake(&made, &of).as_deref(), Some(expect), "{made}");
        }
        let bytes = json!({"data": {"x": "not base64!"}});
        assert_eq!(
            mistake(&bytes, &builtin("io.k8s.api.core.v1.Secret")).as_deref(),
            Some("error decoding from json: illegal base64 data at input byte 3")
        );
    }
}
