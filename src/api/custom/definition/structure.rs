//! Structural schemas: what a value is made of is said once, outside of the junctors that check it.

use serde_json::{Map, Value, json};

use super::pattern_error;
use crate::field_error::FieldError;

/// `JSONSchemaProps`.
type Props = Map<String, Value>;

/// Where a node stands: some rules differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// What makes a schema other than structural, sorted by text.
pub(super) fn errors(props: &Props, path: &str) -> Vec<FieldError> {
    let mut walk = Walk { errors: Vec::new() };
    walk.node(props, Level::Root, path);
    walk.complete_rules(props, Some(props), path, path);
    walk.errors.sort_by_key(ToString::to_string);
    walk.errors
}

/// What keeps a schema from being read as a structural one at all.
pub(super) fn unreadable(props: &Props) -> Option<String> {
    const UNSUPPORTED: &[&str] =
        &["id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions"];
    let is_set = |name: &&&str| match props.get(**name) {
        None => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Object(map)) => !map.is_empty() || **name == "additionalItems",
        Some(_) => true,
    };
    if let Some(name) = UNSUPPORTED.iter().find(is_set) {
        let name = if *name == "$schema" { "schema" } else { name };
        return Some(format!("OpenAPIV3Schema '{name}' is not supported"));
    }
    if let Some(Value::Array(_)) = props.get("items") {
        return Some("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned());
    }
    if props.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        return Some(
            "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined".to_owned(),
        );
    }
    super::schema::below(props).into_iter().find_map(|(_, below)| unreadable(below))
}

fn schema<'p>(props: &'p Props, name: &str) -> Option<&'p Props> {
    props.get(name).and_then(Value::as_object)
}

fn properties(props: &Props) -> impl Iterator<Item = (&String, &Props)> {
    let all = schema(props, "properties").into_iter().flatten();
    all.filter_map(|(name, below)| Some((name, below.as_object()?)))
}

fn list<'p>(props: &'p Props, name: &str) -> impl Iterator<Item = (usize, &'p Props)> {
    let all = props.get(name).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_object).enumerate()
}

fn word<'p>(props: &'p Props, name: &str) -> &'p str {
    props.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn flag(props: &Props, name: &str) -> bool {
    props.get(name).and_then(Value::as_bool).unwrap_or_default()
}

/// Whether `anyOf` says only that a value is a whole number or text.
fn says_int_or_string(props: &Props) -> bool {
    props.get("anyOf") == Some(&json!([{"type": "integer"}, {"type": "string"}]))
}

struct Walk {
    errors: Vec<FieldError>,
}

impl Walk {
    fn invalid(&mut self, field: &str, value: impl Into<Value>, why: &str) {
        self.errors.push(FieldError::invalid(field, value, why));
    }

    fn required(&mut self, field: &str, why: &str) {
        self.errors.push(FieldError::required(field, why));
    }

    fn forbidden(&mut self, field: &str, why: &str) {
        self.errors.push(FieldError::forbidden(field, why));
    }

    fn node(&mut self, props: &Props, level: Level, path: &str) {
        let kind = word(props, "type");
        match schema(props, "items") {
            Some(items) => self.node(items, Level::Item, &format!("{path}.items")),
            None if kind == "array" => self.required(&format!("{path}.items"), "must be specified"),
            None => {}
        }
        for (name, below) in properties(props) {
            self.node(below, Level::Field, &format!("{path}.properties[{name}]"));
        }
        if let Some(additional) = props.get("additionalProperties") {
            let path = format!("{path}.additionalProperties");
            if level == Level::Root {
                self.forbidden(&path, "must not be used at the root");
            }
            if let Value::Object(below) = additional {
                self.node(below, Level::Field, &path);
            }
        }
        self.extensions(props, path);
        let skips_first = list(props, "allOf").next().is_some_and(|(_, first)| says_int_or_string(first));
        self.rules(props, says_int_or_string(props), skips_first, path);
        self.kind(props, level, kind, path);
        self.meta(props, level, path);
    }

