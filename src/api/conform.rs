//! Brings a decoded tree into the form of its type: checks what each field holds, prunes what the type
//! does not know, drops nulls, and writes base64 and times in one way.

mod custom;

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde_json::{Map, Value};

use crate::duration;
use crate::quantity;
use crate::schema::{Instead, Item, Shape, Type};
use crate::time;

/// Base64 as Go reads it: padded, the last bits ignored.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&ALPHABET, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// How many unknown fields are told; a body with more has made its point.
const UNKNOWN_TOLD_MAX: usize = 100;

/// A value of the wrong type, in the words of Go's decoder.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TypeError(String);

/// Conforms `tree` to `of`. Returns it with the paths of the fields that were pruned.
///
/// # Errors
/// The first value of a wrong type.
pub fn conform(tree: Value, of: &Type) -> Result<(Map<String, Value>, Vec<String>), TypeError> {
    let mut walk = Walk { place: String::new(), path: String::new(), unknown: Vec::new() };
    let Value::Object(mut map) = tree else {
        return Err(walk.mismatch(&tree, of.qualified(), None));
    };
    walk.object(&mut map, of)?;
    Ok((map, walk.unknown))
}

struct Walk {
    /// Fields on the way here, without places in lists and maps: how Go's decoder names a field.
    place: String,
    /// The same with them: how unknown fields are named.
    path: String,
    unknown: Vec<String>,
}

/// What a value should be: its shape, and what holds it.
#[derive(Clone, Copy)]
struct Wanted<'s> {
    shape: &'s Shape,
    /// Go's name of the type, where the shape does not tell.
    go: &'s str,
    /// The struct around it.
    within: &'s Type,
}

impl<'s> Wanted<'s> {
    fn item(self, shape: &'s Shape) -> Self {
        let go = self.go.strip_prefix("[]").or_else(|| self.go.strip_prefix("map[string]"));
        Self { shape, go: go.unwrap_or_default(), ..self }
    }

    fn go_type(self) -> String {
        if self.go.is_empty() { go_type(self.shape) } else { self.go.to_owned() }
    }
}

impl Walk {
    /// Null means absent: such members are dropped before the value is looked at.
    fn object(&mut self, map: &mut Map<String, Value>, of: &Type) -> Result<(), TypeError> {
        if let Some(custom) = &of.custom {
            *map = self.custom(std::mem::take(map), of, custom)?;
            return Ok(());
        }
        let is_root = self.path.is_empty();
        let mut is_dropped = false;
        for (name, value) in map.iter_mut() {
            let outer = self.enter(name);
            match of.field(name) {
                Some(field) if !value.is_null() => {
                    self.value(value, Wanted { shape: &field.shape, go: &field.go, within: of })?;
                }
                known => {
                    if known.is_none() && !(is_root && matches!(name.as_str(), "kind" | "apiVersion")) {
                        self.prune();
                    }
                    *value = Value::Null;
                    is_dropped = true;
                }
            }
            self.leave(outer);
        }
        if is_dropped {
            map.retain(|_, value| !value.is_null());
        }
        Ok(())
    }

    fn value(&mut self, value: &mut Value, wanted: Wanted<'_>) -> Result<(), TypeError> {
        match (wanted.shape, &mut *value) {
            (Shape::Any | Shape::Opaque | Shape::Raw | Shape::Fields, _)
            | (Shape::Bool, Value::Bool(_))
            | (Shape::Text, Value::String(_))
            | (Shape::Float, Value::Number(_)) => {}
            (Shape::Int64, Value::Number(number)) if number.is_i64() => {}
            (Shape::Int32, number) if is_int32(number) => {}
            (Shape::IntOrString, Value::String(_)) => {}
            (Shape::IntOrString, number) if is_int32(number) => {}
            (Shape::IntOrString, other) => return Err(bare_mismatch(other, "int32")),
            (Shape::Quantity, Value::String(text)) => *value = quantity(text.trim())?,
            (Shape::Quantity, Value::Number(number)) => *value = quantity(&number.to_string())?,
            (Shape::Quantity, _) => return Err(TypeError(quantity::FORMAT.to_owned())),
            (Shape::Bytes, Value::String(text)) => *value = bytes(std::mem::take(text))?,
            (Shape::Time, Value::String(text)) => *value = time(text)?,
            (Shape::MicroTime, Value::String(text)) => *value = micro_time(text)?,
            (Shape::Duration, Value::String(text)) => *value = span(text)?,
            (Shape::Time | Shape::MicroTime | Shape::Duration, other) => {
                return Err(bare_mismatch(other, "string"));
            }
            (Shape::Struct(of), Value::Object(map)) => self.object(map, of)?,
            (Shape::Map(of), Value::Object(map)) => self.map(map, wanted.item(of))?,
            (Shape::List(of), Value::Array(items)) => self.list(items, wanted.item(of))?,
            (Shape::SchemaOr(of, instead), other) => self.schema_or(other, of, *instead, wanted)?,
            (_, other) => return Err(self.mismatch(other, &wanted.go_type(), Some(wanted.within))),
        }
        Ok(())
    }

