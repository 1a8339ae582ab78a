//! Random objects of every kind, and the tables that Kubernetes' own printers make of them: the same.

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use api::codec::{FieldValidation, Format, object};
use api::columns::Row;
use api::{RESOURCES, Resource, table};
use common::Dice;
use common::oracle::{Oracle, sample, stored};
use serde_json::{Value, json};

/// What is compared of each kind.
const SAMPLES: u64 = 60;

/// Words that mean something to a printer, by the name of the field that holds them; of a list all items.
const WORDS: &[(&str, &[&str])] = &[
    ("accessModes", &["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]),
    ("conditionType", &["Ready", "PodScheduled", "Initialized", "x"]),
    ("hostname", &["", "b.example", "a.example"]),
    ("host", &["", "a.example", "b.example", "c.example"]),
    ("ip", &["", "10.0.0.1", "10.0.0.2", "fd00::1"]),
    ("apiVersion", &["v1", "apps/v1", "example.com/v1"]),
    ("key", &["app", "tier", "not/a/key"]),
    ("kind", &["", "User", "Group", "ServiceAccount", "ReplicaSet"]),
    ("name", &["", "main", "sidecar"]),
    ("operator", &["In", "NotIn", "Exists", "DoesNotExist", "In"]),
    ("phase", &["", "Pending", "Running", "Succeeded", "Failed"]),
    ("reason", &["", "", "Completed", "Error", "NodeLost", "PodInitializing", "SchedulingGated"]),
    ("restartPolicy", &["Always", "Never"]),
    ("status", &["True", "False", "Unknown"]),
    ("values", &["b", "a", "no value"]),
];

/// Types of conditions, addresses, metrics, services.
const TYPES: &[&str] = &[
    "Ready",
    "Initialized",
    "PodScheduled",
    "Complete",
    "Failed",
    "Suspended",
    "FailureTarget",
    "SuccessCriteriaMet",
    "Approved",
    "Denied",
    "Issued",
    "Available",
    "Dangling",
    "Running",
    "Succeeded",
    "InternalIP",
    "ExternalIP",
];
const METRICS: &[&str] = &["Resource", "ContainerResource", "Pods", "Object", "External", "Other"];
const SERVICES: &[&str] = &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName", "Other"];

/// Puts words that mean something where there is text.
fn enrich(value: &mut Value, name: &str, kind: &str, dice: &mut Dice) {
    let words = match (name, kind) {
        ("type", "HorizontalPodAutoscaler") => Some(METRICS),
        ("type", "Service") => Some(SERVICES),
        ("type", _) => Some(TYPES),
        _ => WORDS.iter().find(|row| row.0 == name).map(|row| row.1),
    };
    match value {
        Value::String(text) => {
            if let Some(words) = words.filter(|_| dice.below(8) > 0) {
                *text = words[dice.below(words.len() as u64) as usize].to_owned();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| enrich(item, name, kind, dice)),
        Value::Object(map) => map.iter_mut().for_each(|(name, value)| enrich(value, name, kind, dice)),
        Value::Number(_) if matches!(name, "exitCode" | "signal" | "restartCount") => {
            *value = dice.below(3).into();
        }
        _ => {}
    }
}

/// A random object with its defaults, as it would be stored; `None` when Kubernetes does not take it.
fn rich(oracle: &mut Oracle, row: &Resource, seed: u64) -> Option<String> {
    let (_, mut tree) = sample(row, seed);
    let mut dice = Dice::new(seed + 1);
    for member in ["metadata", "spec", "status", "subjects", "roleRef", "subsets", "endpoints", "conditions"]
    {
        if let Some(value) = tree.get_mut(member) {
            enrich(value, member, &row.kind, &mut dice);
        }
    }
    if row.kind == "Node" || row.kind == "StorageClass" || row.kind == "IngressClass" {
        let labels = json!({"node-role.kubernetes.io/b": "", "node-role.kubernetes.io/a": "x", "kubernetes.io/role": "b"});
        let class = "ingressclass.kubernetes.io/is-default-class";
        tree["metadata"]["labels"] = labels;
        tree["metadata"]["annotations"] = json!({class: if dice.below(2) == 0 { "true" } else { "false" }});
    }
    // Written, never stored.
    tree.remove("stringData");
    let told = oracle.ask(&json!({"operation": "default", "object": tree}));
    let object = if told.get("error").is_some() { Value::Object(tree) } else { told["object"].clone() };
    stored(object.to_string().as_bytes(), Format::Json, row).ok()
}

fn now_ms() -> u64 {
    // The printers look at the clock themselves.
    #[expect(clippy::disallowed_methods, reason = "compared with a program that reads the same clock")]
    let now = std::time::SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64
}

fn cells(stored: &str, row: &Resource, now_ms: u64) -> (Value, Value) {
    let mut out = Vec::new();
    let shown = Row::new(stored.as_bytes(), "");
    table::append_row(&mut out, shown, row, table::Include::None, now_ms, &table::append_whole);
    let mut row: Value = serde_json::from_slice(&out).expect("a row is JSON");
    (row["cells"].take(), row["conditions"].take())
}

#[test]
fn tables_are_those_of_kubernetes() {
    let Some(mut oracle) = Oracle::start() else { return };
    // What nobody can get has no table.
    for row in RESOURCES.iter().filter(|row| row.verbs.iter().any(|verb| verb == "get")) {
        let mut compared = 0;
        let mut seen = BTreeSet::new();
        let more = if row.kind == "Pod" { 20 } else { 1 };
        for seed in 0..SAMPLES * more {
            let Some(text) = rich(&mut oracle, row, seed) else { continue };
            let tree: Value = serde_json::from_str(&text).expect("what is stored is JSON");
            let before = cells(&text, row, now_ms());
            let told = oracle.ask(&json!({"operation": "table", "object": tree}));
            let after = cells(&text, row, now_ms());
            if told.get("error").is_some() {
                continue;
            }
            compared += 1;
            seen.insert(before.0.to_string());
            assert_eq!(table::column_definitions(row), told["object"]["columnDefinitions"], "{}", row.kind);
            let theirs = &told["object"]["rows"][0];
            // An age may turn while the other side counts.
            let is_same = |ours: &(Value, Value)| {
                ours.0 == theirs["cells"] && ours.1 == *theirs.get("conditions").unwrap_or(&Value::Null)
            };
            let ours = format!("{} {}", before.0, before.1);
            assert!(
                is_same(&before) || is_same(&after),
                "{} {seed}: ours {ours}\ntheirs {theirs}\nof {text}",
                row.kind
            );
        }
        assert!(compared > SAMPLES / 4, "{}: only {compared} of {SAMPLES} could be compared", row.kind);
        assert!(row.kind != "Pod" || seen.len() > 300, "only {} different rows of pods", seen.len());
    }
}

#[test]
fn a_list_marks_the_class_that_claims_get() {
    let Some(mut oracle) = Oracle::start() else { return };
    let row = Resource::builtin("storage.k8s.io", "v1", "storageclasses");
    let mut dice = Dice::new(5);
    let mut marked = 0;
    for _ in 0..50 {
        let class = |at: u64, dice: &mut Dice| {
            let day = 1 + dice.below(3);
            let annotation = ["storageclass.kubernetes.io/is-default-class", "x"][dice.below(2) as usize];
            json!({
                "kind": "StorageClass", "apiVersion": "storage.k8s.io/v1", "provisioner": "p",
                "metadata": {
                    "name": format!("c{at}"), "creationTimestamp": format!("2026-01-0{day}T00:00:00Z"),
                    "annotations": {annotation: "true"},
                },
            })
        };
        let items: Vec<Value> = (0..4).map(|at| class(at, &mut dice)).collect();
        let list = json!({"kind": "StorageClassList", "apiVersion": "storage.k8s.io/v1", "items": items});
        let told = oracle.ask(&json!({"operation": "table", "object": list}));
        let texts: Vec<_> = items
            .iter()
            .map(|item| {
                let read = object(item.to_string().as_bytes(), Format::Json, &row, FieldValidation::Strict);
                read.expect("conforms").0.prepare(&row).body
            })
            .collect();
        let name = row.columns.marked(texts.iter().map(Vec::as_slice));
        marked += u32::from(!name.is_empty());
        for (at, text) in texts.iter().enumerate() {
            let mut out = Vec::new();
            row.columns.append(&mut out, Row::new(text, &name), 0);
            let cells: Value = serde_json::from_slice(&out).expect("cells are JSON");
            assert_eq!(cells[0], told["object"]["rows"][at]["cells"][0], "{list}");
        }
    }
    assert!(marked > 20, "only {marked} lists had a default");
}
