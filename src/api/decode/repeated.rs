//! Keys that a document of YAML gives again, in the words of Go's reader, which names the line of each.
//!
//! Ours only tells a line when it fails: the document is read once more for each of them, and twice where its value may
//! be an alias, which ours takes for what it stands for.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{ODDITIES_TOLD_MAX, VALUES_MAX};
use crate::field_error::quoted;

/// What stands above the lines.
const HEAD: &str = "yaml: unmarshal errors:\n";

/// How much is read at most to find lines, in bytes of documents and values and text of trees, each of which aliases make
/// more than the other: a document that is unusually large in any has only its first ones told.
const READ_MAX: usize = 2 << 20;

/// What a strict reader says of a document that was read before; `None` when no key is given again.
pub fn repeated(bytes: &[u8]) -> Option<String> {
    let lines: Vec<String> = found(bytes).into_iter().filter_map(|again| again.line(bytes)).collect();
    (!lines.is_empty()).then(|| format!("{HEAD}{}", lines.join("\n")))
}

/// The keys whose lines are told: at least one if there is any.
fn found(bytes: &[u8]) -> Vec<Repeated> {
    let mut walk = Walk { until: VALUES_MAX + 1, ..Walk::default() };
    // It was read before.
    let _ = Node(&mut walk).deserialize(serde_yaml_ng::Deserializer::from_slice(bytes));
    let once = (bytes.len() + walk.values + walk.text_bytes) * if may_alias(bytes) { 2 } else { 1 };
    walk.repeated.truncate((READ_MAX / once.max(1)).max(1));
    walk.repeated
}

/// Warnings that tell the same as an error: one for each line of what [`repeated`] says, all else as it is.
pub fn warnings(error: &str) -> Vec<String> {
    match error.strip_prefix(HEAD) {
        Some(lines) => lines.lines().map(|line| line.trim().to_owned()).collect(),
        None => vec![error.to_owned()],
    }
}

/// A key that is not the first of its name.
struct Repeated {
    /// As Go writes it.
    key: String,
    /// How many values begin before the one that it has, with it.
    value: usize,
}

impl Repeated {
    fn line(self, bytes: &[u8]) -> Option<String> {
        let value = self.stop(bytes, false)?;
        let key = if may_alias(bytes) { self.stop(bytes, true) } else { None };
        // What stands before its key is what an alias stands for.
        let line = match key.filter(|key| value.index() < key.index()) {
            Some(key) => alias_line(bytes, key.line()),
            None => value.line(),
        };
        Some(format!("  line {line}: key {} already set in map", self.key))
    }

    /// Where its value begins, or the key itself.
    fn stop(&self, bytes: &[u8], at_key: bool) -> Option<serde_yaml_ng::Location> {
        let mut walk = Walk { until: self.value, at_key, ..Walk::default() };
        let stopped = Node(&mut walk).deserialize(serde_yaml_ng::Deserializer::from_slice(bytes)).err()?;
        stopped.location()
    }
}

fn may_alias(bytes: &[u8]) -> bool {
    bytes.contains(&b'*')
}

/// The line of the first alias from this line on.
fn alias_line(bytes: &[u8], from: usize) -> usize {
    let mut lines = bytes.split(|byte| *byte == b'\n').skip(from - 1);
    from + lines.position(may_alias).unwrap_or(0)
}

#[derive(Default)]
struct Walk {
    values: usize,
    text_bytes: usize,
    /// Which value to fail at.
    until: usize,
    /// Whether to fail at its key instead.
    at_key: bool,
    /// Those within the value of another come before it.
    repeated: Vec<Repeated>,
}

struct Node<'w>(&'w mut Walk);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.values += 1;
        if self.0.values == self.0.until {
            return deserializer.deserialize_any(Stop).map(|never| match never {});
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.0.text_bytes += value.len();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Node(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        loop {
            if self.0.at_key && self.0.values + 1 == self.0.until {
                return members.next_key_seed(Stop).map(|_| ());
            }
            let Some(key) = members.next_key_seed(Key)? else { return Ok(()) };
            self.0.text_bytes += key.len();
            let value = self.0.values + 1;
            members.next_value_seed(Node(self.0))?;
            if !seen.insert(key.clone()) && self.0.repeated.len() < ODDITIES_TOLD_MAX {
                self.0.repeated.push(Repeated { key, value });
            }
        }
    }
}

/// A key as Go writes it: numbers and truths are other keys than the same in quotes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Key {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        Ok(quoted(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }
}

/// Takes no value: whatever there is, it is an error that tells where.
struct Stop;

impl<'de> DeserializeSeed<'de> for Stop {
    type Value = Infallible;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Infallible, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Stop {
    type Value = Infallible;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the end")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    #[test]
    fn keys_that_are_given_again_are_told_with_the_lines_of_their_values() {
        let text = "a: 1\n\
            b:\n  x: [1]\n  x:\n  - y: {z: 1, z: 2}\n  1: one\n  \"1\": text\n  1: two\n\
            a:\n  c: 1\n\
            a:\nb: x\n";
        let expect = [
            "line 5: key \"z\" already set in map",
            "line 5: key \"x\" already set in map",
            "line 8: key 1 already set in map",
            "line 10: key \"a\" already set in map",
            "line 11: key \"a\" already set in map",
            "line 12: key \"b\" already set in map",
        ];
        let told = repeated(text.as_bytes()).expect("some");
        assert_eq!(told, format!("yaml: unmarshal errors:\n  {}", expect.join("\n  ")));
        assert_eq!(warnings(&told), expect);
        assert_eq!(repeated(b"a: 1\nb: {a: 1}\n"), None);
        assert_eq!(warnings("else"), ["else"]);
    }

    #[test]
    fn aliases_do_not_make_a_small_body_be_read_for_long() {
        let again = "k: 1\n".repeat(ODDITIES_TOLD_MAX + 1);
        let told = |head: &str| {
            let text = format!("{head}{again}");
            assert_eq!(decode::yaml(text.as_bytes()).expect("within limits").duplicates, ["k"]);
            repeated(text.as_bytes()).map_or(0, |told| told.lines().count() - 1)
        };
        assert_eq!(told(""), ODDITIES_TOLD_MAX);
        let ten = |one: &str| format!("[{}]", [one].repeat(10).join(","));
        let mut aliases = format!("a0: &a0 {}\n", ten("x"));
        for level in 1..5 {
            let below = ten(&format!("*a{}", level - 1));
            aliases.push_str(&format!("a{level}: &a{level} {below}\n"));
        }
        assert!(aliases.len() < 1_000);
        // 123,000 values, and as many bytes of text or a few less.
        assert_eq!(told(&aliases), 4);
        let text = format!("a: &a {}\nb: {}\n", "x".repeat(1 << 17), ten("*a"));
        assert_eq!(told(&text), 1);
    }
}
