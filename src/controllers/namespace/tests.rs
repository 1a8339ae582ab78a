use api::{Key, Status};
use expect_test::expect;
use projection::controller::Refused;
use projection::testing::{NOW_MS, plan, put, remove, shown, world};
use projection::{LastOutcomes, World};
use serde_json::{Value, json};

use super::NAMESPACE;
use crate::shared::stored;
use crate::testing::{change, namespace, nobody, settle, woken};

fn going() -> Value {
    let mut going = namespace("old");
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    going
}

fn key() -> Key {
    Key::object("", "namespaces", "", "old")
}

fn map(name: &str, finalizers: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "old", "finalizers": finalizers}})
}

fn pod() -> Value {
    let mut pod = crate::testing::pod("a", json!({}), "n");
    pod["metadata"]["namespace"] = "old".into();
    pod
}

fn look(world: &World) -> String {
    shown(&plan(world, &key(), NAMESPACE.plan))
}

#[test]
fn one_that_lives_is_left_alone() {
    assert_eq!(look(&world([namespace("old"), map("a", json!([]))])), "");
}

#[test]
fn pods_go_first_and_everything_else_waits_for_them() {
    let mut world = world([going(), map("a", json!([])), pod()]);
    assert_eq!(look(&world), "delete core/pods/old/a Background\n");
    change(&mut world, &Key::object("", "pods", "old", "a"), |pod| {
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:30Z".into();
    });
    let waits = plan(&world, &key(), NAMESPACE.plan);
    assert_eq!(waits.intents.len(), 1, "the conditions: {}", shown(&waits));
    crate::testing::carry_out(&mut world, &waits);
    assert_eq!(look(&world), "", "it waits");
    remove(&mut world, &Key::object("", "pods", "old", "a"));
    assert_eq!(look(&world), "delete core/configmaps/old/a Background\n");
}

#[test]
fn what_finalizers_keep_is_told() {
    let mut world = world([
        going(),
        map("a", json!(["example.com/one", "example.com/two"])),
        map("b", json!(["example.com/one"])),
    ]);
    settle(&mut world, &[NAMESPACE], nobody);
    let conditions =
        stored::list(world.state.get(key().as_str()).expect("it waits"), &["status", "conditions"]);
    let lines: Vec<String> = conditions
        .iter()
        .map(|one| {
            format!("{}={} {}: {}", one["type"], one["status"], one["reason"], one["message"])
                .replace('"', "")
        })
        .collect();
    expect![[r#"
        NamespaceDeletionDiscoveryFailure=False ResourcesDiscovered: All resources successfully discovered
        NamespaceDeletionGroupVersionParsingFailure=False ParsedGroupVersions: All legacy kube types successfully parsed
        NamespaceDeletionContentFailure=False ContentDeleted: All content successfully deleted, may be waiting on finalization
        NamespaceContentRemaining=True SomeResourcesRemain: Some resources are remaining: configmaps. has 2 resource instances
        NamespaceFinalizersRemaining=True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.com/one in 2 resource instances, example.com/two in 1 resource instances"#]].assert_eq(&lines.join("\n"));
}

#[test]
fn an_empty_one_is_let_go_of_and_those_of_others_stay() {
    let mut held = going();
    held["spec"]["finalizers"] = json!(["kubernetes", "example.com/mine"]);
    let mut world = world([held]);
    expect![[r#"
        patch core/namespaces/old/finalize {"spec":{"finalizers":["example.com/mine"]}}
    "#]]
    .assert_eq(&look(&world));
    settle(&mut world, &[NAMESPACE], nobody);
    assert!(world.state.get(key().as_str()).is_some(), "another finalizer keeps it");
    put(&mut world, going());
    settle(&mut world, &[NAMESPACE], nobody);
    assert!(world.state.get(key().as_str()).is_none());
}

#[test]
fn custom_resources_go_as_well() {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
        "status": {"acceptedNames": {"plural": "things", "kind": "Thing"}, "storedVersions": ["v1"],
            "conditions": [{"type": "Established", "status": "True"}, {"type": "NamesAccepted", "status": "True"}]},
    });
    let world = world([definition]);
    let rows: Vec<_> = world.definitions.namespaced().filter(|row| row.group == "example.com").collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].prefix("old"), "example.com/things/old/");
    assert!(world.definitions.kind("example.com/v1", "Thing").is_some());
    assert!(world.definitions.kind("example.com/v2", "Thing").is_none());
}

#[test]
fn a_refusal_is_told() {
    let world = world([going(), map("a", json!([]))]);
    let status = Status::forbidden(api::GroupResource { group: "", resource: "configmaps" }, "a", "no");
    let last = LastOutcomes { refused: vec![Refused { intent: 0, status }], failures: 1 };
    let text = shown(&(NAMESPACE.plan)(&world, &key(), &last, NOW_MS));
    assert!(
        text.contains(
            "Failed to delete all resource types, 1 remaining: configmaps \\\"a\\\" is forbidden: no"
        ),
        "{text}"
    );
}

#[test]
fn what_happens_within_wakes_one_that_is_going() {
    let mut world = world([going(), namespace("default")]);
    assert_eq!(woken(&NAMESPACE, &mut world, map("a", json!([]))), [key().to_string()]);
    let mut elsewhere = map("a", json!([]));
    elsewhere["metadata"]["namespace"] = "default".into();
    assert!(woken(&NAMESPACE, &mut world, elsewhere).is_empty());
    assert_eq!(woken(&NAMESPACE, &mut world, going()), [key().to_string()]);
}
