//! The walk through a schema: what each node may say.

use serde_json::Value;

use super::{Lenience, Props, below, flag, key_errors, word};
use crate::field_error::FieldError;

/// What is known of where a node stands.
#[derive(Clone, Default)]
pub(super) struct Around {
    pub(super) is_root: bool,
    /// Below `metadata`, `kind` or `apiVersion` of an object.
    pub(super) is_meta: bool,
    /// Why nothing may have a default here.
    pub(super) no_defaults: Option<String>,
}

pub(super) struct Walk<'e> {
    pub(super) lenience: &'e Lenience,
    pub(super) errors: &'e mut Vec<FieldError>,
}

impl Walk<'_> {
    pub(super) fn invalid(&mut self, field: &str, value: impl Into<Value>, why: &str) {
        self.errors.push(FieldError::invalid(field, value, why));
    }

    pub(super) fn required(&mut self, field: &str, why: &str) {
        self.errors.push(FieldError::required(field, why));
    }

    fn forbidden(&mut self, field: &str, why: &str) {
        self.errors.push(FieldError::forbidden(field, why));
    }

    pub(super) fn node(&mut self, props: &Props, path: &str, around: &Around) {
        self.standard(props, path, around);
        if flag(props, "uniqueItems") {
            let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.forbidden(&format!("{path}.uniqueItems"), why);
        }
        let has_properties =
            props.get("properties").and_then(Value::as_object).is_some_and(|all| !all.is_empty());
        if has_properties
            && props.get("additionalProperties").is_some_and(|given| *given != Value::Bool(true))
        {
            let why = "additionalProperties and properties are mutual exclusive";
            self.forbidden(&format!("{path}.additionalProperties"), why);
        }
        for (step, below) in below(props) {
            if step.starts_with("patternProperties") || step == "additionalItems" {
                continue;
            }
            let is_resource = around.is_root || flag(props, "x-kubernetes-embedded-resource");
            let mut inner = Around { is_root: false, ..around.clone() };
            let member = step.strip_prefix("properties[").and_then(|rest| rest.strip_suffix(']'));
            if let Some(member) =
                member.filter(|member| is_resource && matches!(*member, "metadata" | "kind" | "apiVersion"))
            {
                inner.is_meta = true;
                if around.is_root {
                    inner.no_defaults = Some(format!("in top-level {member}"));
                }
            }
            if step == "additionalProperties" && around.is_meta {
                inner.no_defaults =
                    Some("inside additionalProperties applying to object metadata".to_owned());
            }
            self.node(below, &format!("{path}.{step}"), &inner);
        }
        if props.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
            let field = format!("{path}.x-kubernetes-preserve-unknown-fields");
            self.invalid(&field, false, "must be true or undefined");
        }
        self.map_type(props, path);
        self.list_type(props, path);
        if !self.lenience.has_odd_keys {
            self.errors.extend(key_errors(props, path));
        }
        self.validations(props, path);
    }

    /// What no version of OpenAPI may say here.
    fn standard(&mut self, props: &Props, path: &str, around: &Around) {
        const KINDS: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
        let kind = word(props, "type");
        if !self.lenience.has_odd_types && !kind.is_empty() && !KINDS.contains(&kind) {
            self.errors.push(FieldError::not_supported(&format!("{path}.type"), kind, &KINDS));
        }
        if let (true, Some(why)) = (props.contains_key("default"), &around.no_defaults) {
            self.forbidden(&format!("{path}.default"), &format!("must not be set {why}"));
        }
        for name in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
            let is_set = match props.get(name) {
                None => false,
                Some(Value::String(text)) => !text.is_empty() || name == "$ref",
                Some(Value::Object(map)) => {
                    !map.is_empty() || matches!(name, "additionalItems" | "dependencies")
                }
                Some(_) => true,
            };
            if is_set {
                self.forbidden(&format!("{path}.{name}"), &format!("{name} is not supported"));
            }
        }
        if kind == "null" {
            self.forbidden(
                &format!("{path}.type"),
                "type cannot be set to null, use nullable as an alternative",
            );
        }
        if props.get("items").and_then(Value::as_array).is_some_and(|items| !items.is_empty()) {
            self.forbidden(&format!("{path}.items"), "items must be a schema object and not an array");
        }
        if around.is_meta && flag(props, "x-kubernetes-embedded-resource") {
            let field = format!("{path}.x-kubernetes-embedded-resource");
            self.forbidden(&field, "must not be used inside of resource meta");
        }
    }

    /// An extension that only makes sense for one kind of value.
    pub(super) fn wants_kind(&mut self, props: &Props, wanted: &str, extension: &str, path: &str) -> bool {
        let (kind, field) = (word(props, "type"), format!("{path}.type"));
        let why = format!("must be {wanted} if {extension} is specified");
        match kind {
            "" => self.required(&field, &why),
            kind if kind != wanted => self.invalid(&field, kind, &why),
            _ => return true,
        }
        false
    }

    fn map_type(&mut self, props: &Props, path: &str) {
        let name = "x-kubernetes-map-type";
        let Some(given) = props.get(name).and_then(Value::as_str) else { return };
        self.wants_kind(props, "object", name, path);
        let words = ["atomic", "granular"];
        if !words.contains(&given) {
            self.errors.push(FieldError::not_supported(&format!("{path}.{name}"), given, &words));
        }
    }
}
