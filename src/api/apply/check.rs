//! Whether what is applied is of its type: it is looked at as it was given, before anything is filled in.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::element::Element;
use super::typed::{Held, Parts, keyed, scalar};
use crate::go_json;
use crate::resource::{RESOURCES, Resource};
use crate::schema::{Item, Rest, Shape, Type};

/// Says what does not fit, in one text; `None` when everything does.
pub(super) fn object(object: &Value, schema: &Type) -> Option<String> {
    let mut check = Check::default();
    check.structure(object, schema);
    check.told()
}

/// The same of the fields of an object that is there: what was written before its definition changed, or through
/// another version, may be anything. Items of lists may stand there twice.
pub(super) fn stored(fields: &Map<String, Value>, row: &Resource) -> Option<String> {
    row.custom.as_ref()?;
    let mut check = Check { may_repeat: true, ..Check::default() };
    check.members(fields, &row.schema);
    check.told()
}

#[derive(Default)]
struct Check {
    path: String,
    errors: Vec<String>,
    may_repeat: bool,
}

impl Check {
    fn told(self) -> Option<String> {
        match self.errors.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            many => Some(many.iter().fold("errors:".to_owned(), |text, error| text + "\n  " + error)),
        }
    }

    fn refuse(&mut self, why: &str) {
        let error = if self.path.is_empty() { why.to_owned() } else { format!("{}: {why}", self.path) };
        self.errors.push(error);
    }

    fn within(&mut self, element: &Element<'_>, check: impl FnOnce(&mut Self)) {
        let outer = self.path.len();
        write!(self.path, "{element}").expect("text grows in memory");
        check(self);
        self.path.truncate(outer);
    }

    fn structure(&mut self, value: &Value, of: &Type) {
        match value {
            Value::Object(map) => self.members(map, of),
            Value::Null => {}
            other => self.refuse(&format!("expected map, got &{{{}}}", go(other))),
        }
    }

    fn members(&mut self, map: &Map<String, Value>, of: &Type) {
        let rest = of.custom.as_ref().map(|custom| &custom.rest);
        for (name, member) in map {
            let is_type_meta =
                matches!(name.as_str(), "kind" | "apiVersion") && (self.path.is_empty() || is_kind(of));
            let held = match (Held::known(of, name), rest) {
                (Some(held), _) => Some(held),
                (None, _) if is_type_meta => Some(Held::SCALAR),
                (None, Some(Rest::Kept)) => Some(Held::member(of, name)),
                (None, Some(Rest::Shaped(of))) => Some(Held::item(of)),
                (None, Some(Rest::Dropped) | None) => None,
            };
            self.within(&Element::field(name), |check| match held {
                Some(held) => check.value(member, held),
                None => check.refuse("field not declared in schema"),
            });
            if held.is_none() {
                return;
            }
        }
    }

    fn value(&mut self, value: &Value, held: Held<'_>) {
        match held.shape {
            _ if value.is_null() => {}
            Shape::Any
            | Shape::Opaque
            | Shape::Raw
            | Shape::Fields
            | Shape::SchemaOr(..)
            | Shape::IntOrString => {}
            Shape::Struct(of) => self.structure(value, of),
            Shape::Map(of) => match value {
                Value::Object(map) => {
                    for (name, member) in map {
                        self.within(&Element::field(name), |check| check.value(member, Held::item(of)));
                    }
                }
                other => self.refuse(&format!("expected map, got &{{{}}}", go(other))),
            },
            Shape::List(of) => match value {
                Value::Array(items) => self.items(items, of, held),
                other => self.refuse(&format!("expected list, got &{{{}}}", go(other))),
            },
            Shape::Bool if !value.is_boolean() => {
                self.refuse(&format!("expected boolean, got &{{{}}}", go(value)));
            }
            Shape::Float | Shape::Int32 | Shape::Int64 if !value.is_number() => {
                self.refuse(&format!("expected numeric (int or float), got {}", go_json::type_name(value)));
            }
            Shape::Bytes | Shape::Duration | Shape::Text if !value.is_string() => {
                let shown = format!("&value.valueUnstructured{{Value:{}}}", go_syntax(value));
                self.refuse(&format!("expected string, got {shown}"));
            }
            _ if value.is_object() || value.is_array() => {
                self.refuse(&format!("expected any scalar, got &{{{}}}", go(value)));
            }
            _ => {}
        }
    }

    fn items(&mut self, items: &[Value], of: &Item, held: Held<'_>) {
        let mut seen: Vec<Element<'_>> = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let element = match held.known_parts() {
                Parts::Items(keys, of) => keyed(item, keys, of),
                Parts::Set => scalar(item),
                _ => Ok(Element::Index(at as i64)),
            };
            let element = match element {
                Ok(element) => element,
                Err(why) => return self.refuse(&format!("element {at}: {why}")),
            };
            if !self.may_repeat && seen.contains(&element) {
                self.refuse(&format!("duplicate entries for key {element}"));
            }
            self.within(&element, |check| check.value(item, Held::item(of)));
            if !matches!(element, Element::Index(_)) {
                seen.push(element);
            }
        }
    }
}

