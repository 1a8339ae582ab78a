//! What the agent of a node may do, and what it may write.

use expect_test::{ExpectFile, expect_file};
use serde_json::{Value, json};

use super::Api;

const PODS: &str = "/api/v1/namespaces/default/pods";
const NODES: &str = "/api/v1/nodes";

/// A pod of `node` that refers to one of everything.
fn pod(name: &str, node: &str) -> Value {
    let of = |what: &str| format!("{name}-{what}");
    json!({
        "metadata": {"name": name},
        "spec": {
            "nodeName": node,
            "serviceAccountName": of("robot"),
            "imagePullSecrets": [{"name": of("pull")}],
            "containers": [{
                "name": "c", "image": "i",
                "env": [
                    {"name": "A", "valueFrom": {"secretKeyRef": {"name": of("env"), "key": "a"}}},
                    {"name": "B", "valueFrom": {"configMapKeyRef": {"name": of("env-map"), "key": "a"}}},
                ],
                "envFrom": [{"secretRef": {"name": of("env-from")}}],
            }],
            "volumes": [
                {"name": "s", "secret": {"secretName": of("volume")}},
                {"name": "m", "configMap": {"name": of("map")}},
                {"name": "all", "projected": {"sources": [
                    {"secret": {"name": of("projected")}}, {"configMap": {"name": of("projected-map")}},
                    {"serviceAccountToken": {"path": "token", "audience": "vault"}},
                ]}},
                {"name": "data", "persistentVolumeClaim": {"claimName": of("claim")}},
            ],
        },
    })
}

/// A claim that is bound to a volume which needs a Secret.
async fn storage(api: &Api, pod: &str) {
    let claim = format!("{pod}-claim");
    let size = json!({"storage": "1Gi"});
    let volume = json!({
        "metadata": {"name": format!("{pod}-disk")},
        "spec": {
            "capacity": size, "accessModes": ["ReadWriteOnce"],
            "claimRef": {"namespace": "default", "name": claim},
            "csi": {"driver": "d", "volumeHandle": "h", "nodeStageSecretRef": {"name": "stage", "namespace": "default"}},
        },
    });
    let made = api.post("/api/v1/persistentvolumes", volume).await;
    assert_eq!(made.code, 201, "{made:?}");
    let claim = json!({
        "metadata": {"name": claim},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": size}, "volumeName": format!("{pod}-disk"),
        },
    });
    let made = api.post("/api/v1/namespaces/default/persistentvolumeclaims", claim).await;
    assert_eq!(made.code, 201, "{made:?}");
}

/// Nodes `n1` and `n2` with a pod each.
async fn cluster() -> Api {
    let api = Api::founded();
    for (name, node) in [("p1", "n1"), ("p2", "n2")] {
        assert_eq!(api.post(NODES, json!({"metadata": {"name": node}})).await.code, 201);
        let made = api.post(PODS, pod(name, node)).await;
        assert_eq!(made.code, 201, "{made:?}");
        storage(&api, name).await;
    }
    api
}

/// What the agent of `n1` is told: `allowed`, or code and message.
async fn check(api: &Api, cases: &[(&str, &str, Value)], expect: ExpectFile) {
    let mut told = String::new();
    for (method, path, body) in cases {
        let answer = api.ask_as_node("n1", method, path, body.clone()).await;
        let verdict = match answer.code {
            // That there is nothing was found out behind the authorizer.
            200 | 201 | 404 => "allowed".to_owned(),
            code => format!("{code} {}", answer.body["message"].as_str().unwrap_or_default()),
        };
        told.push_str(&format!("{method} {path}\n    {verdict}\n"));
    }
    expect.assert_eq(&told);
}

