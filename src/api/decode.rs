//! Bytes of a request to a tree of values, in JSON or YAML.
//!
//! # Guarantees
//! A tree never grows past [`DEPTH_MAX`], [`VALUES_MAX`] or [`TEXT_BYTES_MAX`]: all are counted while it
//! grows, so that neither nesting nor YAML aliases can make a small body into a large tree. Of keys that
//! appear twice the last one wins, and the paths of the first ones are told, of one at least: those
//! within `ODDITIES_TOLD_MAX` and `ODDITIES_BYTES_MAX`. Telling them takes no second reading.

mod as_json;
mod repeated;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use crate::field_error::quoted;
use crate::go_json;

pub use repeated::{repeated, warnings};

/// How deep objects and lists may nest. No built-in type comes near; deeper is an attack on the stack.
pub const DEPTH_MAX: usize = 100;

/// How many values (members, items, scalars) one body may hold.
pub const VALUES_MAX: usize = 250_000;

/// How much the names and the texts of one body may hold. No request has as much: only aliases get there.
pub const TEXT_BYTES_MAX: usize = 16 << 20;

/// How many oddities are told; a body with more has made its point.
const ODDITIES_TOLD_MAX: usize = 100;

/// How much is written to tell oddities, those included that turn out to be told already.
const ODDITIES_BYTES_MAX: usize = 1 << 20;

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
    let mut walk = Walk::default();
    let value = walk.json(bytes).map_err(|error| {
        DecodeError::Json(go_json::syntax_error(bytes).unwrap_or_else(|| error.to_string()))
    })?;
    Ok(walk.decoded(value))
}

/// What is odd about JSON that was read before, in the order of the text; `unknown` has the paths that its type does
/// not know. What is below one of those is not looked at.
pub fn oddities(bytes: &[u8], unknown: Vec<String>) -> Vec<Oddity> {
    let mut walk = Walk { unknown, ..Walk::default() };
    // It was read before.
    let _ = walk.json(bytes);
    walk.odd
}

/// Reads one YAML document.
///
/// # Errors
/// Says where the syntax breaks, or which limit is passed.
pub fn yaml(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    if let Some(value) = as_json::read(bytes) {
        return Ok(Decoded { value, duplicates: Vec::new() });
    }
    if let Some(unescaped) = without_escaped_slashes(bytes) {
        yaml_tree(&unescaped)?;
    }
    let (walk, value) = yaml_tree(bytes)?;
    Ok(walk.decoded(value))
}

fn yaml_tree(bytes: &[u8]) -> Result<(Walk, Value), DecodeError> {
    let mut walk = Walk::default();
    let read = walk.tree(serde_yaml_ng::Deserializer::from_slice(bytes));
    read.map(|value| (walk, value)).map_err(|error| DecodeError::Yaml(yaml_error(&error)))
}

/// The document with `\z` for each `\/`, if there is any: within quotes Go's reader knows neither escape and ours only
/// the second, elsewhere both are text.
fn without_escaped_slashes(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut changed: Option<Vec<u8>> = None;
    let mut is_escaped = false;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'/' && is_escaped {
            changed.get_or_insert_with(|| bytes.to_vec())[at] = b'z';
        }
        is_escaped = *byte == b'\\' && !is_escaped;
    }
    changed
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
    // Go's reader has a word of its own.
    let text = text.replace("hexadecimal", "hexdecimal");
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
    text_bytes: usize,
    has_fractions: bool,
    /// Paths that the type does not know; as long as that is not asked for, none.
    unknown: Vec<String>,
    odd: Vec<Oddity>,
    odd_bytes: usize,
}

impl Walk {
    fn json(&mut self, bytes: &[u8]) -> serde_json::Result<Value> {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let value = self.tree(&mut deserializer)?;
        deserializer.end().map(|()| value)
    }

    fn tree<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<Value, D::Error> {
        Node { walk: self, depth: 0, path: &Path::Root, is_unknown: false }.deserialize(deserializer)
    }

    fn decoded(self, value: Value) -> Decoded {
        let path = |odd| match odd {
            Oddity::Duplicate(path) | Oddity::Unknown(path) => path,
        };
        Decoded { value, duplicates: self.odd.into_iter().map(path).collect() }
    }

