use api::{Key, Status};
use expect_test::expect;
use projection::controller::Refused;
use projection::testing::{NOW_MS, plan, put, shown, world};
use projection::{LastOutcomes, World};
use serde_json::{Value, json};

use super::{REPLICA_SET, REPLICATION_CONTROLLER};
use crate::testing::{change, namespace, nobody, pod, settle, woken, woken_by_removal};

fn set(replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "web", "namespace": "default", "generation": 2},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web", "tier": "front"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    })
}

fn owned(mut pod: Value) -> Value {
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web",
        "uid": "uid-web", "controller": true, "blockOwnerDeletion": true}]);
    pod
}

fn key() -> Key {
    Key::object("apps", "replicasets", "default", "web")
}

/// The lines of a plan, shortened to what an intent does to what.
fn brief(text: &str) -> String {
    let short = |line: &str| line.chars().take(110).collect::<String>();
    text.lines().map(short).collect::<Vec<_>>().join("\n")
}

fn of(objects: impl IntoIterator<Item = Value>) -> World {
    world([namespace("default")].into_iter().chain(objects))
}

#[test]
fn too_few_pods_are_completed_and_the_status_follows() {
    let world = of([set(2), owned(pod("a", json!({"app": "web"}), "n"))]);
    let plan = plan(&world, &key(), REPLICA_SET.plan);
    expect![[r#"
        create pods/default {"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"web-","labels":{"app":"web","tier":"front"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web","uid":"uid-web","controller":true,"blockOwnerDeletion":true}]},"spec":{"containers":[{"name":"c","image":"i","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"Always"}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","securityContext":{},"schedulerName":"default-scheduler"}} if Live { key: "apps/replicasets/default/web", uid: "uid-web" }, AtGeneration { key: "apps/replicasets/default/web", generation: 2 }
        patch apps/replicasets/default/web/status {"status":{"replicas":1,"fullyLabeledReplicas":0,"readyReplicas":1,"availableReplicas":1,"observedGeneration":2,"terminatingReplicas":0}}
    "#]].assert_eq(&shown(&plan));
    assert_eq!(
        plan.intents[0].told.as_ref().map(|told| told.done.clone()),
        Some(Some(("SuccessfulCreate", "Created pod: {}".to_owned())))
    );
}

#[test]
fn no_plan_creates_more_than_five_hundred() {
    let world = of([set(2000)]);
    assert_eq!(plan(&world, &key(), REPLICA_SET.plan).intents.len(), 500 + 1, "and the status");
}

#[test]
fn after_a_refusal_one_pod_is_tried_and_the_failure_told_until_the_number_is_right() {
    let mut world = of([set(4)]);
    let status =
        Status::forbidden(api::GroupResource { group: "", resource: "pods" }, "web-x", "exceeded quota");
    let last = LastOutcomes { refused: vec![Refused { intent: 0, status }], failures: 1 };
    let plan = (REPLICA_SET.plan)(&world, &key(), &last, NOW_MS);
    assert_eq!(plan.intents.len(), 2);
    expect![[r#"
        create pods/default {"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"web-","labels":{"app":"web","tier":"front"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web","uid":"uid-web","controller":true,"blockOwnerDeletion":true}]},"spec":{"containers":[{"name":"c","image":"i","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"Always"}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","securityContext":{},"schedulerName":"default-scheduler"}} if Live { key: "apps/replicasets/default/web", uid: "uid-web" }, AtGeneration { key: "apps/replicasets/default/web", generation: 2 }
        patch apps/replicasets/default/web/status {"status":{"replicas":0,"fullyLabeledReplicas":0,"readyReplicas":0,"availableReplicas":0,"observedGeneration":2,"terminatingReplicas":0,"conditions":[{"type":"ReplicaFailure","status":"True","reason":"FailedCreate","message":"pods \"web-x\" is forbidden: exceeded quota","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}
    "#]].assert_eq(&shown(&plan));
    crate::testing::carry_out(&mut world, &plan);
    settle(&mut world, &[REPLICA_SET], nobody);
    let status =
        crate::shared::stored::at(world.state.get(key().as_str()).expect("it is there"), &["status"]);
    assert_eq!(
        status,
        json!({"replicas": 4, "fullyLabeledReplicas": 4, "terminatingReplicas": 0, "observedGeneration": 2})
    );
}

#[test]
fn too_many_pods_go_in_the_order_of_their_worth() {
    let web = json!({"app": "web"});
    let pods = [
        pod("old", web.clone(), "n1"),
        pod("doubled", web.clone(), "n2"),
        pod("doubled-too", web.clone(), "n2"),
        pod("waits", web.clone(), ""),
        {
            let mut pod = pod("cheap", web.clone(), "n3");
            pod["metadata"]["annotations"] = json!({"controller.kubernetes.io/pod-deletion-cost": "-5"});
            pod
        },
        {
            let mut pod = pod("unready", web.clone(), "n4");
            pod["status"]["conditions"][0]["status"] = "False".into();
            pod
        },
        {
            let mut pod = pod("restarted", web.clone(), "n5");
            pod["status"]["containerStatuses"] =
                json!([{"name": "c", "restartCount": 3, "ready": true, "image": "i", "imageID": ""}]);
            pod
        },
    ];
    let world = of([set(1)].into_iter().chain(pods.map(owned)));
    let plan = plan(&world, &key(), REPLICA_SET.plan);
    let deletes: Vec<_> =
        plan.intents.iter().filter_map(|intent| intent.told.as_ref()?.done.as_ref()).collect();
    let deletes: Vec<&str> = deletes.iter().map(|(_, message)| message.as_str()).collect();
    expect![[r#"
        Deleted pod: waits
        Deleted pod: unready
        Deleted pod: cheap
        Deleted pod: doubled
        Deleted pod: doubled-too
        Deleted pod: restarted"#]]
    .assert_eq(&deletes.join("\n"));
}

#[test]
fn pods_are_taken_on_and_let_go_by_their_labels() {
    let world = of([
        set(2),
        pod("orphan", json!({"app": "web"}), "n"),
        owned(pod("relabeled", json!({"app": "other"}), "n")),
        pod("stranger", json!({"app": "other"}), "n"),
        owned(pod("ours", json!({"app": "web"}), "n")),
    ]);
    expect![[r#"
        patch core/pods/default/relabeled {"metadata":{"ownerReferences":null}}
        patch core/pods/default/orphan {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web","uid":"uid-web","controller":true,"blockOwnerDeletion":true}]}} if Live { key: "apps/replicasets/default/web", uid: "uid-web" }
        patch apps/replicasets/default/web/status {"status":{"replicas":2,"fullyLabeledReplicas":0,"readyReplicas":2,"availableReplicas":2,"observedGeneration":2,"terminatingReplicas":0}}
    "#]].assert_eq(&shown(&plan(&world, &key(), REPLICA_SET.plan)));
}

#[test]
fn a_set_that_is_going_takes_on_nothing_and_creates_nothing() {
    let mut going = set(3);
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    going["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    let world = of([going, pod("orphan", json!({"app": "web"}), "n")]);
    expect![[r#"
        patch apps/replicasets/default/web/status {"status":{"replicas":0,"fullyLabeledReplicas":0,"readyReplicas":0,"availableReplicas":0,"observedGeneration":2,"terminatingReplicas":0}}
    "#]].assert_eq(&shown(&plan(&world, &key(), REPLICA_SET.plan)));
}

#[test]
fn pods_become_available_with_time() {
    let mut slow = set(1);
    slow["spec"]["minReadySeconds"] = 90.into();
    let world = of([slow, owned(pod("a", json!({"app": "web"}), "n"))]);
    expect![[r#"
        patch apps/replicasets/default/web/status {"status":{"replicas":1,"fullyLabeledReplicas":0,"readyReplicas":1,"availableReplicas":0,"observedGeneration":2,"terminatingReplicas":0}}
        again in 30000 ms
    "#]].assert_eq(&shown(&plan(&world, &key(), REPLICA_SET.plan)));
}

#[test]
fn pods_that_ended_or_are_going_are_replaced() {
    let mut failed = owned(pod("failed", json!({"app": "web"}), "n"));
    failed["status"]["phase"] = "Failed".into();
    let mut going = owned(pod("going", json!({"app": "web"}), "n"));
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:30Z".into();
    let world = of([set(1), failed, going]);
    expect![[r#"
        create pods/default {"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"web-","labels":{"app":"web","t
        patch apps/replicasets/default/web/status {"status":{"replicas":0,"fullyLabeledReplicas":0,"readyReplicas":0,""#]].assert_eq(&brief(&shown(&plan(&world, &key(), REPLICA_SET.plan))));
}

#[test]
fn nothing_is_created_in_a_namespace_that_is_going() {
    let mut world = of([set(1)]);
    change(&mut world, &Key::object("", "namespaces", "", "default"), |namespace| {
        namespace["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    });
    expect![[r#"
        patch apps/replicasets/default/web/status {"status":{"replicas":0,"fullyLabeledReplicas":0,"readyReplicas":0,"availableReplicas":0,"observedGeneration":2,"terminatingReplicas":0}}
    "#]].assert_eq(&shown(&plan(&world, &key(), REPLICA_SET.plan)));
}

#[test]
fn a_change_wakes_whom_it_concerns() {
    let mut world = of([set(1)]);
    let mut other = set(1);
    other["metadata"]["name"] = "other".into();
    other["spec"]["selector"]["matchLabels"]["app"] = "other".into();
    assert_eq!(woken(&REPLICA_SET, &mut world, other), ["apps/replicasets/default/other"]);
    let web = json!({"app": "web"});
    assert_eq!(woken(&REPLICA_SET, &mut world, pod("orphan", web.clone(), "")), [key().to_string()]);
    assert_eq!(woken(&REPLICA_SET, &mut world, owned(pod("a", web, ""))), [key().to_string()]);
    assert_eq!(
        woken(&REPLICA_SET, &mut world, pod("a", json!({"app": "other"}), "")),
        ["apps/replicasets/default/other", "apps/replicasets/default/web"],
        "whom it left and who may take it on"
    );
    assert!(woken(&REPLICA_SET, &mut world, pod("stranger", json!({"x": "y"}), "")).is_empty());
    let owned_again = owned(pod("b", json!({}), ""));
    let key_of = put(&mut world, owned_again);
    assert_eq!(woken_by_removal(&REPLICA_SET, &mut world, &key_of), [key().to_string()]);
    assert!(woken(&REPLICATION_CONTROLLER, &mut world, pod("c", json!({"app": "web"}), "")).is_empty());
}

#[test]
fn replication_controllers_are_a_kind_of_their_own() {
    let controller = json!({
        "apiVersion": "v1", "kind": "ReplicationController",
        "metadata": {"name": "web", "namespace": "default", "generation": 1},
        "spec": {"replicas": 1, "selector": {"app": "web"},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
    });
    let mut world = of([controller]);
    let key = Key::object("", "replicationcontrollers", "default", "web");
    expect![[r#"
        create pods/default {"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"web-","labels":{"app":"web"},"ownerReferences":[{"apiVersion":"v1","kind":"ReplicationController","name":"web","uid":"uid-web","controller":true,"blockOwnerDeletion":true}]},"spec":{"containers":[{"name":"c","image":"i","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"Always"}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","securityContext":{},"schedulerName":"default-scheduler"}} if Live { key: "core/replicationcontrollers/default/web", uid: "uid-web" }, AtGeneration { key: "core/replicationcontrollers/default/web", generation: 1 }
        patch core/replicationcontrollers/default/web/status {"status":{"replicas":0,"fullyLabeledReplicas":0,"readyReplicas":0,"availableReplicas":0,"observedGeneration":1}}
    "#]].assert_eq(&shown(&plan(&world, &key, REPLICATION_CONTROLLER.plan)));
    settle(&mut world, &[REPLICATION_CONTROLLER], crate::testing::run_pods);
    let status = crate::shared::stored::at(world.state.get(key.as_str()).expect("it is there"), &["status"]);
    assert_eq!(
        status,
        json!({"replicas": 1, "fullyLabeledReplicas": 1, "readyReplicas": 1, "availableReplicas": 1, "observedGeneration": 1})
    );
}

#[test]
fn a_set_reaches_its_number_from_anywhere_and_stays() {
    for (have, want) in [(0, 3), (5, 2), (2, 2), (3, 0)] {
        let pods = (0..have).map(|at| owned(pod(&format!("p{at}"), json!({"app": "web"}), "n")));
        let mut world = of([set(want)].into_iter().chain(pods));
        settle(&mut world, &[REPLICA_SET], crate::testing::run_pods);
        assert_eq!(world.pods.len() as u32, want, "{have} -> {want}");
    }
}
