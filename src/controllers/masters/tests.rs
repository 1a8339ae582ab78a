use expect_test::expect;
use projection::testing::{self, put, shown};
use serde_json::json;

use super::*;

/// When a master that was just heard of could have fallen silent.
const AGAIN: &str = "again in 12001 ms\n";

fn member(world: &mut World, name: &str, api: &str) {
    testing::put_record(
        world,
        &Key::internal("members", name),
        &json!({"attempt": "a", "api": api, "peer": "x"}),
    );
}

#[test]
fn masters_become_endpoints_of_the_service() {
    let mut world = testing::world([json!({"kind": "Namespace", "metadata": {"name": "default"}})]);
    assert_eq!(shown(&testing::plan(&world, &key(), MASTERS.plan)), "", "nobody knows of a master");
    member(&mut world, "master-1", "10.0.0.1:6443");
    member(&mut world, "master-2", "10.0.0.2:6443");
    member(&mut world, "here", "127.0.0.1:6443");
    expect![[r#"
        create services/default {"metadata":{"name":"kubernetes","labels":{"component":"apiserver","provider":"kubernetes"}},"spec":{"type":"ClusterIP","ports":[{"name":"https","protocol":"TCP","port":443,"targetPort":6443}],"sessionAffinity":"None"}}
        create endpoints/default {"metadata":{"name":"kubernetes","labels":{"endpointslice.kubernetes.io/skip-mirror":"true"}},"subsets":[{"addresses":[{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}],"ports":[{"name":"https","port":6443,"protocol":"TCP"}]}]}
        create endpointslices/default {"metadata":{"name":"kubernetes","labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"],"conditions":{"ready":true}},{"addresses":["10.0.0.2"],"conditions":{"ready":true}}],"ports":[{"name":"https","port":6443,"protocol":"TCP"}]}
        again in 12001 ms
    "#]]
    .assert_eq(&shown(&testing::plan(&world, &key(), MASTERS.plan)));
}

#[test]
fn a_master_that_left_is_taken_out() {
    let mut world = testing::world([json!({"kind": "Namespace", "metadata": {"name": "default"}})]);
    member(&mut world, "master-1", "10.0.0.1:6443");
    for intent in testing::plan(&world, &key(), MASTERS.plan).intents {
        for op in intent.ops {
            let projection::Op::Create { row, mut object, .. } = op else { panic!("only creates") };
            object["kind"] = row.kind.as_str().into();
            object["apiVersion"] = row.api_version().into();
            put(&mut world, object);
        }
    }
    assert_eq!(shown(&testing::plan(&world, &key(), MASTERS.plan)), AGAIN, "it is as it should be");
    member(&mut world, "master-1", "10.0.0.9:7443");
    expect![[r#"
        patch core/endpoints/default/kubernetes {"subsets":[{"addresses":[{"ip":"10.0.0.9"}],"ports":[{"name":"https","port":7443,"protocol":"TCP"}]}]}
        patch discovery.k8s.io/endpointslices/default/kubernetes {"endpoints":[{"addresses":["10.0.0.9"],"conditions":{"ready":true}}],"ports":[{"name":"https","port":7443,"protocol":"TCP"}]}
        again in 12001 ms
    "#]]
    .assert_eq(&shown(&testing::plan(&world, &key(), MASTERS.plan)));
}

#[test]
fn a_master_that_is_silent_is_taken_out_and_comes_back() {
    let mut world = testing::world([
        json!({"kind": "Namespace", "metadata": {"name": "default"}}),
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "apiserver-gone", "namespace": "kube-system"}}),
    ]);
    member(&mut world, "master-1", "10.0.0.1:6443");
    member(&mut world, "master-2", "10.0.0.2:6443");
    let heard = |world: &mut World, name: &str| world.office.hear(&format!("{}{name}", office::MASTERS));
    let endpoints = |world: &World| {
        let plan = testing::plan(world, &key(), MASTERS.plan);
        let shown = shown(&plan);
        let at = |address: &str| shown.contains(&format!(r#"{{"ip":"{address}"}}"#));
        assert!(shown.contains("delete coordination.k8s.io/leases/kube-system/apiserver-gone"), "{shown}");
        (at("10.0.0.1"), at("10.0.0.2"), plan.requeue_ms.map(|at| at - testing::NOW_MS))
    };
    world.office.advance(12_000);
    assert_eq!(endpoints(&world), (true, true, Some(1)), "as long as it may take");
    heard(&mut world, "master-1");
    world.office.advance(1);
    assert_eq!(endpoints(&world), (true, false, Some(12_000)));
    heard(&mut world, "master-2");
    assert_eq!(endpoints(&world), (true, true, Some(12_000)));
    world.office.advance(60_000);
    assert_eq!(endpoints(&world), (true, true, None), "somebody leads");
}