    /// An item of a list or map: unlike a member it stays when it is null, as the zero value.
    fn item(&mut self, value: &mut Value, wanted: Wanted<'_>) -> Result<(), TypeError> {
        if value.is_null() {
            *value = zero(wanted.shape);
            return Ok(());
        }
        self.value(value, wanted)
    }

    fn map(&mut self, map: &mut Map<String, Value>, wanted: Wanted<'_>) -> Result<(), TypeError> {
        for (key, value) in map.iter_mut() {
            let outer = self.path.len();
            self.path.push('.');
            self.path.push_str(key);
            self.item(value, wanted)?;
            self.path.truncate(outer);
        }
        Ok(())
    }

    fn list(&mut self, items: &mut [Value], wanted: Wanted<'_>) -> Result<(), TypeError> {
        for (at, value) in items.iter_mut().enumerate() {
            let outer = self.path.len();
            write!(self.path, "[{at}]").expect("text grows in memory");
            self.item(value, wanted)?;
            self.path.truncate(outer);
        }
        Ok(())
    }

    fn schema_or(
        &mut self,
        value: &mut Value,
        of: &Type,
        instead: Instead,
        wanted: Wanted<'_>,
    ) -> Result<(), TypeError> {
        match (instead, value) {
            (Instead::Bool, Value::Bool(_)) => Ok(()),
            (Instead::List, Value::Array(items)) => items.iter_mut().try_for_each(|item| match item {
                Value::Object(map) => self.object(map, of),
                other => Err(self.mismatch(other, of.qualified(), Some(wanted.within))),
            }),
            (Instead::Names, value @ Value::Array(_)) => {
                self.value(value, Wanted { shape: &NAMES, ..wanted })
            }
            (_, Value::Object(map)) => self.object(map, of),
            (_, other) => Err(self.mismatch(other, of.qualified(), Some(wanted.within))),
        }
    }

    fn enter(&mut self, name: &str) -> (usize, usize) {
        let outer = (self.path.len(), self.place.len());
        for path in [&mut self.path, &mut self.place] {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
        }
        outer
    }

    fn leave(&mut self, outer: (usize, usize)) {
        self.path.truncate(outer.0);
        self.place.truncate(outer.1);
    }

    fn prune(&mut self) {
        if self.unknown.len() < UNKNOWN_TOLD_MAX {
            self.unknown.push(self.path.clone());
        }
    }

    fn mismatch(&self, value: &Value, wanted: &str, within: Option<&Type>) -> TypeError {
        match within {
            Some(within) => {
                let (name, place) = (within.name(), &self.place);
                let target = format!("Go struct field {name}.{place} of type {wanted}");
                TypeError(format!("json: cannot unmarshal {} into {target}", found(value, wanted)))
            }
            None => bare_mismatch(value, wanted),
        }
    }
}

static NAMES: LazyLock<Shape> = LazyLock::new(|| Shape::List(Item::of(Shape::Text).into()));

/// What is said of a value that stands alone.
pub(crate) fn bare_mismatch(value: &Value, wanted: &str) -> TypeError {
    TypeError(format!("json: cannot unmarshal {} into Go value of type {wanted}", found(value, wanted)))
}

/// What stands in the body. Numbers that are just too large or not whole are shown.
pub(crate) fn found(value: &Value, wanted: &str) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(number) if wanted.starts_with("int") => format!("number {number}"),
        Value::Number(_) => "number".into(),
        Value::String(_) => "string".into(),
        Value::Array(_) => "array".into(),
        Value::Object(_) => "object".into(),
    }
}

fn is_int32(value: &Value) -> bool {
    value.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
}

fn quantity(text: &str) -> Result<Value, TypeError> {
    quantity::canonical(text).map(Value::from).map_err(|error| TypeError(error.to_string()))
}

