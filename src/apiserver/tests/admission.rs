//! What admission does to objects on their way in.

use base::env;
use serde_json::{Value, json};

use super::crashes::node;
use super::table::settle;
use super::{Answer, Api};
use crate::chain::admission::Settings;

const CLASSES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const PODS: &str = "/api/v1/namespaces/default/pods";
const RUNTIMES: &str = "/apis/node.k8s.io/v1/runtimeclasses";

/// Creates a pod with these fields of its spec beside a container.
async fn pod(api: &Api, name: &str, mut spec: Value) -> Answer {
    spec["containers"] = json!([{"name": "c", "image": "i"}]);
    api.post(PODS, json!({"metadata": {"name": name}, "spec": spec})).await
}

#[tokio::test(start_paused = true)]
async fn a_pod_acts_as_an_account_and_finds_its_token() {
    let api = Api::told(axum::Router::new(), Settings::default());
    let early = pod(&api, "x", json!({})).await;
    let why = r#"pods "x" is forbidden: error looking up service account default/default: serviceaccount "default" not found"#;
    assert_eq!(early.failure(), (403, why));
    let account = json!({"metadata": {"name": "default"}, "imagePullSecrets": [{"name": "pull"}]});
    assert_eq!(api.post("/api/v1/namespaces/default/serviceaccounts", account).await.code, 201);
    let made = pod(&api, "x", json!({})).await;
    let spec = &made.body["spec"];
    assert_eq!(
        (&spec["serviceAccountName"], &spec["serviceAccount"]),
        (&json!("default"), &json!("default"))
    );
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "pull"}]));
    let volume = &spec["volumes"][0];
    let name = volume["name"].as_str().expect("a name");
    assert!(name.starts_with("kube-api-access-") && name.len() == 21, "{name}");
    assert_eq!(
        volume["projected"]["sources"][0],
        json!({"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}})
    );
    let mount = json!([{"name": name, "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]);
    assert_eq!(spec["containers"][0]["volumeMounts"], mount);
    let without = pod(&api, "without", json!({"automountServiceAccountToken": false})).await;
    assert_eq!((without.code, &without.body["spec"]["volumes"]), (201, &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_pod_gets_the_priority_of_its_class() {
    let api = Api::whole();
    let of = |answer: &Answer| {
        let spec = &answer.body["spec"];
        (spec["priority"].clone(), spec["priorityClassName"].clone(), spec["preemptionPolicy"].clone())
    };
    let preempts = json!("PreemptLowerPriority");
    let plain = pod(&api, "plain", json!({})).await;
    assert_eq!(of(&plain), (json!(0), Value::Null, preempts.clone()));
    let critical = pod(&api, "critical", json!({"priorityClassName": "system-node-critical"})).await;
    assert_eq!(of(&critical), (json!(2_000_001_000), json!("system-node-critical"), preempts));

    let class = json!({
        "metadata": {"name": "low"}, "value": -5, "globalDefault": true, "preemptionPolicy": "Never",
    });
    assert_eq!(api.post(CLASSES, class).await.code, 201);
    let other = json!({"metadata": {"name": "other"}, "value": 1, "globalDefault": true});
    assert_eq!(
        api.post(CLASSES, other).await.failure(),
        (
            403,
            r#"priorityclasses.scheduling.k8s.io "other" is forbidden: PriorityClass low is already marked as default. Only one default can exist"#
        )
    );
    let low = pod(&api, "low", json!({})).await;
    assert_eq!(of(&low), (json!(-5), json!("low"), json!("Never")));

    // What is there keeps what it has.
    let mut update = plain.body.clone();
    for field in ["priority", "preemptionPolicy"] {
        update["spec"][field] = Value::Null;
    }
    assert_eq!(of(&api.put(&format!("{PODS}/plain"), update).await), of(&plain));

    let missing = pod(&api, "x", json!({"priorityClassName": "nothing"})).await;
    let why = r#"pods "x" is forbidden: no PriorityClass with name nothing was found"#;
    assert_eq!(missing.failure(), (403, why));
    let wrong = pod(&api, "x", json!({"priority": 7})).await;
    let why = r#"pods "x" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority admission controller computed -5 from the given PriorityClass name"#;
    assert_eq!(wrong.failure(), (403, why));
}

#[tokio::test(start_paused = true)]
async fn a_pod_stays_for_a_while_on_a_node_that_is_not_ready() {
    let api = Api::whole();
    let own = json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}]);
    let default =
        |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2});
    let unreachable = default("node.kubernetes.io/unreachable");
    let plain = pod(&api, "plain", json!({})).await;
    let expect = json!([default("node.kubernetes.io/not-ready"), unreachable]);
    assert_eq!(plain.body["spec"]["tolerations"], expect);
    let one = pod(&api, "one", json!({"tolerations": own})).await;
    assert_eq!(one.body["spec"]["tolerations"], json!([own[0], unreachable]));
    let all = json!([{"operator": "Exists"}]);
    let all_tolerated = pod(&api, "all", json!({"tolerations": all})).await;
    assert_eq!(all_tolerated.body["spec"]["tolerations"], all);
}

#[tokio::test(start_paused = true)]
async fn a_pod_gets_what_its_runtime_needs() {
    let api = Api::whole();
    let why = r#"pods "x" is forbidden: pod rejected: RuntimeClass "sandbox" not found"#;
    let spec = json!({"runtimeClassName": "sandbox", "nodeSelector": {"disk": "ssd"}});
    assert_eq!(pod(&api, "x", spec.clone()).await.failure(), (403, why));
    let class = json!({
        "metadata": {"name": "sandbox"}, "handler": "sandbox", "overhead": {"podFixed": {"cpu": "250m"}},
        "scheduling": {
            "nodeSelector": {"runtime": "sandbox"},
            "tolerations": [{"key": "sandbox", "operator": "Exists", "effect": "NoSchedule"}],
        },
    });
    assert_eq!(api.post(RUNTIMES, class).await.code, 201);
    let made = pod(&api, "x", spec).await;
    let spec = &made.body["spec"];
    assert_eq!(spec["overhead"], json!({"cpu": "250m"}), "{made:?}");
    assert_eq!(spec["nodeSelector"], json!({"disk": "ssd", "runtime": "sandbox"}));
    let keys: Vec<_> =
        spec["tolerations"].as_array().expect("a list").iter().map(|one| &one["key"]).collect();
    let [not_ready, unreachable] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
    assert_eq!(keys, [not_ready, unreachable, "sandbox"]);

    let cases = [
        (
            json!({"runtimeClassName": "sandbox", "overhead": {"cpu": "1"}}),
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            json!({"overhead": {"cpu": "1"}}),
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
        (
            json!({"runtimeClassName": "sandbox", "nodeSelector": {"runtime": "none"}}),
            "conflict: runtimeClass.scheduling.nodeSelector[runtime] = sandbox; pod.spec.nodeSelector[runtime] = none",
        ),
    ];
    for (spec, why) in cases {
        let text = format!(r#"pods "y" is forbidden: {why}"#);
        assert_eq!(pod(&api, "y", spec).await.failure(), (403, &*text));
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_node_is_not_ready() {
    let api = Api::whole();
    let made = api.post("/api/v1/nodes", json!({"metadata": {"name": "n"}})).await;
    let taint = json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"});
    assert_eq!(made.body["spec"]["taints"], json!([taint]));
    let mut ready = made.body;
    ready["spec"]["taints"] = Value::Null;
    let updated = api.put("/api/v1/nodes/n", ready).await;
    assert_eq!((updated.code, &updated.body["spec"]["taints"]), (200, &Value::Null));
}

#[test]
fn a_claim_stays_while_a_pod_on_a_node_uses_it() {
    env::simulate(1, async {
        let api = Api::whole();
        assert_eq!(api.post("/api/v1/nodes", node("n")).await.code, 201);
        let claim = json!({
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        });
        let made = api.post(CLAIMS, claim).await;
        assert_eq!(made.body["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
        let volumes = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
        let used = pod(&api, "user", json!({"nodeName": "n", "volumes": volumes})).await;
        assert_eq!(used.code, 201, "{used:?}");
        let path = format!("{CLAIMS}/data");
        assert_eq!(api.delete(&path).await.code, 200);
        settle(&api.memory, &["n"]).await;
        let kept = api.get(&path).await;
        assert!(kept.body["metadata"]["deletionTimestamp"].is_string(), "{kept:?}");
        assert_eq!(api.delete(&format!("{PODS}/user?gracePeriodSeconds=0")).await.code, 200);
        settle(&api.memory, &["n"]).await;
        assert_eq!(api.get(&path).await.code, 404);

        let volume = json!({
            "metadata": {"name": "disk"},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/disk"},
            },
        });
        let made = api.post("/api/v1/persistentvolumes", volume).await;
        assert_eq!(made.body["metadata"]["finalizers"], json!(["kubernetes.io/pv-protection"]));
        assert_eq!(api.delete("/api/v1/persistentvolumes/disk").await.code, 200);
        settle(&api.memory, &["n"]).await;
        assert_eq!(api.get("/api/v1/persistentvolumes/disk").await.code, 404);
    });
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_a_node_has_no_log_and_nothing_runs_in_it() {
    let api = Api::whole();
    assert_eq!(pod(&api, "x", json!({})).await.code, 201);
    let log = api.get(&format!("{PODS}/x/log")).await;
    assert_eq!((log.code, log.body), (200, json!("")));
    let why = "pod x does not have a host assigned";
    for path in ["exec?command=date", "attach", "portforward"] {
        assert_eq!(api.post(&format!("{PODS}/x/{path}"), json!({})).await.failure(), (400, why), "{path}");
    }
    let other = api.get(&format!("{PODS}/x/log?container=d")).await;
    assert_eq!(other.failure(), (400, "container d is not valid for pod x"));
    assert_eq!(api.get(&format!("{PODS}/nothing/log")).await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_phase_is_told() {
    let api = Api::whole();
    let volume = json!({
        "metadata": {"name": "disk"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/disk"},
        },
    });
    let mut made = api.post("/api/v1/persistentvolumes", volume).await.body;
    let since = made["status"]["lastPhaseTransitionTime"].clone();
    assert!(since.is_string(), "{made}");
    let path = "/api/v1/persistentvolumes/disk/status";
    made["metadata"]["resourceVersion"] = Value::Null;
    let same = api.put(path, made.clone()).await.body;
    assert_eq!(same["status"]["lastPhaseTransitionTime"], since);
    let long_ago = json!("2020-01-01T00:00:00Z");
    made["status"]["lastPhaseTransitionTime"] = long_ago.clone();
    assert_eq!(api.put(path, made.clone()).await.body["status"]["lastPhaseTransitionTime"], long_ago);
    made["status"]["phase"] = "Available".into();
    let later = api.put(path, made).await.body;
    assert_eq!(later["status"]["phase"], "Available");
    assert_ne!(later["status"]["lastPhaseTransitionTime"], long_ago);
}
