//! What is the same for every kind: one life of an object, of each.

use std::path::Path;
use std::sync::Arc;

use api::proto;
use api::{RESOURCES, Resource};
use axum::body::Body;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::Api;
use crate::limits::LIST_PART_BYTES;

/// Where the objects of a resource are.
fn collection(row: &Resource) -> String {
    let root = if row.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", row.group) };
    let within = if row.namespaced { "/namespaces/default" } else { "" };
    format!("{root}/{}{within}/{}", row.version, row.plural)
}

fn deployments() -> String {
    collection(&Resource::builtin("apps", "v1", "deployments"))
}

/// A valid object of each kind that has samples: the first of them.
fn samples() -> Vec<Value> {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
    let folder = Path::new(&package).join("../api/tests/samples");
    let files = folder.read_dir().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut samples = Vec::new();
    for file in files {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("text");
        if path.extension().is_some_and(|extension| extension == "json") {
            samples.extend(serde_json::from_str::<Vec<Value>>(&text).expect("a list of objects"));
        } else {
            let first = text.split("\n---\n").next().unwrap_or_default();
            let mut object = api::decode::yaml(first.as_bytes()).expect("YAML").value;
            let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
            let (plural, group) = name.split_once('.').unwrap_or((name, ""));
            let is_it = |row: &&Arc<Resource>| row.plural == plural && row.group.starts_with(group);
            let row = RESOURCES.iter().find(is_it).unwrap_or_else(|| panic!("no resource {name}"));
            (object["apiVersion"], object["kind"]) = (row.api_version().into(), row.kind.as_str().into());
            samples.push(object);
        }
    }
    samples
}

#[tokio::test(start_paused = true)]
async fn an_object_of_every_kind_lives_and_dies() {
    let api = Api::whole();
    let samples = samples();
    // A definition says much before it is one: tests of its own make them.
    let rows = RESOURCES.iter().filter(|row| row.is_stored() && row.kind != "CustomResourceDefinition");
    for row in rows {
        let path = collection(row);
        let is_of = |sample: &&Value| sample["kind"] == row.kind && sample["apiVersion"] == row.api_version();
        let mut given = samples.iter().find(is_of).cloned().unwrap_or_else(|| match &*row.kind {
            "HorizontalPodAutoscaler" => json!({"spec": {
                "maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            }}),
            _ => json!({}),
        });
        given["metadata"]["labels"] = json!({"a": "b"});
        if given["metadata"]["name"].is_null() {
            given["metadata"]["name"] = "x".into();
        }
        if row.namespaced {
            given["metadata"]["namespace"] = "default".into();
        }
        let created = api.post(&path, given).await;
        assert_eq!(created.code, 201, "{path}: {created:?}");
        let says = [&created.body["kind"], &created.body["apiVersion"]];
        assert_eq!(says, [&json!(row.kind), &json!(row.api_version())]);
        let name = created.body["metadata"]["name"].as_str().expect("a name");
        let found = api.get(&format!("{path}/{name}")).await;
        assert_eq!(found.body, created.body, "{path}");
        let mut body = found.body;
        body["metadata"]["labels"]["a"] = "c".into();
        let updated = api.put(&format!("{path}/{name}"), body).await;
        assert_eq!(
            (updated.code, &updated.body["metadata"]["labels"]["a"]),
            (200, &json!("c")),
            "{path}: {updated:?}"
        );
        let list = api.get(&format!("{path}?labelSelector=a%3Dc")).await;
        assert_eq!(list.body["kind"], format!("{}List", row.kind));
        assert_eq!(list.names(), [name], "{path}");
        let deleted = api.delete(&format!("{path}/{name}")).await;
        assert_eq!(deleted.code, 200, "{path}: {deleted:?}");
    }
}

/// A Deployment of so many replicas.
fn deployment(name: &str, replicas: u32) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    })
}

