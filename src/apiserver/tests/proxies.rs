//! What pods, Services and nodes serve, seen through the API: names, redirects and refusals. Behind the router nothing
//! can be reached here: what gets that far says so.

use axum::body::Body;
use serde_json::{Value, json};

use super::Api;

const PODS: &str = "/api/v1/namespaces/default/pods";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

const NOWHERE: (u16, &str) = (503, "error trying to reach service: no way into the cluster");

async fn status(api: &Api, path: &str, status: Value) {
    let merge = [("content-type", "application/merge-patch+json")];
    let patch = json!({"status": status}).to_string();
    let patched = api.ask("PATCH", &format!("{path}/status"), &merge, patch).await;
    assert_eq!(patched.code, 200, "{patched:?}");
}

/// A pod with an address on a node that has an agent, one without, and a Service of both.
async fn cluster() -> Api {
    let api = Api::whole();
    api.post("/api/v1/nodes", json!({"metadata": {"name": "n"}})).await;
    let node = json!({
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10_250}},
    });
    status(&api, "/api/v1/nodes/n", node).await;
    for (name, ip) in [("p", "10.42.0.2"), ("q", "169.254.0.1"), ("r", "")] {
        let ports = json!([{"name": "web", "containerPort": 8080}]);
        let spec = json!({"nodeName": "n", "containers": [{"name": "c", "image": "i", "ports": ports}]});
        let made = api.post(PODS, json!({"metadata": {"name": name}, "spec": spec})).await;
        assert_eq!(made.code, 201, "{made:?}");
        if !ip.is_empty() {
            status(&api, &format!("{PODS}/{name}"), json!({"podIP": ip, "podIPs": [{"ip": ip}]})).await;
        }
    }
    let spec = json!({"ports": [{"name": "web", "port": 80}, {"name": "other", "port": 81}]});
    let made = api.post(SERVICES, json!({"metadata": {"name": "s"}, "spec": spec})).await;
    assert_eq!(made.code, 201, "{made:?}");
    api
}

async fn slice(api: &Api, name: &str, address: &str, pod: &str, ready: bool) {
    let target = json!({"kind": "Pod", "namespace": "default", "name": pod});
    let made = api.post(
        SLICES,
        json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "s"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": ready}, "targetRef": target}],
            "ports": [{"name": "web", "port": 8080, "protocol": "TCP"}],
        }),
    );
    let made = made.await;
    assert_eq!(made.code, 201, "{made:?}");
}

#[tokio::test]
async fn names_lead_to_pods_services_and_nodes_or_say_why_not() {
    let api = cluster().await;
    let check = async |path: &str, expected: (u16, &str)| {
        let answer = api.get(path).await;
        assert_eq!(answer.failure(), expected, "{path}");
    };
    for name in ["p", "p:8080", "p:web", "http:p:8080", "https:p:web", "p%3A8080"] {
        check(&format!("{PODS}/{name}/proxy/"), NOWHERE).await;
    }
    check(&format!("{PODS}/absent/proxy/"), (404, r#"pods "absent" not found"#)).await;
    check(&format!("{PODS}/ftp:p:80/proxy/"), (400, r#"invalid pod request "ftp:p:80""#)).await;
    check(&format!("{PODS}/q/proxy/"), (400, "address not allowed")).await;
    check(&format!("{PODS}/r/proxy/"), (400, "address not allowed")).await;
    let unknown = "error trying to reach service: dial tcp: lookup tcp/other: unknown port";
    check(&format!("{PODS}/p:other/proxy/"), (503, unknown)).await;
    let invalid = "error trying to reach service: dial tcp: address 70000: invalid port";
    check(&format!("{PODS}/p:70000/proxy/"), (503, invalid)).await;

    let nobody = (503, r#"no endpoints available for service "s""#);
    check(&format!("{SERVICES}/s:web/proxy/"), nobody).await;
    slice(&api, "not-ready", "10.42.0.2", "p", false).await;
    slice(&api, "not-the-pods", "10.42.0.9", "p", true).await;
    check(&format!("{SERVICES}/s:web/proxy/"), nobody).await;
    slice(&api, "ready", "10.42.0.2", "p", true).await;
    check(&format!("{SERVICES}/s:web/proxy/"), NOWHERE).await;
    check(&format!("{SERVICES}/https:s:80/proxy/"), NOWHERE).await;
    check(&format!("{SERVICES}/s:other/proxy/"), nobody).await;
    check(&format!("{SERVICES}/s:82/proxy/"), (503, r#"no service port 82 found for service "s""#)).await;
    check(&format!("{SERVICES}/x:82/proxy/"), (404, r#"services "x" not found"#)).await;

    for name in ["n", "n:10250", "https:n:10250", "n:9100"] {
        check(&format!("/api/v1/nodes/{name}/proxy/healthz"), NOWHERE).await;
    }
    check("/api/v1/nodes/m/proxy/", (404, r#"nodes "m" not found"#)).await;
}

#[tokio::test]
async fn only_a_read_is_sent_on_to_the_path_with_a_slash() {
    let api = cluster().await;
    let base = format!("{PODS}/p/proxy");
    for method in ["GET", "HEAD"] {
        let answer = api.send(method, &format!("{base}?a=b"), &[], Body::empty()).await;
        assert_eq!(answer.status(), 301);
        assert_eq!(answer.headers()["location"].to_str().expect("text"), format!("{base}/?a=b"));
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        assert_eq!(api.ask(method, &base, &[], "body").await.failure(), NOWHERE, "{method}");
    }
    assert_eq!(api.ask("TRACE", &base, &[], "").await.code, 405);
    // What is not named is not passed on.
    assert_eq!(api.get("/api/v1/namespaces/default/configmaps/p/proxy/").await.code, 404);
}
