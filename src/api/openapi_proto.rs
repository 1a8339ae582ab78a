//! The OpenAPI v2 document in the protobuf form that older `kubectl` insists on.
//!
//! Written from the JSON document, as far as that uses the format: message by message, with the field
//! numbers of the public `openapi.v2` schema.

use serde_json::{Map, Value};

/// The media type.
pub const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// What is written for a member of a JSON object.
#[derive(Clone, Copy)]
enum Field {
    /// A text.
    Text(u32),
    /// Texts.
    Texts(u32),
    /// A boolean.
    Flag(u32),
    /// A message.
    Message(u32, Encode),
    /// A message for each item.
    Items(u32, Encode),
}

type Encode = fn(&Value) -> Vec<u8>;

/// Encodes the document.
pub fn document(document: &Value) -> Vec<u8> {
    members(
        document,
        &[
            ("swagger", Field::Text(1)),
            ("info", Field::Message(2, info)),
            ("paths", Field::Message(8, |paths| named(paths, 2, path_item))),
            ("definitions", Field::Message(9, |all| named(all, 1, schema))),
        ],
    )
}

fn info(value: &Value) -> Vec<u8> {
    members(value, &[("title", Field::Text(1)), ("version", Field::Text(2))])
}

fn path_item(value: &Value) -> Vec<u8> {
    members(
        value,
        &[
            ("get", Field::Message(2, operation)),
            ("put", Field::Message(3, operation)),
            ("post", Field::Message(4, operation)),
            ("delete", Field::Message(5, operation)),
            ("options", Field::Message(6, operation)),
            ("head", Field::Message(7, operation)),
            ("patch", Field::Message(8, operation)),
            ("parameters", Field::Items(9, parameters_item)),
        ],
    )
}

fn operation(value: &Value) -> Vec<u8> {
    let mut out = members(
        value,
        &[
            ("tags", Field::Texts(1)),
            ("operationId", Field::Text(5)),
            ("produces", Field::Texts(6)),
            ("consumes", Field::Texts(7)),
            ("parameters", Field::Items(8, parameters_item)),
            ("responses", Field::Message(9, |all| named(all, 1, response_value))),
        ],
    );
    extensions(&mut out, value, 13);
    out
}

/// `ParametersItem { Parameter { BodyParameter | NonBodyParameter { query | path } } }`
fn parameters_item(value: &Value) -> Vec<u8> {
    let parameter = match value["in"].as_str() {
        Some("body") => wrap(
            1,
            &members(
                value,
                &[
                    ("name", Field::Text(2)),
                    ("in", Field::Text(3)),
                    ("required", Field::Flag(4)),
                    ("schema", Field::Message(5, schema)),
                ],
            ),
        ),
        Some("path") => wrap(
            2,
            &wrap(
                4,
                &members(
                    value,
                    &[
                        ("required", Field::Flag(1)),
                        ("in", Field::Text(2)),
                        ("name", Field::Text(4)),
                        ("type", Field::Text(5)),
                        ("uniqueItems", Field::Flag(19)),
                    ],
                ),
            ),
        ),
        _ => wrap(
            2,
            &wrap(
                3,
                &members(
                    value,
                    &[
                        ("required", Field::Flag(1)),
                        ("in", Field::Text(2)),
                        ("name", Field::Text(4)),
                        ("type", Field::Text(6)),
                        ("uniqueItems", Field::Flag(20)),
                    ],
                ),
            ),
        ),
    };
    wrap(1, &parameter)
}

/// `ResponseValue { Response { description, SchemaItem { Schema } } }`
fn response_value(value: &Value) -> Vec<u8> {
    let schema_item: Encode = |value| wrap(1, &schema(value));
    wrap(1, &members(value, &[("description", Field::Text(1)), ("schema", Field::Message(2, schema_item))]))
}

fn schema(value: &Value) -> Vec<u8> {
    let type_item: Encode = |value| text(1, value.as_str().unwrap_or_default());
    let mut out = members(
        value,
        &[
            ("$ref", Field::Text(1)),
            ("format", Field::Text(2)),
            ("description", Field::Text(4)),
            ("required", Field::Texts(19)),
            ("additionalProperties", Field::Message(21, |value| wrap(1, &schema(value)))),
            ("type", Field::Message(22, type_item)),
            ("items", Field::Message(23, |value| wrap(1, &schema(value)))),
            ("properties", Field::Message(25, |all| named(all, 1, schema))),
        ],
    );
    extensions(&mut out, value, 31);
    out
}

/// `NamedX { name, value }` for each member, as field `number`.
fn named(value: &Value, number: u32, encode: Encode) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in value.as_object().into_iter().flat_map(Map::iter) {
        let entry = [text(1, name), wrap(2, &encode(value))].concat();
        out.extend(wrap(number, &entry));
    }
    out
}

/// `NamedAny { name, Any { yaml } }` for each member that is an extension. JSON is YAML.
fn extensions(out: &mut Vec<u8>, value: &Value, number: u32) {
    for (name, value) in
        value.as_object().into_iter().flat_map(Map::iter).filter(|(name, _)| name.starts_with("x-"))
    {
        let any = text(2, &value.to_string());
        out.extend(wrap(number, &[text(1, name), wrap(2, &any)].concat()));
    }
}

fn members(value: &Value, fields: &[(&str, Field)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, field) in fields {
        let Some(member) = value.get(name) else { continue };
        let items = member.as_array().map_or(&[][..], Vec::as_slice);
        match *field {
            Field::Text(number) => out.extend(text(number, member.as_str().unwrap_or_default())),
            Field::Texts(number) => {
                items.iter().for_each(|item| out.extend(text(number, item.as_str().unwrap_or_default())));
            }
            Field::Flag(number) => {
                varint(&mut out, u64::from(number) << 3);
                out.push(u8::from(member == &Value::Bool(true)));
            }
            Field::Message(number, encode) => out.extend(wrap(number, &encode(member))),
            Field::Items(number, encode) => {
                items.iter().for_each(|item| out.extend(wrap(number, &encode(item))))
            }
        }
    }
    out
}

fn text(number: u32, text: &str) -> Vec<u8> {
    wrap(number, text.as_bytes())
}

/// A field of type bytes, text or message.
fn wrap(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 6);
    varint(&mut out, u64::from(number) << 3 | 2);
    varint(&mut out, bytes.len() as u64);
    out.extend_from_slice(bytes);
    out
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn golden_bytes() {
        let given = json!({
            "swagger": "2.0",
            "definitions": {"A": {"type": "object", "properties": {"b": {"$ref": "#/x"}}, "x-y": [1]}},
        });
        let expect = b"\x0a\x032.0\x4a\x30\x0a\x2e\x0a\x01A\x12\x29\xb2\x01\x08\x0a\x06object\
            \xca\x01\x0c\x0a\x0a\x0a\x01b\x12\x05\x0a\x03#/x\xfa\x01\x0c\x0a\x03x-y\x12\x05\x12\x03[1]";
        assert_eq!(document(&given), expect);
    }
}
