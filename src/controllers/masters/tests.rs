use expect_test::expect;
use projection::testing::{self, put, shown};
use serde_json::json;

use super::*;

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
    assert_eq!(shown(&testing::plan(&world, &key(), MASTERS.plan)), "", "it is as it should be");
    member(&mut world, "master-1", "10.0.0.9:7443");
    expect![[r#"
        patch core/endpoints/default/kubernetes {"subsets":[{"addresses":[{"ip":"10.0.0.9"}],"ports":[{"name":"https","port":7443,"protocol":"TCP"}]}]}
        patch discovery.k8s.io/endpointslices/default/kubernetes {"endpoints":[{"addresses":["10.0.0.9"],"conditions":{"ready":true}}],"ports":[{"name":"https","port":7443,"protocol":"TCP"}]}
    "#]]
    .assert_eq(&shown(&testing::plan(&world, &key(), MASTERS.plan)));
}
