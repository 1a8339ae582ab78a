//! Random schemas and objects, and what Kubernetes' own extension server makes of them: the same.

mod common;

use std::sync::Arc;

use api::custom::{self, columns};
use api::kinds::custom_resource_definition::RESOURCE;
use api::{Object, Resource};
use common::Dice;
use common::custom::{NAMES, chance, ours, pick, schema, theirs};
use common::oracle::Oracle;
use serde_json::{Map, Value, json};

/// Any value at all.
fn anything(dice: &mut Dice, depth: usize) -> Value {
    match dice.below(if depth > 3 { 6 } else { 9 }) {
        0 => Value::Null,
        1 => true.into(),
        2 => (dice.below(9) as i64 - 2).into(),
        3 => [json!(1.5), json!(2.0), json!(-3.25), json!(1e10), json!(5_000_000_000_i64)]
            [dice.below(5) as usize]
            .clone(),
        4 | 5 => {
            pick(dice, &["", "a", "bb", "12", "x y", "2026-01-01", "10.0.0.1", "YQ==", "1h", "\u{e4}\n"])
                .into()
        }
        6 => (0..dice.below(3)).map(|_| anything(dice, depth + 1)).collect(),
        _ => {
            let mut map = Map::new();
            for name in NAMES {
                if chance(dice, 3) {
                    map.insert(name.into(), anything(dice, depth + 1));
                }
            }
            map.into()
        }
    }
}

/// A value that mostly fits a schema.
fn instance(props: &Value, dice: &mut Dice, depth: usize) -> Value {
    if chance(dice, 12) && depth > 0 {
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
        if chance(dice, 4) {
            object
                .as_object_mut()
                .expect("an object")
                .shift_remove(pick(dice, &["kind", "apiVersion", "metadata"]));
        }
        return object;
    }
    match props["type"].as_str().unwrap_or_default() {
        "object" => {
            let mut map = Map::new();
            for (name, of) in props["properties"].as_object().into_iter().flatten() {
                if !chance(dice, 3) {
                    map.insert(name.clone(), instance(of, dice, depth + 1));
                }
            }
            if let Some(of @ Value::Object(_)) = props.get("additionalProperties") {
                for name in ["k", "l.m"] {
                    if chance(dice, 2) {
                        map.insert(name.into(), instance(of, dice, depth + 1));
                    }
                }
            }
            if chance(dice, 4) {
                map.insert("odd".into(), anything(dice, 2));
            }
            map.into()
        }
        "array" => (0..dice.below(4)).map(|_| instance(&props["items"], dice, depth + 1)).collect(),
        "string" => pick(dice, &["", "a", "bb", "12", "abc", "2026-01-01", "10.0.0.1", "YQ=="]).into(),
        "integer" => (dice.below(9) as i64 - 2).into(),
        "number" => [json!(1.5), json!(2), json!(-3.25), json!(2.0)][dice.below(4) as usize].clone(),
        "boolean" => true.into(),
        _ => anything(dice, depth + 1),
    }
}

/// An established definition of this schema, and its row.
fn row(props: &Value) -> Arc<Resource> {
    let definition = json!({
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
    });
    let definition = Object::from_tree(definition, &RESOURCE).expect("conforms").0;
    custom::rows(&definition, 1).remove(0)
}

fn whole(fields: Map<String, Value>, name: &str) -> Value {
    let mut tree =
        json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": name, "namespace": "ns"}});
    tree.as_object_mut().expect("an object").extend(fields);
    tree
}

/// A value with its members in order, as bytes.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> =
                map.iter().map(|(name, value)| format!("{name:?}:{}", canonical(value))).collect();
            members.sort();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Number(number) => number.as_f64().expect("a number").to_string(),
        scalar => scalar.to_string(),
    }
}