#[tokio::test(start_paused = true)]
async fn status_and_the_rest_are_written_apart() {
    let api = Api::new();
    let path = deployments();
    let mut given = deployment("x", 1);
    given["status"] = json!({"replicas": 9});
    let created = api.post(&path, given).await;
    assert_eq!(created.body["status"], json!({}), "nobody creates a status");
    assert_eq!(created.body["metadata"]["generation"], 1);

    let change = |spec: u32, status: u32| {
        let mut body = created.body.clone();
        body["metadata"]["resourceVersion"] = Value::Null;
        (body["spec"]["replicas"], body["status"]["replicas"]) = (spec.into(), status.into());
        body
    };
    let status = api.put(&format!("{path}/x/status"), change(5, 7)).await;
    let seen = |body: &Value| {
        [&body["spec"]["replicas"], &body["status"]["replicas"], &body["metadata"]["generation"]]
            .map(|value| value.as_i64().unwrap_or(-1))
    };
    assert_eq!((status.code, seen(&status.body)), (200, [1, 7, 1]));
    let spec = api.put(&format!("{path}/x"), change(5, 8)).await;
    assert_eq!((spec.code, seen(&spec.body)), (200, [5, 7, 2]));
    assert_eq!(seen(&api.get(&format!("{path}/x/status")).await.body), [5, 7, 2]);
    assert_eq!(api.delete(&format!("{path}/x/status")).await.code, 405);
    assert_eq!(api.get(&format!("{path}/x/nothing")).await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn a_collection_is_deleted_as_far_as_selectors_reach() {
    let api = Api::new();
    let path = deployments();
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let mut given = deployment(name, 1);
        given["metadata"]["labels"] = json!({"l": label});
        assert_eq!(api.post(&path, given).await.code, 201);
    }
    let dry = api.delete(&format!("{path}?labelSelector=l%3Dx&dryRun=All")).await;
    assert_eq!((dry.code, dry.names()), (200, vec!["a".to_owned(), "c".to_owned()]));
    assert_eq!(api.get(&path).await.names(), ["a", "b", "c"]);
    let deleted = api.delete(&format!("{path}?labelSelector=l%3Dx")).await;
    assert_eq!((deleted.code, deleted.names()), (200, vec!["a".to_owned(), "c".to_owned()]));
    assert_eq!(api.get(&path).await.names(), ["b"]);
    assert_eq!(api.delete(&format!("{path}?fieldSelector=metadata.name%3Db")).await.names(), ["b"]);
    assert_eq!(api.get(&path).await.names(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_protobuf_gets_it() {
    let api = Api::new();
    let path = deployments();
    assert_eq!(api.post(&path, deployment("x", 3)).await.code, 201);
    let wanted = [("accept", "application/vnd.kubernetes.protobuf, application/json")];
    let response = api.send("GET", &format!("{path}/x"), &wanted, Body::empty()).await;
    assert_eq!(response.headers()["content-type"], "application/vnd.kubernetes.protobuf");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let envelope = proto::open(&body).expect("an envelope");
    assert_eq!((envelope.api_version, envelope.kind), ("apps/v1", "Deployment"));
    let row = Resource::builtin("apps", "v1", "deployments");
    let tree = proto::tree(envelope.message, &row.schema).expect("a deployment");
    assert_eq!((&tree["metadata"]["name"], &tree["spec"]["replicas"]), (&json!("x"), &json!(3)));

    let response = api.send("GET", &path, &wanted, Body::empty()).await;
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let envelope = proto::open(&body).expect("an envelope");
    let list = api::schema::builtin("io.k8s.api.apps.v1.DeploymentList");
    let tree = proto::tree(envelope.message, &list).expect("a list");
    assert_eq!((envelope.kind, &tree["items"][0]["metadata"]["name"]), ("DeploymentList", &json!("x")));
}

/// Long sets of fields are held apart from their objects: every form of a list puts them back in.
#[tokio::test(start_paused = true)]
async fn lists_show_what_single_objects_show() {
    let api = Api::new();
    let path = deployments();
    assert_eq!(api.post(&path, deployment("x", 3)).await.code, 201);
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    let merge = [("content-type", "application/merge-patch+json")];
    let few = api.ask("PATCH", &format!("{path}/x?fieldManager=few"), &merge, patch.to_string()).await;
    let owners = few.body["metadata"]["managedFields"].as_array().map(Vec::len);
    assert_eq!((few.code, owners), (200, Some(2)));
    let get = async |path: String, accept: &str| {
        let response = api.send("GET", &path, &[("accept", accept)], Body::empty()).await;
        assert_eq!(response.status(), 200, "{path} {accept}");
        response.into_body().collect().await.expect("a body").to_bytes()
    };
    for (kind, list, accept) in [
        ("io.k8s.api.apps.v1.Deployment", "io.k8s.api.apps.v1.DeploymentList", ""),
        (
            "io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata",
            "io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadataList",
            ";g=meta.k8s.io;v=v1;as=PartialObjectMetadata",
        ),
    ] {
        let tree = async |path: String, accept: String, model: &str| {
            let body = get(path, &accept).await;
            proto::tree(proto::open(&body).expect("sealed").message, &api::schema::builtin(model))
                .expect("fits")
        };
        let protobuf = "application/vnd.kubernetes.protobuf";
        let one = tree(format!("{path}/x"), format!("{protobuf}{accept}"), kind).await;
        let accept = accept.replace("Metadata", "MetadataList");
        let all = tree(path.clone(), format!("{protobuf}{accept}"), list).await;
        assert_eq!(all["items"], json!([one]));
        assert!(one.to_string().contains("f:replicas"), "{one}");
    }
    for include in ["Metadata", "None", "Object"] {
        let accept = "application/json;as=Table;g=meta.k8s.io;v=v1";
        let rows = async |path: String| -> Value {
            serde_json::from_slice::<Value>(&get(path, accept).await).expect("JSON")["rows"].take()
        };
        let one = rows(format!("{path}/x?includeObject={include}")).await;
        assert_eq!(rows(format!("{path}?includeObject={include}")).await, one);
        assert_eq!(one.to_string().contains("f:replicas"), include != "None", "{one}");
    }
    let selected = api.get(&format!("{path}?fieldSelector=metadata.name%3Dx")).await;
    assert_eq!(selected.names(), ["x"]);
}

/// The set of its status names its addresses: what is around them is held apart as well.
#[tokio::test(start_paused = true)]
async fn a_list_of_messages_shows_pods_that_run_as_single_objects_show_them() {
    let api = Api::new();
    let path = "/api/v1/namespaces/default/pods";
    for (name, addresses) in [("x", ["10.42.0.5", "fd00::5"]), ("y", ["10.42.0.6", "fd00::6"])] {
        let pod = json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        assert_eq!(api.post(path, pod).await.code, 201);
        let status = json!({"status": {
            "phase": "Running", "podIP": addresses[0], "podIPs": addresses.map(|ip| json!({"ip": ip})),
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "True"}],
            "hostIP": "10.0.0.1", "message": "m", "reason": "r", "startTime": "2026-01-01T00:00:00Z",
        }});
        let merge = [("content-type", "application/merge-patch+json")];
        let told = api.ask("PATCH", &format!("{path}/{name}/status"), &merge, status.to_string()).await;
        assert_eq!(told.code, 200, "{}", told.body);
    }
    let tree = async |path: String, model: &str| {
        let accept = [("accept", "application/vnd.kubernetes.protobuf")];
        let response = api.send("GET", &path, &accept, Body::empty()).await;
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        proto::tree(proto::open(&body).expect("sealed").message, &api::schema::builtin(model)).expect("fits")
    };
    let one = async |name: &str| tree(format!("{path}/{name}"), "io.k8s.api.core.v1.Pod").await;
    let (x, y) = (one("x").await, one("y").await);
    assert!(y.to_string().contains(r#"k:{\"ip\":\"fd00::6\"}"#), "{y}");
    let all = tree(path.to_owned(), "io.k8s.api.core.v1.PodList").await;
    assert_eq!(all["items"], json!([x, y]));
}

#[tokio::test(start_paused = true)]
async fn who_uses_what_is_deprecated_is_warned() {
    let api = Api::new();
    let listed = api.get("/api/v1/namespaces/default/endpoints").await;
    let text = "299 - \"v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\"";
    assert_eq!((listed.code, &*listed.warnings), (200, &[text.to_owned()][..]));
    let missing = api.get("/api/v1/namespaces/default/endpoints/x").await;
    assert_eq!((missing.code, &*missing.warnings), (404, &[text.to_owned()][..]));
    assert!(api.get(&deployments()).await.warnings.is_empty());
}

/// A list in protobuf that is too long for one part has every item once, in order.
#[tokio::test]
async fn a_long_list_in_protobuf_is_whole() {
    let api = Api::new();
    let path = "/api/v1/namespaces/default/configmaps";
    let names: Vec<_> = (0..7).map(|number| format!("c{number}")).collect();
    let filling = "x".repeat(LIST_PART_BYTES / 3);
    for name in &names {
        let data = json!({"name": name, "filling": filling});
        let object = json!({"metadata": {"name": name}, "data": data});
        assert_eq!(api.post(path, object).await.code, 201);
    }
    let accept = [("accept", "application/vnd.kubernetes.protobuf")];
    let response = api.send("GET", path, &accept, Body::empty()).await;
    let length = response.headers()["content-length"].to_str().expect("text").to_owned();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(length, body.len().to_string());
    let message = proto::open(&body).expect("sealed").message;
    let list = proto::tree(message, &api::schema::builtin("io.k8s.api.core.v1.ConfigMapList")).expect("fits");
    let items = list["items"].as_array().expect("items");
    let listed: Vec<_> = items.iter().map(|item| item["data"]["name"].as_str().expect("text")).collect();
    assert_eq!(listed, names);
    assert!(items.iter().all(|item| item["data"]["filling"] == json!(filling)));
}
