//! The kinds: one file each, holding its row and what is particular to it.

pub mod config_map;
pub mod namespace;
pub mod secret;

use serde_json::{Map, Value};

use crate::field_error::FieldError;
use crate::names;
use crate::object::Object;

/// How much data a ConfigMap or Secret may hold.
pub(crate) const DATA_BYTES_MAX: usize = 1024 * 1024;

const IMMUTABLE: &str = "field is immutable when `immutable` is set";

/// The map at a field; empty when there is none.
pub(crate) fn entries<'o>(object: &'o Object, field: &str) -> impl Iterator<Item = (&'o String, &'o Value)> {
    object.fields.get(field).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

/// How many entries the maps at `fields` have together.
pub(crate) fn count(object: &Object, fields: &[&str]) -> Value {
    fields.iter().map(|field| entries(object, field).count()).sum::<usize>().into()
}

/// What is wrong with the keys of the map at `field`.
pub(crate) fn key_errors(object: &Object, field: &str) -> Vec<FieldError> {
    let wrong = |key: &String| {
        let path = format!("{field}[{key}]");
        names::config_key(key)
            .into_iter()
            .map(move |text| FieldError::invalid(&path, key.as_str(), &text))
            .collect::<Vec<_>>()
    };
    entries(object, field).flat_map(|(key, _)| wrong(key)).collect()
}

/// How many bytes the base64 text stands for.
pub(crate) fn decoded_bytes(base64: &str) -> usize {
    base64.len() / 4 * 3 - base64.bytes().rev().take_while(|byte| *byte == b'=').count()
}

/// What a change of an immutable object breaks: `immutable` itself, or one of `fields`.
pub(crate) fn immutable_errors(new: &Object, old: &Object, fields: &[&str]) -> Vec<FieldError> {
    let is_immutable = |object: &Object| object.fields.get("immutable") == Some(&Value::Bool(true));
    if !is_immutable(old) {
        return Vec::new();
    }
    let unset = (!is_immutable(new)).then_some("immutable");
    let changed = fields.iter().copied().filter(|field| !entries_equal(new, old, field));
    unset.into_iter().chain(changed).map(|field| FieldError::forbidden(field, IMMUTABLE)).collect()
}

fn entries_equal(one: &Object, other: &Object, field: &str) -> bool {
    let map =
        |object: &Object| object.fields.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
    map(one) == map(other)
}
