//! Bytes of a request to a tree of values, in JSON or YAML.
//!
//! # Guarantees
//! A tree never grows past [`DEPTH_MAX`] or [`VALUES_MAX`]: both are counted while it grows, so that
//! neither nesting nor YAML aliases can make a small body into a large tree. Of keys that appear twice
//! the last one wins, and their paths are told.

use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// How deep objects and lists may nest. No built-in type comes near; deeper is an attack on the stack.
pub const DEPTH_MAX: usize = 100;

/// How many values (members, items, scalars) one body may hold.
pub const VALUES_MAX: usize = 250_000;

/// How many duplicate keys are told; a body with more has made its point.
const DUPLICATES_TOLD_MAX: usize = 20;

/// A tree, and what was odd about its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The tree.
    pub value: Value,
    /// Paths of keys that were given more than once, like `data.a`.
    pub duplicates: Vec<String>,
}

/// A body that is no tree of values.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

/// Reads JSON.
///
/// # Errors
/// Says where the syntax breaks, or which limit is passed.
pub fn json(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let decoded = tree(&mut deserializer).map_err(|error| DecodeError(error.to_string()))?;
    deserializer.end().map_err(|error| DecodeError(error.to_string()))?;
    Ok(decoded)
}

/// Reads one YAML document.
///
/// # Errors
/// Says where the syntax breaks, or which limit is passed.
pub fn yaml(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    tree(serde_yaml_ng::Deserializer::from_slice(bytes))
        .map_err(|error| DecodeError(format!("error converting YAML to JSON: yaml: {error}")))
}

fn tree<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decoded, D::Error> {
    let mut walk = Walk::default();
    let value = Node { walk: &mut walk, depth: 0 }.deserialize(deserializer)?;
    Ok(Decoded { value, duplicates: walk.duplicates })
}

#[derive(Default)]
struct Walk {
    values: usize,
    path: String,
    duplicates: Vec<String>,
}

impl Walk {
    fn count<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(E::custom(format_args!("more than {VALUES_MAX} values")));
        }
        Ok(())
    }

    fn duplicate(&mut self) {
        if self.duplicates.len() < DUPLICATES_TOLD_MAX && !self.duplicates.contains(&self.path) {
            self.duplicates.push(self.path.clone());
        }
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
            write!(self.walk.path, "[{}]", list.len()).map_err(serde::de::Error::custom)?;
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
            if outer > 0 {
                self.walk.path.push('.');
            }
            self.walk.path.push_str(&key);
            let value = members.next_value_seed(self.child()?)?;
            if map.insert(key, value).is_some() {
                self.walk.duplicate();
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
        assert_eq!(decoded.duplicates, ["data.a", "data2[0].x", "data2"]);
    }

    #[test]
    fn yaml_is_the_same_tree() {
        let decoded = yaml(b"data: {1: one, true: yes}\nlist:\n- 1\n- 2.5\n- null\n").expect("YAML");
        assert_eq!(decoded.value, json!({"data": {"1": "one", "true": "yes"}, "list": [1, 2.5, null]}));
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
