use std::collections::BTreeMap;

use api::{Key, Status};
use expect_test::expect;
use projection::controller::Refused;
use projection::testing::{NOW_MS, plan, put, remove, shown, world};
use projection::{LastOutcomes, World};
use serde_json::{Value, json};

use super::{ENDPOINT_SLICE, SLICES};
use crate::shared::stored;
use crate::testing::{carry_out, change, namespace, nobody, pod, settle, woken};

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "labels": {"team": "a"}},
        "spec": {
            "clusterIP": "10.43.0.7", "clusterIPs": ["10.43.0.7"], "ipFamilies": ["IPv4"],
            "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        },
    })
}

fn backend(at: usize, http: u16) -> Value {
    let mut pod = pod(&format!("p{at:04}"), json!({"app": "web"}), "n");
    pod["spec"]["containers"][0]["ports"] =
        json!([{"name": "http", "containerPort": http, "protocol": "TCP"}]);
    pod["status"] = crate::testing::running(&format!("10.0.{}.{}", at / 250, at % 250 + 1));
    pod
}

fn node() -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z1"}}})
}

fn key() -> Key {
    Key::object("", "services", "default", "web")
}

fn of(pods: impl IntoIterator<Item = Value>) -> World {
    world([namespace("default"), node(), service()].into_iter().chain(pods))
}

fn sizes(world: &World) -> BTreeMap<String, usize> {
    let size = |slice: &std::sync::Arc<state::Object>| stored::list(slice, &["endpoints"]).len();
    world.state.range(SLICES).map(|slice| (slice.key.name().to_owned(), size(slice))).collect()
}

fn pod_key(at: usize) -> Key {
    Key::object("", "pods", "default", &format!("p{at:04}"))
}

#[test]
fn a_slice_tells_what_is_behind_a_service() {
    let mut going = backend(1, 8080);
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:30Z".into();
    going["spec"]["hostname"] = "second".into();
    going["spec"]["subdomain"] = "web".into();
    let mut ended = backend(2, 8080);
    ended["status"]["phase"] = "Failed".into();
    let world = of([backend(0, 8080), going, ended]);
    expect![[r#"
        create endpointslices/default {"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"generateName":"web-","labels":{"team":"a","kubernetes.io/service-name":"web","endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io"},"ownerReferences":[{"apiVersion":"v1","kind":"Service","name":"web","uid":"uid-web","controller":true,"blockOwnerDeletion":true}]},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"],"conditions":{"ready":true,"serving":true,"terminating":false},"targetRef":{"kind":"Pod","namespace":"default","name":"p0000","uid":"uid-p0000"},"nodeName":"n","zone":"z1"},{"addresses":["10.0.0.2"],"conditions":{"ready":false,"serving":true,"terminating":true},"hostname":"second","targetRef":{"kind":"Pod","namespace":"default","name":"p0001","uid":"uid-p0001"},"nodeName":"n","zone":"z1"}],"ports":[{"name":"http","protocol":"TCP","port":8080}]} if Live { key: "core/services/default/web", uid: "uid-web" }
    "#]].assert_eq(&shown(&plan(&world, &key(), ENDPOINT_SLICE.plan)));
}

#[test]
fn a_service_without_pods_has_a_slice_that_says_so() {
    let mut world = of([]);
    settle(&mut world, &[ENDPOINT_SLICE], nobody);
    assert_eq!(sizes(&world).into_values().collect::<Vec<_>>(), [0]);
    put(&mut world, backend(0, 8080));
    let plan = plan(&world, &key(), ENDPOINT_SLICE.plan);
    assert!(
        shown(&plan).starts_with("patch discovery.k8s.io/endpointslices/default/web-"),
        "it is used: {}",
        shown(&plan)
    );
    carry_out(&mut world, &plan);
    assert_eq!(sizes(&world).into_values().collect::<Vec<_>>(), [1]);
}

#[test]
fn a_hundred_fit_into_a_slice_and_only_those_that_change_are_written() {
    let mut world = of((0..250).map(|at| backend(at, 8080)));
    settle(&mut world, &[ENDPOINT_SLICE], nobody);
    let before = sizes(&world);
    assert_eq!(before.values().sum::<usize>(), 250);
    assert_eq!(before.len(), 3);
    change(&mut world, &pod_key(7), |pod| pod["status"]["conditions"][0]["status"] = "False".into());
    let one = plan(&world, &key(), ENDPOINT_SLICE.plan);
    assert_eq!(one.intents.len(), 1, "{}", shown(&one));
    carry_out(&mut world, &one);
    remove(&mut world, &pod_key(9));
    put(&mut world, backend(300, 8080));
    let two = plan(&world, &key(), ENDPOINT_SLICE.plan);
    assert_eq!(two.intents.len(), 1, "what is new takes the place of what went: {}", shown(&two));
    carry_out(&mut world, &two);
    assert_eq!(sizes(&world), before);
    assert!(plan(&world, &key(), ENDPOINT_SLICE.plan).intents.is_empty());
}

