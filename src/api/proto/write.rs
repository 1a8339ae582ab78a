//! From canonical JSON to its message, without a tree in between: what lists of thousands of objects take.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::wire::{length_of, nested, put_bytes, put_length, put_number, put_varint};
use crate::schema::{Field, Instead, Shape, Type};
use crate::view::{Scan, View, unescaped};
use crate::{duration, time};

/// Writes the message of an object of type `of`, given as canonical JSON. What does not conform is left out.
pub fn message(json: &[u8], of: &Type) -> Vec<u8> {
    // No field takes more bytes than its name and value in JSON, but for those of one byte.
    let mut out = Vec::with_capacity(json.len());
    whole(&mut out, View::new(json), of);
    out
}

/// Appends the fields of an object of which nothing is missing.
fn whole(out: &mut Vec<u8>, object: View<'_>, of: &Type) {
    append(out, &mut Text::new(object, &mut std::iter::empty()), of);
}

/// The text of an object, read once from its beginning to its end.
pub(super) struct Text<'b, 's> {
    scan: Scan<'b>,
    /// The sets of fields that are missing there.
    shared: &'s mut dyn Iterator<Item = Cow<'b, [u8]>>,
}

impl<'b, 's> Text<'b, 's> {
    pub(super) fn new(object: View<'b>, shared: &'s mut dyn Iterator<Item = Cow<'b, [u8]>>) -> Self {
        Self { scan: Scan::new(object), shared }
    }
}

/// Appends the fields of the object that comes next. Those that stand in a message of their own there come as pieces of
/// it, which whoever reads them joins.
pub(super) fn append(out: &mut Vec<u8>, text: &mut Text<'_, '_>, of: &Type) {
    let (fields, mut next) = (of.fields(), 0);
    while let Some(name) = text.scan.key() {
        let field = place(fields, name, next).map(|at| {
            next = at + 1;
            &fields[at]
        });
        match field.filter(|field| field.number != 0 && text.scan.peek() != Some(b'n')) {
            Some(field) if field.inside.is_empty() => member(out, text, field),
            Some(field) => inside(out, &field.inside, &mut |out| member(out, text, field)),
            None => _ = text.scan.value(),
        }
    }
}

/// Where a field stands among those of its type: as a rule behind the last one.
fn place(fields: &[Field], name: &[u8], next: usize) -> Option<usize> {
    let is_it = |field: &Field| field.name.as_bytes() == name;
    let behind = fields.get(next..).unwrap_or_default().iter().position(is_it).map(|at| next + at);
    behind.or_else(|| fields.iter().position(is_it))
}

/// Writes within the messages of these numbers, the first one outermost.
fn inside(out: &mut Vec<u8>, numbers: &[u32], write: &mut dyn FnMut(&mut Vec<u8>)) {
    match numbers {
        [] => write(out),
        [first, rest @ ..] => nested(out, *first, |out| inside(out, rest, write)),
    }
}

fn member(out: &mut Vec<u8>, text: &mut Text<'_, '_>, field: &Field) {
    match (&field.shape, text.scan.peek()) {
        (Shape::List(of), Some(b'[')) => {
            while text.scan.item() {
                put(out, field.number, text, of);
            }
        }
        (Shape::Map(of), Some(b'{')) => {
            while let Some(key) = text.scan.key() {
                nested(out, field.number, |out| {
                    put_bytes(out, 1, &unescaped(key));
                    put(out, 2, text, of);
                });
            }
        }
        (shape, _) => put(out, field.number, text, shape),
    }
}

/// Appends the value that comes next as a field.
fn put(out: &mut Vec<u8>, number: u32, text: &mut Text<'_, '_>, shape: &Shape) {
    match (shape, text.scan.peek()) {
        (Shape::Struct(of), Some(b'{')) => nested(out, number, |out| append(out, text, of)),
        // A list in a list, or in a map: a message with the items as field 1.
        (Shape::List(of), Some(b'[')) => nested(out, number, |out| {
            while text.scan.item() {
                put(out, 1, text, of);
            }
        }),
        // Nothing stands there, or what of the set is the object's own.
        (Shape::Fields, Some(next)) if next != b'{' => {
            text.scan.value();
            let set = text.shared.next().unwrap_or_default();
            put_length(out, number, length_of(1, set.len()));
            put_bytes(out, 1, &set);
        }
        _ => scalar(out, number, text.scan.value(), shape),
    }
}

/// Appends a value in which nothing has fields of its own.
fn scalar(out: &mut Vec<u8>, number: u32, value: View<'_>, shape: &Shape) {
    match shape {
        Shape::Bool if value.is_bool() => put_number(out, number, u64::from(value.is_true())),
        Shape::Int32 | Shape::Int64 if value.is_number() => {
            // Negative numbers are written as their two's complement.
            put_number(out, number, value.number().unwrap_or_default() as u64);
        }
        Shape::Float if value.is_number() => {
            put_varint(out, u64::from(number) << 3 | 1);
            let float: f64 = value.shown().parse().unwrap_or_default();
            out.extend_from_slice(&float.to_le_bytes());
        }
        Shape::Bytes if value.is_text() => {
            put_bytes(out, number, &STANDARD.decode(&*value.text()).unwrap_or_default());
        }
        Shape::Text if value.is_text() => put_bytes(out, number, &value.text_bytes()),
        _ => nested(out, number, |out| body(out, value, shape)),
    }
}

/// Appends the fields of a value that is a message.
fn body(out: &mut Vec<u8>, value: View<'_>, shape: &Shape) {
    match shape {
        Shape::Time | Shape::MicroTime if value.is_text() => {
            if let Some(epoch_us) = time::parse(&value.text()) {
                put_number(out, 1, epoch_us.div_euclid(1_000_000) as u64);
                put_number(out, 2, epoch_us.rem_euclid(1_000_000) as u64 * 1000);
            }
        }
        Shape::Duration if value.is_text() => {
            put_number(out, 1, duration::parse(&value.text()).unwrap_or_default() as u64);
        }
        Shape::Quantity if value.is_text() => put_bytes(out, 1, &value.text_bytes()),
        Shape::IntOrString if value.is_text() => {
            put_number(out, 1, 1);
            put_bytes(out, 3, &value.text_bytes());
        }
        Shape::IntOrString => {
            put_number(out, 1, 0);
            put_number(out, 2, value.number().unwrap_or_default() as u64);
        }
        Shape::Any | Shape::Fields | Shape::Opaque | Shape::Raw => put_bytes(out, 1, value.bytes()),
        Shape::SchemaOr(of, instead) => schema_or(out, value, of, *instead),
        _ => {}
    }
}

/// `{schema = 1, instead = 2}`, or for a boolean `{allows = 1, schema = 2}`.
fn schema_or(out: &mut Vec<u8>, value: View<'_>, of: &Type, instead: Instead) {
    match instead {
        Instead::Bool if value.is_bool() => put_number(out, 1, u64::from(value.is_true())),
        Instead::Bool if value.is_object() => {
            put_number(out, 1, 1);
            nested(out, 2, |out| whole(out, value, of));
        }
        Instead::List if value.is_list() => {
            for item in value.items().filter(|item| item.is_object()) {
                nested(out, 2, |out| whole(out, item, of));
            }
        }
        Instead::Names if value.is_list() => {
            value
                .items()
                .filter(|item| item.is_text())
                .for_each(|name| put_bytes(out, 2, &name.text_bytes()));
        }
        _ if value.is_object() => nested(out, 1, |out| whole(out, value, of)),
        _ => {}
    }
}
