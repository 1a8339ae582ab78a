//! Requests in `application/vnd.kubernetes.protobuf`: client libraries send it for built-in kinds.
//!
//! A message becomes the same tree as its JSON, by the field numbers of [`crate::fields`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::decode::{self, VALUES_MAX};
use crate::fields::{Shape, Type};
use crate::time;

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// A body that is no message of the type.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProtoError(&'static str);

const TRUNCATED: ProtoError = ProtoError("proto: unexpected end of message");
const MALFORMED: ProtoError = ProtoError("proto: wrong wire type or value for a field");

/// The envelope around a message.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope<'b> {
    /// `v1`, `apps/v1`; may be empty.
    pub api_version: &'b str,
    /// `ConfigMap`; may be empty.
    pub kind: &'b str,
    /// The message.
    pub message: &'b [u8],
}

/// Opens the envelope.
///
/// # Errors
/// Wrong magic, or no envelope behind it.
pub fn open(body: &[u8]) -> Result<Envelope<'_>, ProtoError> {
    let rest = body
        .strip_prefix(MAGIC)
        .ok_or(ProtoError("provided data does not appear to be a protobuf message"))?;
    let mut envelope = Envelope { api_version: "", kind: "", message: &[] };
    each(rest, |number, wire| {
        match (number, wire) {
            (1, Wire::Bytes(type_meta)) => each(type_meta, |number, wire| {
                match (number, wire) {
                    (1, Wire::Bytes(text)) => envelope.api_version = utf8(text)?,
                    (2, Wire::Bytes(text)) => envelope.kind = utf8(text)?,
                    _ => {}
                }
                Ok(())
            })?,
            (2, Wire::Bytes(message)) => envelope.message = message,
            _ => {}
        }
        Ok(())
    })?;
    Ok(envelope)
}

/// Reads a message of a type into the tree of its JSON.
///
/// # Errors
/// Says what is wrong with the bytes.
pub fn tree(message: &[u8], of: &'static Type) -> Result<Value, ProtoError> {
    let mut values = 0;
    structure(message, of, &mut values)
}

enum Wire<'b> {
    Varint(u64),
    Bytes(&'b [u8]),
    Other,
}

fn structure(message: &[u8], of: &'static Type, values: &mut usize) -> Result<Value, ProtoError> {
    let mut map = Map::new();
    each(message, |number, wire| {
        let Some(field) = of.fields.iter().find(|field| field.number == number) else { return Ok(()) };
        *values += 1;
        if *values > VALUES_MAX {
            return Err(ProtoError("proto: too many values"));
        }
        match &field.shape {
            Shape::List(item) => {
                let item = single(&wire, item, values)?;
                let list = map.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
                list.as_array_mut().ok_or(MALFORMED)?.push(item);
            }
            Shape::Map(item) => {
                let (key, value) = entry(&wire, item, values)?;
                let inner = map.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
                inner.as_object_mut().ok_or(MALFORMED)?.insert(key, value);
            }
            shape => {
                let value = single(&wire, shape, values)?;
                map.insert(field.name.to_owned(), value);
            }
        }
        Ok(())
    })?;
    Ok(map.into())
}

fn single(wire: &Wire<'_>, shape: &'static Shape, values: &mut usize) -> Result<Value, ProtoError> {
    match (shape, wire) {
        (Shape::Bool, Wire::Varint(number)) => Ok((*number != 0).into()),
        // Negative numbers are written as their two's complement.
        (Shape::Int, Wire::Varint(number)) => Ok((*number as i64).into()),
        (Shape::Text, Wire::Bytes(bytes)) => utf8(bytes).map(Value::from),
        (Shape::Bytes, Wire::Bytes(bytes)) => Ok(STANDARD.encode(bytes).into()),
        (Shape::Time, Wire::Bytes(bytes)) => timestamp(bytes),
        (Shape::Any, Wire::Bytes(bytes)) => raw_json(bytes),
        (Shape::Struct(of), Wire::Bytes(bytes)) => structure(bytes, of, values),
        _ => Err(MALFORMED),
    }
}

