//! Resources that definitions make: served at once, kept by their schema, and gone with their definition.

use base::env;
use serde_json::{Value, json};

use super::apply::owners;
use super::table::settle;
use super::{Answer, Api};
use crate::Backend;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const FOOS: &str = "/apis/example.com/v1/namespaces/default/foos";

fn version(name: &str, is_stored: bool, props: Value) -> Value {
    json!({
        "name": name, "served": true, "storage": is_stored,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": props, "status": {"type": "object", "properties": {
            "replicas": {"type": "integer"}, "phase": {"type": "string"},
        }}}}},
        "subresources": {"status": {}, "scale": {
            "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
        }},
        "additionalPrinterColumns": [{"name": "Colour", "type": "string", "jsonPath": ".spec.colour"}],
        "selectableFields": [{"jsonPath": ".spec.colour"}],
    })
}

fn spec() -> Value {
    json!({"type": "object", "required": ["colour"], "properties": {
        "colour": {"type": "string", "enum": ["red", "blue"]},
        "replicas": {"type": "integer", "minimum": 0, "default": 1},
    }})
}

fn definition(versions: Value) -> Value {
    json!({
        "metadata": {"name": "foos.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "foos", "kind": "Foo", "shortNames": ["fo"], "categories": ["all"]},
            "versions": versions,
        },
    })
}

fn foo(name: &str, colour: &str) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": name}, "spec": {"colour": colour}})
}

async fn defined() -> Api {
    let api = Api::new();
    let created = api.post(DEFINITIONS, definition(json!([version("v1", true, spec())]))).await;
    assert_eq!(created.code, 201, "{created:?}");
    api
}

fn condition<'a>(definition: &'a Answer, kind: &str) -> (&'a str, &'a str) {
    let conditions = definition.body["status"]["conditions"].as_array().expect("conditions");
    let found = conditions.iter().find(|one| one["type"] == kind).expect("the condition");
    (found["status"].as_str().expect("text"), found["reason"].as_str().expect("text"))
}

