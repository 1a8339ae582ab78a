//! Random changes of valid objects: what clients might send by mistake.

use api::schema::{Shape, Type};
use serde_json::{Map, Value, json};

use super::Dice;

/// Texts that are right in one place and wrong in another.
const TEXTS: &[&str] = &[
    "",
    "",
    "a",
    "A",
    "a.b",
    "-a",
    "a b",
    "a/b",
    "example.com/x",
    "example.com/a/b",
    "*",
    "*.a.b",
    "/a",
    "/a/../b",
    "10.0.0.1",
    "010.0.0.1",
    "10.0.0.0/24",
    "10.0.0.1/24",
    "fd00::1",
    "FD00::1",
    "fd00::/64",
    "::ffff:1.2.3.4",
    "127.0.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "169.254.1.1",
    "None",
    "none",
    "..",
    ".",
    "25%",
    "101%",
    "http",
    "80",
    "x-y",
    "x--y",
    "True",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

const NUMBERS: &[i64] =
    &[-1, 0, 1, 2, 3, 5, 30, 80, 100, 101, 300, 3600, 32_767, 65_535, 65_536, 86_401, 2_000_000_000];

const QUANTITIES: &[&str] = &["0", "-1", "1", "1500m", "2", "1Gi", "10k", "1m"];

/// Words that an object may hold: its own, and those of others.
pub struct Words(Vec<String>);

impl Words {
    pub fn of<'v>(values: impl IntoIterator<Item = &'v Value>) -> Self {
        let mut words = Vec::new();
        for value in values {
            collect(value, &mut words);
        }
        Self(words)
    }

    fn pick(&self, dice: &mut Dice) -> String {
        if dice.below(2) == 0 && !self.0.is_empty() {
            self.0[dice.below(self.0.len() as u64) as usize].clone()
        } else {
            dice.one_of(TEXTS).to_owned()
        }
    }
}

fn collect(value: &Value, words: &mut Vec<String>) {
    match value {
        Value::String(text) => words.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, words)),
        Value::Object(members) => members.values().for_each(|member| collect(member, words)),
        _ => {}
    }
}

/// A place in a tree that can be changed: the way to what holds it, and what it holds.
struct Spot<'s> {
    way: String,
    name: String,
    shape: &'s Shape,
}

/// Changes one to three places of an object. Its name, namespace and kind stay.
pub fn mutate(tree: &mut Value, of: &Type, dice: &mut Dice, words: &Words) {
    for _ in 0..=dice.below(3) {
        let mut spots = Vec::new();
        spots_within(tree, of, String::new(), &mut spots);
        let spot = &spots[dice.below(spots.len() as u64) as usize];
        let holder = if spot.way.is_empty() { Some(&mut *tree) } else { tree.pointer_mut(&spot.way) };
        let Some(holder) = holder else { continue };
        change(holder, spot, dice, words);
        prune(tree, of);
    }
}

/// Drops what holds nothing: Go tells such lists and maps from missing ones now and then, stored objects do not.
fn prune(value: &mut Value, of: &Type) {
    let Value::Object(members) = value else { return };
    for field in of.fields() {
        let Some(inner) = members.get_mut(&field.name) else { continue };
        match (&field.shape, inner) {
            (Shape::List(_), Value::Array(items)) if items.is_empty() => {
                members.shift_remove(&field.name);
            }
            (Shape::Map(_), Value::Object(map)) if map.is_empty() => {
                members.shift_remove(&field.name);
            }
            (Shape::Bytes, Value::String(text)) if text.is_empty() => {
                members.shift_remove(&field.name);
            }
            (Shape::Struct(of), inner) => prune(inner, of),
            (Shape::List(item), Value::Array(items)) => {
                if let Shape::Struct(of) = &**item {
                    items.iter_mut().for_each(|item| prune(item, of));
                }
            }
            _ => {}
        }
    }
}

fn spots_within<'s>(value: &Value, of: &'s Type, way: String, spots: &mut Vec<Spot<'s>>) {
    for field in of.fields() {
        let stays = match way.as_str() {
            "" => matches!(field.name.as_str(), "kind" | "apiVersion" | "metadata"),
            "/metadata" => !matches!(field.name.as_str(), "labels" | "annotations" | "finalizers"),
            _ => false,
        };
        if !stays {
            spots.push(Spot { way: way.clone(), name: field.name.clone(), shape: &field.shape });
        }
        if let Some(inner) = value.get(&field.name) {
            spots_of(inner, &field.shape, format!("{way}/{}", field.name), spots);
        }
    }
}

