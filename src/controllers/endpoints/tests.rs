use api::Key;
use expect_test::expect;
use projection::World;
use projection::testing::{plan, put, shown, world};
use serde_json::{Value, json};

use super::ENDPOINTS_OF_SERVICES;
use crate::shared::stored;
use crate::testing::{change, namespace, nobody, pod, settle, woken, woken_by_removal};

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "labels": {"team": "a"}},
        "spec": {
            "clusterIP": "10.43.0.7", "clusterIPs": ["10.43.0.7"], "ipFamilies": ["IPv4"],
            "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}, {"name": "fixed", "port": 81, "targetPort": 8081, "protocol": "TCP"}],
        },
    })
}

fn backend(name: &str, address: &str, http: u16) -> Value {
    let mut pod = pod(name, json!({"app": "web"}), "n");
    pod["spec"]["containers"][0]["ports"] =
        json!([{"name": "http", "containerPort": http, "protocol": "TCP"}]);
    pod["status"] = crate::testing::running(address);
    pod
}

fn key() -> Key {
    Key::object("", "services", "default", "web")
}

fn of(objects: impl IntoIterator<Item = Value>) -> World {
    world([namespace("default"), service()].into_iter().chain(objects))
}

fn subsets(world: &World) -> Value {
    let found = world.state.get("core/endpoints/default/web").expect("they are there");
    stored::at(found, &["subsets"])
}