#[test]
fn pods_that_name_other_ports_stand_in_other_slices() {
    let mut world = of([backend(0, 8080), backend(1, 9090), backend(2, 9090)]);
    settle(&mut world, &[ENDPOINT_SLICE], nobody);
    let mut found: Vec<usize> = sizes(&world).into_values().collect();
    found.sort_unstable();
    assert_eq!(found, [1, 2]);
    remove(&mut world, &pod_key(0));
    settle(&mut world, &[ENDPOINT_SLICE], nobody);
    assert_eq!(sizes(&world).into_values().collect::<Vec<_>>(), [2]);
}

#[test]
fn a_pod_whose_node_is_not_there_is_left_out() {
    let mut world = of([backend(0, 8080)]);
    remove(&mut world, &Key::object("", "nodes", "", "n"));
    settle(&mut world, &[ENDPOINT_SLICE], nobody);
    assert_eq!(sizes(&world).into_values().collect::<Vec<_>>(), [0]);
}

#[test]
fn labels_of_the_service_are_those_of_its_slices() {
    let mut world = of([backend(0, 8080)]);
    settle(&mut world, &[ENDPOINT_SLICE], nobody);
    let mut headless = service();
    headless["metadata"]["labels"] = json!({"team": "b"});
    headless["spec"]["clusterIP"] = "None".into();
    headless["spec"]["clusterIPs"] = json!(["None"]);
    put(&mut world, headless);
    let plan = shown(&plan(&world, &key(), ENDPOINT_SLICE.plan));
    let patch = plan.split_once(' ').and_then(|(_, rest)| rest.split_once(' ')).map(|(_, rest)| rest);
    expect![[r#"
        {"metadata":{"labels":{"team":"b","service.kubernetes.io/headless":""}}} if Live { key: "core/services/default/web", uid: "uid-web" }
    "#]].assert_eq(patch.unwrap_or_default());
}

#[test]
fn slices_of_others_are_left_alone() {
    let mut world = of([]);
    put(
        &mut world,
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "mine", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": [{"addresses": ["192.0.2.1"]}], "ports": []}),
    );
    settle(&mut world, &[ENDPOINT_SLICE], nobody);
    assert_eq!(sizes(&world)["mine"], 1);
    assert_eq!(sizes(&world).len(), 2);
}

#[test]
fn two_families_have_slices_each_and_one_that_is_no_longer_wanted_goes() {
    let mut both = service();
    both["spec"]["ipFamilies"] = json!(["IPv4", "IPv6"]);
    let mut pod = backend(0, 8080);
    pod["status"]["podIPs"] = json!([{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]);
    let mut world = of([pod]);
    put(&mut world, both);
    settle(&mut world, &[ENDPOINT_SLICE], nobody);
    let addresses = |world: &World| -> Vec<String> {
        let one = |slice: &std::sync::Arc<state::Object>| {
            stored::at(slice, &["endpoints"])[0]["addresses"][0].to_string()
        };
        world.state.range(SLICES).map(one).collect()
    };
    assert_eq!(addresses(&world), ["\"10.0.0.1\"", "\"fd00::1\""]);
    put(&mut world, service());
    settle(&mut world, &[ENDPOINT_SLICE], nobody);
    assert_eq!(addresses(&world), ["\"10.0.0.1\""]);
}

#[test]
fn a_refusal_is_told() {
    let status = Status::forbidden(
        api::GroupResource { group: "discovery.k8s.io", resource: "endpointslices" },
        "",
        "no",
    );
    let last = LastOutcomes { refused: vec![Refused { intent: 0, status }], failures: 1 };
    let plan = (ENDPOINT_SLICE.plan)(&of([]), &key(), &last, NOW_MS);
    assert_eq!(plan.reasons[0].reason, "FailedToUpdateEndpointSlices");
    assert!(plan.reasons[0].message.starts_with("Error updating Endpoint Slices for Service default/web: "));
}

#[test]
fn a_slice_wakes_its_service() {
    let mut world = of([backend(0, 8080)]);
    settle(&mut world, &[ENDPOINT_SLICE], nobody);
    let slice = world.state.range(SLICES).next().expect("one").clone();
    let mut tree = stored::tree(&slice);
    tree["metadata"].as_object_mut().expect("it").shift_remove("resourceVersion");
    tree["metadata"]["labels"].as_object_mut().expect("it").shift_remove(super::MANAGED_BY);
    assert_eq!(woken(&ENDPOINT_SLICE, &mut world, tree), [key().to_string()], "it was its service's");
    settle(&mut world, &[ENDPOINT_SLICE], nobody);
    assert_eq!(sizes(&world).len(), 2);
}
