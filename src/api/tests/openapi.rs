//! The OpenAPI documents beside those that Kubernetes publishes: the same schemas, paths and operations.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use api::{RESOURCES, openapi, openapi_proto};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::oracle::Oracle;
use common::sources::{kubernetes, read};
use serde_json::{Map, Value, json};

/// What Kubernetes has and what is not served.
const UNSERVED: &[&str] = &["componentstatuses"];

/// Options of features that are not there.
const UNKNOWN_OPTIONS: &[&str] = &["ignoreStoreReadErrorWithClusterBreakingPotential", "shardSelector"];

/// Types that only it needs.
const UNNEEDED: &[&str] = &[
    "io.k8s.api.core.v1.ComponentCondition",
    "io.k8s.api.core.v1.ComponentStatus",
    "io.k8s.api.core.v1.ComponentStatusList",
];

fn map(of: &Value) -> &Map<String, Value> {
    of.as_object().unwrap_or_else(|| panic!("{of} is an object"))
}

/// What a program reads of a schema: no descriptions, and no values that stand for nothing.
fn essence(of: &Value) -> Value {
    let Value::Object(map) = of else { return of.clone() };
    // A reference, and the same with something beside it.
    if let Some([inner]) = map.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        let mut all = map.clone();
        all.remove("allOf");
        all.extend(inner.as_object().cloned().unwrap_or_default());
        return essence(&all.into());
    }
    // A list that says nothing of how it merges is atomic.
    let is_plain = |name: &str, value: &Value| name == "x-kubernetes-list-type" && value == "atomic";
    let members = map.iter().filter(|(name, value)| !is_plain(name, value)).filter(|(name, _)| {
        !matches!(
            name.as_str(),
            "description"
                | "default"
                | "enum"
                | "x-kubernetes-unions"
                | "x-kubernetes-map-type"
                | "x-kubernetes-group-version-kind"
        )
    });
    let of_member = |(name, value): (&String, &Value)| match name.as_str() {
        "properties" => {
            let all = crate::map(value).iter().map(|(name, value)| (name.clone(), essence(value)));
            (name.clone(), Value::Object(all.collect()))
        }
        "required" => {
            let names: BTreeSet<_> = value.as_array().into_iter().flatten().map(Value::to_string).collect();
            (name.clone(), json!(names))
        }
        _ => (name.clone(), essence(value)),
    };
    Value::Object(members.map(of_member).collect())
}

fn compare_schemas(ours: &Value, theirs: &Value, what: &str) {
    let (ours, theirs) = (map(ours), map(theirs));
    for (name, schema) in ours {
        let published = theirs.get(name).unwrap_or_else(|| panic!("{what}: Kubernetes has no {name}"));
        let (mine, published) = (essence(schema), essence(published));
        if let (Some(mine), Some(published)) = (mine.get("properties"), published.get("properties")) {
            for (field, property) in map(mine) {
                assert_eq!(Some(property), published.get(field), "{what}: {name}.{field}");
            }
        }
        assert_eq!(mine, published, "{what}: {name}");
    }
}

fn documents(folder: &Path) -> impl Iterator<Item = (String, Value, Value)> {
    openapi::group_versions(&RESOURCES).into_iter().map(move |path| {
        let file = format!("api/openapi-spec/v3/{}_openapi.json", path.replace('/', "__"));
        let ours = openapi::v3(&RESOURCES, &path).expect("a version that is served");
        (path, ours, read(folder, &file))
    })
}

#[test]
fn schemas_are_those_of_kubernetes() {
    let Some(folder) = kubernetes() else { return };
    for (path, ours, theirs) in documents(&folder) {
        let (ours, theirs) = (&ours["components"]["schemas"], &theirs["components"]["schemas"]);
        compare_schemas(ours, theirs, &path);
        let missing: Vec<_> = map(theirs)
            .keys()
            .filter(|name| !map(ours).contains_key(*name) && !UNNEEDED.contains(&name.as_str()))
            .collect();
        assert!(missing.is_empty(), "{path}: {missing:?}");
    }
    let theirs = read(&folder, "api/openapi-spec/swagger.json");
    let ours = openapi::v2(&RESOURCES);
    compare_schemas(&ours["definitions"], &theirs["definitions"], "v2");
    assert!(map(&ours["definitions"]).len() > 450, "{}", map(&ours["definitions"]).len());
}

