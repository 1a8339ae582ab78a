use api::Key;
use expect_test::expect;
use projection::World;
use projection::testing::{plan, put, remove, shown, world};
use serde_json::{Value, json};

use super::GARBAGE_COLLECTOR;
use crate::testing::{change, namespace, nobody, settle, woken, woken_by_removal};

fn map(name: &str, owners: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default", "ownerReferences": owners}})
}

fn owner(name: &str, blocks: bool) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": format!("uid-{name}"), "blockOwnerDeletion": blocks})
}

fn going(mut object: Value, finalizer: &str) -> Value {
    object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    object["metadata"]["finalizers"] = json!([finalizer]);
    object
}

fn key(name: &str) -> Key {
    Key::object("", "configmaps", "default", name)
}

fn look(world: &World, name: &str) -> String {
    shown(&plan(world, &key(name), GARBAGE_COLLECTOR.plan))
}

fn left(world: &World) -> Vec<String> {
    world.state.range("core/configmaps/").map(|found| found.key.name().to_owned()).collect()
}

#[test]
fn what_becomes_of_an_object_depends_on_its_owners() {
    let unknown = json!({"apiVersion": "example.com/v1", "kind": "Thing", "name": "x", "uid": "uid-x"});
    let other_uid = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "alive", "uid": "uid-before"});
    let world = world([
        namespace("default"),
        map("alive", json!([])),
        going(map("waits", json!([])), "foregroundDeletion"),
        map("kept", json!([owner("alive", true)])),
        map("lost", json!([owner("gone", true)])),
        map("half", json!([owner("alive", true), owner("gone", true)])),
        map("half-awaited", json!([owner("alive", true), owner("waits", true)])),
        map("awaited", json!([owner("waits", true)])),
        map("awaited-owner", json!([owner("waits", true)])),
        map("below", json!([owner("awaited-owner", true)])),
        map("namesake", json!([other_uid])),
        map("unclear", json!([unknown, owner("gone", true)])),
    ]);
    let names =
        ["kept", "lost", "half", "half-awaited", "awaited", "awaited-owner", "below", "namesake", "unclear"];
    let lines: Vec<String> =
        names.iter().map(|name| format!("{name}: {}", look(&world, name).trim())).collect();
    expect![[r#"
        kept: 
        lost: delete core/configmaps/default/lost Background
        half: patch core/configmaps/default/half {"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"alive","uid":"uid-alive","blockOwnerDeletion":true}]}}
        half-awaited: patch core/configmaps/default/half-awaited {"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"alive","uid":"uid-alive","blockOwnerDeletion":true}]}}
        awaited: delete core/configmaps/default/awaited Background
        awaited-owner: delete core/configmaps/default/awaited-owner Foreground
        below: 
        namesake: delete core/configmaps/default/namesake Background
        unclear: "#]].assert_eq(&lines.join("\n"));
}

#[test]
fn an_orphaning_deletion_lets_go_of_the_dependents_first() {
    let mut world = world([
        namespace("default"),
        going(map("top", json!([])), "orphan"),
        map("a", json!([owner("top", true)])),
        map("b", json!([owner("top", false)])),
    ]);
    expect![[r#"
        patch core/configmaps/default/a {"metadata":{"ownerReferences":null}}
        patch core/configmaps/default/b {"metadata":{"ownerReferences":null}}
    "#]]
    .assert_eq(&look(&world, "top"));
    settle(&mut world, &[GARBAGE_COLLECTOR], nobody);
    assert_eq!(left(&world), ["a", "b"]);
}

#[test]
fn a_foreground_deletion_waits_for_those_that_block_it() {
    let mut world = world([
        namespace("default"),
        going(map("top", json!([])), "foregroundDeletion"),
        map("a", json!([owner("top", true)])),
        map("b", json!([owner("a", true)])),
        map("free", json!([owner("top", false)])),
    ]);
    assert_eq!(look(&world, "top"), "", "a blocks it");
    settle(&mut world, &[GARBAGE_COLLECTOR], nobody);
    assert_eq!(left(&world), Vec::<String>::new());
}

#[test]
fn a_background_deletion_takes_everything_below() {
    let mut world = world([
        namespace("default"),
        map("top", json!([])),
        map("a", json!([owner("top", true)])),
        map("b", json!([owner("a", true)])),
        map("apart", json!([])),
    ]);
    settle(&mut world, &[GARBAGE_COLLECTOR], nobody);
    assert_eq!(left(&world).len(), 4, "nothing is amiss");
    remove(&mut world, &key("top"));
    settle(&mut world, &[GARBAGE_COLLECTOR], nobody);
    assert_eq!(left(&world), ["apart"]);
}

#[test]
fn a_circle_of_foreground_deletions_comes_undone() {
    let mut world = world([
        namespace("default"),
        going(map("a", json!([owner("b", true)])), "foregroundDeletion"),
        map("b", json!([owner("a", true)])),
    ]);
    settle(&mut world, &[GARBAGE_COLLECTOR], nobody);
    assert_eq!(left(&world), Vec::<String>::new());
}

#[test]
fn what_has_no_namespace_cannot_belong_to_what_has_one() {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "ownerReferences": [owner("gone", true)]}});
    let world = world([node]);
    let plan = plan(&world, &Key::object("", "nodes", "", "n"), GARBAGE_COLLECTOR.plan);
    expect![[r#"
        Warning core/nodes/n: OwnerRefInvalidNamespace: ownerRef [v1/ConfigMap, namespace: , name: gone, uid: uid-gone] does not exist in namespace ""
    "#]].assert_eq(&shown(&plan));
}

#[test]
fn a_change_wakes_whom_it_concerns() {
    let mut world =
        world([namespace("default"), map("top", json!([])), map("a", json!([owner("top", true)]))]);
    let names = |keys: Vec<String>| {
        keys.iter().map(|key| key.rsplit('/').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let controller = &GARBAGE_COLLECTOR;
    assert_eq!(names(woken(controller, &mut world, map("b", json!([owner("top", false)])))), ["b"]);
    assert!(
        woken(controller, &mut world, map("b", json!([owner("top", false)]))).is_empty(),
        "nothing of it changed"
    );
    assert_eq!(names(woken(controller, &mut world, map("b", json!([])))), ["b", "top"]);
    let top = going(map("top", json!([])), "foregroundDeletion");
    assert_eq!(names(woken(controller, &mut world, top)), ["a", "top"]);
    assert_eq!(names(woken_by_removal(controller, &mut world, &key("a"))), ["top"]);
    put(&mut world, map("a", json!([owner("top", true)])));
    assert_eq!(
        names(woken_by_removal(controller, &mut world, &key("top"))),
        ["a", "top"].into_iter().filter(|name| *name == "a").collect::<Vec<_>>()
    );
    change(&mut world, &key("a"), |a| a["data"] = json!({"x": "y"}));
}
