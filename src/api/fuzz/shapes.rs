//! Random objects of any type, from its schema.

#![allow(dead_code, reason = "each user makes some of these")]

use api::schema::{Instead, Merge, Shape, Type};
use serde_json::{Map, Value, json};

/// How deep an object goes: types may hold themselves.
const DEPTH_MAX: usize = 9;

/// What decides: numbers that look random and are the same each time, or those that the bytes of a fuzzer say.
pub struct Dice(Source);

enum Source {
    Seed(u64),
    Bytes(std::vec::IntoIter<u8>),
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Source::Seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    /// Each byte decides one thing. Once they are used up it is the last one of all, by which nothing is added.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Source::Bytes(Vec::from(bytes).into_iter()))
    }

    /// Whether nothing is left to decide by.
    pub fn is_used_up(&self) -> bool {
        matches!(&self.0, Source::Bytes(bytes) if bytes.len() == 0)
    }

    /// A number below `sides`.
    pub fn below(&mut self, sides: u64) -> u64 {
        match &mut self.0 {
            Source::Seed(state) => {
                // xorshift64*
                *state ^= *state >> 12;
                *state ^= *state << 25;
                *state ^= *state >> 27;
                (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
            }
            Source::Bytes(bytes) => {
                let Some(first) = bytes.next() else { return sides - 1 };
                let more = if sides > 256 { 3 } else { 0 };
                bytes.take(more).fold(u64::from(first), |number, byte| number << 8 | u64::from(byte)) % sides
            }
        }
    }

    pub fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }

    /// Once in so many times.
    pub fn chance(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}

/// An object of a type: about half of its fields.
pub fn object(of: &Type, dice: &mut Dice, depth: usize) -> Map<String, Value> {
    let mut map = Map::new();
    for field in of.fields() {
        if field.required || (dice.below(2) == 0 && depth < DEPTH_MAX) {
            let mut value = value(&field.shape, dice, depth + 1);
            if let (Merge::ByKeys(keys), Value::Array(items)) = (&field.merge, &mut value) {
                name_items(items, keys, &field.shape);
            }
            map.insert(field.name.clone(), value);
        }
    }
    map
}

fn value(shape: &Shape, dice: &mut Dice, depth: usize) -> Value {
    let count = if depth < DEPTH_MAX { dice.below(3) } else { 0 };
    match shape {
        Shape::Any | Shape::Opaque => json!({"b": [1, -2, "x", null, true], "a": {}}),
        Shape::Bool => (dice.below(2) == 0).into(),
        Shape::Bytes => dice.one_of(&["", "YQ==", "AAECAwQ=", "//79"]).into(),
        Shape::Duration => dice.one_of(&["0s", "1h30m0s", "1.5s", "-3ms"]).into(),
        Shape::Fields => json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}}}),
        Shape::Float => dice.one_of(&["0.5", "2.0", "-3.25"]).parse::<f64>().expect("a number").into(),
        Shape::Int32 => (dice.below(1 << 32) as u32 as i32).into(),
        Shape::Int64 => ((dice.below(1 << 31) << 32) as i64 - (1 << 62)).into(),
        Shape::IntOrString if dice.below(2) == 0 => (dice.below(1 << 32) as u32 as i32).into(),
        Shape::IntOrString => dice.one_of(&["", "http", "25%"]).into(),
        Shape::List(of) => (0..count).map(|_| value(of, dice, depth)).collect(),
        Shape::Map(of) => (0..count)
            .map(|at| (format!("{}{at}", dice.one_of(&["z", "a", "m/n"])), value(of, dice, depth)))
            .collect::<Map<_, _>>()
            .into(),
        Shape::MicroTime => {
            dice.one_of(&["2026-01-01T00:00:00.000001Z", "1969-12-31T23:59:59.500000Z"]).into()
        }
        Shape::Quantity => dice.one_of(&["0", "100m", "1.5", "1Gi", "1024Mi", "1e3", "-5k", "0.1Ki"]).into(),
        Shape::Raw => json!({"apiVersion": "v1", "kind": "X", "z": 1, "a": [1.5]}),
        Shape::SchemaOr(_, Instead::Bool) if dice.below(2) == 0 => (dice.below(2) == 0).into(),
        Shape::SchemaOr(_, Instead::Names) if dice.below(2) == 0 => json!(["a", "b"]),
        Shape::SchemaOr(of, _) | Shape::Struct(of) => object(of, dice, depth).into(),
        Shape::Text => dice.one_of(&["", "x", "Some \"words\"", "\u{e4}\u{1f600}\n"]).into(),
        Shape::Time => {
            dice.one_of(&["2026-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2026-02-01T01:00:00+01:00"]).into()
        }
    }
}

