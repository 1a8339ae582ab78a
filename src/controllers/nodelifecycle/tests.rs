use api::Key;
use expect_test::expect;
use projection::World;
use projection::testing::{NOW_MS, plan, put, shown, world};
use serde_json::{Value, json};

use super::NODE_LIFECYCLE;
use crate::shared::stored;
use crate::testing::{carry_out, change, namespace, nobody, pod, settle, woken};

fn node(name: &str, ready: &str) -> Value {
    let mut node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {}, "status": {"conditions": []}});
    if !ready.is_empty() {
        node["status"]["conditions"] = json!([{"type": "Ready", "status": ready, "reason": "KubeletReady", "message": "m",
            "lastHeartbeatTime": "2025-12-31T23:59:00Z", "lastTransitionTime": "2025-12-31T23:00:00Z"}]);
    }
    node
}

fn lease(name: &str) -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": name}})
}

fn key(name: &str) -> Key {
    Key::object("", "nodes", "", name)
}

fn taints(world: &World, name: &str) -> String {
    let all = stored::list(world.state.get(key(name).as_str()).expect("it is there"), &["spec", "taints"]);
    let one = |taint: &Value| {
        let key = taint["key"].as_str().unwrap_or_default().trim_start_matches("node.kubernetes.io/");
        format!("{key}:{}", taint["effect"].as_str().unwrap_or_default())
    };
    all.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// `a` falls silent while `b` still speaks.
fn silent() -> World {
    let mut world = world([
        namespace("default"),
        node("a", "True"),
        node("b", "True"),
        lease("a"),
        lease("b"),
        pod("p", json!({}), "a"),
    ]);
    world.office.advance(9_001);
    world.office.hear("b");
    world
}

#[test]
fn a_node_that_speaks_is_looked_at_when_it_could_have_fallen_silent() {
    let mut world = world([node("a", "True")]);
    world.office.advance(4_000);
    let plan = plan(&world, &key("a"), NODE_LIFECYCLE.plan);
    assert_eq!((plan.intents.len(), plan.requeue_ms), (0, Some(NOW_MS + 5_001)));
}

#[test]
fn a_new_node_is_told_of() {
    let told = |age_ms: u64| {
        let mut new = node("a", "True");
        new["metadata"]["creationTimestamp"] = api::time::rfc3339(NOW_MS - age_ms).into();
        let world = world([new]);
        let reasons = plan(&world, &key("a"), NODE_LIFECYCLE.plan).reasons;
        reasons.iter().map(|reason| format!("{} {}", reason.reason, reason.message)).collect::<String>()
    };
    assert_eq!(told(9_000), "RegisteredNode Node a event: Registered Node a in Controller");
    assert_eq!(told(10_000), "");
}

#[test]
fn a_node_may_be_silent_for_as_long_as_its_lease_holds() {
    let with = |seconds: u64| {
        let mut lease = lease("a");
        lease["spec"]["leaseDurationSeconds"] = seconds.into();
        world([node("a", "True"), lease])
    };
    for (seconds, patience_ms) in [(3, 9_000), (9, 9_000), (40, 40_000), (86_400, 60_000)] {
        let mut world = with(seconds);
        world.office.advance(patience_ms);
        assert!(plan(&world, &key("a"), NODE_LIFECYCLE.plan).intents.is_empty(), "{seconds}");
        world.office.advance(1);
        assert_eq!(plan(&world, &key("a"), NODE_LIFECYCLE.plan).intents.len(), 1, "{seconds}");
    }
}

#[test]
fn a_silent_node_becomes_unknown_then_tainted_and_its_pods_unready() {
    let mut world = silent();
    let first = plan(&world, &key("a"), NODE_LIFECYCLE.plan);
    expect![[r#"
        patch core/nodes/a/status {"status":{"conditions":[{"type":"Ready","status":"Unknown","lastHeartbeatTime":"2025-12-31T23:59:00Z","lastTransitionTime":"2026-01-01T00:00:00Z","reason":"NodeStatusUnknown","message":"Kubelet stopped posting node status."},{"type":"MemoryPressure","status":"Unknown","reason":"NodeStatusNeverUpdated","message":"Kubelet never posted node status.","lastHeartbeatTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z"},{"type":"DiskPressure","status":"Unknown","reason":"NodeStatusNeverUpdated","message":"Kubelet never posted node status.","lastHeartbeatTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z"},{"type":"PIDPressure","status":"Unknown","reason":"NodeStatusNeverUpdated","message":"Kubelet never posted node status.","lastHeartbeatTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z"}]}} if AtRevision { key: "coordination.k8s.io/leases/kube-node-lease/a", revision: 4 }
        Normal core/nodes/a: RegisteredNode: Node a event: Registered Node a in Controller
    "#]].assert_eq(&shown(&first));
    let told = first.intents[0].told.clone().and_then(|told| told.done);
    assert_eq!(told, Some(("NodeNotReady", "Node a status is now: NodeNotReady".to_owned())));
    carry_out(&mut world, &first);
    expect![[r#"
        patch core/nodes/a {"spec":{"taints":[{"key":"node.kubernetes.io/unreachable","effect":"NoSchedule","timeAdded":"2026-01-01T00:00:00Z"},{"key":"node.kubernetes.io/unreachable","effect":"NoExecute","timeAdded":"2026-01-01T00:00:00Z"}]}}
        patch core/pods/default/p/status {"status":{"conditions":[{"type":"Ready","status":"False","lastTransitionTime":"2026-01-01T00:00:00Z"}]}} if Live { key: "core/nodes/a", uid: "uid-a" }
        Normal core/nodes/a: RegisteredNode: Node a event: Registered Node a in Controller
        Warning core/pods/default/p: NodeNotReady: Node is not ready
        again in 5000 ms
    "#]].assert_eq(&shown(&plan(&world, &key("a"), NODE_LIFECYCLE.plan)));
    settle(&mut world, &[NODE_LIFECYCLE], nobody);
    assert_eq!(taints(&world, "a"), "unreachable:NoSchedule unreachable:NoExecute");
    assert_eq!(taints(&world, "b"), "");
    assert!(world.pods.iter().all(|pod| !pod.is_ready));
}

#[test]
fn a_node_that_comes_back_loses_its_taints() {
    let mut world = silent();
    settle(&mut world, &[NODE_LIFECYCLE], nobody);
    world.office.hear("a");
    change(&mut world, &key("a"), |node| node["status"]["conditions"][0]["status"] = "False".into());
    settle(&mut world, &[NODE_LIFECYCLE], nobody);
    assert_eq!(taints(&world, "a"), "not-ready:NoSchedule not-ready:NoExecute", "swapped at once");
    change(&mut world, &key("a"), |node| node["status"]["conditions"][0]["status"] = "True".into());
    settle(&mut world, &[NODE_LIFECYCLE], nobody);
    assert_eq!(taints(&world, "a"), "");
}

#[test]
fn one_that_never_spoke_has_a_minute() {
    let mut world = world([node("a", ""), node("b", "True")]);
    world.office.advance(60_000);
    world.office.hear("b");
    assert!(plan(&world, &key("a"), NODE_LIFECYCLE.plan).intents.is_empty());
    world.office.advance(1);
    let text = shown(&plan(&world, &key("a"), NODE_LIFECYCLE.plan));
    assert_eq!(text.matches("NodeStatusNeverUpdated").count(), 4, "{text}");
    assert!(text.contains("Kubelet never posted node status."), "{text}");
}

#[test]
fn nodes_are_given_up_one_after_the_other() {
    let mut world =
        world(["a", "b", "c", "d", "e"].map(|name| node(name, if name < "c" { "Unknown" } else { "True" })));
    ["c", "d", "e"].iter().for_each(|name| world.office.hear(name));
    let first = plan(&world, &key("a"), NODE_LIFECYCLE.plan);
    carry_out(&mut world, &first);
    assert_eq!(taints(&world, "a"), "unreachable:NoSchedule unreachable:NoExecute", "the first at once");
    let second = plan(&world, &key("b"), NODE_LIFECYCLE.plan);
    carry_out(&mut world, &second);
    assert_eq!(taints(&world, "b"), "unreachable:NoSchedule");
    assert_eq!(second.requeue_ms, Some(NOW_MS + 5_000));
    let later =
        (NODE_LIFECYCLE.plan)(&world, &key("b"), &projection::LastOutcomes::default(), NOW_MS + 10_000);
    carry_out(&mut world, &later);
    assert_eq!(taints(&world, "b"), "unreachable:NoSchedule unreachable:NoExecute");
}

#[test]
fn nobody_is_driven_out_when_no_node_answers() {
    let mut world = world(["a", "b"].map(|name| node(name, "True")));
    world.office.advance(9_001);
    settle(&mut world, &[NODE_LIFECYCLE], nobody);
    assert_eq!(
        (taints(&world, "a"), taints(&world, "b")),
        ("unreachable:NoSchedule".to_owned(), "unreachable:NoSchedule".to_owned())
    );
}

#[test]
fn taints_go_when_the_last_node_falls_silent() {
    let mut world = silent();
    settle(&mut world, &[NODE_LIFECYCLE], nobody);
    change(&mut world, &key("b"), |node| node["status"]["conditions"][0]["status"] = "Unknown".into());
    settle(&mut world, &[NODE_LIFECYCLE], nobody);
    assert_eq!(taints(&world, "a"), "unreachable:NoSchedule");
}

#[test]
fn most_of_a_small_zone_is_not_given_up() {
    let names = ["a", "b", "c", "d", "e"];
    let mut world = world(names.map(|name| node(name, if name < "d" { "Unknown" } else { "True" })));
    settle(&mut world, &[NODE_LIFECYCLE], nobody);
    assert_eq!(taints(&world, "a"), "unreachable:NoSchedule");
}

#[test]
fn most_of_a_large_zone_is_given_up_slowly() {
    let names: Vec<String> = (0..51).map(|at| format!("n{at:02}")).collect();
    let silent = |name: &str| name < "n30";
    let mut world = world(names.iter().map(|name| node(name, if silent(name) { "Unknown" } else { "True" })));
    names.iter().filter(|name| !silent(name)).for_each(|name| world.office.hear(name));
    let mut look = |name: &str, after_ms: u64| {
        let outcomes = projection::LastOutcomes::default();
        let planned = (NODE_LIFECYCLE.plan)(&world, &key(name), &outcomes, NOW_MS + after_ms);
        carry_out(&mut world, &planned);
        taints(&world, name).contains("unreachable:NoExecute")
    };
    assert!(look("n00", 0), "the first at once");
    // Ten seconds where less of a zone is silent, a hundred here.
    assert!(!look("n01", 99_999));
    assert!(look("n01", 100_000));
    assert!(!look("n02", 150_000));
}

#[test]
fn conditions_and_closing_bring_taints_that_others_keep() {
    let mut pressed = node("a", "True");
    let pressure = json!({"type": "MemoryPressure", "status": "True"});
    pressed["status"]["conditions"].as_array_mut().expect("a list").push(pressure);
    pressed["spec"] = json!({"unschedulable": true, "taints": [{"key": "mine", "effect": "NoSchedule"},
        {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}, {"key": "out", "effect": "NoExecute"}]});
    let mut world = world([pressed]);
    settle(&mut world, &[NODE_LIFECYCLE], nobody);
    assert_eq!(
        taints(&world, "a"),
        "mine:NoSchedule out:NoExecute memory-pressure:NoSchedule unschedulable:NoSchedule"
    );
    let all = stored::list(world.state.get(key("a").as_str()).expect("it is there"), &["spec", "taints"]);
    assert!(all[1]["timeAdded"].is_string(), "the time of tolerations counts from now");
}

#[test]
fn a_change_wakes_its_node() {
    let mut world = world([namespace("default"), node("a", "True")]);
    assert!(woken(&NODE_LIFECYCLE, &mut world, pod("p", json!({}), "a")).is_empty());
    assert_eq!(woken(&NODE_LIFECYCLE, &mut world, node("a", "Unknown")), ["core/nodes/a"]);
    assert_eq!(
        woken(&NODE_LIFECYCLE, &mut world, pod("p", json!({}), "a")),
        ["core/nodes/a"],
        "it is not ready there"
    );
    assert!(woken(&NODE_LIFECYCLE, &mut world, lease("a")).is_empty());
    put(&mut world, node("b", "True"));
}
