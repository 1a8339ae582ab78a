//! What server-side apply makes of a value of a type: one whole, or something whose parts have owners of their own.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use super::element::{Element, same};
use crate::encode::is_empty;
use crate::meta::OBJECT_META;
use crate::schema::{Field, Item, Merge, Presence, Shape, Type};

/// How a value is held: its shape, and how it merges there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held<'s> {
    pub(super) shape: &'s Shape,
    pub(super) merge: &'s Merge,
}

/// What a value is made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Parts<'s> {
    /// Nothing smaller than itself.
    Whole,
    /// Members of known names.
    Fields(&'s Type),
    /// Members of any name.
    Members(&'s Item),
    /// Items, found by the values of these members.
    Items(&'s [String], &'s Item),
    /// Scalars, each once.
    Set,
}

/// What is not known is as its value looks.
static ANY: Item = Item { shape: Shape::Any, merge: Merge::ByMember };

/// What every object has.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];
static METADATA: LazyLock<Item> = LazyLock::new(|| Item::of(Shape::Struct(Arc::clone(&OBJECT_META))));

impl<'s> Held<'s> {
    /// The item of a set.
    pub(super) const SCALAR: Self = Self { shape: &Shape::Text, merge: &Merge::Atomic };

    pub(super) fn field(field: &'s Field) -> Self {
        Self { shape: &field.shape, merge: &field.merge }
    }

    /// The item of a list or map.
    pub(super) fn item(item: &'s Item) -> Self {
        Self { shape: &item.shape, merge: &item.merge }
    }

    /// A member of this name: of a struct that does not know it, it is as it looks.
    pub(super) fn member(of: &'s Type, name: &str) -> Self {
        Self::found(of, name, of.field(name))
    }

    fn found(of: &'s Type, name: &str, field: Option<&'s Field>) -> Self {
        Self::as_known(of, name, field).unwrap_or(Self::item(&ANY))
    }

    /// The same where the type says something about it: as a field, or as what every object within another has.
    pub(super) fn known(of: &'s Type, name: &str) -> Option<Self> {
        Self::as_known(of, name, of.field(name))
    }

    fn as_known(of: &Type, name: &str, field: Option<&'s Field>) -> Option<Self> {
        let is_embedded = of.custom.as_ref().is_some_and(|custom| custom.is_embedded);
        match (field, name) {
            (Some(field), _) if !(is_embedded && META.contains(&name)) => Some(Self::field(field)),
            (_, "metadata") if is_embedded => Some(Self::item(&METADATA)),
            (_, "apiVersion" | "kind") if is_embedded => Some(Self::SCALAR),
            _ => None,
        }
    }

    /// What `value` is made of. What is deduced depends on the value; null may become an object.
    pub(super) fn parts(self, value: &Value) -> Parts<'s> {
        match self.shape {
            Shape::Any | Shape::Opaque | Shape::SchemaOr(..) | Shape::Fields => match value {
                Value::Object(_) | Value::Null => Parts::Members(&ANY),
                _ => Parts::Whole,
            },
            _ => self.known_parts(),
        }
    }

    /// The same where there is no value to look at.
    pub(super) fn known_parts(self) -> Parts<'s> {
        match (self.shape, self.merge) {
            (_, Merge::Atomic) => Parts::Whole,
            (Shape::Struct(of), _) => Parts::Fields(of),
            (Shape::Map(of), _) => Parts::Members(of),
            (Shape::List(of), Merge::ByKeys(keys)) => Parts::Items(keys, of),
            (Shape::List(_), Merge::Set) => Parts::Set,
            _ => Parts::Whole,
        }
    }

    /// Whether only its values tell what it is made of.
    pub(super) fn is_deduced(self) -> bool {
        matches!(self.shape, Shape::Any | Shape::Opaque | Shape::SchemaOr(..) | Shape::Fields)
    }
}

/// The members of an object. Of a decoded object `metadata` stands apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Members<'v> {
    pub(super) map: Option<&'v Map<String, Value>>,
    pub(super) meta: Option<&'v Value>,
    /// Whether fields appear as Go would show them, or as they were given.
    pub(super) is_stored: bool,
}

static ZERO_BOOL: Value = Value::Bool(false);
static ZERO_NUMBER: LazyLock<Value> = LazyLock::new(|| 0.into());
static ZERO_TEXT: LazyLock<Value> = LazyLock::new(|| "".into());
static ZERO_QUANTITY: LazyLock<Value> = LazyLock::new(|| "0".into());
static ZERO_SPAN: LazyLock<Value> = LazyLock::new(|| "0s".into());
static ZERO_OBJECT: LazyLock<Value> = LazyLock::new(|| Map::new().into());
static NULL: Value = Value::Null;

impl<'v> Members<'v> {
    pub(super) fn of(value: Option<&'v Value>, is_stored: bool) -> Self {
        Self { map: value.and_then(Value::as_object), meta: None, is_stored }
    }