/// Reads, which have no body.
fn reads(paths: &[&'static str]) -> Vec<(&'static str, &'static str, Value)> {
    paths.iter().map(|path| ("GET", *path, Value::Null)).collect()
}

#[tokio::test(start_paused = true)]
async fn what_a_node_may_read() {
    let api = cluster().await;
    let cases = reads(&[
        "/api/v1/services",
        "/apis/discovery.k8s.io/v1/endpointslices",
        "/api/v1/nodes",
        "/api/v1/nodes/n2",
        "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1",
        "/api/v1/pods?fieldSelector=spec.nodeName%3Dn2",
        "/api/v1/pods?fieldSelector=spec.nodeName%21%3Dn1",
        "/api/v1/pods",
        "/api/v1/namespaces/default/pods/p1",
        "/api/v1/namespaces/default/pods/p2",
        "/api/v1/namespaces/default/pods/p1/log",
        "/api/v1/namespaces/default/secrets/p1-pull",
        "/api/v1/namespaces/default/secrets/p1-env",
        "/api/v1/namespaces/default/secrets/p1-env-from",
        "/api/v1/namespaces/default/secrets/p1-volume",
        "/api/v1/namespaces/default/secrets/p1-projected",
        "/api/v1/namespaces/default/secrets/stage",
        "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Dp1-volume",
        "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Dp2-volume",
        "/api/v1/namespaces/default/secrets/p2-volume",
        "/api/v1/namespaces/kube-system/secrets/p1-volume",
        "/api/v1/namespaces/default/secrets",
        "/api/v1/secrets",
        "/api/v1/namespaces/default/configmaps/p1-map",
        "/api/v1/namespaces/default/configmaps/p1-env-map",
        "/api/v1/namespaces/default/configmaps/p1-projected-map",
        "/api/v1/namespaces/default/configmaps/p2-map",
        "/api/v1/namespaces/default/persistentvolumeclaims/p1-claim",
        "/api/v1/namespaces/default/persistentvolumeclaims/p2-claim",
        "/api/v1/namespaces/default/persistentvolumeclaims",
        "/api/v1/persistentvolumes/p1-disk",
        "/api/v1/persistentvolumes/p2-disk",
        "/api/v1/namespaces/default/serviceaccounts/p1-robot",
        "/api/v1/namespaces/default/serviceaccounts/p2-robot",
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1",
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n2",
        "/apis/coordination.k8s.io/v1/namespaces/default/leases/n1",
        "/apis/apps/v1/deployments",
        "/version",
        "/metrics",
    ]);
    check(&api, &cases, expect_file!["./nodes/reads.txt"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_node_may_write() {
    let api = cluster().await;
    let lease = |name: &str| json!({"metadata": {"name": name}, "spec": {"holderIdentity": name}});
    let labels = |value: Value| json!({"metadata": {"labels": value}});
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let own = "/api/v1/nodes/n1";
    let cases = vec![
        ("POST", NODES, json!({"metadata": {"name": "n1"}})),
        ("POST", NODES, json!({"metadata": {"name": "n3"}})),
        ("PATCH", "/api/v1/nodes/n2/status", json!({"status": {"phase": "Running"}})),
        ("PATCH", "/api/v1/nodes/n1/status", json!({"status": {"phase": "Running"}})),
        ("PATCH", own, labels(json!({"app": "x", "kubernetes.io/hostname": "n1"}))),
        ("PATCH", own, labels(json!({"node-role.kubernetes.io/control-plane": "", "a.k8s.io/b": "c"}))),
        ("PATCH", own, labels(json!({"node-restriction.kubernetes.io/a": "b"}))),
        ("PATCH", own, json!({"spec": {"taints": []}})),
        ("PATCH", own, json!({"spec": {"unschedulable": true}})),
        ("DELETE", own, Value::Null),
        ("POST", leases, lease("n1")),
        ("POST", leases, lease("n2")),
        ("POST", "/apis/coordination.k8s.io/v1/namespaces/default/leases", lease("n1")),
        ("PATCH", "/api/v1/namespaces/default/pods/p1/status", json!({"status": {"message": "m"}})),
        ("PATCH", "/api/v1/namespaces/default/pods/p1/status", labels(json!({"a": "b"}))),
        ("PATCH", "/api/v1/namespaces/default/pods/p2/status", json!({"status": {"message": "m"}})),
        ("PATCH", "/api/v1/namespaces/default/pods/p1", labels(json!({"a": "b"}))),
        ("POST", "/api/v1/namespaces/default/pods/p2/eviction", json!({"metadata": {"name": "p2"}})),
        ("POST", "/api/v1/namespaces/default/pods/p1/binding", json!({"target": {"name": "n1"}})),
        ("DELETE", "/api/v1/namespaces/default/pods/p2", Value::Null),
        ("DELETE", "/api/v1/namespaces/default/pods/p1", Value::Null),
        ("DELETE", PODS, Value::Null),
        ("POST", "/api/v1/namespaces/default/secrets", json!({"metadata": {"name": "x"}})),
        (
            "POST",
            "/api/v1/namespaces/default/events",
            json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}}),
        ),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", json!({"spec": {"token": "t"}})),
        (
            "POST",
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            json!({"spec": {"user": "u", "nonResourceAttributes": {"path": "/", "verb": "get"}}}),
        ),
    ];
    check(&api, &cases, expect_file!["./nodes/writes.txt"]).await;
}

#[tokio::test(start_paused = true)]
async fn the_pods_that_a_node_may_show() {
    let api = cluster().await;
    let uid = api.get("/api/v1/nodes/n1").await.body["metadata"]["uid"].clone();
    let owner = |uid: Value| json!({"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": true});
    let mirror = |change: &dyn Fn(&mut Value)| {
        let mut pod = json!({
            "metadata": {
                "name": "static-n1", "annotations": {"kubernetes.io/config.mirror": "hash"},
                "ownerReferences": [owner(uid.clone())],
            },
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]},
        });
        change(&mut pod);
        ("POST", PODS, pod)
    };
    let cases = vec![
        mirror(&|pod| pod["metadata"]["annotations"] = json!({})),
        mirror(&|pod| pod["spec"]["nodeName"] = "n2".into()),
        mirror(&|pod| pod["metadata"]["ownerReferences"] = json!([])),
        mirror(&|pod| pod["metadata"]["ownerReferences"] = json!([owner("a".into()), owner("b".into())])),
        mirror(&|pod| pod["metadata"]["ownerReferences"][0]["controller"] = false.into()),
        mirror(&|pod| pod["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = true.into()),
        mirror(&|pod| pod["metadata"]["ownerReferences"][0]["name"] = "n2".into()),
        mirror(&|pod| pod["spec"]["serviceAccountName"] = "x".into()),
        mirror(&|pod| pod["spec"]["imagePullSecrets"] = json!([{"name": "x"}])),
        mirror(&|pod| {
            pod["spec"]["volumes"] = json!([{"name": "v", "projected": {"sources": [
                {"serviceAccountToken": {"path": "t"}},
            ]}}]);
        }),
        mirror(&|pod| {
            pod["spec"]["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}])
        }),
        mirror(&|_| ()),
        ("GET", "/api/v1/namespaces/default/pods/static-n1", Value::Null),
    ];
    check(&api, &cases, expect_file!["./nodes/mirrors.txt"]).await;
}

#[tokio::test(start_paused = true)]
async fn the_tokens_that_a_node_may_ask_for() {
    let api = cluster().await;
    for name in ["p1-robot", "p2-robot"] {
        let made =
            api.post("/api/v1/namespaces/default/serviceaccounts", json!({"metadata": {"name": name}})).await;
        assert_eq!(made.code, 201);
    }
    let uid = async |pod: &str| api.get(&format!("{PODS}/{pod}")).await.body["metadata"]["uid"].clone();
    let (p1, p2) = (uid("p1").await, uid("p2").await);
    let token = |name: &str, uid: &Value, audiences: Value| {
        let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid});
        json!({"spec": {"boundObjectRef": bound, "audiences": audiences}})
    };
    let own = "/api/v1/namespaces/default/serviceaccounts/p1-robot/token";
    let others = "/api/v1/namespaces/default/serviceaccounts/p2-robot/token";
    let vault = json!(["vault"]);
    let cases = vec![
        ("POST", own, token("p1", &p1, vault.clone())),
        ("POST", own, json!({"spec": {}})),
        ("POST", own, token("p1", &Value::Null, vault.clone())),
        ("POST", own, token("p1", &p2, vault.clone())),
        ("POST", own, token("p2", &p2, vault.clone())),
        ("POST", own, token("p1", &p1, json!(["vault", "else"]))),
        ("POST", own, token("p1", &p1, json!(["else"]))),
        ("POST", others, token("p2", &p2, vault)),
    ];
    let uids = [(&p1, "UID-1"), (&p2, "UID-2")];
    let mut told = String::new();
    for (method, path, body) in cases {
        let answer = api.ask_as_node("n1", method, path, body).await;
        let message = answer.body["message"].as_str().unwrap_or("allowed");
        told.push_str(&format!("{} {message}\n", answer.code));
    }
    for (uid, name) in uids {
        told = told.replace(uid.as_str().expect("a uid"), name);
    }
    expect_file!["./nodes/tokens.txt"].assert_eq(&told);
}

