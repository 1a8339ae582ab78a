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
    "-a",
    "a-",
    "a.b",
    "a_b",
    "a b",
    "a/b",
    "/a",
    "../a",
    "a/../b",
    "/a/../b",
    ".",
    "..",
    "..a",
    "x-y",
    "x--y",
    "x\ty",
    "tr\u{e9}s",
    "*",
    "*.a.b",
    "example.com/x",
    "example.com/a/b",
    "kubernetes.io/x",
    "True",
    "Always",
    "Never",
    "OnFailure",
    "None",
    "none",
    "RollingUpdate",
    "Recreate",
    "Localhost",
    "Exists",
    "In",
    "Equal",
    "NoExecute",
    "linux",
    "windows",
    "0",
    "-1",
    "1.5",
    "80",
    "8080",
    "65536",
    "http",
    "25%",
    "101%",
    "100m",
    "1Gi",
    "10.0.0.1",
    "010.0.0.1",
    "10.0.0.0/24",
    "10.0.0.1/24",
    "::1",
    "fd00::1",
    "FD00::1",
    "fd00::/64",
    "::ffff:1.2.3.4",
    "127.0.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "169.254.1.1",
    "Europe/Berlin",
    "Nowhere/Land",
    "*/5 * * * *",
    "60 * * * *",
    "@daily",
    "metadata.name",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

const NUMBERS: &[i64] = &[
    -1,
    0,
    1,
    2,
    3,
    5,
    30,
    80,
    100,
    101,
    255,
    256,
    300,
    599,
    600,
    3600,
    32_767,
    65_535,
    65_536,
    86_401,
    100_001,
    2_000_000_000,
    2_147_483_647,
];

const QUANTITIES: &[&str] = &["0", "-1", "1", "1500m", "2", "1Gi", "10k", "1m"];

/// Fields of `metadata` that change: the others are the server's, and the namespace is in the path.
const METADATA: &[&str] = &["annotations", "finalizers", "generateName", "labels", "name", "ownerReferences"];

/// What changed objects are made of: pieces of valid ones.
pub struct Pieces {
    words: Vec<String>,
    members: Vec<(String, Value)>,
}

impl Pieces {
    pub fn of<'v>(values: impl IntoIterator<Item = &'v Value>) -> Self {
        let mut pieces = Self { words: Vec::new(), members: Vec::new() };
        values.into_iter().for_each(|value| pieces.add(value));
        pieces
    }

    fn add(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.words.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(members) => {
                for (name, member) in members {
                    self.members.push((name.clone(), member.clone()));
                    self.add(member);
                }
            }
            _ => {}
        }
    }

    fn word(&self, dice: &mut Dice) -> String {
        if dice.below(2) == 0 && !self.words.is_empty() {
            self.words[dice.below(self.words.len() as u64) as usize].clone()
        } else {
            dice.one_of(TEXTS).to_owned()
        }
    }

    /// What stands under this name somewhere.
    fn member(&self, name: &str, dice: &mut Dice) -> Option<Value> {
        let found: Vec<_> = self.members.iter().filter(|(of, _)| of == name).collect();
        (!found.is_empty()).then(|| found[dice.below(found.len() as u64) as usize].1.clone())
    }
}

/// A place in a tree that can be changed: the way to what holds it, and what it holds.
struct Spot<'s> {
    way: String,
    name: String,
    shape: &'s Shape,
    is_there: bool,
}

/// Changes one to three places of an object, of those below `within`: `/status`.
pub fn mutate(tree: &mut Value, of: &Type, within: &str, dice: &mut Dice, pieces: &Pieces) {
    for _ in 0..=dice.below(3) {
        let mut spots = Vec::new();
        spots_within(tree, of, String::new(), &mut spots);
        spots.retain(|spot| format!("{}/{}", spot.way, spot.name).starts_with(within));
        // Most of what could be there is not.
        let wants_present = dice.below(2) == 0 && spots.iter().any(|spot| spot.is_there);
        spots.retain(|spot| spot.is_there || !wants_present);
        let spot = &spots[dice.below(spots.len() as u64) as usize];
        let holder = if spot.way.is_empty() { Some(&mut *tree) } else { tree.pointer_mut(&spot.way) };
        let Some(holder) = holder else { continue };
        change(holder, spot, dice, pieces);
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
                if let Shape::Struct(of) = &item.shape {
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
            "/metadata" => !METADATA.contains(&field.name.as_str()),
            _ => false,
        };
        let inner = value.get(&field.name);
        if !stays {
            let (way, name) = (way.clone(), field.name.clone());
            spots.push(Spot { way, name, shape: &field.shape, is_there: inner.is_some() });
        }
        if let Some(inner) = inner {
            spots_of(inner, &field.shape, format!("{way}/{}", field.name), spots);
        }
    }
}

