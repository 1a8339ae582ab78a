//! Get, list, discovery, health.

use axum::body::Body;
use http_body_util::BodyExt;
use replica::Behind;
use serde_json::{Value, json};

use super::{Api, MAPS};

const TABLE: (&str, &str) = ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");

#[tokio::test]
async fn lists_copy_bytes() {
    let api = Api::new();
    assert_eq!(
        api.get(MAPS).await.body.to_string(),
        r#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"4"},"items":[]}"#
    );
    // What the list is of, its items do not repeat.
    let item = |created: Value| {
        let Value::Object(mut object) = created else { panic!("{created}") };
        assert_eq!((&object["kind"], &object["apiVersion"]), (&json!("ConfigMap"), &json!("v1")));
        object.retain(|name, _| !matches!(name.as_str(), "kind" | "apiVersion"));
        Value::Object(object)
    };
    let one = item(api.config_map("a", json!({})).await.body);
    let two = item(api.config_map("b", json!({})).await.body);
    let expect = format!(
        r#"{{"kind":"ConfigMapList","apiVersion":"v1","metadata":{{"resourceVersion":"6"}},"items":[{one},{two}]}}"#
    );
    assert_eq!(api.get(MAPS).await.body.to_string(), expect);
    assert_eq!(api.get("/api/v1/configmaps").await.body.to_string(), expect);
    assert_eq!(
        api.get("/api/v1/namespaces").await.names(),
        ["default", "kube-node-lease", "kube-public", "kube-system"]
    );
}

#[tokio::test]
async fn long_lists_come_in_chunks_that_fit_together() {
    let api = Api::new();
    let names: Vec<String> = (0..40).map(|at| format!("x{at:02}")).collect();
    for name in &names {
        api.post(MAPS, json!({"metadata": {"name": name}, "data": {"a": "x".repeat(20_000)}})).await;
    }
    let response = api.send("GET", MAPS, &[], Body::empty()).await;
    let length: usize =
        response.headers()["content-length"].to_str().expect("text").parse().expect("a number");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(body.len(), length);
    assert_eq!(api.get(MAPS).await.names(), names);
}

