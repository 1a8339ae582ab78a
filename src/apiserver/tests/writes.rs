//! Create, update, patch, delete.

use api::Object;
use replica::ProposeError;
use serde_json::{Value, json};

use super::{Api, MAPS};
use crate::Backend;
use crate::verbs::write::{put, transaction};

#[tokio::test]
async fn a_created_object_is_canonical_and_stamped() {
    let api = Api::new();
    let created = api.post(&format!("{MAPS}?fieldManager=m"), json!({
        "kind": "ConfigMap", "apiVersion": "v1", "extra": 1,
        "metadata": {"name": "x", "creationTimestamp": null, "uid": "mine"}, "data": {"b": "2", "a": "1"},
    })).await;
    assert_eq!(created.code, 201);
    assert_eq!(created.warnings, [r#"299 - "unknown field \"extra\"""#]);
    let text = created.body.to_string();
    let meta = &created.body["metadata"];
    let (uid, at) = (meta["uid"].as_str().expect("uid"), meta["creationTimestamp"].as_str().expect("time"));
    assert_eq!(uid.len(), 36);
    let expect = format!(
        r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"x","namespace":"default","uid":"{uid}","resourceVersion":"5","creationTimestamp":"{at}","managedFields":[{{"manager":"m","operation":"Update","apiVersion":"v1","time":"{at}","fieldsType":"FieldsV1","fieldsV1":{{"f:data":{{".":{{}},"f:a":{{}},"f:b":{{}}}}}}}}]}},"data":{{"a":"1","b":"2"}}}}"#
    );
    assert_eq!(text, expect);
    assert_eq!(api.get(&format!("{MAPS}/x")).await.body.to_string(), expect);
}

