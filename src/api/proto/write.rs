//! From canonical JSON to its message, without a tree in between: what lists of thousands of objects take.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::wire::{nested, put_bytes, put_number, put_varint};
use crate::schema::{Field, Instead, Shape, Type};
use crate::view::View;
use crate::{duration, time};

/// Writes the message of an object of type `of`, given as canonical JSON. What does not conform is left out.
pub fn message(json: &[u8], of: &Type) -> Vec<u8> {
    // No field takes more bytes than its name and value in JSON, but for those of one byte.
    let mut out = Vec::with_capacity(json.len());
    append(&mut out, View::new(json), of);
    out
}

/// Appends the fields of an object. Those that stand in a message of their own there come as pieces of it, which
/// whoever reads them joins.
pub(super) fn append(out: &mut Vec<u8>, object: View<'_>, of: &Type) {
    let mut next = 0;
    for (name, value) in object.raw_members() {
        let Some(at) = place(of, name, next) else { continue };
        next = at + 1;
        let field = &of.fields()[at];
        if field.number != 0 && !value.is_null() {
            inside(out, &field.inside, &mut |out| member(out, value, field));
        }
    }
}

/// Where a field stands among those of its type: as a rule behind the last one.
fn place(of: &Type, name: &[u8], next: usize) -> Option<usize> {
    let fields = of.fields();
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

fn member(out: &mut Vec<u8>, value: View<'_>, field: &Field) {
    match &field.shape {
        Shape::List(of) if value.is_list() => value.items().for_each(|item| put(out, field.number, item, of)),
        Shape::Map(of) if value.is_object() => {
            for (key, value) in value.members() {
                nested(out, field.number, |out| {
                    put_bytes(out, 1, key.as_bytes());
                    put(out, 2, value, of);
                });
            }
        }
        shape => put(out, field.number, value, shape),
    }
}

/// Appends one value as a field.
fn put(out: &mut Vec<u8>, number: u32, value: View<'_>, shape: &Shape) {
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
        Shape::Text if value.is_text() => put_bytes(out, number, value.text().as_bytes()),
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
        Shape::Quantity if value.is_text() => put_bytes(out, 1, value.text().as_bytes()),
        Shape::IntOrString if value.is_text() => {
            put_number(out, 1, 1);
            put_bytes(out, 3, value.text().as_bytes());
        }
        Shape::IntOrString => {
            put_number(out, 1, 0);
            put_number(out, 2, value.number().unwrap_or_default() as u64);
        }
        Shape::Any | Shape::Fields | Shape::Opaque | Shape::Raw => put_bytes(out, 1, value.bytes()),
        Shape::Struct(of) if value.is_object() => append(out, value, of),
        Shape::SchemaOr(of, instead) => schema_or(out, value, of, *instead),
        // A list in a list, or in a map: a message with the items as field 1.
        Shape::List(of) if value.is_list() => value.items().for_each(|item| put(out, 1, item, of)),
        _ => {}
    }
}

/// `{schema = 1, instead = 2}`, or for a boolean `{allows = 1, schema = 2}`.
fn schema_or(out: &mut Vec<u8>, value: View<'_>, of: &Type, instead: Instead) {
    match instead {
        Instead::Bool if value.is_bool() => put_number(out, 1, u64::from(value.is_true())),
        Instead::Bool if value.is_object() => {
            put_number(out, 1, 1);
            nested(out, 2, |out| append(out, value, of));
        }
        Instead::List if value.is_list() => {
            for item in value.items().filter(|item| item.is_object()) {
                nested(out, 2, |out| append(out, item, of));
            }
        }
        Instead::Names if value.is_list() => {
            value
                .items()
                .filter(|item| item.is_text())
                .for_each(|name| put_bytes(out, 2, name.text().as_bytes()));
        }
        _ if value.is_object() => nested(out, 1, |out| append(out, value, of)),
        _ => {}
    }
}
