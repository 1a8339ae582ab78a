//! Random definitions, and what Kubernetes' own extension server makes of them: the same.

mod common;

use api::custom::definition;
use api::kinds::custom_resource_definition::RESOURCE;
use api::{Object, validate};
use common::Dice;
use common::causes::{Cause, ours, theirs};
use common::oracle::Oracle;
use common::schemas::schema;
use serde_json::{Value, json};

/// What may stand in place of a word.
const WORDS: [&str; 11] =
    ["", "Odd Name", "v2", "string", "integer", ".a.b", "x", "Foo", "foos", "example.org", "FooList"];

/// A definition that is good.
fn good(dice: &mut Dice) -> Value {
    let props = schema(dice, 0);
    json!({
        "metadata": {"name": "foos.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "foos", "kind": "Foo", "shortNames": ["fo"], "categories": ["all"]},
            "versions": [
                {
                    "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": props},
                    "subresources": {"status": {}, "scale": {
                        "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                    }},
                    "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".spec.a"}],
                },
            ],
        },
    })
}

/// Everything within a tree, by pointer.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let escape = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(map) => {
            for (name, below) in map {
                let at = format!("{at}/{}", escape(name));
                found.push(at.clone());
                pointers(below, &at, found);
            }
        }
        Value::Array(items) => {
            for (index, below) in items.iter().enumerate() {
                pointers(below, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// What may be added to a schema.
fn extras() -> [(&'static str, Value); 26] {
    [
        ("nullable", json!(true)),
        ("type", json!("string")),
        ("type", json!("object")),
        ("type", json!("odd")),
        ("format", json!("odd")),
        ("pattern", json!("(")),
        ("uniqueItems", json!(true)),
        ("default", json!("x")),
        ("default", json!({"odd": 1})),
        ("x-kubernetes-preserve-unknown-fields", json!(false)),
        ("x-kubernetes-embedded-resource", json!(true)),
        ("x-kubernetes-int-or-string", json!(true)),
        ("x-kubernetes-list-type", json!("set")),
        ("x-kubernetes-list-type", json!("map")),
        ("x-kubernetes-list-map-keys", json!(["a", "z"])),
        ("x-kubernetes-map-type", json!("atomic")),
        ("x-kubernetes-map-type", json!("odd")),
        ("additionalProperties", json!({"type": "string"})),
        ("additionalProperties", json!(false)),
        ("items", json!({"type": "string"})),
        ("id", json!("x")),
        ("$ref", json!("x")),
        ("not", json!({"properties": {"zz": {"maxLength": 1}}})),
        ("anyOf", json!([{"type": "string", "title": "x"}])),
        (
            "properties",
            json!({"metadata": {"type": "object", "properties": {"name": {"type": "string"}, "x": {"type": "string"}}}}),
        ),
        ("properties", json!({"metadata": {"type": "string"}, "kind": {"type": "integer"}})),
    ]
}

/// Spoils a definition: a member goes, or gets another value of its kind, or something is added to a schema.
fn spoil(definition: &mut Value, dice: &mut Dice) {
    let mut all = Vec::new();
    pointers(&definition["spec"], "/spec", &mut all);
    let at = all[dice.below(all.len() as u64) as usize].clone();
    let extras = extras();
    let is_schema = at.contains("openAPIV3Schema");
    if is_schema && dice.chance(2) {
        let schemas: Vec<&String> = all
            .iter()
            .filter(|at| definition.pointer(at).is_some_and(|value| value.get("type").is_some()))
            .collect();
        let place = schemas[dice.below(schemas.len() as u64) as usize].clone();
        let (name, value) = extras[dice.below(extras.len() as u64) as usize].clone();
        if place.contains("openAPIV3Schema") {
            definition.pointer_mut(&place).expect("there")[name] = value;
        }
        return;
    }
    let (above, name) = at.rsplit_once('/').expect("a pointer");
    let name = name.replace("~1", "/").replace("~0", "~");
    let Some(Value::Object(map)) = definition.pointer_mut(above) else { return };
    let replaced = match map.get(&name) {
        Some(Value::String(_)) if !dice.chance(3) => Some(json!(dice.one_of(&WORDS))),
        Some(Value::Bool(given)) => Some((!given).into()),
        _ => None,
    };
    match replaced {
        Some(value) => map.insert(name, value),
        None => map.shift_remove(&name),
    };
}

/// Without the values in texts: those of whole lists and schemas are shown in a form of their own.
fn bare(mut causes: Vec<Cause>) -> Vec<Cause> {
    for (field, _, message) in &mut causes {
        if message.starts_with("Invalid value: [") || message.starts_with("Invalid value: {") {
            let tail = message.rsplit_once("]: ").or(message.rsplit_once("}: "));
            let tail = tail.map_or(message.as_str(), |(_, tail)| tail);
            if field == "spec.versions" || field.ends_with("openAPIV3Schema") {
                *message = tail.to_owned();
            }
        }
    }
    causes.sort();
    causes
}

#[test]
fn definitions_are_defaulted_and_validated_as_in_kubernetes() {
    let Some(mut oracle) = Oracle::start() else { return };
    let (mut refused, mut accepted) = (0, 0);
    for seed in 0..1_500 {
        let mut dice = Dice::new(seed + 50_000);
        let mut tree = good(&mut dice);
        if dice.chance(3) {
            let mut second = tree["spec"]["versions"][0].clone();
            second["name"] = "v1beta1".into();
            second["storage"] = false.into();
            if dice.chance(2) {
                second["schema"]["openAPIV3Schema"]["description"] = "another".into();
            }
            tree["spec"]["versions"].as_array_mut().expect("a list").push(second);
        }
        for _ in 0..dice.below(3) {
            spoil(&mut tree, &mut dice);
        }
        let Ok((mut object, _)) = Object::from_tree(tree.clone(), &RESOURCE) else { continue };
        object.default(&RESOURCE);
        let given = Value::Object(object.fields.clone());
        let question = json!({"operation": "custom-definition", "object": tree});
        let told = oracle.ask(&question);
        if told.get("error").is_some() {
            continue;
        }
        (RESOURCE.strategy().prepare_create)(&mut object);
        object.meta.generation = 1;
        let mut errors = definition::errors(&object, None);
        errors.retain(|error| !error.to_string().starts_with("metadata.name: Required"));
        let (mut ours, mut theirs) = (bare(ours(&errors)), bare(theirs(&told)));
        // A type that is none has no values, and is told once.
        if theirs
            .iter()
            .any(|(field, reason, _)| field.ends_with(".type") && reason == "FieldValueNotSupported")
        {
            ours.retain(|(field, ..)| !field.ends_with(".default"));
            theirs.retain(|(field, ..)| !field.ends_with(".default"));
        }
        assert_eq!(ours, theirs, "{seed}: {question} {given}");
        let stored = |tree: Value| {
            let mut object = Object::from_tree(tree, &RESOURCE).expect("conforms").0;
            object.meta.creation_timestamp = "2026-01-01T00:00:00Z".into();
            String::from_utf8(object.prepare(&RESOURCE).body).expect("text")
        };
        object.meta.creation_timestamp = "2026-01-01T00:00:00Z".into();
        if theirs.is_empty() {
            let own = String::from_utf8(object.prepare(&RESOURCE).body).expect("text");
            assert_eq!(own, stored(told["object"]["object"].clone()), "{seed}");
            let mut warned: Vec<String> =
                serde_json::from_value(told["object"]["unknown"].clone()).unwrap_or_default();
            let mut ours = definition::warnings(&object.fields["spec"]);
            warned.sort();
            ours.sort();
            assert_eq!(ours, warned, "{seed}: {question}");
        }
        accepted += u32::from(theirs.is_empty());
        refused += u32::from(!theirs.is_empty());
        assert!(validate::create(&object, &RESOURCE).len() >= errors.len());
    }
    assert!(refused > 200 && accepted > 150, "{refused} {accepted}");
}

#[test]
fn changes_of_definitions_are_judged_as_in_kubernetes() {
    let Some(mut oracle) = Oracle::start() else { return };
    let (mut refused, mut accepted) = (0, 0);
    for seed in 0..600 {
        let mut dice = Dice::new(seed + 90_000);
        let mut old = good(&mut dice);
        old["status"] = json!({
            "acceptedNames": {"plural": "foos", "kind": "Foo"}, "storedVersions": ["v1"],
            "conditions": [{"type": "Established", "status": if dice.chance(2) { "True" } else { "False" }}],
        });
        let mut new = old.clone();
        for _ in 0..1 + dice.below(2) {
            spoil(&mut new, &mut dice);
        }
        let read = |tree: &Value| {
            let (mut object, _) = Object::from_tree(tree.clone(), &RESOURCE).ok()?;
            object.default(&RESOURCE);
            Some(object)
        };
        let (Some(mut object), Some(before)) = (read(&new), read(&old)) else { continue };
        let told = oracle.ask(&json!({"operation": "custom-definition", "object": new, "current": old}));
        if told.get("error").is_some() {
            continue;
        }
        object.fields.insert("status".into(), before.fields["status"].clone());
        (RESOURCE.strategy().prepare_update)(&mut object, &before);
        let errors = definition::errors(&object, Some(&before));
        let (mut ours, mut theirs) = (bare(ours(&errors)), bare(theirs(&told)));
        let is_meta = |(field, ..): &Cause| field.starts_with("metadata");
        ours.retain(|cause| !is_meta(cause));
        theirs.retain(|cause| !is_meta(cause));
        if theirs
            .iter()
            .any(|(field, reason, _)| field.ends_with(".type") && reason == "FieldValueNotSupported")
        {
            continue;
        }
        assert_eq!(ours, theirs, "{seed}: {new} {old}");
        accepted += u32::from(theirs.is_empty());
        refused += u32::from(!theirs.is_empty());
    }
    assert!(refused > 100 && accepted > 100, "{refused} {accepted}");
}
