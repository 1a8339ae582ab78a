//! Valid objects of each kind, changed at random, and what Kubernetes makes of their creates and updates: the same
//! refusals, or the same objects stored.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use api::codec::{FieldValidation, Format};
use api::{FieldError, Object, Resource, codec, decode, validate, write};
use common::Dice;
use common::invent::{Words, mutate};
use common::oracle::Oracle;
use serde_json::{Map, Value, json};

/// How often each sample is changed, for creates and for updates.
const ROUNDS: u64 = 150;

/// When something came into its phase or condition is the time of day.
fn undated(text: String) -> String {
    let mut tree: Value = serde_json::from_str(&text).expect("JSON");
    if let Some(status) = tree.get_mut("status").and_then(Value::as_object_mut) {
        status.shift_remove("lastPhaseTransitionTime");
        let conditions = status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten();
        for condition in conditions.filter_map(Value::as_object_mut) {
            condition.shift_remove("lastTransitionTime");
        }
    }
    tree.to_string()
}

/// What is made of an object: the causes of its refusal, or what is stored.
type Outcome = Result<String, BTreeSet<String>>;

macro_rules! kinds {
    ($($name:ident: $group:literal $version:literal $plural:literal;)*) => {$(
        #[test]
        fn $name() {
            check(&Resource::builtin($group, $version, $plural));
        }
    )*};
}

kinds! {
    api_services: "apiregistration.k8s.io" "v1" "apiservices";
    certificate_signing_requests: "certificates.k8s.io" "v1" "certificatesigningrequests";
    cluster_role_bindings: "rbac.authorization.k8s.io" "v1" "clusterrolebindings";
    cluster_roles: "rbac.authorization.k8s.io" "v1" "clusterroles";
    config_maps: "" "v1" "configmaps";
    csi_drivers: "storage.k8s.io" "v1" "csidrivers";
    csi_nodes: "storage.k8s.io" "v1" "csinodes";
    csi_storage_capacities: "storage.k8s.io" "v1" "csistoragecapacities";
    endpoint_slices: "discovery.k8s.io" "v1" "endpointslices";
    endpoints: "" "v1" "endpoints";
    events: "" "v1" "events";
    events_of_the_new_group: "events.k8s.io" "v1" "events";
    flow_schemas: "flowcontrol.apiserver.k8s.io" "v1" "flowschemas";
    ingress_classes: "networking.k8s.io" "v1" "ingressclasses";
    ingresses: "networking.k8s.io" "v1" "ingresses";
    ip_addresses: "networking.k8s.io" "v1" "ipaddresses";
    leases: "coordination.k8s.io" "v1" "leases";
    limit_ranges: "" "v1" "limitranges";
    mutating_webhooks: "admissionregistration.k8s.io" "v1" "mutatingwebhookconfigurations";
    namespaces: "" "v1" "namespaces";
    network_policies: "networking.k8s.io" "v1" "networkpolicies";
    nodes: "" "v1" "nodes";
    persistent_volume_claims: "" "v1" "persistentvolumeclaims";
    persistent_volumes: "" "v1" "persistentvolumes";
    priority_classes: "scheduling.k8s.io" "v1" "priorityclasses";
    priority_levels: "flowcontrol.apiserver.k8s.io" "v1" "prioritylevelconfigurations";
    resource_quotas: "" "v1" "resourcequotas";
    role_bindings: "rbac.authorization.k8s.io" "v1" "rolebindings";
    roles: "rbac.authorization.k8s.io" "v1" "roles";
    runtime_classes: "node.k8s.io" "v1" "runtimeclasses";
    secrets: "" "v1" "secrets";
    service_accounts: "" "v1" "serviceaccounts";
    service_cidrs: "networking.k8s.io" "v1" "servicecidrs";
    services: "" "v1" "services";
    storage_classes: "storage.k8s.io" "v1" "storageclasses";
    validating_webhooks: "admissionregistration.k8s.io" "v1" "validatingwebhookconfigurations";
    volume_attachments: "storage.k8s.io" "v1" "volumeattachments";
    volume_attributes_classes: "storage.k8s.io" "v1" "volumeattributesclasses";
}

fn check(row: &Resource) {
    let Some(mut oracle) = Oracle::start() else { return };
    let samples = samples(row);
    let words = Words::of(&samples);
    let mut accepted = 0;
    for (at, sample) in samples.iter().enumerate() {
        let told = oracle.ask(&json!({"operation": "create", "object": sample}));
        assert_eq!((told.get("error"), told.get("status")), (None, None), "{} {at}", row.kind);
        let mut current = told["object"].clone();
        current["metadata"]["resourceVersion"] = "1".into();
        compare(row, at as u64, &ours_created(sample, row), &theirs(&told, row), sample, &Value::Null);
        for seed in 0..rounds() {
            let mut dice = Dice::new(seed * 1_000 + at as u64 + 1);
            let mut new = sample.clone();
            mutate(&mut new, &row.schema, &mut dice, &words);
            let told = oracle.ask(&json!({"operation": "create", "object": new}));
            if told.get("error").is_none() {
                compare(row, seed, &ours_created(&new, row), &theirs(&told, row), &new, &Value::Null);
            }
            let mut new = current.clone();
            mutate(&mut new, &row.schema, &mut dice, &words);
            let told = oracle.ask(&json!({"operation": "update", "modified": new, "current": current}));
            if told.get("error").is_none() {
                let ours = ours_updated(&new, &current, row);
                accepted += u32::from(ours.is_ok());
                compare(row, seed, &ours, &theirs(&told, row), &new, &current);
            }
        }
    }
    assert!(accepted > 20, "of {} only {accepted} changes were valid", row.kind);
}

