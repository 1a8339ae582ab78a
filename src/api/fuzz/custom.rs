//! What holds for definitions of resources, and for objects of the resources that they make.

#![allow(dead_code, reason = "each user runs some of these")]

use std::sync::Arc;

use api::codec::{self, FieldValidation};
use api::columns::Row;
use api::custom::{self, CustomResource, naming};
use api::kinds::custom_resource_definition::RESOURCE;
use api::lens::Lens;
use api::table::{self, Include};
use api::view::View;
use api::{Object, Resource, decode, openapi, validate, write};
use serde_json::Value;

use super::schemas;
use super::shapes::Dice;

const NOW: &str = "2026-01-01T00:00:00Z";

/// A definition of a random schema and random instances of it, as the bytes decide.
pub fn check_custom(bytes: &[u8]) {
    let mut dice = Dice::of_bytes(bytes);
    let props = schemas::schema(&mut dice, 0);
    let rows = rows(schemas::definition(&props));
    while !rows.is_empty() && !dice.is_used_up() {
        let Value::Object(fields) = schemas::instance(&props, &mut dice, 0) else { continue };
        check_instance(&rows, &schemas::whole(fields, "x"));
    }
}

/// A definition on a line, and what is to be an instance of it.
pub fn check_definitions(bytes: &[u8]) {
    let Some(at) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(definition) = decode::json(&bytes[..at]) else { return };
    let rows = rows(definition.value);
    if let Ok(instance) = decode::json(&bytes[at + 1..]) {
        check_instance(&rows, &instance.value);
    }
}

/// A row for each version of a definition that is accepted; none when it is refused.
fn rows(definition: Value) -> Vec<Arc<Resource>> {
    let read = codec::from_tree(definition, Vec::new(), &RESOURCE, FieldValidation::Ignore);
    let Ok((mut definition, _)) = read else { return Vec::new() };
    definition.default(&RESOURCE);
    definition.meta.creation_timestamp = NOW.into();
    write::create(&mut definition, &RESOURCE);
    if !validate::create(&definition, &RESOURCE).is_empty() {
        return Vec::new();
    }
    let same = validate::update(&definition, &definition, &RESOURCE);
    assert!(same.iter().all(|error| error.cause().field.starts_with("metadata")), "{same:?}");
    naming::settle(&mut definition, &[], NOW);
    let rows = custom::rows(&definition, 1);
    assert!(!rows.is_empty(), "an accepted definition makes a resource");
    for version in openapi::group_versions(&rows) {
        let _ = openapi::v3(&rows, &version);
    }
    let _ = openapi::v2(&rows);
    rows
}

/// An instance is refused, or is the same in every version however often it is read.
fn check_instance(rows: &[Arc<Resource>], tree: &Value) {
    for row in rows {
        let read = codec::from_tree(tree.clone(), Vec::new(), row, FieldValidation::Ignore);
        let Ok((mut object, _)) = read else { continue };
        object.meta.creation_timestamp = NOW.into();
        object.default(row);
        check_settled(&object, row);
        let custom = row.custom.as_ref().expect("a definition made it");
        let errors = validate::create(&object, row);
        let _ = validate::update(&object, &object, row);
        let _ = custom.status_errors(&object, &object);
        let bytes = object.bytes(row);
        for (_, path) in &custom.selectable {
            let _ = CustomResource::selected(View::new(&bytes), path);
        }
        let mut cells = Vec::new();
        table::append_row(&mut cells, Row::new(&bytes, ""), row, Include::None, 0, &table::append_whole);
        assert!(serde_json::from_slice::<Value>(&cells).is_ok(), "{}", String::from_utf8_lossy(&cells));
        if let (true, Ok(kept)) = (errors.is_empty(), Lens::of(row, "").store(object, None)) {
            let stored = kept.bytes(row.stored());
            for row in rows {
                Lens::of(row, "").read(&stored).expect("what is stored can be shown in every version");
            }
        }
    }
}

/// Nothing is pruned from it or filled in any more.
fn check_settled(object: &Object, row: &Resource) {
    let mut again = object.clone();
    again.default(row);
    assert_eq!(again, *object, "defaults are filled in once");
    let tree = serde_json::from_slice(&object.bytes(row)).expect("JSON");
    let (mut read, unknown) = Object::from_tree(tree, row).expect("what is written can be read");
    assert!(unknown.is_empty(), "pruned twice: {unknown:?}");
    assert_eq!(read.bytes(row), object.bytes(row));
    read.default(row);
    assert_eq!(read.bytes(row), object.bytes(row), "defaults are filled in once");
}