#[tokio::test(start_paused = true)]
async fn a_master_that_lags_looks_again_before_it_refuses_a_node() {
    let api = cluster().await;
    let before = crate::Backend::moment(&api.memory);
    assert_eq!(api.post(PODS, pod("p3", "n1")).await.code, 201);
    api.memory.lag(before);
    let secret = "/api/v1/namespaces/default/secrets/p3-volume";
    assert_eq!(
        api.ask_as_node("n1", "GET", secret, Value::Null).await.code,
        404,
        "it may see that there is none"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_is_told_what_others_may_do() {
    let api = cluster().await;
    let attributes =
        |name: &str| json!({"verb": "get", "resource": "secrets", "namespace": "default", "name": name});
    let spec = |name: &str| {
        json!({"spec": {
            "user": "system:node:n1", "groups": ["system:nodes"], "resourceAttributes": attributes(name),
        }})
    };
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let may = api.post(path, spec("p1-volume")).await;
    assert_eq!(may.body["status"], json!({"allowed": true}));
    let may_not = api.post(path, spec("p2-volume")).await;
    let reason = "no relationship found between node 'n1' and this object";
    assert_eq!(may_not.body["status"], json!({"allowed": false, "reason": reason}));
    let listed = json!({"spec": {
        "user": "system:node:n1", "groups": ["system:nodes"],
        "resourceAttributes": {
            "verb": "list", "resource": "pods", "fieldSelector": {"requirements": [
                {"key": "spec.nodeName", "operator": "In", "values": ["n1"]},
            ]},
        },
    }});
    assert_eq!(api.post(path, listed).await.body["status"], json!({"allowed": true}));
    let rules = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let rules = api.ask_as_node("n1", "POST", rules, json!({"spec": {"namespace": "default"}})).await;
    assert_eq!(rules.body["status"]["incomplete"], true);
}
