//! Brings a decoded tree into the form of its type: checks what each field holds, prunes what the type
//! does not know, drops nulls, and writes base64 and times in one way.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde_json::{Map, Value};

use crate::fields::{Shape, Type};
use crate::time;

/// Base64 as Go reads it: padded, the last bits ignored.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&ALPHABET, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// How many unknown fields are told; a body with more has made its point.
const UNKNOWN_TOLD_MAX: usize = 20;

/// A value of the wrong type, in the words of Go's decoder.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TypeError(String);

/// Conforms `tree` to `of`. Returns it with the paths of the fields that were pruned.
///
/// # Errors
/// The first value of a wrong type.
pub fn conform(tree: Value, of: &'static Type) -> Result<(Map<String, Value>, Vec<String>), TypeError> {
    let mut walk = Walk { root: of.name, path: String::new(), unknown: Vec::new() };
    let Value::Object(map) = tree else {
        return Err(walk.mismatch(&tree, &format!("v1.{}", of.name)));
    };
    let map = walk.object(map, of)?;
    Ok((map, walk.unknown))
}

struct Walk {
    root: &'static str,
    path: String,
    unknown: Vec<String>,
}

impl Walk {
    /// Null means absent: such members are dropped before the value is looked at.
    fn object(
        &mut self,
        map: Map<String, Value>,
        of: &'static Type,
    ) -> Result<Map<String, Value>, TypeError> {
        let is_root = self.path.is_empty();
        let mut kept = Map::with_capacity(map.len());
        for (name, value) in map {
            let outer = self.enter(&name);
            match of.field(&name) {
                Some(field) if !value.is_null() => {
                    kept.insert(name, self.value(value, &field.shape)?);
                }
                None if !(is_root && matches!(name.as_str(), "kind" | "apiVersion")) => self.prune(),
                _ => {}
            }
            self.path.truncate(outer);
        }
        Ok(kept)
    }

    fn value(&mut self, value: Value, shape: &'static Shape) -> Result<Value, TypeError> {
        match (shape, value) {
            (Shape::Any, value) => Ok(value),
            (Shape::Bool, value @ Value::Bool(_)) => Ok(value),
            (Shape::Int, value) if value.is_i64() => Ok(value),
            (Shape::Text, value @ Value::String(_)) => Ok(value),
            (Shape::Bytes, Value::String(text)) => self.bytes(text),
            (Shape::Time, Value::String(text)) => self.time(text),
            (Shape::Struct(of), Value::Object(map)) => self.object(map, of).map(Value::Object),
            (Shape::Map(of), Value::Object(map)) => self.map(map, of),
            (Shape::List(of), Value::Array(items)) => {
                let items: Result<Vec<_>, _> = items.into_iter().map(|item| self.item(item, of)).collect();
                items.map(Value::Array)
            }
            (_, value) => Err(self.mismatch(&value, &go_type(shape))),
        }
    }

    /// An item of a list or map: unlike a member it stays when it is null, as the zero value.
    fn item(&mut self, value: Value, shape: &'static Shape) -> Result<Value, TypeError> {
        if value.is_null() { Ok(zero(shape)) } else { self.value(value, shape) }
    }

    fn map(&mut self, map: Map<String, Value>, of: &'static Shape) -> Result<Value, TypeError> {
        let mut kept = Map::with_capacity(map.len());
        for (key, value) in map {
            let value = self.item(value, of)?;
            kept.insert(key, value);
        }
        Ok(kept.into())
    }