#[test]
fn objects_of_definitions_are_pruned_defaulted_and_validated_as_in_kubernetes() {
    let Some(mut oracle) = Oracle::start() else { return };
    let (mut with_causes, mut with_unknown, mut compared) = (0, 0, 0);
    for seed in 0..2_500 {
        let mut dice = Dice::new(seed);
        let props = schema(&mut dice, 0);
        let row = row(&props);
        let Value::Object(fields) = instance(&props, &mut dice, 0) else { continue };
        let mut question =
            json!({"operation": "custom-object", "modified": props, "object": whole(fields.clone(), "x")});
        let old = (chance(&mut dice, 3)).then(|| {
            let mut old = fields.clone();
            if chance(&mut dice, 2) {
                old.insert(pick(&mut dice, &NAMES).into(), anything(&mut dice, 2));
            }
            old
        });
        let old = old.map(|old| Object::from_tree(whole(old, "x"), &row).expect("read").0).map(|mut old| {
            old.default(&row);
            old
        });
        if let Some(old) = &old {
            question["current"] = whole(old.fields.clone(), "x");
        }
        let told = oracle.ask(&question);
        let read = Object::from_tree(whole(fields, "x"), &row);
        let (mut object, mut unknown) = match (read, told.get("error")) {
            (Ok(read), None) => read,
            (Err(_), Some(_)) => continue,
            (Ok(_), Some(error)) => panic!("{seed}: only they refuse: {error} {question}"),
            (Err(error), None) => panic!("{seed}: only we refuse: {error} {question}"),
        };
        object.default(&row);
        unknown.sort();
        let mut their_unknown: Vec<String> =
            serde_json::from_value(told["object"]["unknown"].clone()).unwrap_or_default();
        their_unknown.sort();
        // More than twenty are not told.
        if unknown.len() < 20 {
            assert_eq!(unknown, their_unknown, "{seed}: {question}");
        }
        assert_eq!(
            canonical(&whole(object.fields.clone(), "x")),
            canonical(&told["object"]["object"]),
            "{seed}: {question}"
        );
        let errors = row.custom.as_ref().expect("custom").errors(&object, old.as_ref());
        assert_eq!(ours(&errors), theirs(&told), "{seed}: {question}");
        with_causes += u32::from(!errors.is_empty());
        with_unknown += u32::from(!unknown.is_empty());
        compared += 1;
    }
    assert!(
        compared > 1_500 && with_causes > 400 && with_unknown > 400,
        "{compared} {with_causes} {with_unknown}"
    );
}

#[test]
fn cells_are_those_of_kubernetes() {
    let Some(mut oracle) = Oracle::start() else { return };
    let object = json!({
        "apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "x", "labels": {"a.b/c": "l"}},
        "spec": {"n": 3, "f": 1.5, "big": 10_000_000.0, "b": true, "s": "text", "z": null, "m": {"b": 1, "a": [1]},
            "list": [{"k": "a", "v": 1}, {"k": "b", "v": 2}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
    });
    let paths = [
        ".spec.n",
        ".spec.f",
        ".spec.big",
        ".spec.b",
        ".spec.s",
        ".spec.z",
        ".spec.m",
        ".spec.list",
        ".spec.list[0].k",
        ".spec.list[-1].v",
        ".spec.list[*].k",
        ".spec.list[5].k",
        ".spec.list[0:2].v",
        ".spec.missing",
        ".spec.s.deeper",
        r".metadata.labels.a\.b/c",
        r".metadata.labels['a\.b/c']",
        r#".status.conditions[?(@.type=="Ready")].status"#,
        r#".status.conditions[?(@.type=="None")].status"#,
        ".spec.list[?(@.v>1)].k",
        ".spec.list[0,1].k",
        "..k",
        ".spec.list[:1].k",
        ".spec.list[::2].k",
        ".spec.n[0]",
        ".spec.list[?(@.v)].k",
        ".spec.*",
        ".",
    ];
    for path in paths {
        for kind in ["string", "integer", "number", "boolean", "date"] {
            let column = json!([{"name": "C", "type": kind, "jsonPath": path}]);
            let told =
                oracle.ask(&json!({"operation": "custom-table", "modified": column, "object": object}));
            // A wildcard over members finds them in no order.
            if path == ".spec.*" {
                continue;
            }
            let read = columns::read(column.as_array().expect("a list"));
            if let Some(error) = told.get("error") {
                assert!(read.is_empty(), "{path}: {error}");
                continue;
            }
            let ours: Vec<Value> = read.iter().map(|column| column.cell(&object, 0)).collect();
            let theirs = told["object"].as_array().expect("cells")[1..].to_vec();
            assert_eq!(ours, theirs, "{path} {kind}");
        }
    }
}
