//! Small changes to valid objects, most of which make them invalid.

use serde_json::{Map, Value, json};

use super::Dice;

/// Texts that break one rule or another.
const TEXTS: &[&str] = &[
    "",
    "a",
    "A",
    "-a",
    "a-",
    "a.b",
    "a_b",
    "a b",
    "a/b",
    "/a",
    "../a",
    "a/../b",
    "..",
    "..a",
    "example.com/Name",
    "example.com/a/b",
    "Always",
    "Never",
    "OnFailure",
    "None",
    "RollingUpdate",
    "Exists",
    "In",
    "Equal",
    "NoExecute",
    "linux",
    "windows",
    "10%",
    "150%",
    "1.2.3.4",
    "01.2.3.4",
    "::1",
    "FE80::1",
    "10.0.0.0/8",
    "10.0.0.1/8",
    "65536",
    "8080",
    "http",
    "1Gi",
    "-1",
    "100m",
    "0",
    "1.5",
    "Localhost",
    "Recreate",
    "web",
    "data",
    "kubernetes.io/x",
    "tr\u{e9}s",
    "x\ty",
    "Europe/Berlin",
    "Nowhere/Land",
    "*/5 * * * *",
    "60 * * * *",
    "@daily",
    "metadata.name",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

const NUMBERS: &[i64] =
    &[-1, 0, 1, 2, 80, 100, 101, 255, 256, 599, 600, 3600, 65_535, 65_536, 100_001, 2_147_483_647];

/// A changed copy: one to three changes, with pieces of `others` put in here and there.
pub fn mutated(object: &Value, others: &[Value], dice: &mut Dice) -> Value {
    let mut object = object.clone();
    for _ in 0..1 + dice.below(3) {
        let places = places(&object, "");
        if places.is_empty() {
            break;
        }
        let place = &places[dice.below(places.len() as u64) as usize];
        change(&mut object, place, others, dice);
    }
    object
}

/// Every place below the kind and the version, as a JSON pointer.
fn places(value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (step, value) in inner {
        let path = format!("{at}/{step}");
        if !matches!(
            path.as_str(),
            "/kind" | "/apiVersion" | "/metadata/namespace" | "/metadata/managedFields"
        ) {
            found.extend(places(value, &path));
            found.push(path);
        }
    }
    found
}

fn change(object: &mut Value, place: &str, others: &[Value], dice: &mut Dice) {
    let (parent, step) = place.rsplit_once('/').expect("a pointer");
    let step = step.replace("~1", "/").replace("~0", "~");
    let Some(value) = object.pointer(place).cloned() else { return };
    let Some(parent) = object.pointer_mut(parent) else { return };
    let new = match dice.below(10) {
        0 | 1 => return remove(parent, &step),
        2 => match parent {
            Value::Array(items) => return items.push(value),
            _ => replaced(&value, dice),
        },
        3 | 4 => match alike(&step, others, dice) {
            Some(value) => value,
            None => replaced(&value, dice),
        },
        5 => match (parent, alike_sibling(&step, others, dice)) {
            (Value::Object(map), Some((name, value))) => {
                map.insert(name, value);
                return;
            }
            _ => return,
        },
        _ => replaced(&value, dice),
    };
    match parent {
        Value::Object(map) => drop(map.insert(step, new)),
        Value::Array(items) => items[step.parse::<usize>().expect("an index")] = new,
        _ => {}
    }
}

fn remove(parent: &mut Value, step: &str) {
    match parent {
        Value::Object(map) => drop(map.shift_remove(step)),
        Value::Array(items) => drop(items.remove(step.parse().expect("an index"))),
        _ => {}
    }
}

fn replaced(value: &Value, dice: &mut Dice) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Bool(given) => (!given).into(),
        Value::Number(_) => NUMBERS[dice.below(NUMBERS.len() as u64) as usize].into(),
        Value::String(_) => TEXTS[dice.below(TEXTS.len() as u64) as usize].into(),
        Value::Array(items) if dice.below(2) == 0 => items.iter().rev().cloned().collect(),
        Value::Array(_) => json!([]),
        Value::Object(_) => json!({}),
    }
}

/// A value that stands under the same name somewhere.
fn alike(name: &str, others: &[Value], dice: &mut Dice) -> Option<Value> {
    let mut found = Vec::new();
    others.iter().for_each(|other| members(other, &mut |map| found.extend(map.get(name).cloned())));
    (!found.is_empty()).then(|| found[dice.below(found.len() as u64) as usize].clone())
}

/// Another member of an object that somewhere has a member of this name.
fn alike_sibling(name: &str, others: &[Value], dice: &mut Dice) -> Option<(String, Value)> {
    let mut found: Vec<(String, Value)> = Vec::new();
    let mut add = |map: &Map<String, Value>| {
        if map.contains_key(name) {
            found.extend(map.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
    };
    others.iter().for_each(|other| members(other, &mut add));
    found.retain(|(name, _)| !matches!(name.as_str(), "kind" | "apiVersion" | "metadata"));
    (!found.is_empty()).then(|| found[dice.below(found.len() as u64) as usize].clone())
}

fn members(value: &Value, visit: &mut impl FnMut(&Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            visit(map);
            map.values().for_each(|value| members(value, visit));
        }
        Value::Array(items) => items.iter().for_each(|value| members(value, visit)),
        _ => {}
    }
}
