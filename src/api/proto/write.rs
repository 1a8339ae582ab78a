//! From the tree of an object's JSON to its message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::wire::{put_bytes, put_number, put_varint};
use crate::schema::{Field, Instead, Shape, Type};
use crate::{duration, encode, time};

/// Writes the message of a tree that conforms to `of`. What does not conform is left out.
pub fn message(tree: &Map<String, Value>, of: &Type) -> Vec<u8> {
    let mut out = Vec::new();
    members(&mut out, tree, of, &mut Vec::new());
    out
}

/// Writes the fields that stand in the messages `inside` each other.
fn members(out: &mut Vec<u8>, tree: &Map<String, Value>, of: &Type, inside: &mut Vec<u32>) {
    let mut embedded: Vec<u32> = Vec::new();
    for field in of.fields().iter().filter(|field| field.number != 0 && field.inside.starts_with(inside)) {
        match field.inside.get(inside.len()) {
            None => {
                if let Some(value) = tree.get(&field.name).filter(|value| !value.is_null()) {
                    member(out, value, field);
                }
            }
            Some(number) if embedded.contains(number) => {}
            Some(number) => embedded.push(*number),
        }
    }
    for number in embedded {
        let mut inner = Vec::new();
        inside.push(number);
        members(&mut inner, tree, of, inside);
        inside.pop();
        if !inner.is_empty() {
            put_bytes(out, number, &inner);
        }
    }
}

fn member(out: &mut Vec<u8>, value: &Value, field: &Field) {
    match (&field.shape, value) {
        (Shape::List(of), Value::Array(items)) => {
            items.iter().for_each(|item| put(out, field.number, item, of));
        }
        (Shape::Map(of), Value::Object(map)) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|entry| entry.0);
            for (key, value) in entries {
                let mut entry = Vec::new();
                put_bytes(&mut entry, 1, key.as_bytes());
                put(&mut entry, 2, value, of);
                put_bytes(out, field.number, &entry);
            }
        }
        (shape, value) => put(out, field.number, value, shape),
    }
}

/// Appends one value as a field.
fn put(out: &mut Vec<u8>, number: u32, value: &Value, shape: &Shape) {
    match (shape, value) {
        (Shape::Bool, Value::Bool(given)) => put_number(out, number, u64::from(*given)),
        (Shape::Int32 | Shape::Int64, Value::Number(given)) => {
            // Negative numbers are written as their two's complement.
            put_number(out, number, given.as_i64().unwrap_or_default() as u64);
        }
        (Shape::Float, Value::Number(given)) => {
            put_varint(out, u64::from(number) << 3 | 1);
            out.extend_from_slice(&given.as_f64().unwrap_or_default().to_le_bytes());
        }
        (Shape::Bytes, Value::String(text)) => {
            put_bytes(out, number, &STANDARD.decode(text).unwrap_or_default());
        }
        (_, value) => put_bytes(out, number, &body(value, shape)),
    }
}

/// The bytes of a value that is a text or a message.
fn body(value: &Value, shape: &Shape) -> Vec<u8> {
    let mut out = Vec::new();
    match (shape, value) {
        (Shape::Text, Value::String(text)) => out.extend_from_slice(text.as_bytes()),
        (Shape::Time | Shape::MicroTime, Value::String(text)) => {
            if let Some(epoch_us) = time::parse(text) {
                put_number(&mut out, 1, epoch_us.div_euclid(1_000_000) as u64);
                put_number(&mut out, 2, epoch_us.rem_euclid(1_000_000) as u64 * 1000);
            }
        }
        (Shape::Duration, Value::String(text)) => {
            put_number(&mut out, 1, duration::parse(text).unwrap_or_default() as u64);
        }
        (Shape::Quantity, Value::String(text)) => put_bytes(&mut out, 1, text.as_bytes()),
        (Shape::IntOrString, Value::String(text)) => {
            put_number(&mut out, 1, 1);
            put_bytes(&mut out, 3, text.as_bytes());
        }
        (Shape::IntOrString, value) => {
            put_number(&mut out, 1, 0);
            put_number(&mut out, 2, value.as_i64().unwrap_or_default() as u64);
        }
        (Shape::Any | Shape::Fields | Shape::Raw, value) => {
            let mut json = Vec::new();
            encode::any(&mut json, value);
            put_bytes(&mut out, 1, &json);
        }
        (Shape::Struct(of), Value::Object(map)) => out = message(map, of),
        (Shape::SchemaOr(of, instead), value) => schema_or(&mut out, value, of, *instead),
        // A list in a list, or in a map: a message with the items as field 1.
        (Shape::List(of), Value::Array(items)) => {
            items.iter().for_each(|item| put(&mut out, 1, item, of));
        }
        _ => {}
    }
    out
}

/// `{schema = 1, instead = 2}`, or for a boolean `{allows = 1, schema = 2}`.
fn schema_or(out: &mut Vec<u8>, value: &Value, of: &Type, instead: Instead) {
    match (instead, value) {
        (Instead::Bool, Value::Bool(allows)) => put_number(out, 1, u64::from(*allows)),
        (Instead::Bool, Value::Object(map)) => {
            put_number(out, 1, 1);
            put_bytes(out, 2, &message(map, of));
        }
        (Instead::List, Value::Array(items)) => {
            for item in items.iter().filter_map(Value::as_object) {
                put_bytes(out, 2, &message(item, of));
            }
        }
        (Instead::Names, Value::Array(items)) => {
            items.iter().filter_map(Value::as_str).for_each(|name| put_bytes(out, 2, name.as_bytes()));
        }
        (_, Value::Object(map)) => put_bytes(out, 1, &message(map, of)),
        _ => {}
    }
}
