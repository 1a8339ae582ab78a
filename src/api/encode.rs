//! Canonical JSON: members in Go's order, maps sorted by key, empty fields left out as Go leaves them
//! out. The same object always gives the same bytes.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::schema::{Field, Instead, Presence, Shape, Type};

/// Writes the members of one JSON object.
pub(crate) struct Members<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

impl<'o> Members<'o> {
    /// Opens the brace.
    pub(crate) fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_first: true }
    }

    /// Closes it.
    pub(crate) fn close(self) {
        self.out.push(b'}');
    }

    /// Where the next member's name will begin.
    pub(crate) fn next_offset(&self) -> usize {
        self.out.len() + usize::from(!self.is_first)
    }

    /// Writes the name; the caller writes the value.
    pub(crate) fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.is_first {
            self.out.push(b',');
        }
        self.is_first = false;
        text(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// A text member, unless it is empty.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            text(self.name(name), value);
        }
    }

    /// A number, if there is one.
    pub(crate) fn number(&mut self, name: &str, value: Option<i64>) {
        if let Some(value) = value {
            self.name(name).extend_from_slice(value.to_string().as_bytes());
        }
    }

    /// A map of text, unless it is empty.
    pub(crate) fn text_map(&mut self, name: &str, map: &BTreeMap<String, String>) {
        if map.is_empty() {
            return;
        }
        let mut inner = Members::open(self.name(name));
        for (key, value) in map {
            text(inner.name(key), value);
        }
        inner.close();
    }

    /// A list of text, unless it is empty.
    pub(crate) fn text_list(&mut self, name: &str, items: &[String]) {
        if !items.is_empty() {
            list(self.name(name), items, |out, item| text(out, item));
        }
    }
}

/// Writes a list of structs, the items of the field `name` of `of`, unless it is empty.
pub(crate) fn struct_items(members: &mut Members<'_>, of: &Type, name: &str, items: &[Value]) {
    let Some(Shape::List(shape)) = of.field(name).map(|field| &field.shape) else { return };
    if !items.is_empty() {
        list(members.name(name), items, |out, item| value(out, item, shape));
    }
}

/// Writes members in the order of their names, as Go writes what it has no type for.
fn sorted_members(members: &mut Members<'_>, map: &Map<String, Value>) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|entry| entry.0);
    for (name, value) in entries {
        any(members.name(name), value);
    }
}

/// Writes the fields of `of` that `map` holds, in the type's order. `skip` names one that the caller
/// has written.
pub(crate) fn fields(members: &mut Members<'_>, map: &Map<String, Value>, of: &Type, skip: &str) {
    if of.custom.is_some() {
        return sorted_members(members, map);
    }
    let is_shown = |field: &Field, value: &Value| {
        !value.is_null() && (field.presence != Presence::NonEmpty || !is_empty(value))
    };
    let mut shown: Vec<(usize, Option<&Value>)> = Vec::with_capacity(map.len() + of.always().len());
    for (name, value) in map {
        let Some(at) = of.place(name).filter(|at| is_shown(&of.fields()[*at], value)) else { continue };
        shown.push((at, Some(value)));
    }
    let is_missing = |at: &usize| map.get(&of.fields()[*at].name).is_none_or(Value::is_null);
    shown.extend(of.always().filter(is_missing).map(|at| (at, None)));
    shown.sort_unstable_by_key(|(at, _)| *at);
    for (at, given) in shown {
        let field = &of.fields()[at];
        if field.name == skip {
            continue;
        }
        let out = members.name(&field.name);
        match given {
            Some(given) => value(out, given, &field.shape),
            None => zero(out, &field.shape),
        }
    }
}

