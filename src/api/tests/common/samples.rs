//! Valid objects, in `tests/samples`: a file for each kind, in YAML without what is the same in all, or one for several
//! kinds, in JSON.

use std::path::Path;
use std::sync::Arc;

use api::{RESOURCES, Resource, decode};
use serde_json::{Value, json};

/// A valid object and its kind.
pub struct Sample {
    pub row: Arc<Resource>,
    pub object: Value,
}

/// Those of a file.
pub fn of(file: &str) -> Vec<Sample> {
    match text(&format!("{file}.yaml")) {
        Some(text) => {
            let row = row(|row| in_yaml(row) == file);
            let documents = text.split("\n---\n");
            let objects = documents.map(|one| decode::yaml(one.as_bytes()).expect("YAML").value);
            objects.map(|object| Sample { object: complete(object, &row), row: row.clone() }).collect()
        }
        None => {
            let is_of = |object: &Value, row: &Resource| {
                row.kind == object["kind"] && row.api_version() == object["apiVersion"]
            };
            json(file)
                .into_iter()
                .map(|object| Sample { row: row(|row| is_of(&object, row)), object })
                .collect()
        }
    }
}

/// The values in a file in JSON.
pub fn json(file: &str) -> Vec<Value> {
    let text = text(&format!("{file}.json")).unwrap_or_else(|| panic!("{file} is not there"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn text(name: &str) -> Option<String> {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
    std::fs::read_to_string(Path::new(&package).join("tests/samples").join(name)).ok()
}

/// Kinds of two groups have a file for each.
fn in_yaml(row: &Resource) -> String {
    if row.group == "events.k8s.io" { "events.events".to_owned() } else { row.plural.clone() }
}

fn row(is_it: impl Fn(&Resource) -> bool) -> Arc<Resource> {
    RESOURCES.iter().find(|row| is_it(row)).cloned().expect("a resource")
}

fn complete(mut object: Value, row: &Resource) -> Value {
    object["apiVersion"] = row.api_version().into();
    object["kind"] = row.kind.clone().into();
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    if object["metadata"].get("name").is_none() {
        object["metadata"]["name"] = "a".into();
    }
    if row.namespaced {
        object["metadata"]["namespace"] = "default".into();
    }
    object
}