    fn count<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(E::custom(format_args!("more than {VALUES_MAX} values")));
        }
        Ok(())
    }

    fn count_text<E: serde::de::Error>(&mut self, text: &str) -> Result<(), E> {
        self.text_bytes += text.len();
        if self.text_bytes > TEXT_BYTES_MAX {
            return Err(E::custom(format_args!("more than {TEXT_BYTES_MAX} bytes of text")));
        }
        Ok(())
    }

    /// Tells what is odd, in front of what was told since there were `place` oddities.
    fn tell(&mut self, place: usize, oddity: fn(String) -> Oddity, path: &Path<'_>) {
        if self.odd.len() >= ODDITIES_TOLD_MAX || self.odd_bytes > ODDITIES_BYTES_MAX {
            return;
        }
        let path = path.to_string();
        self.odd_bytes += path.len();
        let oddity = oddity(path);
        if !self.odd.contains(&oddity) {
            self.odd.insert(place, oddity);
        }
    }

    /// Whether this member is no field. Asked of members of what is known only.
    fn is_unknown(&self, path: &Path<'_>) -> bool {
        !self.unknown.is_empty() && self.unknown.contains(&path.to_string())
    }
}

/// Where a value stands: written only when it is told.
enum Path<'p> {
    Root,
    Item(&'p Path<'p>, usize),
    Member(&'p Path<'p>, &'p str),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Item(list, index) => write!(f, "{list}[{index}]"),
            Self::Member(Self::Root, name) => f.write_str(name),
            Self::Member(object, name) => write!(f, "{object}.{name}"),
        }
    }
}

/// One value to read, `depth` containers down.
struct Node<'w> {
    walk: &'w mut Walk,
    depth: usize,
    path: &'w Path<'w>,
    /// Whether it stands in what is no field.
    is_unknown: bool,
}

impl Node<'_> {
    fn child<'c, E: serde::de::Error>(
        &'c mut self,
        path: &'c Path<'c>,
        is_unknown: bool,
    ) -> Result<Node<'c>, E> {
        if self.depth >= DEPTH_MAX {
            return Err(E::custom(format_args!("exceeded max depth of {DEPTH_MAX}")));
        }
        Ok(Node { walk: self.walk, depth: self.depth + 1, path, is_unknown })
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

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.walk.count_text(value)?;
        Ok(value.into())
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        self.walk.count_text(&value)?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        let (outer, is_unknown) = (self.path, self.is_unknown);
        while let Some(item) =
            items.next_element_seed(self.child(&Path::Item(outer, list.len()), is_unknown)?)?
        {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let outer = self.path;
        while let Some(key) = members.next_key_seed(MemberName)? {
            self.walk.count_text(&key)?;
            let place = self.walk.odd.len();
            let path = Path::Member(outer, &key);
            let is_unknown = self.is_unknown || self.walk.is_unknown(&path);
            if is_unknown && !self.is_unknown {
                self.walk.tell(place, Oddity::Unknown, &path);
            }
            let value = members.next_value_seed(self.child(&path, is_unknown)?)?;
            match map.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                Entry::Occupied(mut entry) => {
                    if !is_unknown {
                        self.walk.tell(place, Oddity::Duplicate, &Path::Member(outer, entry.key()));
                    }
                    entry.insert(value);
                }
            }
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
        let cases: [(&[u8], &str); 5] = [
            (br#"a: [\/, '\/', "\\/", "\/"]"#, "found unknown escape character"),
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
        let twice = yaml(b"{\"a\": [{\"b\": 1, \"b\": 2}]}").expect("YAML");
        assert_eq!(twice, Decoded { value: json!({"a": [{"b": 2}]}), duplicates: vec!["a[0].b".to_owned()] });
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
        let text = "x".repeat(1 << 20);
        for one in ["*a", "{*a : 1}"] {
            let again = |times: usize| format!("a: &a {text}\nb: [{}]\n", [one].repeat(times).join(","));
            assert!(yaml(again(14).as_bytes()).is_ok());
            let error = yaml(again(16).as_bytes()).expect_err("too much").to_string();
            assert!(error.ends_with("more than 16777216 bytes of text"), "{error}");
        }
    }

    #[test]
    fn no_more_is_told_than_a_reader_takes() {
        let members: String = (0..1_000).map(|key| format!(r#""{key}":1,"{key}":2,"#)).collect();
        let told = |outer: &str| {
            let text = format!(r#"{{"{outer}":{{{members}"end":0}}}}"#);
            json(text.as_bytes()).expect("JSON").duplicates.len()
        };
        assert_eq!(told("short"), ODDITIES_TOLD_MAX);
        assert_eq!(told(&"x".repeat(ODDITIES_BYTES_MAX / 2)), 2);
        assert_eq!(told(&"x".repeat(2 * ODDITIES_BYTES_MAX)), 1);
    }

    #[test]
    fn what_is_no_body() {
        for text in ["", "{", "{}x", "{\"a\":}", "nul"] {
            assert!(json(text.as_bytes()).is_err(), "{text}");
        }
        assert!(yaml(b"a: 1\n---\nb: 2\n").is_err());
    }
}
