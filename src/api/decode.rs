//! Bytes of a request to a tree of values, in JSON or YAML.
//!
//! # Guarantees
//! A tree never grows past [`DEPTH_MAX`] or [`VALUES_MAX`]: both are counted while it grows, so that
//! neither nesting nor YAML aliases can make a small body into a large tree. Of keys that appear twice
//! the last one wins, and their paths are told.

mod repeated;

use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::field_error::quoted;
use crate::go_json;

pub use repeated::{repeated, warnings};

/// How deep objects and lists may nest. No built-in type comes near; deeper is an attack on the stack.
pub const DEPTH_MAX: usize = 100;

/// How many values (members, items, scalars) one body may hold.
pub const VALUES_MAX: usize = 250_000;

/// How many oddities are told; a body with more has made its point.
const ODDITIES_TOLD_MAX: usize = 100;

/// A tree, and what was odd about its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The tree.
    pub value: Value,
    /// Paths of keys that were given more than once, like `data.a`.
    pub duplicates: Vec<String>,
}

/// What a strict reader does not accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// The path of a key that was given more than once.
    Duplicate(String),
    /// The path of a field that the type does not know.
    Unknown(String),
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(path) => write!(f, "duplicate field {}", quoted(path)),
            Self::Unknown(path) => write!(f, "unknown field {}", quoted(path)),
        }
    }
}

/// A body that is no tree of values.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Where the JSON breaks, in the words of Go's decoder.
    #[error("{0}")]
    Json(String),
    /// Where the YAML breaks.
    #[error("error converting YAML to JSON: yaml: {0}")]
    Yaml(String),
}

/// Reads JSON.
///
/// # Errors
/// Says where the syntax breaks, or which limit is passed.
pub fn json(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    twice(|walk| walk.json(bytes))
}

/// Reads, and reads again where keys are given twice: most bodies need no paths.
fn twice(read: impl Fn(&mut Walk) -> Result<Value, DecodeError>) -> Result<Decoded, DecodeError> {
    let mut walk = Walk::default();
    let value = read(&mut walk)?;
    if walk.has_duplicates {
        walk = Walk { is_told: true, ..Walk::default() };
        read(&mut walk)?;
    }
    Ok(Decoded { value, duplicates: walk.duplicates() })
}

/// What is odd about JSON that was read before, in the order of the text; `unknown` has the paths that its type does
/// not know. What is below one of those is not looked at.
pub fn oddities(bytes: &[u8], unknown: Vec<String>) -> Vec<Oddity> {
    let mut walk = Walk { unknown, is_told: true, ..Walk::default() };
    // It was read before.
    let _ = walk.json(bytes);
    walk.odd
}

/// Reads one YAML document.
///
/// # Errors
/// Says where the syntax breaks, or which limit is passed.
pub fn yaml(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    if let Some(value) = json_in_yaml(bytes) {
        return Ok(Decoded { value, duplicates: Vec::new() });
    }
    twice(|walk| {
        let read = walk.tree(serde_yaml_ng::Deserializer::from_slice(bytes));
        read.map_err(|error| DecodeError::Yaml(yaml_error(&error)))
    })
}

/// Most YAML that programs send is JSON, which is read in a quarter of the time. `None` where YAML may read it otherwise:
/// numbers that are not whole here may be so there.
fn json_in_yaml(bytes: &[u8]) -> Option<Value> {
    let mut walk = Walk::default();
    let value = walk.json(bytes.starts_with(b"{").then_some(bytes)?).ok()?;
    (!walk.has_duplicates && !walk.has_fractions).then_some(value)
}

/// What a parser of YAML stumbles over. All else, the reader of characters finds.
const OF_PARSER: &[&str] = &[
    "did not find expected '-' indicator",
    "did not find expected ',' or ']'",
    "did not find expected ',' or '}'",
    "did not find expected <document start>",
    "did not find expected key",
    "did not find expected node content",
    "found undefined tag handle",
];

