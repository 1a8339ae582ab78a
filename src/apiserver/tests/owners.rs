//! Owners of fields across versions, in objects of definitions, and in objects that are too large for them.

use serde_json::{Value, json};

use super::apply::owners;
use super::{Answer, Api, MAPS};
use crate::limits::OBJECT_BYTES_MAX;

const SCALERS: &str = "namespaces/default/horizontalpodautoscalers";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Who owns something, and in which version.
fn versions(answer: &Answer) -> Vec<String> {
    let entries = answer.body["metadata"]["managedFields"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    entries.map(|entry| format!("{} {}", text(&entry["manager"]), text(&entry["apiVersion"]))).collect()
}

fn utilization(percent: u32) -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": percent});
    json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}])
}

#[tokio::test]
async fn what_an_owner_has_in_one_version_changes_in_another() {
    let api = Api::new();
    let (v1, v2) = (format!("/apis/autoscaling/v1/{SCALERS}"), format!("/apis/autoscaling/v2/{SCALERS}"));
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let given = json!({
        "metadata": {"name": "web"},
        "spec": {"minReplicas": 2, "maxReplicas": 9, "targetCPUUtilizationPercentage": 50, "scaleTargetRef": target},
    });
    let created = api.post(&format!("{v1}?fieldManager=one"), given).await;
    assert_eq!(versions(&created), ["one autoscaling/v1"], "{created:?}");
    let patched =
        api.merge(&format!("{v2}/web?fieldManager=two"), json!({"spec": {"metrics": utilization(60)}})).await;
    assert_eq!(versions(&patched), ["one autoscaling/v1", "two autoscaling/v2"], "{patched:?}");
    let [one, two] = &owners(&patched)[..] else { panic!("{patched:?}") };
    assert!(one.contains("f:maxReplicas") && !one.contains("f:targetCPUUtilizationPercentage"), "{one}");
    assert_eq!(two, r#"two Update  {"f:spec":{"f:metrics":{}}}"#);

    let wanted = |replicas: u32| {
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
            "spec": {"minReplicas": replicas},
        })
    };
    let path = format!("{v2}/web?fieldManager=three");
    let refused = api.apply(&path, wanted(3)).await;
    let message =
        r#"Apply failed with 1 conflict: conflict with "one" using autoscaling/v1: .spec.minReplicas"#;
    assert_eq!(refused.failure(), (409, message));
    let forced = api.apply(&format!("{path}&force=true"), wanted(3)).await;
    assert_eq!(forced.code, 200, "{forced:?}");
    assert!(!owners(&forced).iter().any(|owner| owner.starts_with("one ") && owner.contains("minReplicas")));

    // What was applied in one version goes when it is applied no more in the other.
    let bare = json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"maxReplicas": 9},
    });
    let less = api.apply(&format!("{v1}/web?fieldManager=three"), bare).await;
    assert_eq!((less.code, &less.body["spec"]["minReplicas"]), (200, &json!(1)), "{less:?}");
}

fn definition() -> Value {
    let spec = json!({"type": "object", "properties": {
        "colour": {"type": "string"},
        "options": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        "ports": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string"}, "port": {"type": "integer"},
            }},
        },
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "words": {"type": "array", "items": {"type": "string"}},
    }});
    let version = |name: &str, is_stored: bool| {
        json!({
            "name": name, "served": true, "storage": is_stored,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
        })
    };
    json!({
        "metadata": {"name": "boats.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "boats", "kind": "Boat"},
            "versions": [version("v1", true), version("v2", false)],
        },
    })
}

fn boat(version: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("example.com/{version}"), "kind": "Boat", "metadata": {"name": "x"}, "spec": spec})
}

fn boats(version: &str, manager: &str) -> String {
    format!("/apis/example.com/{version}/namespaces/default/boats/x?fieldManager={manager}")
}