fn spots_of<'s>(value: &Value, shape: &'s Shape, way: String, spots: &mut Vec<Spot<'s>>) {
    match (shape, value) {
        (Shape::Struct(of), Value::Object(_)) => spots_within(value, of, way, spots),
        (Shape::List(item), Value::Array(items)) => {
            for (at, inner) in items.iter().enumerate() {
                spots.push(Spot { way: way.clone(), name: at.to_string(), shape: item });
                spots_of(inner, item, format!("{way}/{at}"), spots);
            }
        }
        (Shape::Map(item), Value::Object(members)) => {
            for (key, inner) in members {
                let escaped = key.replace('~', "~0").replace('/', "~1");
                spots.push(Spot { way: way.clone(), name: key.clone(), shape: item });
                spots_of(inner, item, format!("{way}/{escaped}"), spots);
            }
        }
        _ => {}
    }
}

fn change(holder: &mut Value, spot: &Spot<'_>, dice: &mut Dice, words: &Words) {
    match holder {
        Value::Array(items) => {
            let Ok(at) = spot.name.parse::<usize>() else { return };
            match dice.below(4) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => items[at] = invent(spot.shape, dice, words, 2),
            }
        }
        Value::Object(members) => match (dice.below(4), members.get_mut(&spot.name)) {
            (0, Some(_)) => drop(members.shift_remove(&spot.name)),
            (1, Some(Value::Array(items))) => items.push(invent_item(spot.shape, dice, words)),
            (1, Some(Value::Object(map))) if matches!(spot.shape, Shape::Map(_)) => {
                map.insert(words.pick(dice), invent_item(spot.shape, dice, words));
            }
            (1, Some(Value::Number(number))) => {
                let changed = number.as_i64().unwrap_or_default() + if dice.below(2) == 0 { 1 } else { -1 };
                members.insert(spot.name.clone(), changed.into());
            }
            _ => drop(members.insert(spot.name.clone(), invent(spot.shape, dice, words, 0))),
        },
        _ => {}
    }
}

fn invent_item(shape: &Shape, dice: &mut Dice, words: &Words) -> Value {
    match shape {
        Shape::List(item) | Shape::Map(item) => invent(item, dice, words, 1),
        _ => Value::Null,
    }
}

fn invent(shape: &Shape, dice: &mut Dice, words: &Words, depth: u32) -> Value {
    let count = if depth < 4 { dice.below(3) } else { 0 };
    match shape {
        Shape::Bool => (dice.below(2) == 0).into(),
        Shape::Int32 | Shape::Int64 => NUMBERS[dice.below(NUMBERS.len() as u64) as usize].into(),
        Shape::IntOrString if dice.below(2) == 0 => NUMBERS[dice.below(NUMBERS.len() as u64) as usize].into(),
        Shape::IntOrString | Shape::Text => words.pick(dice).into(),
        Shape::Quantity => dice.one_of(QUANTITIES).into(),
        Shape::List(item) => (0..count).map(|_| invent(item, dice, words, depth + 1)).collect(),
        Shape::Map(item) => (0..count)
            .map(|_| (words.pick(dice), invent(item, dice, words, depth + 1)))
            .collect::<Map<_, _>>()
            .into(),
        Shape::Struct(of) => {
            let mut map = Map::new();
            for field in of.fields() {
                if dice.below(3) == 0 && depth < 5 || field.required {
                    map.insert(field.name.clone(), invent(&field.shape, dice, words, depth + 1));
                }
            }
            map.into()
        }
        Shape::Time => dice.one_of(&["2026-01-01T00:00:00Z", "1969-12-31T23:59:59Z"]).into(),
        Shape::MicroTime => {
            dice.one_of(&["2026-01-01T00:00:00.000001Z", "1969-12-31T23:59:59.500000Z"]).into()
        }
        Shape::Duration => dice.one_of(&["0s", "1h30m0s", "-3ms"]).into(),
        Shape::Bytes => dice.one_of(&["", "YQ==", "e30=", "//79"]).into(),
        _ => json!({"apiVersion": "v1", "kind": "X"}),
    }
}