/// A syntax error as Go tells it: its parser counts lines from nothing, its reader from one, and nobody names the first.
fn yaml_error(error: &serde_yaml_ng::Error) -> String {
    let text = error.to_string();
    let problem = text.split(" at line ").next().unwrap_or_default();
    let above = error.location().map_or(0, |location| location.line().saturating_sub(1));
    match above {
        0 => problem.to_owned(),
        above => format!("line {}: {problem}", above + usize::from(!OF_PARSER.contains(&problem))),
    }
}

#[derive(Default)]
struct Walk {
    values: usize,
    has_duplicates: bool,
    has_fractions: bool,
    /// Whether it is told where what is odd stands.
    is_told: bool,
    path: String,
    /// Paths that the type does not know; as long as that is not asked for, none.
    unknown: Vec<String>,
    odd: Vec<Oddity>,
}

impl Walk {
    fn json(&mut self, bytes: &[u8]) -> Result<Value, DecodeError> {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let read = self.tree(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
        read.map_err(|error| {
            DecodeError::Json(go_json::syntax_error(bytes).unwrap_or_else(|| error.to_string()))
        })
    }

    fn tree<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<Value, D::Error> {
        Node { walk: self, depth: 0 }.deserialize(deserializer)
    }

    fn duplicates(self) -> Vec<String> {
        let path = |odd| match odd {
            Oddity::Duplicate(path) | Oddity::Unknown(path) => path,
        };
        self.odd.into_iter().map(path).collect()
    }

    fn count<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(E::custom(format_args!("more than {VALUES_MAX} values")));
        }
        Ok(())
    }

    /// Tells what is odd, in front of what was told since there were `place` oddities.
    fn tell(&mut self, place: usize, oddity: Oddity) {
        if self.odd.len() < ODDITIES_TOLD_MAX && !self.odd.contains(&oddity) {
            self.odd.insert(place, oddity);
        }
    }

    /// Whether the member that was come upon, or one that it stands in, is no field.
    fn is_unknown(&self) -> bool {
        self.unknown.iter().any(|known| {
            self.path
                .strip_prefix(&**known)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }
}

/// One value to read, `depth` containers down.
struct Node<'w> {
    walk: &'w mut Walk,
    depth: usize,
}