#[tokio::test]
async fn what_cannot_be_created() {
    let api = Api::new();
    api.config_map("x", json!({})).await;
    let cases = [
        (MAPS, json!({"metadata": {"name": "x"}}), 409, r#"configmaps "x" already exists"#),
        (
            "/api/v1/namespaces/none/configmaps",
            json!({"metadata": {"name": "x"}}),
            404,
            r#"namespaces "none" not found"#,
        ),
        (
            MAPS,
            json!({"metadata": {"name": "y", "namespace": "other"}}),
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            MAPS,
            json!({"metadata": {}}),
            422,
            r#"ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required"#,
        ),
        (
            MAPS,
            json!({"metadata": {"name": "y"}, "data": {"a": 1}}),
            400,
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string"#,
        ),
        (
            "/api/v1/configmaps",
            json!({"metadata": {"name": "y"}}),
            405,
            "the server does not allow this method on the requested resource",
        ),
        ("/api/v1/parrots", json!({}), 404, "the server could not find the requested resource"),
    ];
    for (path, body, code, message) in cases {
        assert_eq!(api.post(path, body).await.failure(), (code, message));
    }
    let strict = api
        .ask("POST", &format!("{MAPS}?fieldValidation=Strict"), &[], r#"{"metadata":{"name":"y"},"extra":1}"#)
        .await;
    assert_eq!(
        strict.failure(),
        (
            400,
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "extra""#
        )
    );
    let media = api.ask("POST", MAPS, &[("content-type", "text/plain")], "x").await;
    assert_eq!(media.code, 415);
    let large = api.ask("POST", MAPS, &[], "x".repeat(crate::limits::BODY_BYTES_MAX + 1)).await;
    assert_eq!(large.failure(), (413, "Request entity too large: limit is 3145728"));
}

#[tokio::test]
async fn bodies_in_yaml_and_protobuf() {
    let api = Api::new();
    let yaml = api
        .ask("POST", MAPS, &[("content-type", "application/yaml")], "metadata: {name: y}\ndata: {a: b}\n")
        .await;
    assert_eq!((yaml.code, &yaml.body["data"]), (201, &json!({"a": "b"})));
    let message: &[u8] = b"k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\x0d\n\x03\n\x01p\x12\x06\n\x01a\x12\x01b";
    let protobuf =
        api.ask("POST", MAPS, &[("content-type", "application/vnd.kubernetes.protobuf")], message).await;
    assert_eq!((protobuf.code, &protobuf.body["data"]), (201, &json!({"a": "b"})), "{protobuf:?}");
}

#[tokio::test]
async fn names_are_generated() {
    let api = Api::new();
    let created = api.post(MAPS, json!({"metadata": {"generateName": "web-"}})).await;
    let name = created.body["metadata"]["name"].as_str().expect("a name");
    assert!(name.starts_with("web-") && name.len() == 9, "{name}");
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let api = Api::new();
    let created = api.post(&format!("{MAPS}?dryRun=All"), json!({"metadata": {"name": "x"}})).await;
    assert_eq!((created.code, &created.body["metadata"]["resourceVersion"]), (201, &Value::Null));
    assert_eq!(api.get(&format!("{MAPS}/x")).await.code, 404);
    assert_eq!(api.post(&format!("{MAPS}?dryRun=Some"), json!({"metadata": {"name": "x"}})).await.code, 422);
}

#[tokio::test(start_paused = true)]
async fn updates_and_their_conflicts() {
    let api = Api::new();
    let created = api.config_map("x", json!({})).await;
    let path = format!("{MAPS}/x");
    let mut body = created.body.clone();
    body["data"]["a"] = "c".into();
    let updated = api.put(&path, body.clone()).await;
    assert_eq!((updated.code, updated.revision()), (200, created.revision() + 1));
    let modified = r#"Operation cannot be fulfilled on configmaps "x": the object has been modified; please apply your changes to the latest version and try again"#;
    assert_eq!(api.put(&path, body.clone()).await.failure(), (409, modified));
    body["metadata"]["resourceVersion"] = Value::Null;
    let same = api.put(&path, body.clone()).await;
    assert_eq!(
        (same.code, same.revision()),
        (200, updated.revision()),
        "nothing changed, nothing is written"
    );
    body["metadata"]["uid"] = "other".into();
    assert_eq!(api.put(&path, body.clone()).await.code, 409);
    assert_eq!(
        api.put(&format!("{MAPS}/y"), json!({"metadata": {"name": "y"}})).await.failure(),
        (404, r#"configmaps "y" not found"#)
    );
    assert_eq!(
        api.put(&path, json!({"metadata": {"name": "z"}})).await.failure(),
        (400, "the name of the object (z) does not match the name on the URL (x)")
    );
    // Of another cluster, say: no newer version of this object will come.
    assert_eq!(
        api.put(&path, json!({"metadata": {"name": "x", "resourceVersion": "999"}})).await.failure().0,
        409
    );
}

#[tokio::test]
async fn patches() {
    let api = Api::new();
    api.config_map("x", json!({})).await;
    let path = format!("{MAPS}/x");
    let merge = [("content-type", "application/merge-patch+json")];
    let patched = api.ask("PATCH", &path, &merge, r#"{"data":{"a":null,"c":"d"}}"#).await;
    assert_eq!((patched.code, &patched.body["data"]), (200, &json!({"c": "d"})));
    let strategic = [("content-type", "application/strategic-merge-patch+json")];
    let patched = api.ask("PATCH", &path, &strategic, r#"{"data":{"c":null,"e":"f"}}"#).await;
    assert_eq!((patched.code, &patched.body["data"]), (200, &json!({"e": "f"})));
    let json_patch = [("content-type", "application/json-patch+json")];
    let operations =
        r#"[{"op":"test","path":"/data/e","value":"f"},{"op":"add","path":"/data/g","value":"h"}]"#;
    let patched = api.ask("PATCH", &path, &json_patch, operations).await;
    assert_eq!((patched.code, &patched.body["data"]), (200, &json!({"e": "f", "g": "h"})));
    let refused =
        api.ask("PATCH", &path, &json_patch, r#"[{"op":"test","path":"/data/e","value":"x"}]"#).await;
    assert_eq!(refused.code, 422);
    assert_eq!(api.ask("PATCH", &path, &merge, r#"{"metadata":{"resourceVersion":"1"}}"#).await.code, 409);
    assert_eq!(api.ask("PATCH", &path, &[("content-type", "text/plain")], "{}").await.code, 415);
}

#[tokio::test]
async fn odd_patches_are_told_of_or_refused() {
    let api = Api::new();
    let made = api.config_map("x", json!({})).await;
    let merge = [("content-type", "application/merge-patch+json")];
    let odd = r#"{"extra":1,"extra":2}"#;
    let path = |options: &str| format!("{MAPS}/x?dryRun=All{options}");
    let told = api.ask("PATCH", &path(""), &merge, odd).await;
    let expect = [r#"299 - "duplicate field \"extra\"""#, r#"299 - "unknown field \"extra\"""#];
    assert_eq!((told.code, &told.warnings[..]), (200, &expect.map(str::to_owned)[..]));
    let ignored = api.ask("PATCH", &path("&fieldValidation=Ignore"), &merge, odd).await;
    assert_eq!((ignored.code, ignored.warnings.len()), (200, 0));
    let (code, message) = (422, r#"strict decoding error: duplicate field "extra", unknown field "extra""#);
    let refused = api.ask("PATCH", &path("&fieldValidation=Strict"), &merge, odd).await;
    assert_eq!(refused.code, code);
    assert!(refused.failure().1.ends_with(message), "{refused:?}");
    let dry = api.ask("PATCH", &path(""), &merge, r#"{"data":{"new":"1"}}"#).await;
    assert_eq!((dry.revision(), &dry.body["data"]["new"]), (made.revision(), &json!("1")));
}

/// Somebody else's write of this data to the ConfigMap `x`.
fn intruder(api: &Api, data: Value) -> state::Txn {
    changed_by_another(api, |fields| _ = fields.insert("data".into(), data))
}

/// Somebody else's change of the ConfigMap `x`, as it is stored now.
fn changed_by_another(api: &Api, change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> state::Txn {
    let row = &*api::Resource::builtin("", "v1", "configmaps");
    let key = row.key("default", "x");
    let moment = api.memory.moment();
    let mut object =
        Object::read(&moment.state.get(key.as_str()).expect("x").bytes.to_bytes(), row).expect("readable");
    change(&mut object.fields);
    transaction("other", Vec::new(), vec![put(key, &object.prepare(row))])
}

#[tokio::test]
async fn a_guard_that_the_client_did_not_state_is_retried() {
    let api = Api::new();
    api.config_map("x", json!({})).await;
    api.memory.intrude(intruder(&api, json!({"other": "1"})));
    let merge = [("content-type", "application/merge-patch+json")];
    let patched = api.ask("PATCH", &format!("{MAPS}/x"), &merge, r#"{"data":{"mine":"1"}}"#).await;
    assert_eq!((patched.code, &patched.body["data"]), (200, &json!({"mine": "1", "other": "1"})));
    let live = api.get(&format!("{MAPS}/x")).await;
    assert_eq!(patched.revision(), live.revision(), "the revision that is there still");
}

#[tokio::test]
async fn a_retried_update_is_validated_against_the_object_that_came_between() {
    let api = Api::new();
    let path = format!("{MAPS}/x");
    api.config_map("x", json!({})).await;
    api.memory.intrude(changed_by_another(&api, |fields| _ = fields.insert("immutable".into(), true.into())));
    let refused = api.put(&path, json!({"metadata": {"name": "x"}, "data": {"a": "2"}})).await;
    assert_eq!(refused.code, 422, "{refused:?}");
    let kept = api.get(&path).await.body;
    assert_eq!((&kept["immutable"], &kept["data"]), (&json!(true), &json!({"a": "b"})));
}

#[tokio::test]
async fn a_stated_version_that_loses_the_race_is_a_conflict() {
    let api = Api::new();
    let mut body = api.config_map("x", json!({})).await.body;
    api.memory.intrude(intruder(&api, json!({"other": "1"})));
    body["data"] = json!({"mine": "1"});
    assert_eq!(api.put(&format!("{MAPS}/x"), body).await.code, 409);
    assert_eq!(api.get(&format!("{MAPS}/x")).await.body["data"], json!({"other": "1"}));
}

#[tokio::test]
async fn a_refusal_for_something_absent_is_checked_again() {
    let api = Api::new();
    let before = api.memory.moment();
    api.post("/api/v1/namespaces", json!({"metadata": {"name": "new"}})).await;
    api.memory.lag(before);
    let created = api.post("/api/v1/namespaces/new/configmaps", json!({"metadata": {"name": "x"}})).await;
    assert_eq!(created.code, 201, "{created:?}");
}

#[tokio::test]
async fn a_refusal_by_the_object_of_an_old_moment_is_checked_again() {
    let api = Api::new();
    let path = format!("{MAPS}/x");
    api.post(MAPS, json!({"metadata": {"name": "x"}, "immutable": true, "data": {"a": "b"}})).await;
    let before = api.memory.moment();
    let changed = json!({"metadata": {"name": "x"}, "data": {"a": "c"}});
    assert_eq!(api.put(&path, changed.clone()).await.code, 422);
    api.delete(&path).await;
    api.config_map("x", json!({})).await;
    api.memory.lag(before);
    let updated = api.put(&path, changed).await;
    assert_eq!(updated.code, 200, "{updated:?}");
}

#[tokio::test]
async fn a_dry_run_shows_what_the_newest_state_would_become() {
    let api = Api::new();
    api.config_map("x", json!({})).await;
    api.memory.lag(api.memory.moment());
    api.memory.apply(intruder(&api, json!({"other": "1"})));
    let merge = [("content-type", "application/merge-patch+json")];
    let path = format!("{MAPS}/x?dryRun=All");
    let patched = api.ask("PATCH", &path, &merge, r#"{"data":{"mine":"1"}}"#).await;
    assert_eq!((patched.code, &patched.body["data"]), (200, &json!({"mine": "1", "other": "1"})));
    let live = api.get(&format!("{MAPS}/x")).await;
    assert_eq!(patched.revision(), live.revision(), "the revision that is there still");
}

#[tokio::test]
async fn deletes_with_preconditions_and_finalizers() {
    let api = Api::new();
    let created = api.config_map("x", json!({})).await;
    let path = format!("{MAPS}/x");
    let stated = |uid: &str| json!({"preconditions": {"uid": uid}}).to_string();
    let (code, message) = (
        409,
        "Operation cannot be fulfilled on ConfigMap \"x\": the UID in the precondition (y) does not match",
    );
    let refused = api.ask("DELETE", &path, &[], stated("y")).await;
    assert!(refused.failure().0 == code && refused.failure().1.starts_with(message), "{refused:?}");
    let uid = created.body["metadata"]["uid"].as_str().expect("uid").to_owned();
    let deleted = api.ask("DELETE", &path, &[], stated(&uid)).await;
    let expect = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": "x", "kind": "configmaps", "uid": uid}});
    assert_eq!((deleted.code, deleted.body), (200, expect));
    assert_eq!(api.delete(&path).await.failure(), (404, r#"configmaps "x" not found"#));

    api.post(MAPS, json!({"metadata": {"name": "x", "finalizers": ["example.com/hold"]}})).await;
    let marked = api.delete(&path).await;
    assert!(marked.code == 200 && marked.body["metadata"]["deletionTimestamp"].is_string(), "{marked:?}");
    let mut body = api.get(&path).await.body;
    body["metadata"]["finalizers"] = json!([]);
    assert_eq!(api.put(&path, body).await.code, 200);
    assert_eq!(api.get(&path).await.code, 404, "the last finalizer let it go");
}

#[tokio::test]
async fn failures_of_the_log_become_status_objects() {
    let api = Api::new();
    let cases = [
        (ProposeError::Unknown, 504, "Timeout"),
        (ProposeError::OutOfSpace, 507, "InsufficientStorage"),
        (ProposeError::Unavailable { reason: "no master leads".into() }, 503, "ServiceUnavailable"),
    ];
    for (error, code, reason) in cases {
        api.memory.fail_next(error);
        let answer = api.post(MAPS, json!({"metadata": {"name": "x"}})).await;
        assert_eq!((answer.code, &answer.body["reason"]), (code, &json!(reason)));
    }
    assert_eq!(api.get(&format!("{MAPS}/x")).await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn some_kinds_are_created_by_an_update_and_some_need_its_version() {
    let api = Api::whole();
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let lease = json!({"metadata": {"name": "x"}, "spec": {"holderIdentity": "a"}});
    let created = api.put(&format!("{leases}/x"), lease.clone()).await;
    assert_eq!((created.code, &created.body["spec"]["holderIdentity"]), (201, &json!("a")), "{created:?}");
    assert_eq!(
        api.put(&format!("{leases}/x"), lease).await.failure(),
        (
            422,
            "leases.coordination.k8s.io \"x\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
        )
    );
    assert_eq!(api.put(&format!("{MAPS}/x"), json!({"metadata": {"name": "x"}})).await.code, 404);
}