#[tokio::test]
async fn selectors() {
    let api = Api::new();
    api.config_map("a", json!({"app": "web"})).await;
    api.config_map("b", json!({"app": "db"})).await;
    let cases: [(&str, &[&str]); 6] = [
        ("labelSelector=app%3Dweb", &["a"]),
        ("labelSelector=app%20in%20(web,db)", &["a", "b"]),
        ("labelSelector=none", &[]),
        ("fieldSelector=metadata.name%3Db", &["b"]),
        ("fieldSelector=metadata.name!%3Db", &["a"]),
        ("fieldSelector=metadata.name%3Da&labelSelector=app%3Ddb", &[]),
    ];
    for (query, expect) in cases {
        assert_eq!(api.get(&format!("{MAPS}?{query}")).await.names(), expect, "{query}");
    }
    let all =
        api.get("/api/v1/configmaps?fieldSelector=metadata.namespace%3Ddefault,metadata.name%3Da").await;
    assert_eq!(all.names(), ["a"], "also over all namespaces");
    assert_eq!(api.get(&format!("{MAPS}?labelSelector=%3D")).await.code, 400);
    assert_eq!(
        api.get(&format!("{MAPS}?fieldSelector=data%3Dx")).await.failure(),
        (400, r#""data" is not a known field selector: only "metadata.name", "metadata.namespace""#)
    );
}

#[tokio::test]
async fn pages_show_one_revision() {
    let api = Api::new();
    for name in ["a", "b", "c", "d", "e"] {
        api.config_map(name, json!({})).await;
    }
    let first = api.get(&format!("{MAPS}?limit=2")).await;
    assert_eq!(
        (first.names(), &first.body["metadata"]["remainingItemCount"]),
        (vec!["a".into(), "b".into()], &json!(3))
    );
    api.config_map("bb", json!({})).await;
    api.delete(&format!("{MAPS}/d")).await;
    let token = first.body["metadata"]["continue"].as_str().expect("a token").to_owned();
    let second = api.get(&format!("{MAPS}?limit=2&continue={token}")).await;
    assert_eq!((second.names(), second.revision()), (vec!["c".into(), "d".into()], first.revision()));
    assert_eq!(second.body["metadata"]["remainingItemCount"], 1);
    let token = second.body["metadata"]["continue"].as_str().expect("a token").to_owned();
    let third = api.get(&format!("{MAPS}?limit=2&continue={token}")).await;
    assert_eq!((third.names(), third.revision()), (vec!["e".to_owned()], first.revision()));
    assert_eq!(
        third.body["metadata"].as_object().expect("metadata").len(),
        1,
        "nothing follows the last page"
    );

    api.memory.compact();
    let expired = api.get(&format!("{MAPS}?limit=2&continue={token}")).await;
    assert_eq!((expired.code, &expired.body["reason"]), (410, &json!("Expired")));
    let resume = expired.body["metadata"]["continue"].as_str().expect("a token").to_owned();
    let resumed = api.get(&format!("{MAPS}?limit=2&continue={resume}")).await;
    assert_eq!(resumed.names(), ["e"]);
    assert!(resumed.revision() > first.revision());
    assert_eq!(api.get(&format!("{MAPS}?limit=2&continue=x")).await.code, 400);
}

#[tokio::test(start_paused = true)]
async fn resource_versions_of_reads() {
    let api = Api::new();
    let before = crate::Backend::moment(&api.memory);
    let created = api.config_map("x", json!({})).await;
    api.memory.lag(before);
    let path = format!("{MAPS}/x");
    assert_eq!(api.get(&path).await.code, 200, "the newest");
    assert_eq!(api.get(&format!("{path}?resourceVersion=0")).await.code, 404, "whatever is here");
    assert_eq!(
        api.get(&format!("{path}?resourceVersion={}", created.revision())).await.code,
        200,
        "not older"
    );
    let future = api.get(&format!("{path}?resourceVersion=99")).await;
    assert_eq!(future.failure(), (504, "Timeout: Too large resource version: 99, current: 5"));
    assert_eq!(api.get(&format!("{path}?resourceVersion=x")).await.code, 500);
    let exact = api.get(&format!("{MAPS}?resourceVersion=4&resourceVersionMatch=Exact")).await;
    assert_eq!((exact.names().len(), exact.revision()), (0, 4));
    api.memory.lose_quorum();
    let lost = api.get(&path).await;
    assert_eq!((lost.code, &lost.body["reason"]), (503, &json!("ServiceUnavailable")));
    assert_eq!(api.get("/livez").await.code, 200);
    assert_eq!(api.get("/healthz").await.code, 200);
    let ready = api.get("/readyz").await;
    assert_eq!(
        ready.body,
        json!(
            "[+]ping ok\n[+]caught-up ok\n[-]quorum failed: no quorum of masters answered in time\n[+]shutdown ok\nreadyz check failed\n"
        )
    );
}

#[tokio::test]
async fn a_master_that_has_not_caught_up_since_its_start_is_alive_but_not_ready() {
    let api = Api::new();
    let cases = [
        (Behind::Untold, "no quorum has told yet what was committed when this master started"),
        (
            Behind::Floor { applied: 3, floor: 9 },
            "log index 3 is applied here, but 9 was committed when this master started",
        ),
    ];
    for (behind, why) in cases {
        api.memory.fall_behind(behind);
        let ready = api.get("/readyz").await;
        let told = format!(
            "[+]ping ok\n[-]caught-up failed: {why}\n[+]quorum ok\n[+]shutdown ok\nreadyz check failed\n"
        );
        assert_eq!((ready.code, ready.body), (500, json!(told)));
        assert_eq!(api.get("/livez").await.code, 200);
    }
}

#[tokio::test]
async fn tables_and_partial_objects() {
    let api = Api::new();
    api.config_map("x", json!({})).await;
    let table = api.ask("GET", &format!("{MAPS}?limit=500"), &[TABLE], Body::empty()).await.body;
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    let columns: Vec<_> =
        table["columnDefinitions"].as_array().expect("columns").iter().map(|one| &one["name"]).collect();
    assert_eq!(columns, ["Name", "Data", "Age"]);
    assert_eq!(table["rows"][0]["cells"], json!(["x", 1, "0s"]));
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let one = api.ask("GET", &format!("{MAPS}/x"), &[TABLE], Body::empty()).await.body;
    assert_eq!(
        (&one["rows"][0]["cells"][0], &one["metadata"]["resourceVersion"]),
        (&json!("x"), &json!("5"))
    );
    let partial = [("accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")];
    let list = api.ask("GET", MAPS, &partial, Body::empty()).await;
    assert_eq!(
        (&list.body["kind"], list.names()),
        (&json!("PartialObjectMetadataList"), vec!["x".to_owned()])
    );
    assert_eq!(api.ask("GET", MAPS, &[("accept", "text/html")], Body::empty()).await.code, 406);
}

#[tokio::test]
async fn yaml_and_protobuf() {
    let api = Api::new();
    let given = json!({"metadata": {"name": "x"}, "data": {"a": "yes"}});
    assert_eq!(api.post(MAPS, given).await.code, 201);
    let read = async |path: &str, accept: &str| {
        let response = api.send("GET", path, &[("accept", accept)], Body::empty()).await;
        let kind = response.headers()["content-type"].to_str().expect("text").to_owned();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (kind, body)
    };
    for (path, parts) in [
        (format!("{MAPS}/x"), ["kind: ConfigMap\n", "data:\n  a: \"yes\"\n"]),
        (MAPS.to_owned(), ["kind: ConfigMapList\n", "items:\n- data:\n    a: \"yes\"\n"]),
        (format!("{MAPS}/y"), ["kind: Status\n", "reason: NotFound\n"]),
    ] {
        let (kind, body) = read(&path, "application/yaml").await;
        let body = String::from_utf8_lossy(&body);
        assert_eq!(kind, "application/yaml");
        assert!(parts.iter().all(|part| body.contains(part)), "{body}");
    }
    let partial = |kind| format!("application/vnd.kubernetes.protobuf;as={kind};g=meta.k8s.io;v=v1");
    for (path, accept, expect) in [
        (format!("{MAPS}/x"), partial("PartialObjectMetadata"), "PartialObjectMetadata"),
        (MAPS.to_owned(), partial("PartialObjectMetadataList"), "PartialObjectMetadataList"),
        (format!("{MAPS}/y"), "application/vnd.kubernetes.protobuf".to_owned(), "Status"),
    ] {
        let (kind, body) = read(&path, &accept).await;
        assert_eq!(kind, "application/vnd.kubernetes.protobuf");
        let sealed = api::proto::open(&body).expect("an envelope");
        let schema = api::schema::builtin(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{expect}"));
        let told = api::proto::tree(sealed.message, &schema).expect("a message").to_string();
        assert_eq!(sealed.kind, expect);
        assert!(told.contains(if expect == "Status" { "NotFound" } else { r#""name":"x""# }), "{told}");
        assert!(!told.contains(r#""data""#), "{told}");
    }
    let path = format!("{MAPS}?watch=1");
    assert_eq!(api.ask("GET", &path, &[("accept", "application/yaml")], Body::empty()).await.code, 406);
}

#[tokio::test]
async fn what_has_no_table_is_refused() {
    let api = Api::new();
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}).to_string();
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let refused = api.ask("POST", path, &table, review.clone()).await;
    assert_eq!((refused.code, &refused.body["reason"]), (406, &json!("NotAcceptable")));
    assert_eq!(api.ask("POST", path, &[], review).await.code, 201);
}

#[tokio::test]
async fn documents() {
    let api = Api::new();
    assert_eq!(api.get("/api").await.body["versions"], json!(["v1"]));
    assert_eq!(api.get("/apis").await.body["kind"], "APIGroupList");
    assert_eq!(api.get("/api/v1").await.body["resources"][0]["name"], "bindings");
    assert_eq!(api.get("/version").await.body["gitVersion"], "v1.37.0");
    assert_eq!(api.get("/api/v2").await.code, 404);
    let root = api.get("/openapi/v3").await.body;
    let url = root["paths"]["api/v1"]["serverRelativeURL"].as_str().expect("a URL").to_owned();
    assert_eq!(api.get(&url).await.body["openapi"], "3.0.0");
    let named = api.send("GET", &url, &[], Body::empty()).await;
    assert_eq!(named.headers()["cache-control"], "public, immutable");
    let moved = api.send("GET", "/openapi/v3/api/v1?hash=0", &[], Body::empty()).await;
    assert_eq!((moved.status().as_u16(), moved.headers()["location"].to_str().ok()), (301, Some(&*url)));
    let response = api.send("GET", "/openapi/v2", &[], Body::empty()).await;
    let tag = response.headers()["etag"].to_str().expect("text").to_owned();
    assert_eq!(api.ask("GET", "/openapi/v2", &[("if-none-match", &tag)], Body::empty()).await.code, 304);
    let aggregated =
        [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")];
    let response = api.send("GET", "/api", &aggregated, Body::empty()).await;
    assert_eq!(
        response.headers()["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    let metrics = api.get("/metrics").await;
    assert!(
        metrics
            .body
            .as_str()
            .is_some_and(|text| text.contains("keelson_apiserver_requests_total{verb=\"get\"")),
        "{metrics:?}"
    );
    assert_eq!(
        api.get("/readyz?verbose").await.body,
        json!("[+]ping ok\n[+]caught-up ok\n[+]quorum ok\n[+]shutdown ok\nreadyz check passed\n")
    );
    assert_eq!(api.get("/nothing").await.code, 404);
    assert_eq!(api.delete("/api/v1/namespaces").await.code, 405);
}