    fn extensions(&mut self, props: &Props, path: &str) {
        if flag(props, "x-kubernetes-int-or-string") {
            for name in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
                if flag(props, name) {
                    self.invalid(
                        &format!("{path}.{name}"),
                        true,
                        "must be false if x-kubernetes-int-or-string is true",
                    );
                }
            }
        }
    }

    fn kind(&mut self, props: &Props, level: Level, kind: &str, path: &str) {
        let field = format!("{path}.type");
        let is_embedded = flag(props, "x-kubernetes-embedded-resource");
        let is_open = flag(props, "x-kubernetes-preserve-unknown-fields");
        let why = "must be object if x-kubernetes-embedded-resource is true";
        match (kind, level) {
            ("", _) if is_embedded => self.required(&field, why),
            (kind, _) if is_embedded && kind != "object" => self.invalid(&field, kind, why),
            ("", _) if is_open || flag(props, "x-kubernetes-int-or-string") => {}
            ("", Level::Root) => self.required(&field, "must not be empty at the root"),
            ("", Level::Item) => self.required(&field, "must not be empty for specified array items"),
            ("", Level::Field) => self.required(&field, "must not be empty for specified object fields"),
            _ => {}
        }
        if is_embedded && props.contains_key("additionalProperties") {
            let why = "must not be used if x-kubernetes-embedded-resource is set";
            self.forbidden(&format!("{path}.additionalProperties"), why);
        }
        if level == Level::Root && !kind.is_empty() && kind != "object" {
            self.invalid(&field, kind, "must be object at the root");
        }
        if is_embedded && !is_open && properties(props).next().is_none() {
            let why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
            self.required(&format!("{path}.properties"), why);
        }
    }

    fn meta(&mut self, props: &Props, level: Level, path: &str) {
        let has_meta = level == Level::Root || flag(props, "x-kubernetes-embedded-resource");
        let below = |name: &str| schema(props, "properties").and_then(|all| all.get(name)?.as_object());
        for (name, wanted) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
            let Some(found) = below(name).filter(|found| has_meta && word(found, "type") != wanted) else {
                continue;
            };
            let field = format!("{path}.properties[{name}].type");
            self.invalid(&field, word(found, "type"), &format!("must be {wanted}"));
        }
        if let Some(meta) = below("metadata").filter(|_| level == Level::Root) {
            let says_more = meta.iter().any(|(name, value)| match name.as_str() {
                "type" | "default" => false,
                "properties" => value.as_object().is_some_and(|names| {
                    names.keys().any(|name| !matches!(name.as_str(), "name" | "generateName"))
                }),
                _ => *value != Value::Bool(false),
            });
            if says_more {
                let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
                self.forbidden(&format!("{path}.properties[metadata]"), why);
            }
        }
    }

    fn rules(&mut self, props: &Props, skips_any_of: bool, skips_first: bool, path: &str) {
        if !skips_any_of {
            for (at, below) in list(props, "anyOf") {
                self.nested(below, false, &format!("{path}.anyOf[{at}]"));
            }
        }
        for (at, below) in list(props, "allOf") {
            self.nested(below, skips_first && at == 0, &format!("{path}.allOf[{at}]"));
        }
        for (at, below) in list(props, "oneOf") {
            self.nested(below, false, &format!("{path}.oneOf[{at}]"));
        }
        if let Some(below) = schema(props, "not") {
            self.nested(below, false, &format!("{path}.not"));
        }
        let pattern = word(props, "pattern");
        self.errors.extend(pattern_error(pattern, &format!("{path}.pattern")));
    }

    /// What stands below a junctor only checks.
    fn nested(&mut self, props: &Props, skips_any_of: bool, path: &str) {
        self.rules(props, skips_any_of, false, path);
        if let Some(items) = schema(props, "items") {
            self.nested(items, false, &format!("{path}.items"));
        }
        for (name, below) in properties(props) {
            self.nested(below, false, &format!("{path}.properties[{name}]"));
        }
        let is_set = |name: &str| match props.get(name) {
            None | Some(Value::Bool(false) | Value::Null) => false,
            Some(Value::String(text)) => !text.is_empty() || name.starts_with("x-"),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(_) => true,
        };
        const FORBIDDEN: &[(&str, &str)] = &[
            ("type", "must be empty to be structural"),
            ("additionalProperties", "must be undefined to be structural"),
            ("default", "must be undefined to be structural"),
            ("title", "must be empty to be structural"),
            ("description", "must be empty to be structural"),
            ("nullable", "must be false to be structural"),
            ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
            ("x-kubernetes-embedded-resource", "must be false to be structural"),
            ("x-kubernetes-int-or-string", "must be false to be structural"),
            ("x-kubernetes-list-map-keys", "must be empty to be structural"),
            ("x-kubernetes-list-type", "must be undefined to be structural"),
            ("x-kubernetes-map-type", "must be undefined to be structural"),
            ("x-kubernetes-validations", "must be empty to be structural"),
        ];
        for (name, why) in FORBIDDEN
            .iter()
            .filter(|(name, _)| is_set(name) || *name == "default" && props.contains_key("default"))
        {
            self.forbidden(&format!("{path}.{name}"), why);
        }
        if schema(props, "properties").is_some_and(|all| all.contains_key("metadata")) {
            self.forbidden(
                &format!("{path}.properties[metadata]"),
                "must not be specified in a nested context",
            );
        }
    }

    /// Everything that junctors of `props` look at exists in `of`, the structure that they check.
    fn complete_rules(&mut self, props: &Props, of: Option<&Props>, path: &str, from: &str) {
        for name in ["allOf", "anyOf", "oneOf"] {
            for (at, below) in list(props, name) {
                self.complete(below, of, path, &format!("{from}.{name}[{at}]"));
            }
        }
        if let Some(below) = schema(props, "not") {
            self.complete(below, of, path, &format!("{from}.not"));
        }
    }

    fn complete(&mut self, props: &Props, of: Option<&Props>, path: &str, from: &str) {
        let Some(of) = of else { return self.required(path, &format!("because it is defined in {from}")) };
        self.complete_rules(props, Some(of), path, from);
        if let Some(items) = schema(props, "items") {
            self.complete(items, schema(of, "items"), &format!("{path}.items"), &format!("{from}.items"));
        }
        for (name, below) in properties(props) {
            let step = format!("properties[{name}]");
            let known = schema(of, "properties").and_then(|all| all.get(name)?.as_object());
            self.complete(below, known, &format!("{path}.{step}"), &format!("{from}.{step}"));
        }
    }
}
