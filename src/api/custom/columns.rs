//! Columns that a definition adds to the table of its objects.

use serde_json::{Number, Value, json};

use super::json_path::JsonPath;
use super::text;
use crate::columns::{Columns, Definition};
use crate::field_error::go_float;
use crate::time;

/// One of them.
#[derive(Debug)]
pub struct Column {
    /// As a table defines it.
    pub definition: Definition,
    path: JsonPath,
}

/// The name of an object in the words of the documentation.
const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";

/// The columns of a version's tables: the name, and those that it defines.
pub fn of(given: &[Value]) -> Columns {
    let name = Definition {
        name: "Name".to_owned(),
        kind: "string".to_owned(),
        format: "name".to_owned(),
        description: NAME.to_owned(),
        priority: 0,
    };
    let own = read(given);
    let definitions = [name].into_iter().chain(own.iter().map(|column| column.definition.clone())).collect();
    Columns::new(definitions, move |row, cells| {
        cells.same(row.metadata.get("name"));
        let object = row.object.to_value();
        for column in &own {
            cells.json(column.cell(&object, cells.now_ms()).to_string().as_bytes());
        }
    })
}

/// What the age is, in the words of the documentation.
const AGE: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// Those of a version; without any, the age. Behind one whose path cannot be read there are none.
pub fn read(given: &[Value]) -> Vec<Column> {
    if given.is_empty() {
        let age = json!({"name": "Age", "type": "date", "description": AGE, "jsonPath": ".metadata.creationTimestamp"});
        return column(&age).into_iter().collect();
    }
    given.iter().map_while(column).collect()
}

fn column(given: &Value) -> Option<Column> {
    let path = text(given, "jsonPath");
    let description = match text(given, "description") {
        "" => format!("Custom resource definition column (in JSONPath format): {path}"),
        own => own.to_owned(),
    };
    let priority = given.get("priority").and_then(Value::as_i64).unwrap_or_default();
    let definition = Definition {
        name: text(given, "name").to_owned(),
        kind: text(given, "type").to_owned(),
        format: text(given, "format").to_owned(),
        description,
        priority: i32::try_from(priority).unwrap_or_default(),
    };
    Some(Column { definition, path: JsonPath::parse(path)? })
}

impl Column {
    /// The cell of an object, as a tree with everything that stands in it. `now_ms` is what ages count to.
    pub fn cell(&self, object: &Value, now_ms: u64) -> Value {
        let found = self.path.find(object).unwrap_or_default();
        let Some(value) = found.first() else { return Value::Null };
        match (self.definition.kind.as_str(), value) {
            ("string", value) => printed(value).into(),
            (_, Value::Null) => Value::Null,
            ("integer", Value::Number(number)) => {
                let whole = number.as_i64().or_else(|| number.as_f64().map(|float| float as i64));
                whole.map_or(Value::Null, Value::from)
            }
            ("number", Value::Number(number)) => plain(number),
            ("boolean", Value::Bool(_)) => (*value).clone(),
            ("date", Value::String(text)) => age(text, now_ms).into(),
            _ => Value::Null,
        }
    }
}

/// A number without a fraction that says nothing.
fn plain(number: &Number) -> Value {
    /// Beyond it not every whole number has a float of its own.
    const EXACT_MAX: f64 = 9e15;
    match number.as_f64() {
        Some(float) if float.fract() == 0.0 && float.abs() < EXACT_MAX => (float as i64).into(),
        _ => number.clone().into(),
    }
}

fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => go_float(number.as_f64().unwrap_or_default()),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => {
            let mut text = Vec::new();
            crate::encode::any(&mut text, value);
            String::from_utf8_lossy(&text).into_owned()
        }
    }
}

fn age(text: &str, now_ms: u64) -> String {
    let now_us = i64::try_from(now_ms).unwrap_or_default().saturating_mul(1000);
    match time::parse(text) {
        Some(then) => time::span(now_us - then),
        None if text.is_empty() => "<unknown>".to_owned(),
        None => "<invalid>".to_owned(),
    }
}
