//! Sets of fields as managedFields hold them: an object of members `f:NAME`, `k:{KEYS}`, `v:VALUE` and
//! `i:PLACE`; `.` where a field belongs to the set as well as fields below it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::element::Element;
use super::set::{Node, Set};

/// Reads a set from JSON.
///
/// # Errors
/// Says what is no set.
pub fn read(text: &str) -> Result<Set<'_>, String> {
    let mut why = None;
    let read = Below { why: &mut why }.deserialize(&mut serde_json::Deserializer::from_str(text));
    match read {
        Ok((set, _)) => Ok(set),
        Err(_) => Err(why.unwrap_or_else(|| "expect { or n".to_owned())),
    }
}

/// The fields below one, and whether it is a member itself.
struct Below<'w> {
    /// What is wrong, in words of its own.
    why: &'w mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Below<'_> {
    type Value = (Set<'de>, bool);

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Below<'_> {
    type Value = (Set<'de>, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok((Set::EMPTY, true))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut below, mut is_member) = (Set::EMPTY, false);
        while let Some(name) = members.next_key_seed(Name)? {
            if name == "." {
                is_member = true;
                members.next_value::<serde::de::IgnoredAny>()?;
                continue;
            }
            let element = Element::read(name).map_err(|why| {
                let error = A::Error::custom(&why);
                *self.why = Some(why);
                error
            })?;
            match element {
                Some(element) => {
                    let (inner, is_member) = members.next_value_seed(Below { why: &mut *self.why })?;
                    below.push(Node { element, is_member, below: inner });
                }
                None => drop(members.next_value::<serde::de::IgnoredAny>()?),
            }
        }
        is_member |= below.is_empty();
        Ok((below, is_member))
    }
}

/// The name of a member: borrowed where nothing in it is escaped.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// Writes a set in JSON.
pub fn write(set: &Set<'_>) -> String {
    let mut out = Vec::with_capacity(1024);
    write_node(&mut out, set, false);
    String::from_utf8(out).expect("JSON is text")
}

fn write_node(out: &mut Vec<u8>, set: &Set<'_>, is_member: bool) {
    out.push(b'{');
    if is_member && !set.is_empty() {
        out.extend_from_slice(b"\".\":{},");
    }
    for (at, node) in set.nodes().iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        node.element.write(out);
        out.push(b':');
        write_node(out, &node.below, node.is_member);
    }
    out.push(b'}');
}
