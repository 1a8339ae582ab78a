//! The same object in JSON, YAML and protobuf is stored as the same bytes, whatever its kind.

mod common;

use api::codec::{FieldValidation, Format, object};
use api::{RESOURCES, Resource, proto};
use common::Dice;
use serde_json::{Map, Value};

/// Random objects of each kind.
const OBJECTS: u64 = 20;

fn stored(body: &[u8], format: Format, row: &Resource) -> String {
    let read = object(body, format, row, FieldValidation::Strict);
    let (mut object, warnings) = read.unwrap_or_else(|refused| panic!("{}: {}", row.kind, refused.message));
    assert!(warnings.is_empty(), "{warnings:?}");
    object.meta.creation_timestamp = "2026-01-01T00:00:00Z".to_owned();
    String::from_utf8(object.prepare(row).body).expect("JSON is text")
}

#[test]
fn one_object_in_every_form_is_stored_as_the_same_bytes() {
    for (row, seed) in RESOURCES.iter().flat_map(|row| (0..OBJECTS).map(move |seed| (row, seed))) {
        let tree: Map<String, Value> = common::object(&row.schema, &mut Dice::new(seed), 0);
        let json = Value::Object(tree.clone()).to_string();
        let expect = stored(json.as_bytes(), Format::Json, row);
        assert_eq!(stored(json.as_bytes(), Format::Yaml, row), expect, "{} {seed}", row.kind);
        // Protobuf is written from what JSON stores: only the server itself writes it.
        let message = proto::message(expect.as_bytes(), &row.schema);
        let sealed = proto::seal(&row.api_version(), &row.kind, &message);
        assert_eq!(stored(&sealed, Format::Protobuf, row), expect, "{} {seed}", row.kind);
        assert_eq!(stored(expect.as_bytes(), Format::Json, row), expect, "{} {seed}: stored again", row.kind);
    }
}
