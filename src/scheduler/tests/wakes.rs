//! Which changes wake the scheduler.

use std::sync::Arc;

use projection::testing::{put, world};
use projection::{Wakes, World};
use serde_json::{Value, json};
use state::Change;

use super::{asking, labelled, merge, node, of};

/// Whether the change from one object to another wakes, in a World of these and the changed one.
fn wakes(others: &[Value], before: Option<&Value>, after: Option<&Value>) -> bool {
    let mut world = world(others.iter().cloned());
    let put = |world: &mut World, object: &Value| {
        let key = put(world, object.clone());
        Arc::clone(world.state.get(key.as_str()).expect("the object"))
    };
    let previous = before.map(|object| put(&mut world, object));
    let change = match after {
        Some(object) => {
            let object = put(&mut world, object);
            Change { revision: object.revision, object, previous, deleted: false }
        }
        None => {
            let object = previous.clone().expect("what goes was there");
            projection::testing::remove(&mut world, &object.key);
            Change { revision: world.state.revision(), object, previous, deleted: true }
        }
    };
    let mut wakes = Wakes::default();
    (crate::SCHEDULER.wakes)(&world, &change, &mut wakes);
    !wakes.take().is_empty()
}

fn with(object: &Value, patch: Value) -> Value {
    let mut object = object.clone();
    merge(&mut object, patch);
    object
}

#[test]
fn by_pods_that_wait() {
    let pod = asking("p", "1", "1");
    let check = |what: &str, after: Value, expect: bool| {
        assert_eq!(wakes(&[], Some(&pod), Some(&after)), expect, "{what}");
    };
    assert!(wakes(&[], None, Some(&pod)), "it came");
    assert!(!wakes(&[], Some(&pod), None), "it went");
    assert!(!wakes(&[], None, Some(&with(&pod, json!({"spec": {"schedulerName": "other"}})))), "another's");
    check("labels", with(&pod, json!({"metadata": {"labels": {"a": "b"}}})), true);
    check("spec", with(&pod, json!({"spec": {"tolerations": [{"operator": "Exists"}]}})), true);
    check("its condition", with(&pod, json!({"status": {"message": "x"}})), false);
    check("its annotations", with(&pod, json!({"metadata": {"annotations": {"a": "b"}}})), false);
    check("it got a node", with(&pod, json!({"spec": {"nodeName": "a"}})), false);
    let gated = with(&pod, json!({"spec": {"schedulingGates": [{"name": "x.io/y"}]}}));
    assert!(wakes(&[], Some(&gated), Some(&pod)), "its gates opened");
}

#[test]
fn by_pods_on_nodes_while_others_wait() {
    let there = labelled("there", json!({"a": "b"}), json!({"nodeName": "a"}));
    let rows = [
        ("it went", None, true),
        ("it ended", Some(json!({"status": {"phase": "Succeeded"}})), true),
        ("it runs", Some(json!({"status": {"phase": "Running"}})), false),
        ("labels", Some(json!({"metadata": {"labels": {"a": "c"}}})), true),
        (
            "it is going",
            Some(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/y"]}})),
            true,
        ),
    ];
    for (what, patch, expect) in rows {
        let after = patch.map(|patch| with(&there, patch));
        let waiting = of("waiting", json!({}));
        assert_eq!(wakes(&[waiting], Some(&there), after.as_ref()), expect, "{what}");
        assert!(!wakes(&[], Some(&there), after.as_ref()), "{what}, but nobody waits");
    }
    let free = with(&there, json!({"spec": {"nodeName": null}}));
    assert!(wakes(&[of("waiting", json!({}))], Some(&free), Some(&there)), "a neighbour came");
}

#[test]
fn by_nodes_while_pods_wait() {
    let a = node("a", json!({}));
    let check = |what: &str, before: Option<&Value>, after: Option<&Value>, expect: bool| {
        assert_eq!(wakes(&[of("waiting", json!({}))], before, after), expect, "{what}");
        assert!(!wakes(&[], before, after), "{what}, but nobody waits");
    };
    check("it came", None, Some(&a), true);
    check("it went", Some(&a), None, true);
    let rows = [
        ("allocatable", json!({"status": {"allocatable": {"cpu": "8"}}}), true),
        ("pods", json!({"status": {"allocatable": {"pods": "20"}}}), true),
        ("labels", json!({"metadata": {"labels": {"a": "b"}}}), true),
        ("taints", json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}), true),
        ("cordon", json!({"spec": {"unschedulable": true}}), true),
        ("heartbeat", json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}), false),
        ("images", json!({"status": {"images": [{"names": ["x"], "sizeBytes": 1}]}}), false),
    ];
    for (what, patch, expect) in rows {
        check(what, Some(&a), Some(&with(&a, patch)), expect);
    }
}