fn value(out: &mut Vec<u8>, given: &Value, shape: &Shape) {
    match (shape, given) {
        (Shape::Struct(of) | Shape::SchemaOr(of, _), Value::Object(map)) => structure(out, map, of),
        (Shape::SchemaOr(of, Instead::List), Value::Array(items)) => {
            list(out, items, |out, item| match item {
                Value::Object(map) => structure(out, map, of),
                other => any(out, other),
            });
        }
        (Shape::Map(of), Value::Object(map)) => sorted(out, map, |out, item| value(out, item, of)),
        (Shape::List(of), Value::Array(items)) => list(out, items, |out, item| value(out, item, of)),
        (_, given) => any(out, given),
    }
}

fn structure(out: &mut Vec<u8>, map: &Map<String, Value>, of: &Type) {
    let mut members = Members::open(out);
    fields(&mut members, map, of, "");
    members.close();
}

/// A value of no known shape: keys sorted, as Go writes maps.
pub(crate) fn any(out: &mut Vec<u8>, given: &Value) {
    match given {
        Value::Object(map) => sorted(out, map, any),
        Value::Array(items) => list(out, items, any),
        Value::String(given) => text(out, given),
        Value::Number(given) => number(out, given),
        scalar => out.extend_from_slice(scalar.to_string().as_bytes()),
    }
}

/// A number as Go writes it: without a fraction when it has none.
fn number(out: &mut Vec<u8>, given: &Number) {
    /// Go writes larger ones with an exponent.
    const PLAIN_MAX: f64 = 1e21;
    let text = match given.as_f64() {
        Some(float) if given.is_f64() && float.fract() == 0.0 && float.abs() < PLAIN_MAX => {
            format!("{float:.0}")
        }
        _ => given.to_string(),
    };
    out.extend_from_slice(text.as_bytes());
}

fn sorted(out: &mut Vec<u8>, map: &Map<String, Value>, item: impl Fn(&mut Vec<u8>, &Value)) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|entry| entry.0);
    let mut members = Members::open(out);
    for (key, value) in entries {
        item(members.name(key), value);
    }
    members.close();
}

/// Writes a list.
pub(crate) fn list<T>(out: &mut Vec<u8>, items: &[T], item: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (at, value) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        item(out, value);
    }
    out.push(b']');
}

fn zero(out: &mut Vec<u8>, shape: &Shape) {
    let text: &[u8] = match shape {
        Shape::Any | Shape::Fields | Shape::MicroTime | Shape::Opaque | Shape::Raw | Shape::Time => b"null",
        Shape::Bool => b"false",
        Shape::Bytes | Shape::Text => b"\"\"",
        Shape::Duration => b"\"0s\"",
        Shape::Float | Shape::Int32 | Shape::Int64 | Shape::IntOrString => b"0",
        Shape::List(_) => b"[]",
        Shape::Map(_) | Shape::SchemaOr(..) => b"{}",
        Shape::Quantity => b"\"0\"",
        Shape::Struct(of) => return structure(out, &Map::new(), of),
    };
    out.extend_from_slice(text);
}

/// Drops members that Go would leave out for being empty, at any depth.
pub(crate) fn drop_empty(map: &mut Map<String, Value>, of: &Type) {
    map.retain(|name, value| {
        let Some(field) = of.field(name) else { return true };
        drop_empty_within(value, &field.shape);
        field.presence != Presence::NonEmpty || !is_empty(value)
    });
}

fn drop_empty_within(value: &mut Value, shape: &Shape) {
    match (shape, value) {
        (Shape::Struct(of) | Shape::SchemaOr(of, _), Value::Object(map)) => drop_empty(map, of),
        (Shape::List(of), Value::Array(items)) => {
            items.iter_mut().for_each(|item| drop_empty_within(item, of))
        }
        (Shape::Map(of), Value::Object(map)) => {
            map.values_mut().for_each(|value| drop_empty_within(value, of))
        }
        _ => {}
    }
}

/// Whether Go holds it to be empty. No struct is ever left out for that.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(given) => !given,
        Value::Number(given) => given.as_f64() == Some(0.0),
        Value::String(given) => given.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// Writes JSON text.
pub(crate) fn text(out: &mut Vec<u8>, given: &str) {
    serde_json::to_writer(out, given).expect("writing text to memory cannot fail");
}
