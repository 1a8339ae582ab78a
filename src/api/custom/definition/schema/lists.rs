//! Lists that are sets or maps.

use serde_json::Value;

use super::walk::Walk;
use super::{Props, flag, word};
use crate::custom::{is, text, texts};
use crate::field_error::FieldError;

impl Walk<'_> {
    pub(super) fn list_type(&mut self, props: &Props, path: &str) {
        let name = "x-kubernetes-list-type";
        let given = props.get(name).and_then(Value::as_str);
        let keys = texts(&Value::Object(props.clone()), "x-kubernetes-list-map-keys");
        if let Some(given) = given {
            if self.wants_kind(props, "array", name, path) && !self.lenience.has_odd_sets {
                self.errors.extend(odd_set(props, path));
            }
            let words = ["atomic", "set", "map"];
            if !words.contains(&given) {
                self.errors.push(FieldError::not_supported(&format!("{path}.{name}"), given, &words));
            }
        }
        if !keys.is_empty() {
            let (field, why) =
                (format!("{path}.{name}"), "must be map if x-kubernetes-list-map-keys is non-empty");
            match given {
                None => self.required(&field, why),
                Some(given) if given != "map" => self.invalid(&field, given, why),
                Some(_) => {}
            }
        }
        if given == Some("map") {
            self.list_map(props, &keys, path);
        }
    }

    fn list_map(&mut self, props: &Props, keys: &[String], path: &str) {
        let list_keys = format!("{path}.x-kubernetes-list-map-keys");
        if keys.is_empty() {
            self.required(&list_keys, "must not be empty if x-kubernetes-list-type is map");
        }
        let items = match props.get("items") {
            None => {
                return self.required(
                    &format!("{path}.items"),
                    "must have a schema if x-kubernetes-list-type is map",
                );
            }
            Some(Value::Object(items)) => items,
            Some(other) => {
                let why = "must only have a single schema if x-kubernetes-list-type is map";
                return self.invalid(&format!("{path}.items"), other.clone(), why);
            }
        };
        let kind = word(items, "type");
        if kind != "object" {
            let why = "must be object if parent array's x-kubernetes-list-type is map";
            return self.invalid(&format!("{path}.items.type"), kind, why);
        }
        for (at, key) in keys.iter().enumerate() {
            match items.get("properties").and_then(|all| all.get(key)) {
                Some(of) if matches!(text(of, "type"), "array" | "object") => {
                    let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                    self.invalid(&format!("{path}.items.properties[{key}].type"), kind, why);
                }
                Some(_) => {}
                None => {
                    self.invalid(&list_keys, keys.to_vec(), "entries must all be names of item properties")
                }
            }
            if keys[..at].contains(key) {
                self.invalid(&list_keys, keys.to_vec(), "must not contain duplicate entries");
            }
        }
    }
}

/// The items of a set change as one value.
pub(super) fn odd_set(props: &Props, path: &str) -> Option<FieldError> {
    let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let items = props.get("items").and_then(Value::as_object)?;
    if word(props, "x-kubernetes-list-type") != "set" {
        return None;
    }
    let list_type = items.get("x-kubernetes-list-type").and_then(Value::as_str);
    let shown = list_type.map_or(Value::Null, Value::from);
    match word(items, "type") {
        "array" if list_type.is_some_and(|given| given != "atomic") => {
            Some(FieldError::invalid(&format!("{path}.items.x-kubernetes-list-type"), shown, why))
        }
        "object" if word(items, "x-kubernetes-map-type") != "atomic" => {
            Some(FieldError::invalid(&format!("{path}.items.x-kubernetes-map-type"), shown, why))
        }
        _ => None,
    }
}

/// Keys of items are there, one way or another, and so are the items.
pub(super) fn key_errors(props: &Props, path: &str) -> Vec<FieldError> {
    let list_type = word(props, "x-kubernetes-list-type");
    let Some(items) = props.get("items").filter(|_| matches!(list_type, "set" | "map")) else {
        return Vec::new();
    };
    let Value::Object(item) = items else { return Vec::new() };
    let mut errors = Vec::new();
    if flag(item, "nullable") {
        let why = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(FieldError::forbidden(&format!("{path}.items.nullable"), &why));
    }
    if list_type == "set" {
        return errors;
    }
    let required = texts(items, "required");
    for key in texts(&Value::Object(props.clone()), "x-kubernetes-list-map-keys") {
        let Some(of) = item.get("properties").and_then(|all| all.get(&key)) else { continue };
        let place = format!("{path}.items.properties[{key}]");
        if !required.contains(&key) && of.get("default").is_none() {
            let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(&format!("{place}.default"), why));
        }
        if is(of, "nullable") {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(&format!("{place}.nullable"), why));
        }
    }
    errors
}
