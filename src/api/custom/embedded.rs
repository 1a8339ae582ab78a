//! Objects of Kubernetes within others: their kind, apiVersion and metadata are as those of any object.

use serde_json::{Map, Value};

use super::structural::Structural;
use crate::field_error::FieldError;
use crate::meta::ObjectMeta;
use crate::{names, validate};

/// What is wrong with the objects within an object.
pub fn errors(members: &Map<String, Value>, schema: &Structural) -> Vec<FieldError> {
    let mut errors = Vec::new();
    object("", members, schema, &mut errors);
    errors
}

/// The same of a value at `path`.
pub fn value_errors(path: &str, value: &Value, schema: &Structural) -> Vec<FieldError> {
    let mut errors = Vec::new();
    below(path, value, schema, &mut errors);
    errors
}

fn below(path: &str, value: &Value, schema: &Structural, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(members) => object(path, members, schema, errors),
        Value::Array(items) => {
            if let Some(of) = &schema.items {
                for (at, item) in items.iter().enumerate() {
                    below(&format!("{path}[{at}]"), item, of, errors);
                }
            }
        }
        _ => {}
    }
}

fn child(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn object(path: &str, members: &Map<String, Value>, schema: &Structural, errors: &mut Vec<FieldError>) {
    if schema.is_embedded {
        embedded(path, members, errors);
    }
    for (name, value) in members.iter().filter(|(_, value)| value.is_object() || value.is_array()) {
        match (schema.properties.get(name), schema.member(name)) {
            (Some(of), _) => below(&child(path, name), value, of, errors),
            (None, Some(of)) => below(&format!("{path}[{name}]"), value, of, errors),
            (None, None) => {}
        }
    }
}

fn embedded(path: &str, members: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    for name in ["apiVersion", "kind"] {
        let path = child(path, name);
        match members.get(name) {
            None => errors.push(FieldError::required(&path, "")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(FieldError::invalid(&path, "", "must not be empty"));
            }
            Some(Value::String(text)) if name == "kind" => {
                let wrong = names::dns_1035_label(&text.to_lowercase(), false);
                if !wrong.is_empty() {
                    let why = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
                    errors.push(FieldError::invalid(&path, text.as_str(), &why));
                }
            }
            Some(Value::String(text)) => {
                if text.matches('/').count() > 1 {
                    let why = format!("unexpected GroupVersion string: {text}");
                    errors.push(FieldError::invalid(&path, text.as_str(), &why));
                }
            }
            Some(other) => errors.push(FieldError::invalid(&path, other.clone(), "must be a string")),
        }
    }
    if let Some(Value::Object(meta)) = members.get("metadata") {
        errors.extend(validate::embedded(ObjectMeta::from_map(meta.clone()), path));
    }
}