#[test]
fn pods_of_the_same_ports_stand_together() {
    let mut unready = backend("c", "10.0.0.3", 8080);
    unready["status"]["conditions"][0]["status"] = "False".into();
    let world = of([backend("a", "10.0.0.1", 8080), backend("b", "10.0.0.2", 9090), unready]);
    expect![[r#"
        create endpoints/default {"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"web","labels":{"team":"a","endpoints.kubernetes.io/managed-by":"endpoint-controller"}},"subsets":[{"addresses":[{"ip":"10.0.0.1","nodeName":"n","targetRef":{"kind":"Pod","namespace":"default","name":"a","uid":"uid-a"}},{"ip":"10.0.0.2","nodeName":"n","targetRef":{"kind":"Pod","namespace":"default","name":"b","uid":"uid-b"}}],"notReadyAddresses":[{"ip":"10.0.0.3","nodeName":"n","targetRef":{"kind":"Pod","namespace":"default","name":"c","uid":"uid-c"}}],"ports":[{"name":"fixed","protocol":"TCP","port":8081}]},{"addresses":[{"ip":"10.0.0.1","nodeName":"n","targetRef":{"kind":"Pod","namespace":"default","name":"a","uid":"uid-a"}}],"notReadyAddresses":[{"ip":"10.0.0.3","nodeName":"n","targetRef":{"kind":"Pod","namespace":"default","name":"c","uid":"uid-c"}}],"ports":[{"name":"http","protocol":"TCP","port":8080}]},{"addresses":[{"ip":"10.0.0.2","nodeName":"n","targetRef":{"kind":"Pod","namespace":"default","name":"b","uid":"uid-b"}}],"ports":[{"name":"http","protocol":"TCP","port":9090}]}]} if Live { key: "core/services/default/web", uid: "uid-web" }
    "#]].assert_eq(&shown(&plan(&world, &key(), ENDPOINTS_OF_SERVICES.plan)));
}

#[test]
fn they_follow_the_pods_and_go_with_the_service() {
    let mut world = of([backend("a", "10.0.0.1", 8080)]);
    settle(&mut world, &[ENDPOINTS_OF_SERVICES], nobody);
    assert_eq!(subsets(&world)[0]["addresses"][0]["ip"], "10.0.0.1");
    change(&mut world, &Key::object("", "pods", "default", "a"), |pod| {
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:30Z".into();
    });
    expect![[r#"
        patch core/endpoints/default/web {"subsets":null} if Live { key: "core/services/default/web", uid: "uid-web" }
    "#]].assert_eq(&shown(&plan(&world, &key(), ENDPOINTS_OF_SERVICES.plan)));
    settle(&mut world, &[ENDPOINTS_OF_SERVICES], nobody);
    assert_eq!(subsets(&world), Value::Null);
    projection::testing::remove(&mut world, &key());
    settle(&mut world, &[ENDPOINTS_OF_SERVICES], nobody);
    assert_eq!(world.state.count("core/endpoints/"), 0);
}

#[test]
fn a_service_may_publish_who_is_not_ready_and_have_no_ports() {
    let mut headless = service();
    headless["spec"] = json!({"clusterIP": "None", "ipFamilies": ["IPv4"], "selector": {"app": "web"}, "publishNotReadyAddresses": true});
    let mut named = backend("a", "10.0.0.1", 8080);
    named["spec"]["hostname"] = "first".into();
    named["spec"]["subdomain"] = "web".into();
    named["status"]["conditions"][0]["status"] = "False".into();
    let mut world = of([named]);
    put(&mut world, headless);
    expect![[r#"
        create endpoints/default {"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"web","labels":{"team":"a","service.kubernetes.io/headless":"","endpoints.kubernetes.io/managed-by":"endpoint-controller"}},"subsets":[{"addresses":[{"ip":"10.0.0.1","hostname":"first","nodeName":"n","targetRef":{"kind":"Pod","namespace":"default","name":"a","uid":"uid-a"}}]}]} if Live { key: "core/services/default/web", uid: "uid-web" }
    "#]].assert_eq(&shown(&plan(&world, &key(), ENDPOINTS_OF_SERVICES.plan)));
}

#[test]
fn more_than_a_thousand_are_cut_and_that_is_told() {
    let pods = (0..1005)
        .map(|at| backend(&format!("p{at:04}"), &format!("10.0.{}.{}", at / 250, at % 250 + 1), 8080));
    let mut world = of(pods);
    settle(&mut world, &[ENDPOINTS_OF_SERVICES], nobody);
    assert_eq!(subsets(&world)[0]["addresses"].as_array().map(Vec::len), Some(1000));
    let found = world.state.get("core/endpoints/default/web").expect("they are there");
    assert_eq!(
        stored::annotation(found, "endpoints.kubernetes.io/over-capacity").as_deref(),
        Some("truncated")
    );
}

#[test]
fn what_selects_nothing_is_left_alone() {
    let mut hand_made = service();
    hand_made["spec"].as_object_mut().expect("it").shift_remove("selector");
    let mut world = of([]);
    put(&mut world, hand_made);
    put(
        &mut world,
        json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "web", "namespace": "default"},
        "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}]}),
    );
    put(
        &mut world,
        json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "alone", "namespace": "default"}}),
    );
    settle(&mut world, &[ENDPOINTS_OF_SERVICES], nobody);
    assert_eq!(world.state.count("core/endpoints/"), 2);
}

#[test]
fn a_change_wakes_the_services_that_it_is_about() {
    let mut world = of([backend("a", "10.0.0.1", 8080)]);
    let web = [key().to_string()];
    let controller = &ENDPOINTS_OF_SERVICES;
    let mut busy = backend("a", "10.0.0.1", 8080);
    busy["status"]["containerStatuses"] =
        json!([{"name": "c", "restartCount": 1, "ready": true, "image": "i", "imageID": ""}]);
    assert!(woken(controller, &mut world, busy).is_empty(), "nothing of it is told");
    let mut unready = backend("a", "10.0.0.1", 8080);
    unready["status"]["conditions"][0]["status"] = "False".into();
    assert_eq!(woken(controller, &mut world, unready), web);
    let mut other = backend("a", "10.0.0.1", 8080);
    other["metadata"]["labels"]["app"] = "other".into();
    assert_eq!(woken(controller, &mut world, other), web, "it was behind it");
    assert_eq!(woken(controller, &mut world, service()), web);
    let zoned = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
    put(&mut world, backend("b", "10.0.0.2", 8080));
    assert_eq!(woken(controller, &mut world, zoned.clone()), web);
    assert!(woken(controller, &mut world, zoned).is_empty());
    let pod = Key::object("", "pods", "default", "b");
    assert_eq!(woken_by_removal(controller, &mut world, &pod), web);
    let alone = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "alone", "namespace": "default"}});
    assert!(woken(controller, &mut world, alone).is_empty());
}