/// Whether objects of the type stand on their own elsewhere, and so may say what they are.
fn is_kind(of: &Type) -> bool {
    RESOURCES.iter().any(|row| row.schema.model == of.model)
}

/// A value as Go prints it: `map[a:1 b:[x y]]`.
fn go(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut members: Vec<_> =
                map.iter().map(|(name, value)| format!("{name}:{}", go(value))).collect();
            members.sort_unstable();
            format!("map[{}]", members.join(" "))
        }
        scalar => scalar.to_string(),
    }
}

/// A value as Go writes it in its own syntax.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(go_syntax).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let mut members: Vec<_> =
                map.iter().map(|(name, value)| format!("{name:?}:{}", go_syntax(value))).collect();
            members.sort_unstable();
            format!("map[string]interface {{}}{{{}}}", members.join(", "))
        }
        Value::Null => "interface {}(nil)".to_owned(),
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::kinds::custom_resource_definition::RESOURCE;
    use crate::{Object, custom};

    /// The kind `Foo`, whose objects have these members.
    pub fn row(properties: &Value) -> Arc<Resource> {
        let definition = json!({"metadata": {"name": "foos.example.com"}, "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": properties,
            }}}],
        }, "status": {
            "acceptedNames": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"},
            "conditions": [{"type": "Established", "status": "True"}], "storedVersions": ["v1"],
        }});
        let definition = Object::from_tree(definition, &RESOURCE).expect("conforms").0;
        custom::rows(&definition, 1).remove(0)
    }

    #[test]
    fn what_a_definition_lets_stand_fits() {
        let row = row(&json!({
            "any": {"type": "object", "additionalProperties": true},
            "known": {"type": "object", "properties": {"a": {"type": "string"}}},
            "kept": {"type": "object", "properties": {"a": {"type": "string"}},
                "x-kubernetes-preserve-unknown-fields": true},
            "object": {"type": "object", "x-kubernetes-embedded-resource": true,
                "x-kubernetes-preserve-unknown-fields": true},
        }));
        let wrong = |tree: Value| object(&tree, &row.schema);
        let fits = json!({
            "any": {"a": ["b"], "c": 1}, "kept": {"a": "b", "c": [1]},
            "object": {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "a"}, "x": 1},
        });
        assert_eq!(wrong(fits), None);
        assert_eq!(
            wrong(json!({"known": {"b": "c"}})).as_deref(),
            Some(".known.b: field not declared in schema")
        );
        assert_eq!(
            wrong(json!({"object": {"metadata": {"odd": 1}}})).as_deref(),
            Some(".object.metadata.odd: field not declared in schema")
        );
    }
}