#[tokio::test]
async fn a_definition_is_established_by_the_write_that_makes_it() {
    let api = defined().await;
    let found = api.get(&format!("{DEFINITIONS}/foos.example.com")).await;
    assert_eq!(condition(&found, "NamesAccepted"), ("True", "NoConflicts"));
    assert_eq!(condition(&found, "Established"), ("True", "InitialNamesAccepted"));
    assert_eq!(found.body["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(found.body["status"]["acceptedNames"]["singular"], "foo");
    assert_eq!(found.body["spec"]["conversion"]["strategy"], "None");
    let mut other = definition(json!([version("v1", true, spec())]));
    other["metadata"]["name"] = "foes.example.com".into();
    other["spec"]["names"] =
        json!({"plural": "foes", "kind": "Foo", "listKind": "FoeList", "singular": "foe"});
    let other = api.post(DEFINITIONS, other).await;
    assert_eq!(condition(&other, "NamesAccepted"), ("False", "KindConflict"));
    assert_eq!(condition(&other, "Established"), ("False", "NotAccepted"));
    assert_eq!(api.get("/apis/example.com/v1/foes").await.code, 404);
}

#[tokio::test]
async fn what_is_defined_is_discovered_at_once() {
    let api = Api::new();
    assert_eq!(api.get("/apis/example.com").await.code, 404);
    let mut given = definition(json!([version("v1beta1", false, spec()), version("v1", true, spec())]));
    given["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["colour"]
        ["format"] = "hue".into();
    for version in 0..2 {
        given["spec"]["versions"][version].as_object_mut().expect("a map").shift_remove("selectableFields");
    }
    let created = api.post(DEFINITIONS, given).await;
    assert_eq!(
        (created.code, created.warnings),
        (201, vec![r#"299 - "unrecognized format \"hue\"""#.to_owned()])
    );
    let group = api.get("/apis/example.com").await.body;
    assert_eq!(group["preferredVersion"]["version"], "v1");
    assert_eq!(group["versions"][1]["version"], "v1beta1");
    let plain = api.get("/apis/example.com/v1").await.body;
    let names: Vec<_> =
        plain["resources"].as_array().expect("rows").iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, ["foos", "foos/status", "foos/scale"]);
    let row = &plain["resources"][0];
    assert_eq!(
        (&row["shortNames"], &row["categories"], &row["singularName"]),
        (&json!(["fo"]), &json!(["all"]), &json!("foo"))
    );
    let accept = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")];
    let deep = api.ask("GET", "/apis", &accept, "").await.body;
    let found =
        deep["items"].as_array().expect("groups").iter().find(|one| one["metadata"]["name"] == "example.com");
    assert_eq!(found.expect("the group")["versions"][0]["resources"][0]["resource"], "foos");
    let document = api.get("/openapi/v3/apis/example.com/v1").await.body;
    let schema = &document["components"]["schemas"]["com.example.v1.Foo"];
    assert_eq!(schema["properties"]["spec"]["properties"]["colour"]["enum"], json!(["red", "blue"]));
    assert_eq!(schema["x-kubernetes-group-version-kind"][0]["kind"], "Foo");
    let root = api.get("/openapi/v3").await.body;
    assert!(root["paths"].get("apis/example.com/v1").is_some());
    let whole = api.get("/openapi/v2").await.body;
    assert!(whole["definitions"].get("com.example.v1.Foo").is_some());
}

#[tokio::test]
async fn objects_are_defaulted_validated_and_pruned() {
    let api = defined().await;
    let mut given = foo("a", "red");
    given["spec"]["odd"] = 1.into();
    let created = api.post(FOOS, given.clone()).await;
    assert_eq!((created.code, &created.body["spec"]), (201, &json!({"colour": "red", "replicas": 1})));
    assert_eq!(created.body["metadata"]["generation"], 1);
    assert_eq!(created.warnings, [r#"299 - "unknown field \"spec.odd\"""#]);
    given["metadata"]["name"] = "b".into();
    let strict = api.post(&format!("{FOOS}?fieldValidation=Strict"), given).await;
    assert_eq!(
        strict.failure(),
        (
            400,
            r#"Foo in version "v1" cannot be handled as a Foo: strict decoding error: unknown field "spec.odd""#
        )
    );
    let mut wrong = foo("b", "green");
    wrong["spec"]["replicas"] = "many".into();
    assert_eq!(
        api.post(FOOS, wrong.clone()).await.failure(),
        (
            422,
            r#"Foo.example.com "b" is invalid: [spec.colour: Unsupported value: "green": supported values: "red", "blue", spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string", .spec.replicas: Invalid value: 0: .spec.replicas accessor error: many is of the type string, expected int64]"#
        )
    );
    wrong["spec"] = json!({});
    assert_eq!(
        api.post(FOOS, wrong).await.failure(),
        (422, r#"Foo.example.com "b" is invalid: spec.colour: Required value"#)
    );
}

#[tokio::test]
async fn objects_of_definitions_say_what_they_are() {
    let api = defined().await;
    let missing = r#"{"spec":{}}"#;
    let unrecognized = format!(
        "the object provided is unrecognized (must be of type Foo): Object 'Kind' is missing in '{missing}' ({missing})"
    );
    let cases = [
        (serde_json::from_str(missing).expect("JSON"), 400, unrecognized.as_str()),
        (
            json!({"kind": "Foo", "apiVersion": "example.com/v9"}),
            400,
            "the API version in the data (example.com/v9) does not match the expected API version (example.com/v1)",
        ),
        (
            json!({"kind": "Food", "apiVersion": "example.com/v1", "metadata": {"name": "b"}}),
            422,
            r#"Food.example.com "b" is invalid: kind: Invalid value: "Food": must be Foo"#,
        ),
    ];
    for (body, code, message) in cases {
        assert_eq!(api.post(FOOS, body).await.failure(), (code, message));
    }
    let protobuf = [("content-type", "application/vnd.kubernetes.protobuf")];
    let sealed = api::proto::seal("example.com/v1", "Foo", b"");
    let refused = api.ask("POST", FOOS, &protobuf, sealed).await;
    let why = "cannot be handled as a Foo: object *unstructured.Unstructured does not implement the protobuf";
    assert!(refused.code == 400 && refused.failure().1.contains(why), "{refused:?}");
}

#[tokio::test]
async fn every_verb_works_on_objects_of_definitions() {
    let api = defined().await;
    for (name, colour) in [("a", "red"), ("b", "blue")] {
        assert_eq!(api.post(FOOS, foo(name, colour)).await.code, 201);
    }
    assert_eq!(api.get("/apis/example.com/v1/foos").await.names(), ["a", "b"]);
    assert_eq!(api.get(FOOS).await.body["kind"], "FooList");
    assert_eq!(api.get(&format!("{FOOS}?fieldSelector=spec.colour%3Dblue")).await.names(), ["b"]);
    assert_eq!(api.get(&format!("{FOOS}?fieldSelector=spec.odd%3Dblue")).await.code, 400);
    let path = format!("{FOOS}/a");
    let patch = |kind: &'static str, body: Value| {
        let (api, path) = (&api, &path);
        async move { api.ask("PATCH", path, &[("content-type", kind)], body.to_string()).await }
    };
    let patched = patch("application/merge-patch+json", json!({"spec": {"colour": "blue"}})).await;
    assert_eq!((patched.code, &patched.body["metadata"]["generation"]), (200, &json!(2)));
    let operations = json!([{"op": "replace", "path": "/spec/colour", "value": "red"}]);
    assert_eq!(patch("application/json-patch+json", operations).await.body["spec"]["colour"], "red");
    let refused = patch("application/strategic-merge-patch+json", json!({})).await;
    assert_eq!((refused.code, refused.body["reason"].as_str()), (415, Some("UnsupportedMediaType")));
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let table = api.ask("GET", FOOS, &table, "").await.body;
    assert_eq!(
        (&table["columnDefinitions"][1]["name"], &table["rows"][0]["cells"]),
        (&json!("Colour"), &json!(["a", "red"]))
    );
    let protobuf = "application/vnd.kubernetes.protobuf";
    // What only takes protobuf is refused in it.
    let refused = api.ask("GET", &path, &[("accept", protobuf)], "").await;
    assert_eq!((refused.code, refused.body.as_str().map(|body| &body[..3])), (406, Some("k8s")));
    let both = format!("{protobuf},application/json");
    assert_eq!(api.ask("GET", &path, &[("accept", &both)], "").await.code, 200);
    assert_eq!(api.delete(&path).await.code, 200);
    assert_eq!(api.delete(FOOS).await.code, 200);
    assert_eq!(api.get(FOOS).await.names().len(), 0);
}

#[tokio::test]
async fn status_and_scale_are_written_apart() {
    let api = defined().await;
    let mut given = foo("a", "red");
    given["status"] = json!({"phase": "Made up"});
    assert_eq!(api.post(FOOS, given).await.body.get("status"), None);
    let mut changed = api.get(&format!("{FOOS}/a")).await.body;
    changed["status"] = json!({"phase": "Ready", "replicas": 2});
    changed["spec"]["colour"] = "blue".into();
    changed["metadata"]["labels"] = json!({"a": "b"});
    let written = api.put(&format!("{FOOS}/a/status"), changed.clone()).await;
    assert_eq!(
        (written.code, &written.body["spec"]["colour"], &written.body["status"]["phase"]),
        (200, &json!("red"), &json!("Ready"))
    );
    assert_eq!(
        (&written.body["metadata"]["generation"], written.body["metadata"].get("labels")),
        (&json!(1), None)
    );
    changed["metadata"]["resourceVersion"] = written.body["metadata"]["resourceVersion"].clone();
    changed["status"]["phase"] = 1.into();
    assert_eq!(
        api.put(&format!("{FOOS}/a/status"), changed).await.failure(),
        (
            422,
            r#"Foo.example.com "a" is invalid: status.phase: Invalid value: "integer": phase in body must be of type string: "integer""#
        )
    );
    let scale = api.get(&format!("{FOOS}/a/scale")).await.body;
    assert_eq!(
        (&scale["kind"], &scale["spec"], &scale["status"]),
        (&json!("Scale"), &json!({"replicas": 1}), &json!({"replicas": 2}))
    );
    let mut wanted = scale;
    wanted["spec"]["replicas"] = (-1).into();
    assert_eq!(
        api.put(&format!("{FOOS}/a/scale"), wanted.clone()).await.failure(),
        (
            422,
            r#"Foo.example.com "a" is invalid: [spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0, .spec.replicas: Invalid value: -1: should be a non-negative integer]"#
        )
    );
    wanted["spec"]["replicas"] = 5.into();
    assert_eq!(api.put(&format!("{FOOS}/a/scale"), wanted).await.body["spec"]["replicas"], 5);
    let found = api.get(&format!("{FOOS}/a")).await.body;
    assert_eq!((&found["spec"]["replicas"], &found["metadata"]["generation"]), (&json!(5), &json!(2)));
}

#[tokio::test]
async fn versions_are_converted_by_name_and_the_schema_of_now_holds() {
    let api = defined().await;
    api.post(FOOS, foo("a", "red")).await;
    let mut wider = spec();
    wider["properties"]["size"] = json!({"type": "string", "default": "small"});
    wider["properties"].as_object_mut().expect("a map").shift_remove("replicas");
    let mut old = version("v1", false, spec());
    old["deprecated"] = true.into();
    let mut changed = api.get(&format!("{DEFINITIONS}/foos.example.com")).await.body;
    let mut hidden = version("v3", false, spec());
    hidden["served"] = false.into();
    // What all versions select alike wants a schema that all have.
    hidden.as_object_mut().expect("a map").shift_remove("selectableFields");
    changed["spec"]["versions"] = json!([old, version("v2", true, wider), hidden]);
    let updated = api.put(&format!("{DEFINITIONS}/foos.example.com"), changed).await;
    assert_eq!(updated.code, 200, "{updated:?}");
    assert_eq!(updated.body["status"]["storedVersions"], json!(["v1", "v2"]));
    assert_eq!(updated.body["metadata"]["generation"], 2);
    let newer = FOOS.replace("v1", "v2");
    let seen = api.get(&format!("{newer}/a")).await.body;
    assert_eq!(
        (&seen["apiVersion"], &seen["spec"]),
        (&json!("example.com/v2"), &json!({"colour": "red", "size": "small"}))
    );
    let seen = api.get(&format!("{FOOS}/a")).await;
    assert_eq!(
        (&seen.body["apiVersion"], &seen.body["spec"]),
        (&json!("example.com/v1"), &json!({"colour": "red", "replicas": 1}))
    );
    assert_eq!(seen.warnings, [r#"299 - "example.com/v1 Foo is deprecated; use example.com/v2 Foo""#]);
    assert_eq!(api.get(&FOOS.replace("v1", "v3")).await.code, 404);
    let mut sized = foo("b", "blue");
    (sized["apiVersion"], sized["spec"]["size"]) = ("example.com/v2".into(), "large".into());
    assert_eq!(api.post(&newer, sized).await.code, 201);
    let names: Vec<_> = api.get(&newer).await.body["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| item["spec"].clone())
        .collect();
    assert_eq!(
        names,
        [json!({"colour": "red", "size": "small"}), json!({"colour": "blue", "size": "large"})]
    );
    // The scale of a version that fills in replicas, and of one that does not know them.
    assert_eq!(api.get(&format!("{FOOS}/b/scale")).await.body["spec"]["replicas"], 1);
    assert_eq!(
        api.get(&format!("{newer}/b/scale")).await.failure(),
        (500, r#"Internal error occurred: the spec replicas field ".spec.replicas" does not exist"#)
    );
    let moment = api.memory.moment();
    let stored = moment.state.get("example.com/foos/default/b").expect("stored");
    let stored: Value = serde_json::from_slice(&stored.bytes.to_bytes()).expect("JSON");
    assert_eq!(stored["apiVersion"], "example.com/v2");
}

#[tokio::test]
async fn what_another_master_defined_is_found_after_a_read_of_the_newest() {
    let api = Api::new();
    let before = api.memory.moment();
    api.post(DEFINITIONS, definition(json!([version("v1", true, spec())]))).await;
    api.post(FOOS, foo("a", "red")).await;
    api.memory.lag(before);
    assert_eq!(api.get(&format!("{FOOS}/a")).await.code, 200);
    assert_eq!(api.get("/apis/example.com/v1/bars").await.code, 404);
}

#[test]
fn a_definition_that_goes_takes_its_objects_along() {
    env::simulate(1, async {
        let api = defined().await;
        api.post(FOOS, foo("a", "red")).await;
        let mut held = foo("held", "red");
        held["metadata"]["finalizers"] = json!(["example.com/hold"]);
        api.post(FOOS, held).await;
        let path = format!("{DEFINITIONS}/foos.example.com");
        let going = api.delete(&path).await;
        assert_eq!(going.code, 200, "{going:?}");
        assert_eq!(
            going.body["metadata"]["finalizers"],
            json!(["customresourcecleanup.apiextensions.k8s.io"])
        );
        assert_eq!(condition(&going, "Terminating"), ("True", "InstanceDeletionPending"));
        assert_eq!(
            api.post(FOOS, foo("late", "red")).await.failure(),
            (
                403,
                "foos.example.com is forbidden: create not allowed while custom resource definition is terminating"
            )
        );
        settle(&api.memory, &[]).await;
        assert_eq!(api.get(FOOS).await.names(), ["held"]);
        let released = [("content-type", "application/merge-patch+json")];
        let body = json!({"metadata": {"finalizers": null}}).to_string();
        assert_eq!(api.ask("PATCH", &format!("{FOOS}/held"), &released, body).await.code, 200);
        settle(&api.memory, &[]).await;
        assert_eq!(api.get(&path).await.code, 404);
        assert_eq!(api.get(FOOS).await.code, 404);
    });
}

#[test]
fn a_namespace_that_goes_takes_objects_of_definitions_along() {
    env::simulate(1, async {
        let api = defined().await;
        api.post("/api/v1/namespaces", json!({"metadata": {"name": "n"}})).await;
        let within = FOOS.replace("default", "n");
        api.post(&within, foo("a", "red")).await;
        api.delete("/api/v1/namespaces/n").await;
        settle(&api.memory, &[]).await;
        assert_eq!(api.get(&format!("{within}/a")).await.code, 404);
        assert_eq!(api.get("/api/v1/namespaces/n").await.code, 404);
    });
}

#[test]
fn a_name_that_is_free_again_goes_to_who_waits_for_it() {
    env::simulate(1, async {
        let api = defined().await;
        let mut other = definition(json!([version("v1", true, spec())]));
        other["metadata"]["name"] = "foes.example.com".into();
        other["spec"]["names"] =
            json!({"plural": "foes", "kind": "Foo", "listKind": "FoeList", "singular": "foe"});
        api.post(DEFINITIONS, other).await;
        api.delete(&format!("{DEFINITIONS}/foos.example.com")).await;
        settle(&api.memory, &[]).await;
        let waited = api.get(&format!("{DEFINITIONS}/foes.example.com")).await;
        assert_eq!(condition(&waited, "Established"), ("True", "InitialNamesAccepted"));
        assert_eq!(api.get("/apis/example.com/v1/foes").await.code, 200);
    });
}

#[tokio::test]
async fn a_write_under_an_old_definition_is_made_anew() {
    let api = defined().await;
    let before = api.memory.moment();
    let mut changed = api.get(&format!("{DEFINITIONS}/foos.example.com")).await.body;
    changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["size"] =
        json!({"type": "string", "default": "small"});
    assert_eq!(api.put(&format!("{DEFINITIONS}/foos.example.com"), changed).await.code, 200);
    api.memory.lag_once(before);
    let created = api.post(FOOS, foo("a", "red")).await;
    assert_eq!((created.code, &created.body["spec"]["size"]), (201, &json!("small")), "{created:?}");
}

#[tokio::test]
async fn owners_stay_when_another_version_cannot_say_what_is_written() {
    let api = defined().await;
    let mut loose = version("v2", false, spec());
    loose["schema"]["openAPIV3Schema"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    for name in ["subresources", "selectableFields", "additionalPrinterColumns"] {
        loose.as_object_mut().expect("a map").shift_remove(name);
    }
    let mut first = version("v1", true, spec());
    first.as_object_mut().expect("a map").shift_remove("selectableFields");
    let mut changed = api.get(&format!("{DEFINITIONS}/foos.example.com")).await.body;
    changed["spec"]["versions"] = json!([first, loose]);
    let updated = api.put(&format!("{DEFINITIONS}/foos.example.com"), changed).await;
    assert_eq!(updated.code, 200, "{updated:?}");
    assert_eq!(api.post(&format!("{FOOS}?fieldManager=maker"), foo("a", "red")).await.code, 201);
    let newer = FOOS.replace("v1", "v2") + "/a?fieldManager=patcher";
    let patched = api.merge(&newer, json!({"spec": {"colour": "blue"}})).await;
    let maker = r#"maker Update  {"f:spec":{".":{},"f:replicas":{}}}"#;
    assert_eq!(owners(&patched), [maker, r#"patcher Update  {"f:spec":{"f:colour":{}}}"#]);
    let patched = api.merge(&newer, json!({"spec": {"colour": null}})).await;
    assert_eq!(owners(&patched), [maker]);
    for spec in [json!({"replicas": "many"}), json!({"replicas": 9, "colour": "pink"})] {
        let patched = api.merge(&newer, json!({"spec": spec})).await;
        assert_eq!((patched.code, owners(&patched)), (200, vec![maker.to_owned()]), "{patched:?}");
    }
    // Nobody owns what was written then, so nobody minds.
    let applied = api.apply(&format!("{FOOS}/a?fieldManager=other"), foo("a", "red")).await;
    assert_eq!((applied.code, &applied.body["spec"]), (200, &json!({"colour": "red", "replicas": 9})));
}
