//! Random schemas and objects, and what Kubernetes' own extension server makes of them: the same.

mod common;

use api::Object;
use api::custom::columns;
use common::Dice;
use common::causes::{ours, theirs};
use common::oracle::Oracle;
use common::schemas::{NAMES, anything, instance, row, schema, whole};
use serde_json::{Value, json};

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
        let old = (dice.chance(3)).then(|| {
            let mut old = fields.clone();
            if dice.chance(2) {
                old.insert(dice.one_of(&NAMES).into(), anything(&mut dice, 2));
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
