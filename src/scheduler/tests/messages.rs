//! What is told of pods that get no node: texts of Kubernetes 1.37.

use projection::testing::{put, world};
use serde_json::{Value, json};

use super::{asking, node, of, plan, planned};

/// What is told of a pod in a World of these objects.
fn told(objects: &[Value], pod: Value) -> String {
    let mut world = world(objects.iter().cloned());
    put(&mut world, pod);
    let reasons = plan(&world).reasons;
    assert!(reasons.iter().all(|reason| reason.is_warning && reason.reason == "FailedScheduling"));
    reasons.into_iter().map(|reason| reason.message).collect()
}

fn on(node: &str, mut pod: Value) -> Value {
    pod["spec"]["nodeName"] = node.into();
    pod
}

#[test]
fn reasons_are_counted_and_sorted() {
    let mut nodes: Vec<Value> = (0..11).map(|n| node(&format!("small-{n}"), json!({}))).collect();
    nodes.push(node("cordoned", json!({"spec": {"unschedulable": true}})));
    nodes.push(on("small-0", asking("there", "1", "8Gi")));
    expect_test::expect![[r#"0/12 nodes are available: 1 Insufficient memory, 1 node(s) were unschedulable, 11 Insufficient cpu. preemption: 0/12 nodes are available: 12 Preemption is not helpful for scheduling."#]]
    .assert_eq(&told(&nodes, asking("p", "5", "1Gi")));
}

#[test]
fn without_nodes() {
    assert_eq!(told(&[], of("p", json!({}))), "no nodes available to schedule pods");
}

#[test]
fn when_others_could_make_room_but_none_is_less_urgent() {
    let objects = [node("a", json!({})), node("b", json!({})), on("a", asking("there", "4", "1"))];
    let mut pod = asking("p", "1", "1");
    pod["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "a"});
    expect_test::expect![[r#"0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector. preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."#]]
    .assert_eq(&told(&objects, pod.clone()));
    pod["spec"]["preemptionPolicy"] = "Never".into();
    expect_test::expect![[r#"0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector. preemption: not eligible due to preemptionPolicy=Never."#]]
    .assert_eq(&told(&objects, pod.clone()));
    pod["spec"]["preemptionPolicy"] = "PreemptLowerPriority".into();
    pod["spec"]["priority"] = 1.into();
    expect_test::expect![[
        r#"0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector."#
    ]]
    .assert_eq(&told(&objects, pod));
}

#[test]
fn of_a_daemons_pod() {
    let objects = [node("a", json!({})), node("b", json!({})), on("a", asking("there", "4", "1"))];
    let named = |terms: Value| {
        let mut pod = asking("p", "1", "1");
        pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"] =
            terms;
        pod
    };
    let name = |name: &str| json!({"key": "metadata.name", "operator": "In", "values": [name]});
    expect_test::expect![[r#"0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't satisfy plugin(s) [NodeAffinity]. preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."#]]
    .assert_eq(&told(&objects, named(json!([{"matchFields": [name("a")]}]))));
    assert_eq!(told(&objects, named(json!([{"matchFields": [name("b")]}]))), "");
    expect_test::expect![[r#"0/2 nodes are available: 2 node(s) didn't satisfy plugin(s) [NodeAffinity]. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."#]]
    .assert_eq(&told(&objects, named(json!([{"matchFields": [name("gone")]}]))));
    expect_test::expect![[r#"0/2 nodes are available: pod affinity terms conflict. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."#]]
    .assert_eq(&told(&objects, named(json!([{"matchFields": [name("a"), name("b")]}]))));
}

#[test]
fn conditions_are_written_once_and_keep_the_others() {
    let mut pod = asking("p", "5", "1");
    pod["metadata"]["generation"] = 3.into();
    pod["status"]["conditions"] = json!([
        {"type": "PodScheduled", "status": "False", "lastTransitionTime": "2025-01-01T00:00:00Z", "reason": "x"},
        {"type": "Mine", "status": "True"},
    ]);
    let mut world = world([node("a", json!({})), pod]);
    expect_test::expect![[r#"
        patch core/pods/default/p/status {"status":{"conditions":[{"type":"PodScheduled","status":"False","lastTransitionTime":"2025-01-01T00:00:00Z","reason":"Unschedulable","message":"0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.","observedGeneration":3},{"type":"Mine","status":"True"}]}}
        Warning core/pods/default/p: FailedScheduling: 0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.
    "#]]
    .assert_eq(&planned(&world));
    let plan = plan(&world);
    super::fold(&mut world, &plan);
    assert_eq!(planned(&world), "");
}

#[test]
fn gates() {
    let gated = of("p", json!({"schedulingGates": [{"name": "x.io/y"}]}));
    let mut world = world([node("a", json!({})), gated]);
    expect_test::expect![[r#"
        patch core/pods/default/p/status {"status":{"conditions":[{"type":"PodScheduled","status":"False","lastTransitionTime":"2026-01-01T00:00:00Z","reason":"SchedulingGated","message":"Scheduling is blocked due to non-empty scheduling gates"}]}}
    "#]]
    .assert_eq(&planned(&world));
    let plan = plan(&world);
    super::fold(&mut world, &plan);
    assert_eq!(planned(&world), "");
}