/// `KEELSON_ORACLE_ROUNDS` asks for more than usual.
fn rounds() -> u64 {
    std::env::var("KEELSON_ORACLE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

fn samples(row: &Resource) -> Vec<Value> {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
    let path = Path::new(&package).join(format!("tests/samples/{}.yaml", file(row)));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let head = |mut tree: Value| {
        tree["apiVersion"] = row.api_version().into();
        tree["kind"] = row.kind.clone().into();
        tree["metadata"]["name"] = tree["metadata"].get("name").cloned().unwrap_or_else(|| "a".into());
        if row.namespaced {
            tree["metadata"]["namespace"] = "default".into();
        }
        tree
    };
    let documents = text.split("\n---\n");
    documents.map(|one| head(decode::yaml(one.as_bytes()).expect("YAML").value)).collect()
}

/// Kinds of two groups have a file for each.
fn file(row: &Resource) -> String {
    if row.group == "events.k8s.io" { "events.events".to_owned() } else { row.plural.clone() }
}

fn read(tree: &Value, row: &Resource) -> Object {
    let body = tree.to_string();
    let (mut object, _) =
        codec::object(body.as_bytes(), Format::Json, row, FieldValidation::Ignore).expect("an object");
    object.default(row);
    object
}

fn outcome(object: &Object, errors: &[FieldError], row: &Resource, is_update: bool) -> Outcome {
    if errors.is_empty() {
        return Ok(undated(String::from_utf8(object.prepare(row).body).expect("JSON is text")));
    }
    // Of events without rules for metadata, Kubernetes checks it when all else is well.
    let is_told = |error: &&FieldError| {
        let is_meta = |error: &FieldError| error.cause().field.starts_with("metadata.");
        is_update
            || (row.group.as_str(), row.kind.as_str()) != ("", "Event")
            || !is_meta(error)
            || errors.iter().all(is_meta)
    };
    let told = errors.iter().filter(is_told).map(FieldError::cause);
    Err(told.map(|cause| format!("{} {}: {}", cause.reason, cause.field, cause.message)).collect())
}

fn ours_created(tree: &Value, row: &Resource) -> Outcome {
    let mut object = read(tree, row);
    object.meta.uid = "00000000-0000-4000-8000-000000000000".into();
    object.meta.creation_timestamp = "2026-01-01T00:00:00Z".into();
    write::create(&mut object, row);
    outcome(&object, &validate::create(&object, row), row, false)
}

fn ours_updated(new: &Value, old: &Value, row: &Resource) -> Outcome {
    let (mut new, old) = (read(new, row), read(old, row));
    write::update(&mut new, &old, row);
    outcome(&new, &validate::update(&new, &old, row), row, true)
}

/// What is not looked at here: whether expressions can be compiled.
const NOT_REPRODUCED: &str = ".expression: Invalid value";

/// `None` when it is refused for something that is not looked at, and for nothing else.
fn theirs(told: &Value, row: &Resource) -> Option<Outcome> {
    let Some(causes) = told["status"]["details"]["causes"].as_array() else {
        let object = read(&told["object"], row);
        return Some(Ok(undated(String::from_utf8(object.prepare(row).body).expect("JSON is text"))));
    };
    // How sources of volumes differ is drawn in lines of Go values; a client has both objects and can do better.
    let is_drawn = |cause: &Value| cause["field"] == "spec.persistentvolumesource";
    let text = |cause: &Value, field: &str| {
        let text = cause[field].as_str().unwrap_or_default();
        let first = text.lines().next().unwrap_or_default();
        if is_drawn(cause) { first.to_owned() } else { text.to_owned() }
    };
    let line = |cause: &Value| {
        format!("{} {}: {}", text(cause, "reason"), text(cause, "field"), text(cause, "message"))
    };
    let told: BTreeSet<_> = causes.iter().map(line).filter(|line| !line.contains(NOT_REPRODUCED)).collect();
    (!told.is_empty()).then_some(Err(told))
}

fn compare(row: &Resource, seed: u64, ours: &Outcome, theirs: &Option<Outcome>, new: &Value, old: &Value) {
    let Some(theirs) = theirs else { return };
    let of = || {
        let changed: Map<_, _> = old.as_object().cloned().unwrap_or_default();
        format!("{} {seed}\nnew {new}\nold {}", row.kind, Value::Object(changed))
    };
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => assert!(ours == theirs, "ours   {ours}\ntheirs {theirs}\n{}", of()),
        (Err(ours), Err(theirs)) => {
            let (more, less): (Vec<_>, Vec<_>) =
                (ours.difference(theirs).collect(), theirs.difference(ours).collect());
            assert!(
                more.is_empty() && less.is_empty(),
                "ours alone {more:#?}\ntheirs alone {less:#?}\n{}",
                of()
            );
        }
        (Ok(_), Err(theirs)) => panic!("only theirs is refused: {theirs:#?}\n{}", of()),
        (Err(ours), Ok(_)) => panic!("only ours is refused: {ours:#?}\n{}", of()),
    }
}
