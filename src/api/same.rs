//! Whether two values of a type are the same to Go: what it cannot tell from nothing counts as nothing.

use serde_json::{Map, Value};

use crate::quantity::Quantity;
use crate::schema::{Field, Presence, Shape, Type, builtin};

/// Whether two objects of a type are the same.
pub fn objects(one: &Map<String, Value>, other: &Map<String, Value>, of: &Type) -> bool {
    of.fields().iter().all(|field| same_field(one.get(&field.name), other.get(&field.name), field))
}

/// Whether one field of two objects of a type is the same.
pub fn field(name: &str, one: Option<&Value>, other: Option<&Value>, of: &Type) -> bool {
    of.field(name).is_some_and(|field| same_field(one, other, field))
}

/// Whether one field of two objects of a built-in type (behind `io.k8s.api.`) is the same.
pub fn field_of(model: &str, name: &str, one: Option<&Value>, other: Option<&Value>) -> bool {
    one == other || field(name, one, other, &builtin(&format!("io.k8s.api.{model}")))
}

/// Whether two objects of a built-in type (behind `io.k8s.api.`) are the same.
pub fn objects_of(model: &str, one: Option<&Map<String, Value>>, other: Option<&Map<String, Value>>) -> bool {
    let empty = Map::new();
    objects(one.unwrap_or(&empty), other.unwrap_or(&empty), &builtin(&format!("io.k8s.api.{model}")))
}

fn same_field(one: Option<&Value>, other: Option<&Value>, field: &Field) -> bool {
    one == other || same(one, other, &field.shape, field.presence)
}

fn same(one: Option<&Value>, other: Option<&Value>, shape: &Shape, presence: Presence) -> bool {
    let (one, other) = (one.filter(|value| !value.is_null()), other.filter(|value| !value.is_null()));
    match (shape, one, other) {
        (Shape::List(item), ..) => lists(one, other, item),
        (Shape::Map(item), ..) => maps(one, other, item),
        (_, None, None) => true,
        (Shape::Struct(of), Some(Value::Object(one)), Some(Value::Object(other))) => objects(one, other, of),
        (Shape::Struct(of), Some(Value::Object(given)), None)
        | (Shape::Struct(of), None, Some(Value::Object(given))) => {
            presence != Presence::Given && objects(given, &Map::new(), of)
        }
        (Shape::Quantity, Some(Value::String(one)), Some(Value::String(other))) => {
            Quantity::parse(one).ok() == Quantity::parse(other).ok()
        }
        (_, Some(given), None) | (_, None, Some(given)) => presence != Presence::Given && is_zero(given),
        (_, one, other) => one == other,
    }
}

fn lists(one: Option<&Value>, other: Option<&Value>, item: &Shape) -> bool {
    fn items(value: Option<&Value>) -> &[Value] {
        value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
    let (one, other) = (items(one), items(other));
    let pair = |(one, other)| same(Some(one), Some(other), item, Presence::Always);
    one.len() == other.len() && one.iter().zip(other).all(pair)
}

fn maps(one: Option<&Value>, other: Option<&Value>, item: &Shape) -> bool {
    let count = |value: Option<&Value>| value.and_then(Value::as_object).map_or(0, Map::len);
    let within = |(key, value): (&String, &Value)| {
        let other = other.and_then(|other| other.get(key));
        other.is_some() && same(Some(value), other, item, Presence::Always)
    };
    count(one) == count(other) && one.and_then(Value::as_object).into_iter().flatten().all(within)
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(given) => !given,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "0",
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}
