//! Random sets of fields and their owners, which Kubernetes' own libraries combine the same.

mod common;

use api::apply::{self, Entry};
use api::{Object, Resource};
use common::Dice;
use common::oracle::Oracle;
use serde_json::{Map, Value, json};

#[test]
fn sets_combine_as_those_of_kubernetes() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut dice = Dice::new(3);
    for _ in 0..3_000 {
        let (a, b) = (fields(&mut dice, 0), fields(&mut dice, 0));
        let told = oracle.ask(&json!({"operation": "sets", "current": a, "modified": b}));
        let texts = (a.to_string(), b.to_string());
        let (mine, theirs) = (apply::read(&texts.0).expect("a set"), apply::read(&texts.1).expect("a set"));
        let combined = [
            ("self", mine.clone()),
            ("union", mine.union(&theirs)),
            ("intersection", mine.intersection(&theirs)),
            ("difference", mine.difference(&theirs)),
            ("recursive", mine.recursive_difference(&theirs)),
        ];
        for (name, set) in combined {
            let text = apply::write(&set);
            assert_eq!(text, told["object"][name].to_string(), "{name} of {a} and {b}");
        }
    }
}

/// A random set: few different elements, so that two sets have much in common.
fn fields(dice: &mut Dice, depth: usize) -> Value {
    const ELEMENTS: &[&str] = &[
        ".",
        "f:a",
        "f:b",
        "f:c/d",
        "k:{\"name\":\"a\"}",
        "k:{\"name\":\"a<b\"}",
        "k:{\"port\":80}",
        "k:{\"port\":443}",
        "k:{\"port\":80,\"protocol\":\"TCP\"}",
        "v:1",
        "v:10",
        "v:2",
        "v:\"x\"",
        "v:true",
        "i:0",
        "i:10",
        "i:9",
        "x:y",
    ];
    let mut map = Map::new();
    for _ in 0..dice.below(5) {
        let name = ELEMENTS[dice.below(ELEMENTS.len() as u64) as usize];
        let below = if name == "." || depth > 2 { json!({}) } else { fields(dice, depth + 1) };
        map.insert(name.to_owned(), below);
    }
    map.into()
}

/// Entries of `apps/v1` that own replicas, or do not.
fn entries(dice: &mut Dice, versions: &[&str]) -> Value {
    let mut all: Vec<Value> = Vec::new();
    for manager in ["a", "b", "c"] {
        let operation = if dice.below(2) == 0 { "Apply" } else { "Update" };
        let spec = match dice.below(3) {
            0 => json!({"f:replicas": {}}),
            1 => json!({"f:paused": {}}),
            _ => json!({"f:paused": {}, "f:replicas": {}}),
        };
        if dice.below(4) > 0 {
            all.push(json!({
                "manager": manager, "operation": operation,
                "apiVersion": versions[dice.below(versions.len() as u64) as usize],
                "time": format!("2020-01-01T00:00:0{}Z", dice.below(9)), "fieldsType": "FieldsV1",
                "fieldsV1": {"f:spec": spec},
                "subresource": if dice.below(3) == 0 { "scale" } else { "" },
            }));
        }
    }
    all.into()
}

#[test]
fn managers_of_a_scale_are_those_of_kubernetes() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut dice = Dice::new(5);
    let replicas: &[&str] = &["spec", "replicas"];
    let mappings = &[("apps/v1", replicas), ("apps/v1beta1", replicas)];
    let read = |entries: &Value| {
        let entries = entries.as_array().expect("a list").iter().cloned();
        entries.map(Entry::from_tree).collect::<Vec<_>>()
    };
    for _ in 0..1_000 {
        let parent = entries(&mut dice, &["apps/v1", "apps/v1", "apps/v1beta1", "apps/v2"]);
        let told = oracle.ask(&json!({"operation": "scale", "current": parent}));
        let shown = apply::of_parent(&read(&parent), mappings).expect("entries");
        assert_eq!(listed(shown), told["object"].to_string(), "{parent}");
        let mut scale = match told["object"].as_array() {
            Some(same) if dice.below(2) == 0 => same.clone().into(),
            _ => entries(&mut dice, &["autoscaling/v1"]),
        };
        scale.as_array_mut().expect("a list").retain(|_| dice.below(3) > 0);
        let told = oracle.ask(&json!({"operation": "scale", "current": parent, "modified": scale}));
        let after = apply::to_parent(&read(&parent), &read(&scale), "apps/v1", mappings).expect("entries");
        assert_eq!(listed(after), told["object"].to_string(), "{parent} {scale}");
    }
}

/// Entries as an object shows them.
fn listed(entries: Vec<Entry>) -> String {
    let row = Resource::builtin("", "v1", "configmaps");
    let mut object = Object::from_tree(json!({}), &row).expect("an object").0;
    object.meta.managed_fields = entries;
    object.meta.creation_timestamp = "2020-01-01T00:00:00Z".to_owned();
    let shown: Value = serde_json::from_slice(&object.prepare(&row).body).expect("JSON");
    shown["metadata"]["managedFields"].to_string()
}
