//! What hangs below objects, and what is created without being stored.

use serde_json::{Value, json};

use super::{Answer, Api};

const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn pod() -> Value {
    json!({
        "metadata": {"name": "x", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]},
    })
}

fn deployment() -> Value {
    json!({
        "metadata": {"name": "x"},
        "spec": {
            "replicas": 3, "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    })
}

async fn with(path: &str, object: Value) -> (Api, Answer) {
    let api = Api::new();
    let created = api.post(path, object).await;
    assert_eq!(created.code, 201, "{created:?}");
    (api, created)
}

/// A pod on a node, in this phase.
async fn with_running_pod(phase: &str) -> Api {
    let (api, created) = with(PODS, pod()).await;
    let binding = json!({"metadata": {"name": "x"}, "target": {"kind": "Node", "name": "n"}});
    assert_eq!(api.post(&format!("{PODS}/x/binding"), binding).await.code, 201);
    let mut status = created.body;
    status["metadata"]["resourceVersion"] = Value::Null;
    status["status"]["phase"] = phase.into();
    assert_eq!(api.put(&format!("{PODS}/x/status"), status).await.code, 200);
    api
}

#[tokio::test(start_paused = true)]
async fn a_scale_is_read_and_written() {
    let (api, created) = with(DEPLOYMENTS, deployment()).await;
    let path = format!("{DEPLOYMENTS}/x/scale");
    let scale = api.get(&path).await;
    let says = [&scale.body["kind"], &scale.body["apiVersion"], &scale.body["spec"]["replicas"]];
    assert_eq!(says, [&json!("Scale"), &json!("autoscaling/v1"), &json!(3)]);
    assert_eq!(scale.body["status"], json!({"replicas": 0, "selector": "a=b"}));
    assert_eq!(scale.body["metadata"]["uid"], created.body["metadata"]["uid"]);

    let mut wanted = scale.body.clone();
    wanted["spec"]["replicas"] = 5.into();
    let written = api.put(&path, wanted.clone()).await;
    assert_eq!((written.code, &written.body["spec"]["replicas"]), (200, &json!(5)));
    let conflict = api.put(&path, wanted.clone()).await;
    assert_eq!(conflict.code, 409, "the version that it states is old: {conflict:?}");
    let patch = json!({"spec": {"replicas": 7}}).to_string();
    let merge = [("content-type", "application/merge-patch+json")];
    assert_eq!(api.ask("PATCH", &path, &merge, patch).await.body["spec"]["replicas"], 7);
    let now = api.get(&format!("{DEPLOYMENTS}/x")).await.body;
    assert_eq!((&now["spec"]["replicas"], &now["metadata"]["generation"]), (&json!(7), &json!(3)));

    wanted["metadata"]["resourceVersion"] = Value::Null;
    wanted["spec"]["replicas"] = (-1).into();
    assert_eq!(
        api.put(&path, wanted).await.failure(),
        (
            422,
            "Scale.autoscaling \"x\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_bound_once() {
    let (api, created) = with(PODS, pod()).await;
    let path = format!("{PODS}/x/binding");
    let to = |kind: &str, node: &str, uid: &Value| json!({"metadata": {"name": "x", "uid": uid, "annotations": {"k": "v"}}, "target": {"kind": kind, "name": node}});
    let uid = &created.body["metadata"]["uid"];
    assert_eq!(api.post(&path, to("Node", "n", &"other".into())).await.code, 409);
    assert_eq!(api.post(&path, to("Pod", "n", uid)).await.code, 500);
    let bound = api.post(&path, to("Node", "n", uid)).await;
    assert_eq!((bound.code, &bound.body["status"]), (201, &json!("Success")));
    let pod = api.get(&format!("{PODS}/x")).await.body;
    assert_eq!((&pod["spec"]["nodeName"], &pod["metadata"]["annotations"]["k"]), (&json!("n"), &json!("v")));
    assert_eq!(pod["status"]["conditions"][0]["type"], "PodScheduled");
    let again = api.post("/api/v1/namespaces/default/bindings", to("Node", "m", uid)).await;
    assert_eq!(
        again.failure(),
        (409, "Operation cannot be fulfilled on pods/binding \"x\": pod x is already assigned to node \"n\"")
    );
    assert_eq!(api.get(&path).await.code, 405);
}

#[tokio::test(start_paused = true)]
async fn an_eviction_keeps_to_the_budget() {
    let api = with_running_pod("Running").await;
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({"metadata": {"name": "p"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}});
    let mut budget = api.post(budgets, budget).await.body;
    let eviction = json!({"metadata": {"name": "x"}});
    let path = format!("{PODS}/x/eviction");
    let busy = "Cannot evict pod as it would violate the pod's disruption budget.";
    let refused = api.post(&path, eviction.clone()).await;
    assert_eq!(refused.failure(), (429, busy));
    let cause = |answer: &Answer| answer.body["details"]["causes"][0]["message"].clone();
    assert_eq!(cause(&refused), "The disruption budget p is still being processed by the server.");

    let mut allow = async |allowed: u32| {
        let now = api.get(&format!("{budgets}/p")).await;
        budget["metadata"] = now.body["metadata"].clone();
        budget["status"] = json!({
            "observedGeneration": 1, "disruptionsAllowed": allowed,
            "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1,
        });
        let path = format!("{budgets}/p/status");
        let written = api.put(&path, budget.clone()).await;
        assert_eq!(written.code, 200, "{written:?}");
        written
    };
    // A pod that is not ready takes nothing from a budget that has enough healthy ones.
    allow(0).await;
    let dry = json!({"metadata": {"name": "x"}, "deleteOptions": {"dryRun": ["All"]}});
    assert_eq!(api.post(&path, dry.clone()).await.code, 201);
    let mut ready = api.get(&format!("{PODS}/x")).await.body;
    ready["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    assert_eq!(api.put(&format!("{PODS}/x/status"), ready).await.code, 200);
    let refused = api.post(&path, eviction.clone()).await;
    assert_eq!(refused.failure(), (429, busy));
    assert_eq!(cause(&refused), "The disruption budget p needs 1 healthy pods and has 1 currently");

    allow(1).await;
    assert_eq!(api.post(&path, dry).await.code, 201, "a dry run");
    assert_eq!(api.get(&format!("{budgets}/p")).await.body["status"]["disruptionsAllowed"], 1);
    assert_eq!(api.post(&path, eviction).await.code, 201);
    let left = api.get(&format!("{budgets}/p")).await.body;
    assert_eq!(left["status"]["disruptionsAllowed"], 0);
    assert!(left["status"]["disruptedPods"]["x"].is_string(), "{left}");
    let pod = api.get(&format!("{PODS}/x")).await.body;
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(pod["status"]["conditions"][1]["reason"], "EvictionByEvictionAPI");
}

#[tokio::test(start_paused = true)]
async fn pods_end_gracefully() {
    let api = with_running_pod("Running").await;
    let path = format!("{PODS}/x");
    let marked = api.delete(&format!("{path}?gracePeriodSeconds=20")).await;
    assert_eq!((marked.code, &marked.body["metadata"]["deletionGracePeriodSeconds"]), (200, &json!(20)));
    let pending = api.delete(&path).await;
    assert_eq!(pending.body["metadata"]["resourceVersion"], marked.body["metadata"]["resourceVersion"]);
    let uid = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": marked.body["metadata"]["uid"]}});
    let gone = api.ask("DELETE", &path, &[], uid.to_string()).await;
    assert_eq!((gone.code, &gone.body["kind"]), (200, &json!("Pod")));
    assert_eq!(api.get(&path).await.code, 404);

    let api = with_running_pod("Succeeded").await;
    api.delete(&path).await;
    assert_eq!(api.get(&path).await.code, 404, "it had ended");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ends_stays_while_its_node_reports_how() {
    let api = with_running_pod("Running").await;
    let path = format!("{PODS}/x");
    let report = async |phase: &str| {
        let mut pod = api.get(&path).await.body;
        pod["status"]["phase"] = phase.into();
        api.put(&format!("{path}/status"), pod).await
    };
    assert_eq!(api.delete(&format!("{path}?gracePeriodSeconds=20")).await.code, 200);
    assert_eq!(report("Failed").await.code, 200);
    assert_eq!(api.get(&path).await.body["status"]["phase"], "Failed", "it has its time, whoever writes");
    api.delete(&format!("{path}?gracePeriodSeconds=0")).await;
    assert_eq!(api.get(&path).await.code, 404);

    let api = with_running_pod("Running").await;
    let mut held = api.get(&path).await.body;
    held["metadata"]["finalizers"] = json!(["a.example/b"]);
    assert_eq!(api.put(&path, held).await.code, 200);
    assert_eq!(api.delete(&format!("{path}?gracePeriodSeconds=0")).await.code, 200);
    let mut free = api.get(&path).await.body;
    free["metadata"]["finalizers"] = Value::Null;
    assert_eq!(api.put(&path, free).await.code, 200);
    assert_eq!(api.get(&path).await.code, 404, "without time the last finalizer lets it go");
}

#[tokio::test(start_paused = true)]
async fn parts_of_pods_are_written_apart() {
    let (api, created) = with(PODS, pod()).await;
    let change = |edit: fn(&mut Value)| {
        let mut body = created.body.clone();
        body["metadata"]["resourceVersion"] = Value::Null;
        edit(&mut body);
        body
    };
    let resized = api
        .put(
            &format!("{PODS}/x/resize"),
            change(|pod| {
                pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "2"}});
                pod["spec"]["containers"][0]["image"] = "other".into();
            }),
        )
        .await;
    let container = &resized.body["spec"]["containers"][0];
    assert_eq!(
        (resized.code, &container["image"], &container["resources"]["requests"]["cpu"]),
        (200, &json!("i"), &json!("2"))
    );

    let debugged = api
        .put(
            &format!("{PODS}/x/ephemeralcontainers"),
            change(|pod| {
                pod["spec"]["ephemeralContainers"] = json!([{"name": "debug", "image": "busybox"}]);
                pod["spec"]["containers"][0]["image"] = "other".into();
            }),
        )
        .await;
    assert_eq!(debugged.code, 200, "{debugged:?}");
    assert_eq!(debugged.body["spec"]["ephemeralContainers"][0]["name"], "debug");
    assert_eq!(debugged.body["spec"]["containers"][0]["image"], "i");
}

#[tokio::test(start_paused = true)]
async fn namespaces_are_finalized_apart() {
    let (api, created) = with("/api/v1/namespaces", json!({"metadata": {"name": "x"}})).await;
    let mut body = created.body;
    body["spec"]["finalizers"] = json!(["kubernetes", "example.com/x"]);
    body["metadata"]["resourceVersion"] = Value::Null;
    let plain = api.put("/api/v1/namespaces/x", body.clone()).await;
    assert_eq!(plain.body["spec"]["finalizers"], json!(["kubernetes"]));
    let finalized = api.put("/api/v1/namespaces/x/finalize", body).await;
    assert_eq!(finalized.body["spec"]["finalizers"], json!(["kubernetes", "example.com/x"]));
}

#[tokio::test(start_paused = true)]
async fn reviews_answer_and_store_nothing() {
    let api = Api::new();
    let me = api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json!({})).await;
    assert_eq!((me.code, &me.body["status"]["userInfo"]["username"]), (201, &json!("admin")));
    let of = "/apis/authorization.k8s.io/v1";
    let attributes = json!({"verb": "get", "resource": "pods", "namespace": "default"});
    let may = async |path: &str, spec: Value| api.post(path, json!({"spec": spec})).await;
    let own = may(&format!("{of}/selfsubjectaccessreviews"), json!({"resourceAttributes": attributes})).await;
    assert_eq!((own.code, &own.body["status"]), (201, &json!({"allowed": true})));
    let of_anybody = format!("{of}/subjectaccessreviews");
    let other = may(&of_anybody, json!({"user": "u", "resourceAttributes": attributes})).await;
    assert_eq!(other.body["status"], json!({"allowed": false}));
    let health = json!({"verb": "get", "path": "/healthz"});
    for (groups, expect) in [(json!([]), false), (json!(["system:authenticated"]), true)] {
        let spec = json!({"user": "u", "groups": groups, "nonResourceAttributes": health});
        assert_eq!(may(&of_anybody, spec).await.body["status"], json!({"allowed": expect}));
    }
    let local = format!("{of}/namespaces/default/localsubjectaccessreviews");
    let local =
        may(&local, json!({"user": "u", "groups": ["system:masters"], "resourceAttributes": attributes}))
            .await;
    assert_eq!((local.code, &local.body["status"]["allowed"]), (201, &json!(true)));
    let none = may(&of_anybody, json!({"user": "u"})).await;
    assert_eq!(
        none.failure(),
        (
            422,
            ".authorization.k8s.io \"\" is invalid: spec: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
        )
    );
    let rules = may(&format!("{of}/selfsubjectrulesreviews"), json!({"namespace": "default"})).await;
    assert_eq!(rules.body["status"]["resourceRules"][0]["verbs"], json!(["*"]));
    let token = may("/apis/authentication.k8s.io/v1/tokenreviews", json!({"token": "t"})).await;
    let nobodys = json!({"user": {}, "error": "invalid bearer token"});
    assert_eq!((token.code, &token.body["status"]), (201, &nobodys));
    assert_eq!(api.get(&of_anybody).await.code, 405);
}

#[tokio::test(start_paused = true)]
async fn events_are_one_kind_under_two_names() {
    let core = "/api/v1/namespaces/default/events";
    let newer = "/apis/events.k8s.io/v1/namespaces/default/events";
    let event = json!({
        "metadata": {"name": "x"}, "reason": "Tested", "note": "hello", "type": "Normal", "action": "Test",
        "eventTime": "2026-01-01T00:00:00.000001Z", "reportingController": "example.com/test", "reportingInstance": "i",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
    });
    let (api, created) = with(newer, event).await;
    assert_eq!(
        (&created.body["apiVersion"], &created.body["note"]),
        (&json!("events.k8s.io/v1"), &json!("hello"))
    );
    let old = api.get(&format!("{core}/x")).await.body;
    assert_eq!((&old["apiVersion"], &old["message"]), (&json!("v1"), &json!("hello")));
    assert_eq!(
        (&old["involvedObject"]["name"], &old["reportingComponent"]),
        (&json!("p"), &json!("example.com/test"))
    );
    let list = api.get(newer).await;
    assert_eq!(
        (list.names(), &list.body["items"][0]["regarding"]["name"]),
        (vec!["x".to_owned()], &json!("p"))
    );
    let patch = json!({"message": "changed"}).to_string();
    api.ask("PATCH", &format!("{core}/x"), &[("content-type", "application/merge-patch+json")], patch).await;
    assert_eq!(api.get(&format!("{newer}/x")).await.body["note"], "changed");
    assert_eq!(api.delete(&format!("{newer}/x")).await.code, 200);
    assert_eq!(api.get(core).await.names(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn autoscalers_lose_nothing_in_the_older_version() {
    let v1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
    let v2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
    let metrics = json!([
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}},
        {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "5Mi"}}},
    ]);
    let behavior = json!({"scaleUp": {"stabilizationWindowSeconds": 7, "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}});
    let given = json!({"metadata": {"name": "x"}, "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 9,
        "metrics": metrics, "behavior": behavior}});
    let (api, _) = with(v2, given).await;
    let before = api.get(&format!("{v2}/x")).await.body;
    let old = api.get(&format!("{v1}/x")).await.body;
    assert_eq!(
        (&old["apiVersion"], &old["spec"]["targetCPUUtilizationPercentage"]),
        (&json!("autoscaling/v1"), &json!(60))
    );
    assert_eq!(
        old["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"],
        r#"[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"5Mi"}}]"#
    );
    let mut changed = old.clone();
    changed["spec"]["maxReplicas"] = 10.into();
    assert_eq!(api.put(&format!("{v1}/x"), changed).await.code, 200);
    let after = api.get(&format!("{v2}/x")).await.body;
    assert_eq!(after["spec"]["maxReplicas"], 10);
    assert_eq!(after["spec"]["behavior"], before["spec"]["behavior"]);
    assert_eq!((&after["spec"]["metrics"][1], &after["spec"]["metrics"][0]), (&metrics[0], &metrics[1]));
    assert!(after["metadata"]["annotations"].is_null(), "{after}");
}