    /// Its members as a value of a type, sorted by name. What the type does not know is as it looks.
    pub(super) fn shown(&self, of: &'v Type) -> Vec<Shown<'v>> {
        let Some(map) = self.map else { return Vec::new() };
        let mut all = Vec::with_capacity(map.len() + 4);
        all.extend(self.meta.map(|meta| Shown {
            name: "metadata",
            value: meta,
            held: Held::member(of, "metadata"),
        }));
        for (name, value) in map {
            let field = of.field(name);
            // Where a definition lets null stand it is a value.
            let is_left_out = value.is_null() && of.custom.is_none()
                || field.is_some_and(|field| field.presence == Presence::NonEmpty && is_empty(value));
            if !(self.is_stored && is_left_out) {
                all.push(Shown { name, value, held: Held::found(of, name, field) });
            }
        }
        if self.is_stored {
            for field in of.standing().filter(|field| self.meta.is_none() || field.name != "metadata") {
                let is_given = |value: &Value| {
                    !(value.is_null() || field.presence == Presence::NonEmpty && is_empty(value))
                };
                if !map.get(&field.name).is_some_and(is_given) {
                    let value = if field.null { &NULL } else { zero_of(&field.shape) };
                    all.push(Shown { name: &field.name, value, held: Held::field(field) });
                }
            }
        }
        all.sort_unstable_by_key(|shown| shown.name);
        all
    }
}

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'v> {
    pub(super) name: &'v str,
    pub(super) value: &'v Value,
    pub(super) held: Held<'v>,
}

/// Whether two values are the same, as Go would show them or as they were given.
pub(super) fn same_as(shape: &Shape, old: &Value, new: &Value, is_stored: bool) -> bool {
    match (shape, old, new) {
        (Shape::Struct(of), Value::Object(_), Value::Object(_)) if is_stored => {
            let shown = |value| Members::of(Some(value), true).shown(of);
            let (old, new) = (shown(old), shown(new));
            let same = |(a, b): (&Shown<'_>, &Shown<'_>)| {
                a.name == b.name && same_as(a.held.shape, a.value, b.value, true)
            };
            old.len() == new.len() && old.iter().zip(&new).all(same)
        }
        (Shape::List(of), Value::Array(old), Value::Array(new)) if is_stored => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| same_as(of, old, new, true))
        }
        (Shape::Map(of), Value::Object(old), Value::Object(new)) if is_stored => {
            let is_in = |(name, old)| new.get(name).is_some_and(|new| same_as(of, old, new, true));
            old.len() == new.len() && old.iter().all(is_in)
        }
        _ => same(old, new),
    }
}

fn zero_of(shape: &Shape) -> &'static Value {
    match shape {
        Shape::Bool => &ZERO_BOOL,
        Shape::Bytes | Shape::Text => &ZERO_TEXT,
        Shape::Duration => &ZERO_SPAN,
        Shape::Float | Shape::Int32 | Shape::Int64 | Shape::IntOrString => &ZERO_NUMBER,
        Shape::Quantity => &ZERO_QUANTITY,
        Shape::Struct(_) => &ZERO_OBJECT,
        _ => &NULL,
    }
}

/// The step to an item of a list whose items have keys. A key that is missing has its default.
///
/// # Errors
/// Says why there is none.
pub(super) fn keyed<'v>(
    item: &'v Value,
    keys: &'v [String],
    shape: &'v Shape,
) -> Result<Element<'v>, String> {
    let Value::Object(map) = item else {
        let what = if item.is_null() { "a null element" } else { "non-map elements" };
        return Err(format!("associative list with keys may not have {what}"));
    };
    let of = if let Shape::Struct(of) = shape { Some(of) } else { None };
    let value = |key: &'v String| {
        let field = of.and_then(|of| of.field(key));
        let default = || match field {
            Some(field) if field.default.is_some() => field.default.as_ref(),
            Some(field) if field.presence == Presence::Always => Some(zero_of(&field.shape)),
            _ => None,
        };
        Some((Cow::Borrowed(key.as_str()), Cow::Borrowed(map.get(key).or_else(default)?)))
    };
    let found: Vec<_> = keys.iter().filter_map(value).collect();
    if found.is_empty() && !keys.is_empty() {
        let names = keys.iter().map(|key| format!("{key:?}")).collect::<Vec<_>>().join(" ");
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{names}] (and doesn't have default values for any key fields)"
        ));
    }
    Ok(Element::key(found))
}

/// The step to an item of a set.
///
/// # Errors
/// Says why there is none.
pub(super) fn scalar(item: &Value) -> Result<Element<'_>, String> {
    match item {
        Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
        Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
        Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
        _ => Ok(Element::Value(Cow::Borrowed(item))),
    }
}
