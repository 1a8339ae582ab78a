//! Random schemas of definitions, and random instances of them.

#![allow(dead_code, reason = "each user makes some of these")]

use std::sync::Arc;

use api::custom;
use api::kinds::custom_resource_definition::RESOURCE;
use api::{Object, Resource};
use serde_json::{Map, Value, json};

use super::shapes::Dice;

/// The names of members: few, so that objects hit them.
pub const NAMES: [&str; 5] = ["a", "b", "c", "list", "map"];

/// Checks of a value, as they may stand beside its type or below a junctor.
fn rules(kind: &str, dice: &mut Dice) -> Map<String, Value> {
    let mut rules = Map::new();
    let mut add = |name: &str, value: Value| drop(rules.insert(name.to_owned(), value));
    match kind {
        "string" => {
            if dice.chance(4) {
                add("maxLength", dice.below(4).into());
            }
            if dice.chance(4) {
                add("minLength", dice.below(3).into());
            }
            if dice.chance(4) {
                add("pattern", dice.one_of(&["^a", r"^\d+$", "^[a-z]+$", "b{2}"]).into());
            }
            if dice.chance(4) {
                let formats =
                    ["date", "date-time", "ipv4", "uuid", "byte", "unheard-of", "duration", "k8s-short-name"];
                add("format", dice.one_of(&formats).into());
            }
            if dice.chance(6) {
                add("enum", json!(["a", "bb", "x y"]));
            }
        }
        "integer" | "number" => {
            if dice.chance(3) {
                add("maximum", [json!(5), json!(2.5), json!(-1)][dice.below(3) as usize].clone());
            }
            if dice.chance(3) {
                add("minimum", [json!(0), json!(1.5), json!(3)][dice.below(3) as usize].clone());
            }
            if dice.chance(4) {
                add("exclusiveMaximum", true.into());
            }
            if dice.chance(4) {
                add("exclusiveMinimum", true.into());
            }
            if dice.chance(5) {
                add("multipleOf", [json!(2), json!(0.5)][dice.below(2) as usize].clone());
            }
            if dice.chance(5) {
                add("format", dice.one_of(&["int32", "int64", "float", "double", "date"]).into());
            }
            if dice.chance(8) {
                add("enum", json!([1, 2.5, 3]));
            }
        }
        "array" => {
            if dice.chance(4) {
                add("maxItems", dice.below(3).into());
            }
            if dice.chance(5) {
                add("minItems", dice.below(3).into());
            }
        }
        "object" => {
            if dice.chance(6) {
                add("maxProperties", (1 + dice.below(2)).into());
            }
            if dice.chance(6) {
                add("minProperties", dice.below(3).into());
            }
            if dice.chance(4) {
                add("required", json!([dice.one_of(&NAMES)]));
            }
        }
        _ => {}
    }
    rules
}

/// A structural schema.
pub fn schema(dice: &mut Dice, depth: usize) -> Value {
    let scalars = ["string", "integer", "number", "boolean"];
    let all = ["string", "integer", "object", "array", "object", "object", "array", "number"];
    let kind = if depth == 0 {
        "object"
    } else if depth > 3 {
        dice.one_of(&scalars)
    } else {
        dice.one_of(&all)
    };
    let mut props = Map::from_iter([("type".to_owned(), kind.into())]);
    if depth > 0 {
        if dice.chance(12) {
            return int_or_string(dice);
        }
        if dice.chance(14) {
            return json!({"x-kubernetes-preserve-unknown-fields": true});
        }
        if dice.chance(14) {
            return json!({
                "type": "object", "x-kubernetes-embedded-resource": true,
                "x-kubernetes-preserve-unknown-fields": true,
            });
        }
        if dice.chance(6) {
            props.insert("nullable".into(), true.into());
        }
        if dice.chance(5) && kind != "object" {
            let default = match kind {
                "string" => json!("def"),
                "integer" => json!(7),
                "number" => json!(1.5),
                "boolean" => json!(true),
                _ => json!([]),
            };
            props.insert("default".into(), default);
        }
        if dice.chance(6) && kind == "object" {
            props.insert("default".into(), json!({}));
        }
    }
    props.extend(rules(kind, dice));
    if kind == "object" {
        if depth > 0 && dice.chance(6) {
            props.insert("x-kubernetes-map-type".into(), dice.one_of(&["atomic", "granular"]).into());
        }
        object_parts(&mut props, dice, depth);
    }
    if kind == "array" {
        let mut items = schema(dice, depth + 1);
        match dice.below(5) {
            0 if items["type"] == "object"
                && items.get("properties").is_some_and(|all| all.get("a").is_some()) =>
            {
                items["properties"]["a"] = json!({"type": "string", "default": "key"});
                props.insert("x-kubernetes-list-type".into(), "map".into());
                props.insert("x-kubernetes-list-map-keys".into(), json!(["a"]));
            }
            1 => drop(props.insert("x-kubernetes-list-type".into(), "set".into())),
            2 => drop(props.insert("x-kubernetes-list-type".into(), "atomic".into())),
            _ => {}
        }
        props.insert("items".into(), items);
    }
    if depth > 0 && dice.chance(4) {
        junctors(&mut props, kind, dice);
    }
    props.into()
}