    fn bytes(&self, text: String) -> Result<Value, TypeError> {
        let unwrapped = if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], "") } else { text };
        let bytes = LENIENT.decode(&unwrapped).map_err(|error| {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => {
                    unwrapped.len() / 4 * 4
                }
            };
            TypeError(format!("illegal base64 data at input byte {at}"))
        })?;
        Ok(STANDARD.encode(bytes).into())
    }

    fn time(&self, text: String) -> Result<Value, TypeError> {
        let layout = "2006-01-02T15:04:05Z07:00";
        let at = time::parse_rfc3339(&text).ok_or_else(|| {
            TypeError(format!("parsing time {text:?} as {layout:?}: cannot parse {text:?}"))
        })?;
        Ok(time::rfc3339(at).into())
    }

    fn enter(&mut self, name: &str) -> usize {
        let outer = self.path.len();
        if outer > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        outer
    }

    fn prune(&mut self) {
        if self.unknown.len() < UNKNOWN_TOLD_MAX {
            self.unknown.push(self.path.clone());
        }
    }

    fn mismatch(&self, value: &Value, wanted: &str) -> TypeError {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let place = match self.path.as_str() {
            "" => String::new(),
            path => format!("Go struct field {}.{path} of type ", self.root),
        };
        let target = if place.is_empty() { format!("Go value of type {wanted}") } else { place + wanted };
        TypeError(format!("json: cannot unmarshal {found} into {target}"))
    }
}

/// What a null item stands for.
fn zero(shape: &Shape) -> Value {
    match shape {
        Shape::Any | Shape::Time => Value::Null,
        Shape::Bool => false.into(),
        Shape::Bytes | Shape::Text => "".into(),
        Shape::Int => 0.into(),
        Shape::List(_) => Value::Array(Vec::new()),
        Shape::Map(_) | Shape::Struct(_) => Map::new().into(),
    }
}

fn go_type(shape: &Shape) -> String {
    match shape {
        Shape::Any => "interface {}".into(),
        Shape::Bool => "bool".into(),
        Shape::Bytes => "[]uint8".into(),
        Shape::Int => "int64".into(),
        Shape::List(of) => format!("[]{}", go_type(of)),
        Shape::Map(of) => format!("map[string]{}", go_type(of)),
        Shape::Struct(of) => format!("v1.{}", of.name),
        Shape::Text => "string".into(),
        Shape::Time => "v1.Time".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fields::{CONFIG_MAP, SECRET};

    #[test]
    fn what_a_type_does_not_know_is_pruned_and_told() {
        let given = json!({
            "kind": "ConfigMap", "apiVersion": "v1", "extra": 1,
            "metadata": {"name": "x", "colour": "red", "creationTimestamp": null, "labels": {"a": null}},
            "data": {"a": "b"}, "immutable": null,
        });
        let (map, unknown) = conform(given, &CONFIG_MAP).expect("conforms");
        let expect = json!({"metadata": {"name": "x", "labels": {"a": ""}}, "data": {"a": "b"}});
        assert_eq!(Value::Object(map), expect);
        assert_eq!(unknown, ["extra", "metadata.colour"]);
    }

    #[test]
    fn wrong_types_in_the_words_of_go() {
        let cases = [
            (
                json!({"data": {"a": 1}}),
                "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
            ),
            (
                json!({"data": []}),
                "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string",
            ),
            (
                json!({"metadata": {"labels": "x"}}),
                "json: cannot unmarshal string into Go struct field ConfigMap.metadata.labels of type map[string]string",
            ),
            (json!({"binaryData": {"a": "?"}}), "illegal base64 data at input byte 0"),
            (json!([]), "json: cannot unmarshal array into Go value of type v1.ConfigMap"),
        ];
        for (given, expect) in cases {
            assert_eq!(conform(given, &CONFIG_MAP).expect_err("wrong").to_string(), expect);
        }
    }

    #[test]
    fn base64_and_times_have_one_form() {
        let given = json!({"data": {"a": "aGVs\nbG8="}, "metadata": {"deletionTimestamp": "2026-01-01T01:00:00.9+01:00"}});
        let (map, _) = conform(given, &SECRET).expect("conforms");
        let expect =
            json!({"data": {"a": "aGVsbG8="}, "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        assert_eq!(Value::Object(map), expect);
    }
}
