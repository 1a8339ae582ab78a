//! Lists that are sets or maps hold each item once.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::structural::{Additional, ListType, Structural};
use crate::field_error::FieldError;

/// Items that repeat, anywhere in an object.
pub fn errors(members: &Map<String, Value>, schema: &Structural) -> Vec<FieldError> {
    let mut errors = Vec::new();
    object("", members, schema, &mut errors);
    errors
}

fn object(path: &str, members: &Map<String, Value>, schema: &Structural, errors: &mut Vec<FieldError>) {
    for (name, value) in members {
        if let Some(of) = schema.properties.get(name) {
            let dot = if path.is_empty() { "" } else { "." };
            below(|| format!("{path}{dot}{name}"), value, of, errors);
        }
        if let Some(Additional::Schema(of)) = &schema.additional {
            below(|| format!("{path}[{name}]"), value, of, errors);
        }
    }
}

/// Scalars need no path, and most values are scalars.
fn below(path: impl Fn() -> String, value: &Value, schema: &Structural, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(members) => object(&path(), members, schema, errors),
        Value::Array(items) => list(&path(), items, schema, errors),
        _ => {}
    }
}

fn list(path: &str, items: &[Value], schema: &Structural, errors: &mut Vec<FieldError>) {
    match &schema.list_type {
        ListType::Atomic => {}
        ListType::Set => {
            let texts = items.iter().map(canonical);
            errors.extend(repeats(texts).map(|at| duplicate(&format!("{path}[{at}]"), &items[at])));
        }
        ListType::Map(keys) => map(path, items, keys, errors),
    }
    if let Some(of) = &schema.items {
        for (at, item) in items.iter().enumerate() {
            below(|| format!("{path}[{at}]"), item, of, errors);
        }
    }
}

fn map(path: &str, items: &[Value], keys: &[String], errors: &mut Vec<FieldError>) {
    if let Some(at) = items.iter().position(|item| !item.is_null() && !item.is_object()) {
        let why = "must be an object for an array of list-type map";
        let error = FieldError::invalid(&format!("{path}[{at}]"), items[at].clone(), why);
        return errors.push(error.showing(&items[at]));
    }
    let key = |item: &Value| -> Value {
        let member = |name: &String| Some((name.clone(), item.get(name)?.clone()));
        keys.iter().filter_map(member).collect::<Map<_, _>>().into()
    };
    let found: Vec<Value> = items.iter().map(key).collect();
    let again = repeats(found.iter().map(canonical));
    errors.extend(again.map(|at| duplicate(&format!("{path}[{at}]"), &found[at])));
}

/// Where something stands for the second time.
fn repeats(texts: impl Iterator<Item = Vec<u8>>) -> impl Iterator<Item = usize> {
    let mut seen: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    texts.enumerate().filter_map(move |(at, text)| {
        let times = seen.entry(text).or_default();
        *times += 1;
        (*times == 2).then_some(at)
    })
}

/// One form for each value. A number is another one when it was written with a fraction, unless it is within something.
fn canonical(value: &Value) -> Vec<u8> {
    if let Value::Number(number) = value {
        return number.to_string().into_bytes();
    }
    let mut text = Vec::new();
    crate::encode::any(&mut text, value);
    text
}

fn duplicate(path: &str, value: &Value) -> FieldError {
    FieldError::duplicate(path, value.clone()).showing(value)
}