/// Bytes in base64, in the one form that they have here.
///
/// # Errors
/// Where it is none.
pub(crate) fn bytes(text: String) -> Result<Value, TypeError> {
    let unwrapped = if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], "") } else { text };
    let bytes = LENIENT.decode(&unwrapped);
    let bytes = bytes.map_err(|error| TypeError(base64_error(&error, unwrapped.len())))?;
    Ok(STANDARD.encode(bytes).into())
}

/// Where base64 of this length breaks.
pub(crate) fn base64_error(error: &base64::DecodeError, length: usize) -> String {
    let at = match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => length / 4 * 4,
    };
    format!("illegal base64 data at input byte {at}")
}

fn time(text: &str) -> Result<Value, TypeError> {
    let at = time::parse(text).ok_or_else(|| TypeError(time::refusal(text, false)))?;
    Ok(time::seconds(at).into())
}

fn micro_time(text: &str) -> Result<Value, TypeError> {
    let at = time::parse_micro(text).ok_or_else(|| TypeError(time::refusal(text, true)))?;
    Ok(time::micro(at).into())
}

fn span(text: &str) -> Result<Value, TypeError> {
    let span = duration::parse(text).ok_or_else(|| TypeError(format!("time: invalid duration {text:?}")))?;
    Ok(duration::text(span).into())
}

/// What a null item stands for.
fn zero(shape: &Shape) -> Value {
    match shape {
        Shape::Any | Shape::Fields | Shape::MicroTime | Shape::Opaque | Shape::Raw | Shape::Time => {
            Value::Null
        }
        Shape::Bool => false.into(),
        Shape::Bytes | Shape::Text => "".into(),
        Shape::Duration => "0s".into(),
        Shape::Float | Shape::Int32 | Shape::Int64 | Shape::IntOrString => 0.into(),
        Shape::List(_) => Value::Array(Vec::new()),
        Shape::Map(_) | Shape::SchemaOr(..) | Shape::Struct(_) => Map::new().into(),
        Shape::Quantity => "0".into(),
    }
}

fn go_type(shape: &Shape) -> String {
    match shape {
        Shape::Any | Shape::Opaque => "interface {}".into(),
        Shape::Bool => "bool".into(),
        Shape::Bytes => "[]uint8".into(),
        Shape::Duration => "v1.Duration".into(),
        Shape::Fields => "v1.FieldsV1".into(),
        Shape::Float => "float64".into(),
        Shape::Int32 => "int32".into(),
        Shape::Int64 => "int64".into(),
        Shape::IntOrString => "intstr.IntOrString".into(),
        Shape::List(of) => format!("[]{}", go_type(of)),
        Shape::Map(of) => format!("map[string]{}", go_type(of)),
        Shape::MicroTime => "v1.MicroTime".into(),
        Shape::Quantity => "resource.Quantity".into(),
        Shape::Raw => "runtime.RawExtension".into(),
        Shape::SchemaOr(of, _) | Shape::Struct(of) => of.qualified().to_owned(),
        Shape::Text => "string".into(),
        Shape::Time => "v1.Time".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::builtin;

    #[test]
    fn what_a_type_does_not_know_is_pruned_and_told() {
        let given = json!({
            "kind": "ConfigMap", "apiVersion": "v1", "extra": 1,
            "metadata": {"name": "x", "colour": "red", "creationTimestamp": null, "labels": {"a": null}},
            "data": {"a": "b"}, "immutable": null,
        });
        let (map, unknown) = conform(given, &builtin("io.k8s.api.core.v1.ConfigMap")).expect("conforms");
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
                "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.labels of type map[string]string",
            ),
            (json!({"binaryData": {"a": "?"}}), "illegal base64 data at input byte 0"),
            (json!([]), "json: cannot unmarshal array into Go value of type v1.ConfigMap"),
        ];
        for (given, expect) in cases {
            assert_eq!(
                conform(given, &builtin("io.k8s.api.core.v1.ConfigMap")).expect_err("wrong").to_string(),
                expect
            );
        }
    }

    #[test]
    fn base64_and_times_have_one_form() {
        let given = json!({"data": {"a": "aGVs\nbG8="}, "metadata": {"deletionTimestamp": "2026-01-01T01:00:00.9+01:00"}});
        let (map, _) = conform(given, &builtin("io.k8s.api.core.v1.Secret")).expect("conforms");
        let expect =
            json!({"data": {"a": "aGVsbG8="}, "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        assert_eq!(Value::Object(map), expect);
    }
}