#[test]
fn the_protobuf_form_says_what_the_json_does() {
    let Some(mut oracle) = Oracle::start() else { return };
    let ours = openapi::v2(&RESOURCES);
    let bytes = STANDARD.encode(openapi_proto::document(&ours));
    let told = oracle.ask(&json!({"operation": "openapi", "bytes": bytes}));
    assert_eq!(told.get("error"), None);
    for part in ["definitions", "paths"] {
        for (name, value) in map(&ours[part]) {
            assert_eq!(told["object"][part].get(name), Some(value), "{name}");
        }
    }
    assert_eq!(told["object"], ours);
}

#[test]
fn fields_are_described() {
    let Some(folder) = kubernetes() else { return };
    let theirs = read(&folder, "api/openapi-spec/swagger.json");
    let ours = openapi::v2(&RESOURCES);
    let (mut same, mut different) = (0, Vec::new());
    for (name, schema) in map(&ours["definitions"]) {
        let published = &theirs["definitions"][name];
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            let text = &published["properties"][field]["description"];
            if *text == property["description"] {
                same += 1;
            } else {
                different.push(format!("{name}.{field}"));
            }
        }
    }
    // The list of a kind says nothing of its fields that the kind does not.
    different.retain(|field| !field.contains("List."));
    assert!(same > 2000 && different.len() < same / 20, "{same} are the same, but not {different:#?}");
}

/// The methods of a path, with what tells operations apart.
fn operations(item: &Value, document: &Value) -> Map<String, Value> {
    let names = |of: &Value| -> BTreeSet<String> {
        let list = of["parameters"].as_array().cloned().unwrap_or_default();
        let resolved = list.iter().map(|one| match one["$ref"].as_str() {
            Some(place) => {
                document.pointer(place.trim_start_matches('#')).unwrap_or_else(|| panic!("{place}"))
            }
            None => one,
        });
        resolved
            .filter(|one| one["in"] != "body")
            .map(|one| format!("{} in {}", one["name"], one["in"]))
            .filter(|name| !UNKNOWN_OPTIONS.iter().any(|unknown| name.contains(unknown)))
            .collect()
    };
    let methods = map(item).iter().filter(|(method, _)| *method != "parameters");
    let told = methods.map(|(method, operation)| {
        let options: BTreeSet<_> = names(item).union(&names(operation)).cloned().collect();
        let told = json!({
            "id": operation["operationId"], "action": operation["x-kubernetes-action"],
            "kind": operation["x-kubernetes-group-version-kind"], "options": options,
            "tags": operation["tags"],
            "codes": map(&operation["responses"]).keys().collect::<BTreeSet<_>>(),
        });
        (method.clone(), told)
    });
    told.collect()
}

fn compare_paths(ours: &Value, theirs: &Value) -> usize {
    let (mine, published) = (map(&ours["paths"]), map(&theirs["paths"]));
    for (path, item) in mine {
        let found = published.get(path).unwrap_or_else(|| panic!("Kubernetes has no {path}"));
        let (mine, found) = (operations(item, ours), operations(found, theirs));
        for (method, operation) in &mine {
            // What a connection carries is decided by what it is upgraded to.
            if operation["action"] == "connect" {
                assert!(found.contains_key(method), "{method} {path}");
                continue;
            }
            assert_eq!(Some(operation), found.get(method), "{method} {path}");
        }
        assert_eq!(mine.len(), found.len(), "methods of {path}");
    }
    mine.len()
}

#[test]
fn paths_and_operations_are_those_of_kubernetes() {
    let Some(folder) = kubernetes() else { return };
    let mut compared = 0;
    for (path, ours, theirs) in documents(&folder) {
        compared += compare_paths(&ours, &theirs);
        let is_known = |one: &&String| {
            one.contains("/watch/") || UNSERVED.iter().any(|name| one.contains(&format!("/{name}")))
        };
        let mine = map(&ours["paths"]);
        let missing: Vec<_> =
            map(&theirs["paths"]).keys().filter(|one| !mine.contains_key(*one) && !is_known(one)).collect();
        assert!(missing.is_empty(), "{path}: {missing:?}");
    }
    let v2 = compare_paths(&openapi::v2(&RESOURCES), &read(&folder, "api/openapi-spec/swagger.json"));
    assert_eq!(v2, compared);
    assert!(compared > 200, "only {compared} paths");
}