fn junctors(props: &mut Map<String, Value>, kind: &str, dice: &mut Dice) {
    for name in ["allOf", "anyOf", "oneOf"] {
        if dice.chance(2) {
            let branches: Vec<Value> = (0..1 + dice.below(3)).map(|_| rules(kind, dice).into()).collect();
            props.insert(name.into(), branches.into());
        }
    }
    if dice.chance(3) {
        props.insert("not".into(), rules(kind, dice).into());
    }
}

fn int_or_string(dice: &mut Dice) -> Value {
    let mut props = json!({"x-kubernetes-int-or-string": true});
    if dice.chance(2) {
        props["anyOf"] = json!([{"type": "integer"}, {"type": "string"}]);
    }
    if dice.chance(3) {
        props["pattern"] = r"^\d+%$".into();
    }
    props
}

fn object_parts(props: &mut Map<String, Value>, dice: &mut Dice, depth: usize) {
    if depth > 0 && dice.chance(5) {
        let additional = if dice.chance(5) { true.into() } else { schema(dice, depth + 1) };
        props.insert("additionalProperties".into(), additional);
        return;
    }
    let mut members = Map::new();
    for name in NAMES {
        if dice.chance(2) {
            members.insert(name.into(), schema(dice, depth + 1));
        }
    }
    props.insert("properties".into(), members.into());
    if dice.chance(8) {
        props.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
    }
}

/// Any value at all.
pub fn anything(dice: &mut Dice, depth: usize) -> Value {
    match dice.below(if depth > 3 { 6 } else { 9 }) {
        0 => Value::Null,
        1 => true.into(),
        2 => (dice.below(9) as i64 - 2).into(),
        3 => [json!(1.5), json!(2.0), json!(-3.25), json!(1e10), json!(5_000_000_000_i64)]
            [dice.below(5) as usize]
            .clone(),
        4 | 5 => dice
            .one_of(&["", "a", "bb", "12", "x y", "2026-01-01", "10.0.0.1", "YQ==", "1h", "\u{e4}\n"])
            .into(),
        6 => (0..dice.below(3)).map(|_| anything(dice, depth + 1)).collect(),
        _ => {
            let mut map = Map::new();
            for name in NAMES {
                if dice.chance(3) {
                    map.insert(name.into(), anything(dice, depth + 1));
                }
            }
            map.into()
        }
    }
}

/// A value that mostly fits a schema.
pub fn instance(props: &Value, dice: &mut Dice, depth: usize) -> Value {
    if dice.chance(12) && depth > 0 {
        return anything(dice, depth);
    }
    let at = |value: &Value, name: &str| value.get(name).cloned();
    if at(props, "x-kubernetes-embedded-resource").is_some() {
        let metas = [
            json!({"name": "x", "labels": {"a": "b"}}),
            json!({"name": "a/b", "odd": 1, "labels": {}}),
            json!({}),
        ];
        let mut object =
            json!({"apiVersion": "v1", "kind": "Thing", "metadata": metas[dice.below(3) as usize], "x": 1});
        if dice.chance(4) {
            object.as_object_mut().expect("an object").shift_remove(dice.one_of(&[
                "kind",
                "apiVersion",
                "metadata",
            ]));
        }
        return object;
    }
    match props["type"].as_str().unwrap_or_default() {
        "object" => {
            let mut map = Map::new();
            for (name, of) in props["properties"].as_object().into_iter().flatten() {
                if !dice.chance(3) {
                    map.insert(name.clone(), instance(of, dice, depth + 1));
                }
            }
            if let Some(of @ Value::Object(_)) = props.get("additionalProperties") {
                for name in ["k", "l.m"] {
                    if dice.chance(2) {
                        map.insert(name.into(), instance(of, dice, depth + 1));
                    }
                }
            }
            if dice.chance(4) {
                map.insert("odd".into(), anything(dice, 2));
            }
            map.into()
        }
        "array" => (0..dice.below(4)).map(|_| instance(&props["items"], dice, depth + 1)).collect(),
        "string" => dice.one_of(&["", "a", "bb", "12", "abc", "2026-01-01", "10.0.0.1", "YQ=="]).into(),
        "integer" => (dice.below(9) as i64 - 2).into(),
        "number" => [json!(1.5), json!(2), json!(-3.25), json!(2.0)][dice.below(4) as usize].clone(),
        "boolean" => true.into(),
        _ => anything(dice, depth + 1),
    }
}

/// A definition with this schema.
pub fn definition(props: &Value) -> Value {
    json!({
        "metadata": {"name": "foos.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": props}}],
        },
        "status": {
            "acceptedNames": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"},
            "conditions": [{"type": "Established", "status": "True"}], "storedVersions": ["v1"],
        },
    })
}

/// The row of such a definition.
pub fn row(props: &Value) -> Arc<Resource> {
    let definition = Object::from_tree(definition(props), &RESOURCE).expect("conforms").0;
    custom::rows(&definition, 1).remove(0)
}

/// An instance of it.
pub fn whole(fields: Map<String, Value>, name: &str) -> Value {
    let mut tree =
        json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": name, "namespace": "ns"}});
    tree.as_object_mut().expect("an object").extend(fields);
    tree
}
