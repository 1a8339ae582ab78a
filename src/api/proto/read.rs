//! From a message to the tree of its JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::wire::{MALFORMED, ProtoError, Wire, each, utf8};
use crate::decode::{self, DEPTH_MAX, VALUES_MAX};
use crate::schema::{Field, Instead, Shape, Type};
use crate::{duration, time};

/// Reads a message of a type into the tree of its JSON.
///
/// # Errors
/// Says what is wrong with the bytes.
pub fn tree(message: &[u8], of: &Type) -> Result<Value, ProtoError> {
    let mut reader = Reader { values: 0, depth: 0 };
    reader.structure(message, of)
}

/// Counts what it makes, as [`decode`] does.
struct Reader {
    values: usize,
    depth: usize,
}

impl Reader {
    fn structure(&mut self, message: &[u8], of: &Type) -> Result<Value, ProtoError> {
        let mut map = Map::new();
        self.enter()?;
        self.members(message, of, &mut Vec::new(), &mut map)?;
        self.depth -= 1;
        Ok(map.into())
    }

    /// Reads the fields that stand in the messages `inside` each other.
    fn members(
        &mut self,
        message: &[u8],
        of: &Type,
        inside: &mut Vec<u32>,
        map: &mut Map<String, Value>,
    ) -> Result<(), ProtoError> {
        each(message, |number, wire| {
            let mut fields = of.fields().iter();
            if let Some(field) = fields.find(|field| field.number == number && *field.inside == **inside) {
                return self.member(wire, field, map);
            }
            inside.push(number);
            let is_embedded = of.fields().iter().any(|field| field.inside.starts_with(inside));
            if let (true, Wire::Bytes(embedded)) = (is_embedded, wire) {
                self.members(embedded, of, inside, map)?;
            }
            inside.pop();
            Ok(())
        })
    }

    fn member(
        &mut self,
        wire: Wire<'_>,
        field: &Field,
        map: &mut Map<String, Value>,
    ) -> Result<(), ProtoError> {
        match &field.shape {
            Shape::List(item) => {
                let item = self.value(&wire, item)?;
                let list = map.entry(&field.name).or_insert_with(|| Value::Array(Vec::new()));
                list.as_array_mut().ok_or(MALFORMED)?.push(item);
            }
            Shape::Map(item) => {
                let (key, value) = self.entry(&wire, item)?;
                let inner = map.entry(&field.name).or_insert_with(|| Value::Object(Map::new()));
                inner.as_object_mut().ok_or(MALFORMED)?.insert(key, value);
            }
            shape => {
                let value = self.value(&wire, shape)?;
                map.insert(field.name.clone(), value);
            }
        }
        Ok(())
    }

