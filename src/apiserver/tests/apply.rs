//! Server-side apply, and who owns the fields that other writes set.

use serde_json::{Value, json};

use super::{Answer, Api, MAPS};

const APPLY: &str = "application/apply-patch+yaml";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

impl Api {
    pub(super) async fn apply(&self, path: &str, object: Value) -> Answer {
        self.ask("PATCH", path, &[("content-type", APPLY)], object.to_string()).await
    }

    pub(super) async fn merge(&self, path: &str, changes: Value) -> Answer {
        let headers = [("content-type", "application/merge-patch+json"), ("user-agent", "curl/8.1 (x)")];
        self.ask("PATCH", path, &headers, changes.to_string()).await
    }
}

/// Who owns what: manager, operation, subresource and fields, a line each.
pub(super) fn owners(answer: &Answer) -> Vec<String> {
    let entries = answer.body["metadata"]["managedFields"].as_array().into_iter().flatten();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let line = |entry: &Value| {
        assert!(entry["time"].is_string() && entry["fieldsType"] == "FieldsV1", "{entry}");
        let words = ["manager", "operation", "subresource"].map(|name| text(entry, name));
        format!("{} {}", words.join(" "), entry["fieldsV1"])
    };
    // Their order depends on the second in which each wrote.
    let mut lines: Vec<String> = entries.map(line).collect();
    lines.sort();
    lines
}

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data})
}

fn deployment(replicas: Option<u32>) -> Value {
    let container = json!({"name": "c", "image": "i", "ports": [{"containerPort": 80}]});
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}},
        },
    });
    if let Some(replicas) = replicas {
        object["spec"]["replicas"] = replicas.into();
    }
    object
}