/// Words on which other fields depend, by the fields that hold them.
const WORDS: &[(&str, &[&str])] = &[
    ("allocationMode", &["All", "ExactCount"]),
    ("image", &["x", "x:latest", "a.b:5000/x/y:1", "x@sha256:0123"]),
    ("kind", &["User", "Group", "ServiceAccount"]),
    ("name", &["cpu", "a"]),
    ("sessionAffinity", &["None", "ClientIP"]),
    (
        "type",
        &[
            "ClusterIP",
            "Container",
            "ExternalName",
            "LoadBalancer",
            "NodePort",
            "OnDelete",
            "Pod",
            "Recreate",
            "RollingUpdate",
        ],
    ),
];

/// Writes such words into some of the fields that may hold them.
pub fn speak(tree: &mut Map<String, Value>, dice: &mut Dice) {
    let outer = tree.contains_key("apiVersion");
    for (name, value) in tree {
        let words = WORDS.iter().find(|(field, _)| field == name && !(outer && name == "kind"));
        match (words, value) {
            (Some((_, words)), Value::String(text)) if dice.below(2) == 0 => {
                *text = dice.one_of(words).into()
            }
            (_, Value::Object(inner)) => speak(inner, dice),
            (_, Value::Array(items)) => {
                items.iter_mut().filter_map(Value::as_object_mut).for_each(|inner| speak(inner, dice));
            }
            _ => {}
        }
    }
}

/// Gives items of a list different keys.
fn name_items(items: &mut [Value], keys: &[String], shape: &Shape) {
    let Shape::List(item) = shape else { return };
    let Shape::Struct(of) = &item.shape else { return };
    for (at, item) in items.iter_mut().enumerate() {
        for key in keys {
            item[key] = match of.field(key).map(|field| &field.shape) {
                Some(Shape::Text) => format!("key-{at}").into(),
                _ => (at + 1).into(),
            };
        }
    }
}

/// An object between two: of most members either value, of some none, of lists with keys items of both.
pub fn blend(
    one: &Map<String, Value>,
    other: &Map<String, Value>,
    dice: &mut Dice,
    of: &Type,
) -> Map<String, Value> {
    let mut map = Map::new();
    for name in ["kind", "apiVersion"] {
        map.extend(one.get(name).map(|value| (name.to_owned(), value.clone())));
    }
    for field in of.fields() {
        let (mine, theirs) = (one.get(&field.name), other.get(&field.name));
        let value = match (dice.below(8), mine, theirs) {
            (0, ..) if !field.required => None,
            (1, _, Some(theirs)) => Some(theirs.clone()),
            (_, Some(Value::Object(mine)), Some(Value::Object(theirs))) => match &field.shape {
                Shape::Struct(inner) => Some(blend(mine, theirs, dice, inner).into()),
                _ => Some(
                    mine.iter()
                        .chain(theirs)
                        .map(|(k, v)| (k.clone(), v.clone()))
                        .collect::<Map<_, _>>()
                        .into(),
                ),
            },
            (_, Some(Value::Array(mine)), Some(Value::Array(theirs))) => {
                Some(blend_lists(mine, theirs, dice, &field.merge))
            }
            (_, mine, _) => mine.cloned(),
        };
        map.extend(value.map(|value| (field.name.clone(), value)));
    }
    map
}

fn blend_lists(mine: &[Value], theirs: &[Value], dice: &mut Dice, merge: &Merge) -> Value {
    let Merge::ByKeys(keys) = merge else { return theirs.to_vec().into() };
    let key = |item: &Value| keys.iter().map(|key| item[key].to_string()).collect::<Vec<_>>();
    let mut items: Vec<Value> = Vec::new();
    for item in theirs.iter().chain(mine) {
        if dice.below(3) > 0 && !items.iter().any(|known| key(known) == key(item)) {
            let at = dice.below(items.len() as u64 + 1) as usize;
            items.insert(at, item.clone());
        }
    }
    items.into()
}