impl Node<'_> {
    fn child<E: serde::de::Error>(&mut self) -> Result<Node<'_>, E> {
        if self.depth >= DEPTH_MAX {
            return Err(E::custom(format_args!("exceeded max depth of {DEPTH_MAX}")));
        }
        Ok(Node { walk: self.walk, depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.walk.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    /// A document of YAML without anything in it.
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        self.walk.has_fractions = true;
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        let outer = self.walk.path.len();
        loop {
            if self.walk.is_told {
                write!(self.walk.path, "[{}]", list.len()).map_err(serde::de::Error::custom)?;
            }
            let item = items.next_element_seed(self.child()?)?;
            self.walk.path.truncate(outer);
            let Some(item) = item else { break };
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let outer = self.walk.path.len();
        while let Some(key) = members.next_key_seed(MemberName)? {
            if !self.walk.is_told {
                let value = members.next_value_seed(self.child()?)?;
                self.walk.has_duplicates |= map.insert(key, value).is_some();
                continue;
            }
            if outer > 0 {
                self.walk.path.push('.');
            }
            self.walk.path.push_str(&key);
            let place = self.walk.odd.len();
            let is_unknown = !self.walk.unknown.is_empty() && self.walk.is_unknown();
            if is_unknown && self.walk.unknown.contains(&self.walk.path) {
                self.walk.tell(place, Oddity::Unknown(self.walk.path.clone()));
            }
            let value = members.next_value_seed(self.child()?)?;
            if map.insert(key, value).is_some() && !is_unknown {
                self.walk.tell(place, Oddity::Duplicate(self.walk.path.clone()));
            }
            self.walk.path.truncate(outer);
        }
        Ok(map.into())
    }
}

/// A member's name; YAML also writes numbers and booleans there.
struct MemberName;

impl<'de> DeserializeSeed<'de> for MemberName {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for MemberName {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<String, E> {
        Ok(value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_of_duplicate_keys_wins_and_is_told() {
        let decoded =
            json(br#"{"data":{"a":"1","b":"2","a":"3"},"data2":1,"data2":[{"x":1,"x":2}]}"#).expect("JSON");
        assert_eq!(decoded.value, json!({"data": {"a": "3", "b": "2"}, "data2": [{"x": 2}]}));
        assert_eq!(decoded.duplicates, ["data.a", "data2", "data2[0].x"]);
    }

    #[test]
    fn oddities_in_the_order_of_the_text() {
        let text =
            br#"{"a":{"x":1,"x":{"u":1,"u":2},"y":0},"u":{"a":1,"a":2},"b":[{"c":1,"c":2}],"u":3,"a":{}}"#;
        let unknown = vec!["a.y".to_owned(), "u".to_owned()];
        let told: Vec<_> = oddities(text, unknown).iter().map(ToString::to_string).collect();
        let expect = [
            r#"duplicate field "a.x""#,
            r#"duplicate field "a.x.u""#,
            r#"unknown field "a.y""#,
            r#"unknown field "u""#,
            r#"duplicate field "b[0].c""#,
            r#"duplicate field "a""#,
        ];
        assert_eq!(told, expect);
    }

    #[test]
    fn where_syntax_breaks() {
        let told = |error: Result<Decoded, DecodeError>| error.expect_err("broken").to_string();
        assert_eq!(told(json(b"{\"a\":}")), "invalid character '}' looking for beginning of value");
        assert_eq!(told(json(b"{} {}")), "invalid character '{' after top-level value");
        let cases: [(&[u8], &str); 4] = [
            (b"a: [b\n", "line 1: did not find expected ',' or ']'"),
            (b"a: [b", "line 1: did not find expected ',' or ']'"),
            (b"a: b\nc: d: e", "line 2: mapping values are not allowed in this context"),
            (b"a: b: c", "mapping values are not allowed in this context"),
        ];
        for (text, expect) in cases {
            assert_eq!(told(yaml(text)), format!("error converting YAML to JSON: yaml: {expect}"));
        }
    }

    #[test]
    fn yaml_is_the_same_tree() {
        let decoded = yaml(b"data: {1: one, true: yes}\nlist:\n- 1\n- 2.5\n- null\n").expect("YAML");
        assert_eq!(decoded.value, json!({"data": {"1": "one", "true": "yes"}, "list": [1, 2.5, null]}));
        let whole = yaml(br#"{"a": -0, "b": [1, true], "c": "\u00e4"}"#).expect("YAML");
        assert_eq!(whole.value, json!({"a": 0, "b": [1, true], "c": "ä"}));
    }

    #[test]
    fn limits_hold_while_the_tree_grows() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(json(deep(DEPTH_MAX).as_bytes()).is_ok());
        assert!(json(deep(DEPTH_MAX + 1).as_bytes()).is_err());
        let wide = format!("[{}0]", "0,".repeat(VALUES_MAX));
        let error = json(wide.as_bytes()).expect_err("too wide");
        assert!(error.to_string().starts_with("more than 250000 values"), "{error}");
    }

    #[test]
    fn a_small_body_of_aliases_does_not_become_a_large_tree() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..9 {
            let below = format!("*a{},", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        assert!(yaml(bomb.as_bytes()).is_err());
    }

    #[test]
    fn what_is_no_body() {
        for text in ["", "{", "{}x", "{\"a\":}", "nul"] {
            assert!(json(text.as_bytes()).is_err(), "{text}");
        }
        assert!(yaml(b"a: 1\n---\nb: 2\n").is_err());
    }
}