fn spots_of<'s>(value: &Value, shape: &'s Shape, way: String, spots: &mut Vec<Spot<'s>>) {
    let mut inside = |name: String, inner: &Value, shape: &'s Shape| {
        let step = name.replace('~', "~0").replace('/', "~1");
        spots.push(Spot { way: way.clone(), name, shape, is_there: true });
        spots_of(inner, shape, format!("{way}/{step}"), spots);
    };
    match (shape, value) {
        (Shape::Struct(of), Value::Object(_)) => spots_within(value, of, way, spots),
        (Shape::List(item), Value::Array(items)) => {
            items.iter().enumerate().for_each(|(at, inner)| inside(at.to_string(), inner, item));
        }
        (Shape::Map(item), Value::Object(members)) => {
            members.iter().for_each(|(key, inner)| inside(key.clone(), inner, item));
        }
        _ => {}
    }
}

fn change(holder: &mut Value, spot: &Spot<'_>, dice: &mut Dice, pieces: &Pieces) {
    match holder {
        Value::Array(items) => {
            let Ok(at) = spot.name.parse::<usize>() else { return };
            match dice.below(5) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                2 => items.reverse(),
                _ => items[at] = invent(spot.shape, dice, pieces, 2),
            }
        }
        Value::Object(members) => match (dice.below(6), members.get_mut(&spot.name)) {
            (0, Some(_)) => drop(members.shift_remove(&spot.name)),
            (1, Some(Value::Array(items))) => items.push(invent_item(spot.shape, dice, pieces)),
            (1, Some(Value::Object(map))) if matches!(spot.shape, Shape::Map(_)) => {
                map.insert(pieces.word(dice), invent_item(spot.shape, dice, pieces));
            }
            (1, Some(Value::Number(number))) => {
                let changed = number.as_i64().unwrap_or_default() + if dice.below(2) == 0 { 1 } else { -1 };
                members.insert(spot.name.clone(), changed.into());
            }
            (at, _) => {
                let known = if at < 4 { pieces.member(&spot.name, dice) } else { None };
                let new = known.unwrap_or_else(|| invent(spot.shape, dice, pieces, 0));
                members.insert(spot.name.clone(), new);
            }
        },
        _ => {}
    }
}

fn invent_item(shape: &Shape, dice: &mut Dice, pieces: &Pieces) -> Value {
    match shape {
        Shape::List(item) | Shape::Map(item) => invent(item, dice, pieces, 1),
        _ => Value::Null,
    }
}

fn invent(shape: &Shape, dice: &mut Dice, pieces: &Pieces, depth: u32) -> Value {
    let count = if depth < 4 { dice.below(3) } else { 0 };
    match shape {
        Shape::Bool => (dice.below(2) == 0).into(),
        Shape::Int32 | Shape::Int64 => NUMBERS[dice.below(NUMBERS.len() as u64) as usize].into(),
        Shape::IntOrString if dice.below(2) == 0 => NUMBERS[dice.below(NUMBERS.len() as u64) as usize].into(),
        Shape::IntOrString | Shape::Text => pieces.word(dice).into(),
        Shape::Quantity => dice.one_of(QUANTITIES).into(),
        Shape::List(item) => (0..count).map(|_| invent(item, dice, pieces, depth + 1)).collect(),
        Shape::Map(item) => (0..count)
            .map(|_| (pieces.word(dice), invent(item, dice, pieces, depth + 1)))
            .collect::<Map<_, _>>()
            .into(),
        Shape::Struct(of) => {
            let mut map = Map::new();
            for field in of.fields() {
                if dice.below(3) == 0 && depth < 5 || field.required {
                    let known = if dice.below(2) == 0 { pieces.member(&field.name, dice) } else { None };
                    let new = known.unwrap_or_else(|| invent(&field.shape, dice, pieces, depth + 1));
                    map.insert(field.name.clone(), new);
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
