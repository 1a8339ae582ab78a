//! What happens while leaders crash: a scenario for each thing that controllers do in several writes.

use std::time::Duration;

use projection::rules::Rules;
use serde_json::{Value, json};

use super::{Request, Scenario, check};

pub(super) const NODES: &str = "/api/v1/nodes";
const APPS: &str = "/apis/apps/v1/namespaces/default/deployments";
const WEB: &str = "/apis/apps/v1/namespaces/default/deployments/web";
const CONTROLLERS: &str = "/api/v1/namespaces/default/replicationcontrollers";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// How the names of Events begin that count.
pub(super) const EVENT: &str = "counted-";

pub(in crate::tests) fn node(name: &str) -> Value {
    let allocatable = json!({"cpu": "4", "memory": "8Gi", "pods": "110"});
    let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "it is",
        "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    json!({"metadata": {"name": name}, "status": {"capacity": allocatable, "allocatable": allocatable, "conditions": [ready]}})
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}})
}

pub(in crate::tests) fn deployment(replicas: u32) -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"replicas": replicas,
        "selector": {"matchLabels": {"app": "web"}}, "template": template("one")}})
}

fn replication_controller() -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"replicas": 3, "selector": {"app": "web"}, "template": template("one")}})
}

fn service() -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}})
}

fn image(image: &str) -> Request {
    let body = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}});
    patch(WEB, body)
}

fn patch(path: &'static str, body: Value) -> Request {
    Request { method: "PATCH", path, body }
}

fn remove(path: &'static str) -> Request {
    Request { method: "DELETE", path, body: json!({}) }
}

fn post(path: &'static str, body: Value) -> Request {
    Request { method: "POST", path, body }
}

fn delete(path: &'static str, propagation: &str) -> Request {
    Request { method: "DELETE", path, body: json!({"propagationPolicy": propagation}) }
}

