//! One step of a field's path: a member, or an item of a list.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde_json::{Number, Value};

use crate::encode;
use crate::field_error::escaped;

/// A step from a value to one that it holds.
#[derive(Clone, Debug)]
pub enum Element<'a> {
    /// The member of this name.
    Field(Cow<'a, str>),
    /// The item with these values, by name, sorted.
    Key(Box<[(Cow<'a, str>, Cow<'a, Value>)]>),
    /// The item that is this scalar.
    Value(Cow<'a, Value>),
    /// The item at this place.
    Index(i64),
}

impl<'a> Element<'a> {
    /// A member.
    pub fn field(name: &'a str) -> Self {
        Self::Field(Cow::Borrowed(name))
    }

    /// An item, by the values of its keys in any order.
    pub fn key(mut keys: Vec<(Cow<'a, str>, Cow<'a, Value>)>) -> Self {
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        Self::Key(keys.into())
    }

    /// Reads one from the name of a member of FieldsV1; `None` for kinds that a later version may know.
    ///
    /// # Errors
    /// Says what the name lacks.
    pub fn read(name: Cow<'a, str>) -> Result<Option<Self>, String> {
        let Some((kind, rest)) = name.split_at_checked(2) else {
            return Err("key must be 2 characters long:".to_owned());
        };
        if !kind.ends_with(':') {
            return Err(format!("missing colon: {name}"));
        }
        let json = || serde_json::from_str(rest).map_err(|error| error.to_string());
        Ok(Some(match kind.as_bytes()[0] {
            b'f' => Self::Field(match name {
                Cow::Borrowed(name) => Cow::Borrowed(&name[2..]),
                Cow::Owned(name) => Cow::Owned(name[2..].to_owned()),
            }),
            b'v' => Self::Value(Cow::Owned(json()?)),
            b'k' => match json()? {
                Value::Object(map) => {
                    Self::key(map.into_iter().map(|(name, value)| (name.into(), Cow::Owned(value))).collect())
                }
                _ => return Err(format!("no keys: {name}")),
            },
            b'i' => Self::Index(rest.parse().map_err(|_| format!("parsing {rest:?}: invalid syntax"))?),
            _ => return Ok(None),
        }))
    }

    /// Writes it as the name of a member of FieldsV1, in JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Field(name) => write_field(out, name),
            Self::Index(at) => out.extend_from_slice(format!("\"i:{at}\"").as_bytes()),
            Self::Value(value) => {
                let mut inner = b"v:".to_vec();
                write_value(&mut inner, value);
                write_quoted(out, &inner);
            }
            Self::Key(keys) => {
                let mut inner = b"k:{".to_vec();
                for (at, (name, value)) in keys.iter().enumerate() {
                    if at > 0 {
                        inner.push(b',');
                    }
                    encode::text(&mut inner, name);
                    inner.push(b':');
                    write_value(&mut inner, value);
                }
                inner.push(b'}');
                write_quoted(out, &inner);
            }
        }
    }

    /// Its place among the kinds of elements.
    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

/// Writes the name `f:NAME`.
pub(super) fn write_field(out: &mut Vec<u8>, name: &str) {
    let from = out.len();
    encode::text(out, name);
    // Behind the quote.
    out.splice(from + 1..from + 1, *b"f:");
}

fn write_quoted(out: &mut Vec<u8>, inner: &[u8]) {
    encode::text(out, std::str::from_utf8(inner).expect("JSON is text"));
}

/// A value inside of a name: Go escapes there what HTML would read.
fn write_value(out: &mut Vec<u8>, value: &Value) {
    let from = out.len();
    encode::any(out, value);
    if out[from..].iter().any(|byte| matches!(byte, b'<' | b'>' | b'&' | 0xe2)) {
        let plain = out.split_off(from);
        out.extend_from_slice(escaped(std::str::from_utf8(&plain).expect("JSON is text")).as_bytes());
    }
}

impl Ord for Element<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => compare_keys(a, b),
            (Self::Value(a), Self::Value(b)) => compare_values(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

impl PartialOrd for Element<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Element<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Element<'_> {}

type Key<'a> = (Cow<'a, str>, Cow<'a, Value>);

fn compare_keys(a: &[Key<'_>], b: &[Key<'_>]) -> Ordering {
    let pairs = a.iter().zip(b).map(|(a, b)| a.0.cmp(&b.0).then_with(|| compare_values(&a.1, &b.1)));
    pairs.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
}

/// An order of all values: numbers, text, booleans, lists, objects, null.
pub(super) fn compare_values(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let pairs = a.iter().zip(b).map(|(a, b)| compare_values(a, b));
            pairs.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => {
            let sorted = |map: &serde_json::Map<String, Value>| {
                let mut pairs: Vec<_> = map.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
                pairs.sort_by(|a, b| a.0.cmp(&b.0));
                pairs
            };
            let (a, b) = (sorted(a), sorted(b));
            let pairs = a.iter().zip(&b).map(|(a, b)| a.0.cmp(&b.0).then_with(|| compare_values(&a.1, &b.1)));
            pairs.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
        }
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

/// By what they count, exactly: what is not whole has a part beside the whole one. Rounded, two whole numbers could be
/// the same as a third and not as each other, and that is no order.
fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    let parts = |number: &Number| match number.as_i64() {
        Some(whole) => (i128::from(whole), 0.0),
        None => {
            let number = number.as_f64().unwrap_or_default();
            // Beyond what an i128 holds the rest tells them apart.
            let whole = number.trunc() as i128;
            (whole, number - whole as f64)
        }
    };
    let (a, b) = (parts(a), parts(b));
    a.0.cmp(&b.0).then(a.1.partial_cmp(&b.1).unwrap_or(Ordering::Equal))
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

/// Whether two values are the same: whole numbers and others by what they count, objects in any order.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        (Value::Number(_), Value::Number(_)) => compare_values(a, b).is_eq(),
        (a, b) => a == b,
    }
}

/// As conflicts name it: `.spec`, `[name="web"]`, `[="x"]`, `[0]`.
impl fmt::Display for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(at) => write!(f, "[{at}]"),
            Self::Key(keys) => {
                f.write_str("[")?;
                for (at, (name, value)) in keys.iter().enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    write!(f, "{comma}{name}={value}")?;
                }
                f.write_str("]")
            }
        }
    }
}