#[tokio::test]
async fn who_writes_owns_what_differs() {
    let api = Api::new();
    let path = format!("{MAPS}/x");
    let created = api.post(&format!("{MAPS}?fieldManager=one"), map(json!({"a": "1", "b": "1"}))).await;
    assert_eq!(owners(&created), [r#"one Update  {"f:data":{".":{},"f:a":{},"f:b":{}}}"#]);
    let patched = api.merge(&path, json!({"data": {"b": "2"}})).await;
    let expect = [r#"curl Update  {"f:data":{"f:b":{}}}"#, r#"one Update  {"f:data":{".":{},"f:a":{}}}"#];
    assert_eq!(owners(&patched), expect);
    let put = api.put(&format!("{path}?fieldManager=one"), map(json!({"a": "1", "b": "2"}))).await;
    assert_eq!((put.revision(), owners(&put)), (patched.revision(), owners(&patched)), "nothing changed");
    let put = api.put(&format!("{path}?fieldManager=one"), map(json!({"a": "1", "c": "3"}))).await;
    assert_eq!(owners(&put), [r#"one Update  {"f:data":{".":{},"f:a":{},"f:c":{}}}"#]);
    for reset in [json!([{}]), json!([])] {
        let reset = api.merge(&path, json!({"metadata": {"managedFields": reset}})).await;
        assert_eq!(owners(&reset), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_apply_creates_then_merges_then_removes() {
    let api = Api::new();
    let path = format!("{MAPS}/x?fieldManager=a");
    let created = api.apply(&path, map(json!({"a": "1", "b": "1"}))).await;
    assert_eq!(
        (created.code, owners(&created)),
        (201, vec![r#"a Apply  {"f:data":{"f:a":{},"f:b":{}}}"#.into()])
    );
    let again = api.apply(&path, map(json!({"a": "1", "b": "1"}))).await;
    assert_eq!((again.code, again.revision()), (200, created.revision()), "nothing changed");
    let other = api.apply(&format!("{MAPS}/x?fieldManager=b"), map(json!({"b": "1", "c": "2"}))).await;
    assert_eq!(other.body["data"], json!({"a": "1", "b": "1", "c": "2"}));
    let less = api.apply(&path, map(json!({}))).await;
    assert_eq!(less.body["data"], json!({"b": "1", "c": "2"}), "what another owns stays");
    assert_eq!(owners(&less), [r#"a Apply  {"f:data":{}}"#, r#"b Apply  {"f:data":{"f:b":{},"f:c":{}}}"#]);
}

#[tokio::test]
async fn conflicts_name_the_owner_and_the_field() {
    let api = Api::new();
    let created = api.post(&format!("{DEPLOYMENTS}?fieldManager=kctl"), deployment(Some(2))).await;
    assert_eq!(created.code, 201, "{created:?}");
    let path = format!("{DEPLOYMENTS}/web?fieldManager=ci");
    let refused = api.apply(&path, deployment(Some(3))).await;
    let message = r#"Apply failed with 1 conflict: conflict with "kctl" using apps/v1: .spec.replicas"#;
    assert_eq!(refused.failure(), (409, message));
    assert_eq!(refused.body["reason"], "Conflict");
    let cause = json!({
        "reason": "FieldManagerConflict", "message": r#"conflict with "kctl" using apps/v1"#,
        "field": ".spec.replicas",
    });
    assert_eq!(refused.body["details"]["causes"], json!([cause]));
    let forced = api.apply(&format!("{path}&force=true"), deployment(Some(3))).await;
    assert_eq!((forced.code, &forced.body["spec"]["replicas"]), (200, &json!(3)));
    let [ours, theirs] = &owners(&forced)[..] else { panic!("{forced:?}") };
    assert!(ours.starts_with("ci Apply ") && ours.contains("f:replicas"), "{ours}");
    assert!(theirs.starts_with("kctl Update ") && !theirs.contains("f:replicas"), "{theirs}");
}

#[tokio::test]
async fn a_status_and_a_scale_have_owners_of_their_own() {
    let api = Api::new();
    let created = api.apply(&format!("{DEPLOYMENTS}/web?fieldManager=ci"), deployment(Some(2))).await;
    assert_eq!(created.code, 201, "{created:?}");
    let status = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 7}, "status": {"replicas": 2},
    });
    let path = format!("{DEPLOYMENTS}/web/status?fieldManager=loop");
    let written = api.apply(&path, status).await;
    assert_eq!((written.code, &written.body["spec"]["replicas"]), (200, &json!(2)), "{written:?}");
    assert!(owners(&written).contains(&r#"loop Apply status {"f:status":{"f:replicas":{}}}"#.to_owned()));
    let scale = json!({"spec": {"replicas": 5}});
    let headers = [("content-type", "application/merge-patch+json")];
    let path = format!("{DEPLOYMENTS}/web/scale?fieldManager=hand");
    let scaled = api.ask("PATCH", &path, &headers, scale.to_string()).await;
    assert_eq!(scaled.code, 200, "{scaled:?}");
    let after = api.get(&format!("{DEPLOYMENTS}/web")).await;
    let entries = after.body["metadata"]["managedFields"].as_array().expect("owners").clone();
    let of = |name: &str| entries.iter().find(|entry| entry["manager"] == name).expect("an owner");
    assert_eq!(of("hand")["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!((&of("hand")["subresource"], &of("hand")["apiVersion"]), (&json!("scale"), &json!("apps/v1")));
    assert_eq!(of("ci")["fieldsV1"]["f:spec"]["f:replicas"], Value::Null, "the scale has them now");
    let refused = api.apply(&format!("{DEPLOYMENTS}/web?fieldManager=ci"), deployment(Some(2))).await;
    let message = r#"Apply failed with 1 conflict: conflict with "hand" with subresource "scale" using apps/v1: .spec.replicas"#;
    assert_eq!(refused.failure(), (409, message));
}

#[tokio::test]
async fn kubectl_moves_from_applying_itself_without_conflicts() {
    let api = Api::new();
    let mut object = map(json!({"a": "1"}));
    let noted = object.to_string();
    object["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": noted});
    api.post(&format!("{MAPS}?fieldManager=kubectl-client-side-apply"), object).await;
    let applied = api.apply(&format!("{MAPS}/x?fieldManager=kubectl"), map(json!({"a": "2"}))).await;
    assert_eq!((applied.code, &applied.body["data"]), (200, &json!({"a": "2"})));
    let noted = &applied.body["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    let noted: Value = serde_json::from_str(noted.as_str().expect("text")).expect("JSON");
    assert_eq!(noted["data"], json!({"a": "2"}));
}

#[tokio::test]
async fn what_cannot_be_applied() {
    let api = Api::new();
    let long = format!("{MAPS}/x?fieldManager={}", "m".repeat(129));
    let typed = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": 1}, "extra": 1});
    let unnamed = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}});
    let other = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}});
    let owned =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "managedFields": []}});
    let named = format!("{MAPS}/x?fieldManager=m");
    let cases = [
        (
            format!("{MAPS}/x"),
            map(json!({})),
            422,
            r#"PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch"#,
        ),
        (
            long,
            map(json!({})),
            422,
            r#"PatchOptions.meta.k8s.io "" is invalid: fieldManager: Too long: may not be more than 128 bytes"#,
        ),
        (
            format!("{MAPS}/x?fieldManager=a%07b"),
            map(json!({})),
            422,
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\ab\": invalid character U+0007 (at position 1)",
        ),
        (
            named.clone(),
            typed,
            500,
            "failed to create typed patch object (/x; /v1, Kind=ConfigMap): errors:\n  .data.a: expected string, got &value.valueUnstructured{Value:1}\n  .extra: field not declared in schema",
        ),
        (
            named.clone(),
            unnamed,
            400,
            "the name of the object (x based on URL) was undeterminable: name must be provided",
        ),
        (named.clone(), other, 400, "invalid object type: /v1, Kind=Secret"),
        (named, owned, 400, "metadata.managedFields must be nil"),
    ];
    for (path, object, code, message) in cases {
        assert_eq!(api.apply(&path, object).await.failure(), (code, message));
    }
    let cbor =
        api.ask("PATCH", &format!("{MAPS}/x"), &[("content-type", "application/apply-patch+cbor")], "").await;
    assert_eq!(cbor.code, 415);
    let forced = api.merge(&format!("{MAPS}/x?force=true"), json!({})).await;
    let message = r#"PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch"#;
    assert_eq!(forced.failure(), (422, message));
}

#[tokio::test]
async fn keys_of_yaml_that_are_given_again_are_refused_or_told() {
    let api = Api::new();
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  a: b\n  a: c\ndata: {a: d}\n";
    let lines = ["line 6: key \"a\" already set in map", "line 7: key \"data\" already set in map"];
    let warnings = lines.map(|line| format!("299 - {line:?}"));
    let told = format!("yaml: unmarshal errors:\n  {}", lines.join("\n  "));
    let send = |verb: &'static str, path: String, media: &'static str| {
        let api = &api;
        async move { api.ask(verb, &path, &[("content-type", media)], text).await }
    };
    let apply = |options: &str| send("PATCH", format!("{MAPS}/x?fieldManager=m{options}"), APPLY);
    let why = format!("error strict decoding patch: error converting YAML to JSON: {told}");
    assert_eq!(apply("&fieldValidation=Strict").await.failure(), (400, &*why));
    assert_eq!(api.get(&format!("{MAPS}/x")).await.code, 404);
    assert_eq!(apply("&fieldValidation=Ignore").await.warnings, Vec::<String>::new());
    assert_eq!(apply("").await.warnings, warnings);
    // What is wrong with applying it comes first.
    api.merge(&format!("{MAPS}/x"), json!({"data": {"a": "other"}})).await;
    assert_eq!(apply("&fieldValidation=Strict").await.code, 409);
    let post = |options: &str| send("POST", format!("{MAPS}?dryRun=All{options}"), "application/yaml");
    let kind = r#"ConfigMap in version "v1" cannot be handled as a ConfigMap"#;
    let why = format!("{kind}: strict decoding error: {told}");
    assert_eq!(post("&fieldValidation=Strict").await.failure(), (400, &*why));
    assert_eq!(api.delete(&format!("{MAPS}/x")).await.code, 200);
    assert_eq!(post("").await.warnings, warnings);
}