/// On one node that lives.
fn at(given: Vec<(&'static str, Value)>, when: Vec<Request>) {
    after(given, Vec::new(), when);
}

/// The same, when something came to rest before.
fn after(given: Vec<(&'static str, Value)>, earlier: Vec<Request>, when: Vec<Request>) {
    let given = [(NODES, node("n"))].into_iter().chain(given).collect();
    check(&Scenario { given, alive: &["n"], earlier, when, ..Scenario::default() });
}

#[test]
fn a_replication_controller_gets_its_pods() {
    at(vec![(SERVICES, service())], vec![post(CONTROLLERS, replication_controller())]);
}

#[test]
fn a_deployment_gets_its_pods_behind_a_service() {
    at(vec![(SERVICES, service())], vec![post(APPS, deployment(3))]);
}

#[test]
fn a_deployment_is_scaled_down() {
    let fewer = patch(WEB, json!({"spec": {"replicas": 1}}));
    at(vec![(APPS, deployment(3)), (SERVICES, service())], vec![fewer]);
}

#[test]
fn a_rolling_update_reaches_its_end() {
    at(vec![(APPS, deployment(2)), (SERVICES, service())], vec![image("two")]);
}

#[test]
fn a_rolling_update_is_rolled_back() {
    after(vec![(APPS, deployment(2))], vec![image("two")], vec![image("one")]);
}

#[test]
fn a_namespace_goes_with_all_that_it_holds() {
    const MAPS: &str = "/api/v1/namespaces/going/configmaps";
    const THERE: &str = "/apis/apps/v1/namespaces/going/deployments";
    let given = vec![
        ("/api/v1/namespaces", json!({"metadata": {"name": "going"}})),
        (MAPS, json!({"metadata": {"name": "a"}})),
        (THERE, deployment(2)),
        ("/api/v1/namespaces/going/services", service()),
    ];
    at(given, vec![remove("/api/v1/namespaces/going")]);
}

#[test]
fn a_namespace_gets_what_every_namespace_has() {
    at(vec![], vec![post("/api/v1/namespaces", json!({"metadata": {"name": "new"}}))]);
}

#[test]
fn what_belonged_to_a_deployment_goes_in_the_background() {
    at(vec![(APPS, deployment(2))], vec![delete(WEB, "Background")]);
}

#[test]
fn what_belongs_to_a_deployment_goes_before_it() {
    at(vec![(APPS, deployment(2))], vec![delete(WEB, "Foreground")]);
}

#[test]
fn what_belonged_to_a_deployment_stays() {
    at(vec![(APPS, deployment(2))], vec![delete(WEB, "Orphan")]);
}

#[test]
fn the_pods_of_a_silent_node_come_up_on_another() {
    let given = vec![(NODES, node("m")), (APPS, deployment(2)), (SERVICES, service()), (NODES, node("n"))];
    check(&Scenario { given, alive: &["m"], ..Scenario::default() });
}

#[test]
fn a_claim_goes_with_the_last_pod_that_uses_it() {
    const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    let pod = json!({"metadata": {"name": "user"}, "spec": {"nodeName": "n", "automountServiceAccountToken": false,
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}});
    let user = "/api/v1/namespaces/default/pods/user";
    let gone = [remove("/api/v1/namespaces/default/persistentvolumeclaims/data"), remove(user)];
    at(vec![(CLAIMS, claim), (PODS, pod)], gone.into());
}

#[test]
fn a_definition_goes_with_its_objects() {
    const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    const FOOS: &str = "/apis/example.com/v1/namespaces/default/foos";
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let definition = json!({"metadata": {"name": "foos.example.com"}, "spec": {"group": "example.com",
        "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]}});
    let foo = |name: &str| json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": name}});
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/foos.example.com";
    let gone = remove(path);
    at(vec![(DEFINITIONS, definition), (FOOS, foo("a")), (FOOS, foo("b"))], vec![gone]);
}

#[test]
fn a_deployment_that_recreates_stops_its_pods_first() {
    let mut recreated = deployment(2);
    recreated["spec"]["strategy"] = json!({"type": "Recreate"});
    at(vec![(APPS, recreated)], vec![image("two")]);
}

#[test]
fn what_a_paused_deployment_was_told_happens_when_it_goes_on() {
    let paused = |is_paused: bool| patch(WEB, json!({"spec": {"paused": is_paused}}));
    after(vec![(APPS, deployment(2))], vec![paused(true), image("two")], vec![paused(false)]);
}

#[test]
fn a_rollout_that_is_stuck_is_scaled_in_proportion() {
    let stuck = json!({"spec": {"minReadySeconds": 599, "template": {"spec": {"containers": [{"name": "c", "image": "two"}]}}}});
    let stuck = patch(WEB, stuck);
    let more = patch(WEB, json!({"spec": {"replicas": 8}}));
    after(vec![(APPS, deployment(4))], vec![stuck], vec![more]);
}

#[test]
fn replica_sets_that_nobody_can_go_back_to_are_cleaned_up() {
    let mut forgetful = deployment(1);
    forgetful["spec"]["revisionHistoryLimit"] = 0.into();
    at(vec![(APPS, forgetful)], vec![image("two")]);
}

#[test]
fn a_replication_controller_is_scaled_down() {
    let path = "/api/v1/namespaces/default/replicationcontrollers/web";
    let fewer = patch(path, json!({"spec": {"replicas": 1}}));
    at(vec![(CONTROLLERS, replication_controller()), (SERVICES, service())], vec![fewer]);
}

#[test]
fn the_pods_of_a_node_that_was_deleted_come_up_on_another() {
    let given = vec![(NODES, node("m")), (APPS, deployment(3)), (NODES, node("n"))];
    let when = vec![remove("/api/v1/nodes/n")];
    // A node may come back within 40 s.
    check(&Scenario { given, alive: &["m"], pause: Duration::from_secs(40), when, ..Scenario::default() });
}

#[test]
fn nodes_that_join_get_ranges_of_addresses() {
    let when = ["a", "b", "c"].map(|name| post(NODES, node(name))).into();
    check(&Scenario { alive: &["a", "b", "c"], when, ..Scenario::default() });
}

#[test]
fn what_every_cluster_has_comes_back() {
    let gone = [
        "/api/v1/namespaces/kube-system/services/kube-dns",
        "/api/v1/namespaces/default/serviceaccounts/default",
    ];
    at(vec![], gone.map(remove).into());
}

#[test]
fn endpoints_written_by_hand_are_told_as_slices() {
    let unselective = json!({"metadata": {"name": "db"}, "spec": {"ports": [{"port": 5432}]}});
    let subset =
        json!({"addresses": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}], "ports": [{"port": 5432}]});
    let endpoints = json!({"metadata": {"name": "db"}, "subsets": [subset]});
    at(vec![(SERVICES, unselective)], vec![post("/api/v1/namespaces/default/endpoints", endpoints)]);
}

#[test]
fn the_masters_are_told_again_when_somebody_removed_them() {
    let gone = [
        "/api/v1/namespaces/default/services/kubernetes",
        "/api/v1/namespaces/default/endpoints/kubernetes",
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes",
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes-7443",
    ];
    let masters = &["192.0.2.1:6443", "192.0.2.2:6443", "192.0.2.3:7443"];
    check(&Scenario { masters, when: gone.map(remove).into(), ..Scenario::default() });
}

#[test]
fn the_oldest_of_too_many_pods_that_ended_go() {
    let pod = |name: &str| {
        json!({"metadata": {"name": name}, "spec": {"nodeName": "n",
        "automountServiceAccountToken": false, "containers": [{"name": "c", "image": "i"}]}})
    };
    let given =
        [(NODES, node("n"))].into_iter().chain(["a", "b", "c", "d", "e"].map(|name| (PODS, pod(name))));
    let ended = [
        "/api/v1/namespaces/default/pods/a/status",
        "/api/v1/namespaces/default/pods/b/status",
        "/api/v1/namespaces/default/pods/c/status",
        "/api/v1/namespaces/default/pods/d/status",
    ];
    let when = ended.map(|path| patch(path, json!({"status": {"phase": "Succeeded"}}))).into();
    let rules = Rules { terminated_pod_gc_threshold: 1, ..Rules::default() };
    check(&Scenario { rules, given: given.collect(), alive: &["n"], when, ..Scenario::default() });
}

#[test]
fn events_go_some_at_a_time() {
    let about = json!({"kind": "Pod", "name": "a", "namespace": "default"});
    let event = |at: usize| json!({"metadata": {"name": format!("{EVENT}{at}")}, "involvedObject": about, "reason": "r"});
    let when = (0..450).map(|at| post("/api/v1/namespaces/default/events", event(at))).collect();
    let rules = Rules { event_ttl_ms: 5_000, ..Rules::default() };
    // It is looked for them once a minute.
    check(&Scenario { rules, pause: Duration::from_secs(60), when, ..Scenario::default() });
}

#[test]
fn volumes_go_when_they_are_bound_no_more() {
    const VOLUMES: [&str; 2] = ["/api/v1/persistentvolumes/v", "/api/v1/persistentvolumes/w"];
    const STATUSES: [&str; 2] = ["/api/v1/persistentvolumes/v/status", "/api/v1/persistentvolumes/w/status"];
    let volume = |name: &str| {
        json!({"metadata": {"name": name}, "spec": {"capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/srv/v"}}})
    };
    let given = ["v", "w"].map(|name| ("/api/v1/persistentvolumes", volume(name))).into();
    let phase = |phase: &str| STATUSES.map(|path| patch(path, json!({"status": {"phase": phase}})));
    let earlier = phase("Bound").into_iter().chain(VOLUMES.map(remove)).collect();
    check(&Scenario { given, earlier, when: phase("Released").into(), ..Scenario::default() });
}

#[test]
fn a_rollout_that_comes_to_nothing_is_told_so() {
    let mut hopeless = deployment(2);
    hopeless["spec"]["progressDeadlineSeconds"] = 5.into();
    check(&Scenario { when: vec![post(APPS, hopeless)], ..Scenario::default() });
}