#[tokio::test]
async fn objects_of_definitions_merge_as_their_schema_says() {
    let api = Api::new();
    assert_eq!(api.post(DEFINITIONS, definition()).await.code, 201);
    let first = json!({
        "ports": [{"name": "a", "port": 1}], "tags": ["x"], "words": ["one"], "options": {"a": "1"},
    });
    let created = api.apply(&boats("v1", "one"), boat("v1", first.clone())).await;
    assert_eq!(created.code, 201, "{created:?}");
    let second = json!({"ports": [{"name": "b", "port": 2}], "tags": ["y", "x"]});
    let merged = api.apply(&boats("v1", "two"), boat("v1", second)).await;
    let ports = json!([{"name": "a", "port": 1}, {"name": "b", "port": 2}]);
    assert_eq!((merged.code, &merged.body["spec"]["ports"]), (200, &ports), "{merged:?}");
    assert_eq!(merged.body["spec"]["tags"], json!(["y", "x"]));
    for whole in [json!({"words": ["two"]}), json!({"options": {"b": "2"}})] {
        let refused = api.apply(&boats("v1", "two"), boat("v1", whole.clone())).await;
        assert_eq!(refused.code, 409, "{whole} is one value: {refused:?}");
    }
    let less = api.apply(&boats("v1", "one"), boat("v1", json!({"words": ["one"]}))).await;
    let spec = json!({"ports": [{"name": "b", "port": 2}], "tags": ["y", "x"], "words": ["one"]});
    assert_eq!(less.body["spec"], spec);
}

#[tokio::test]
async fn owners_of_objects_of_definitions_are_of_any_version() {
    let api = Api::new();
    assert_eq!(api.post(DEFINITIONS, definition()).await.code, 201);
    api.apply(&boats("v1", "one"), boat("v1", json!({"colour": "red", "tags": ["x"]}))).await;
    let refused = api.apply(&boats("v2", "two"), boat("v2", json!({"colour": "blue"}))).await;
    let message = r#"Apply failed with 1 conflict: conflict with "one": .spec.colour"#;
    assert_eq!(refused.failure(), (409, message));
    let patched = api.merge(&boats("v2", "two"), json!({"spec": {"colour": "blue"}})).await;
    assert_eq!(versions(&patched), ["one example.com/v1", "two example.com/v2"]);
    assert!(!owners(&patched)[0].contains("f:colour"), "{patched:?}");
    let again = api.apply(&boats("v2", "one"), boat("v2", json!({}))).await;
    assert_eq!((again.code, &again.body["spec"]), (200, &json!({"colour": "blue"})), "{again:?}");
}

#[tokio::test]
async fn an_object_too_large_for_its_owners_has_none() {
    let api = Api::new();
    let members = |count: usize| (0..count).map(|at| (format!("k{at:08}"), json!(""))).collect::<Value>();
    // A member and its field are of about the same size: both do not fit.
    let data = members(OBJECT_BYTES_MAX / 20);
    let map = |data: &Value| json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "x"}, "data": data});
    let refused = api.apply(&format!("{MAPS}/x?fieldManager=a"), map(&data)).await;
    assert_eq!(refused.code, 413, "who applies needs owners");
    let created = api.post(MAPS, map(&data)).await;
    assert_eq!((created.code, owners(&created)), (201, Vec::new()));
    api.config_map("small", json!({})).await;
    let patched = api.merge(&format!("{MAPS}/small"), json!({"data": data})).await;
    assert_eq!((patched.code, owners(&patched)), (200, Vec::new()));
}

#[tokio::test]
async fn a_patch_of_owners_makes_kubectl_forget_that_it_applied_itself() {
    let api = Api::new();
    let object = |data: &str| {
        let noted = json!({"kubectl.kubernetes.io/last-applied-configuration": "{}"});
        json!({"metadata": {"name": "x", "annotations": noted}, "data": {"a": data}})
    };
    let made = api.post(&format!("{MAPS}?fieldManager=kubectl-client-side-apply"), object("1")).await;
    let mut entry = made.body["metadata"]["managedFields"][0].clone();
    (entry["manager"], entry["operation"]) = (json!("kubectl"), json!("Apply"));
    let headers = [("content-type", "application/json-patch+json")];
    let patch = |revision: &str| {
        json!([
            {"op": "replace", "path": "/metadata/managedFields", "value": [entry]},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": revision},
        ])
    };
    let path = format!("{MAPS}/x");
    let late = api.ask("PATCH", &path, &headers, patch("1").to_string()).await;
    assert_eq!(late.code, 409, "somebody else wrote");
    let moved = api.ask("PATCH", &path, &headers, patch(&made.revision().to_string()).to_string()).await;
    assert_eq!((moved.code, owners(&moved).len()), (200, 1), "{moved:?}");
    let mut wanted = object("2");
    (wanted["apiVersion"], wanted["kind"]) = (json!("v1"), json!("ConfigMap"));
    wanted["metadata"].as_object_mut().expect("metadata").remove("annotations");
    let applied = api.apply(&format!("{path}?fieldManager=kubectl"), wanted).await;
    assert_eq!(owners(&applied), [r#"kubectl Apply  {"f:data":{"f:a":{}}}"#]);
}