    fn value(&mut self, wire: &Wire<'_>, shape: &Shape) -> Result<Value, ProtoError> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(ProtoError("proto: too many values"));
        }
        match (shape, wire) {
            (Shape::Bool, Wire::Varint(number)) => Ok((*number != 0).into()),
            // Negative numbers are written as their two's complement.
            (Shape::Int32 | Shape::Int64, Wire::Varint(number)) => Ok((*number as i64).into()),
            (Shape::Float, Wire::Fixed64(bits)) => Ok(f64::from_bits(*bits).into()),
            (Shape::Text, Wire::Bytes(bytes)) => utf8(bytes).map(Value::from),
            (Shape::Bytes, Wire::Bytes(bytes)) => Ok(STANDARD.encode(bytes).into()),
            (Shape::Time, Wire::Bytes(bytes)) => timestamp(bytes, time::seconds),
            (Shape::MicroTime, Wire::Bytes(bytes)) => timestamp(bytes, time::micro),
            (Shape::Duration, Wire::Bytes(bytes)) => {
                Ok(duration::text(first_number(bytes, 1)?.unwrap_or_default() as i64).into())
            }
            (Shape::Quantity, Wire::Bytes(bytes)) => Ok(first_bytes(bytes, 1).and_then(utf8)?.into()),
            (Shape::IntOrString, Wire::Bytes(bytes)) => int_or_string(bytes),
            (Shape::Any | Shape::Fields | Shape::Opaque | Shape::Raw, Wire::Bytes(bytes)) => raw_json(bytes),
            (Shape::Struct(of), Wire::Bytes(bytes)) => self.structure(bytes, of),
            (Shape::SchemaOr(of, instead), Wire::Bytes(bytes)) => self.schema_or(bytes, of, *instead),
            // A list of lists, or a list in a map: a message with the items as field 1.
            (Shape::List(of), Wire::Bytes(bytes)) => {
                let mut items = Vec::new();
                each(bytes, |number, wire| {
                    if number == 1 {
                        items.push(self.value(&wire, of)?);
                    }
                    Ok(())
                })?;
                Ok(items.into())
            }
            _ => Err(MALFORMED),
        }
    }

    fn entry(&mut self, wire: &Wire<'_>, item: &Shape) -> Result<(String, Value), ProtoError> {
        let Wire::Bytes(bytes) = wire else { return Err(MALFORMED) };
        // An absent key or value is the empty one; conforming gives it the form of its shape.
        let (mut key, mut value) = (String::new(), Value::Null);
        each(bytes, |number, wire| {
            match (number, &wire) {
                (1, Wire::Bytes(text)) => key = utf8(text)?.to_owned(),
                (2, wire) => value = self.value(wire, item)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok((key, value))
    }

    /// `{schema = 1, instead = 2}`, or for a boolean `{allows = 1, schema = 2}`.
    fn schema_or(&mut self, bytes: &[u8], of: &Type, instead: Instead) -> Result<Value, ProtoError> {
        let mut schema = None;
        let mut allows = false;
        let mut items = Vec::new();
        each(bytes, |number, wire| {
            match (instead, number, wire) {
                (Instead::Bool, 1, Wire::Varint(number)) => allows = number != 0,
                (Instead::Bool, 2, Wire::Bytes(bytes)) | (_, 1, Wire::Bytes(bytes)) => {
                    schema = Some(self.structure(bytes, of)?);
                }
                (Instead::List, 2, Wire::Bytes(bytes)) => items.push(self.structure(bytes, of)?),
                (Instead::Names, 2, Wire::Bytes(bytes)) => items.push(utf8(bytes)?.into()),
                _ => {}
            }
            Ok(())
        })?;
        Ok(match instead {
            _ if schema.is_some() => schema.unwrap_or_default(),
            Instead::Bool => allows.into(),
            Instead::List | Instead::Names => items.into(),
        })
    }

    fn enter(&mut self) -> Result<(), ProtoError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(ProtoError("proto: messages nest too deep")) } else { Ok(()) }
    }
}

/// Go writes a zero time as an empty message, or as the seconds of its year 1.
fn timestamp(bytes: &[u8], text: fn(i64) -> String) -> Result<Value, ProtoError> {
    /// The years 1 to 9999: anything else cannot be written as RFC 3339.
    const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
    let seconds = first_number(bytes, 1)?.unwrap_or_default() as i64;
    let nanos = first_number(bytes, 2)?.unwrap_or_default() as i64;
    match (seconds, nanos) {
        (0, 0) => Ok(Value::Null),
        (seconds, 0) if seconds == *SECONDS.start() => Ok(Value::Null),
        (seconds, 0..1_000_000_000) if SECONDS.contains(&seconds) => {
            Ok(text(seconds * 1_000_000 + nanos / 1000).into())
        }
        _ => Err(MALFORMED),
    }
}

/// `{type = 1, number = 2, text = 3}`; the type is 1 for text.
fn int_or_string(bytes: &[u8]) -> Result<Value, ProtoError> {
    match first_number(bytes, 1)?.unwrap_or_default() {
        0 => Ok((first_number(bytes, 2)?.unwrap_or_default() as i64).into()),
        1 => first_bytes(bytes, 3).and_then(utf8).map(Value::from),
        _ => Err(MALFORMED),
    }
}

fn raw_json(bytes: &[u8]) -> Result<Value, ProtoError> {
    match first_bytes(bytes, 1)? {
        [] => Ok(Value::Null),
        json => decode::json(json).map(|decoded| decoded.value).map_err(|_| MALFORMED),
    }
}

/// The number in field `wanted` of a message.
fn first_number(bytes: &[u8], wanted: u32) -> Result<Option<u64>, ProtoError> {
    let mut found = None;
    each(bytes, |number, wire| {
        if let (true, Wire::Varint(value)) = (number == wanted, wire) {
            found = Some(value);
        }
        Ok(())
    })?;
    Ok(found)
}

/// The bytes in field `wanted` of a message; empty when there are none.
fn first_bytes(bytes: &[u8], wanted: u32) -> Result<&[u8], ProtoError> {
    let mut found: &[u8] = &[];
    each(bytes, |number, wire| {
        if let (true, Wire::Bytes(value)) = (number == wanted, wire) {
            found = value;
        }
        Ok(())
    })?;
    Ok(found)
}