fn entry(wire: &Wire<'_>, item: &'static Shape, values: &mut usize) -> Result<(String, Value), ProtoError> {
    let Wire::Bytes(bytes) = wire else { return Err(MALFORMED) };
    // An absent key or value is the empty one.
    let (mut key, mut value) = (String::new(), Value::from(""));
    each(bytes, |number, wire| {
        match (number, &wire) {
            (1, Wire::Bytes(text)) => key = utf8(text)?.to_owned(),
            (2, wire) => value = single(wire, item, values)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((key, value))
}

/// Go writes a zero time as an empty message.
fn timestamp(bytes: &[u8]) -> Result<Value, ProtoError> {
    let mut seconds = 0;
    each(bytes, |number, wire| {
        if let (1, Wire::Varint(number)) = (number, wire) {
            seconds = number;
        }
        Ok(())
    })?;
    // The year 9999 ends at this second; anything later (or negative) cannot be written as RFC 3339.
    const SECONDS_MAX: u64 = 253_402_300_799;
    match seconds {
        0 => Ok(Value::Null),
        1..=SECONDS_MAX => Ok(time::rfc3339(seconds * 1000).into()),
        _ => Err(MALFORMED),
    }
}

fn raw_json(bytes: &[u8]) -> Result<Value, ProtoError> {
    let mut value = Value::Null;
    each(bytes, |number, wire| {
        if let (1, Wire::Bytes(json)) = (number, wire) {
            value = decode::json(json).map_err(|_| MALFORMED)?.value;
        }
        Ok(())
    })?;
    Ok(value)
}

/// Calls `visit` with each field of a message.
fn each<'b>(
    mut rest: &'b [u8],
    mut visit: impl FnMut(u32, Wire<'b>) -> Result<(), ProtoError>,
) -> Result<(), ProtoError> {
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let number = u32::try_from(tag >> 3).map_err(|_| MALFORMED)?;
        let wire = match tag & 7 {
            0 => Wire::Varint(varint(&mut rest)?),
            1 => take(&mut rest, 8).map(|_| Wire::Other)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).map_err(|_| TRUNCATED)?;
                Wire::Bytes(take(&mut rest, length)?)
            }
            5 => take(&mut rest, 4).map(|_| Wire::Other)?,
            _ => return Err(MALFORMED),
        };
        visit(number, wire)?;
    }
    Ok(())
}

fn varint(rest: &mut &[u8]) -> Result<u64, ProtoError> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(MALFORMED)
}

fn take<'b>(rest: &mut &'b [u8], length: usize) -> Result<&'b [u8], ProtoError> {
    let (taken, left) = rest.split_at_checked(length).ok_or(TRUNCATED)?;
    *rest = left;
    Ok(taken)
}

fn utf8(bytes: &[u8]) -> Result<&str, ProtoError> {
    std::str::from_utf8(bytes).map_err(|_| ProtoError("proto: invalid UTF-8 in a string field"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fields::{CONFIG_MAP, SECRET};

    /// What `kubectl create configmap x --from-literal=a=b` sends.
    const CREATE: &[u8] = b"k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\x1b\n\x11\n\x01x\x12\x00\x1a\x00\"\x00*\x002\x008\x00B\x00\x12\x06\n\x01a\x12\x01b\x1a\x00\"\x00";

    #[test]
    fn what_kubectl_sends() {
        let envelope = open(CREATE).expect("envelope");
        assert_eq!((envelope.api_version, envelope.kind), ("v1", "ConfigMap"));
        let expect = json!({
            "metadata": {"name": "x", "generateName": "", "namespace": "", "selfLink": "", "uid": "",
                "resourceVersion": "", "generation": 0, "creationTimestamp": null},
            "data": {"a": "b"},
        });
        assert_eq!(tree(envelope.message, &CONFIG_MAP), Ok(expect));
    }

    #[test]
    fn bytes_become_base64() {
        assert_eq!(
            tree(b"\x12\x06\n\x01a\x12\x01b(\x01", &SECRET),
            Ok(json!({"data": {"a": "Yg=="}, "immutable": true}))
        );
    }

    #[test]
    fn no_cut_of_a_message_panics() {
        let whole = open(CREATE).expect("envelope").message;
        for end in 0..whole.len() {
            let _ = tree(&whole[..end], &CONFIG_MAP);
            let _ = open(&CREATE[..end]);
        }
        assert_eq!(tree(b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f", &CONFIG_MAP), Err(TRUNCATED));
        assert!(open(b"{}").is_err());
    }
}
