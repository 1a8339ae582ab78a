//! Pods that nobody ends any more: of nodes that are gone or out of service, going without ever having had a node, and
//! those that ended when there are too many of them.

use api::Key;
use api::codec::DeleteOptions;
use projection::intent::Intent;
use projection::nodes::{NODES, Node, Truth};
use projection::pods::{PODS, Pod};
use projection::{Controller, LastOutcomes, Plan, Wakes, World};
use serde_json::json;
use state::Change;

use crate::shared::{disruption, stored};

/// How long a node may be gone and come back to its pods.
const QUARANTINE_MS: u64 = 40_000;

/// Pods of one plan.
const BATCH: usize = 500;

const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The row.
pub const POD_GC: Controller = Controller {
    name: "pod-garbage-collector",
    actor: "system:serviceaccount:kube-system:pod-garbage-collector",
    component: "pod-garbage-collector",
    wakes,
    keys,
    plan,
};

/// Stands for all pods that ended.
fn finished() -> Key {
    Key::internal("podgc", "finished")
}

fn wakes(world: &World, change: &Change, wakes: &mut Wakes) {
    let key = &change.object.key;
    match key.collection() {
        NODES
            if change.deleted || world.nodes.get(key.name()).is_some_and(|node| is_out_of_service(node)) =>
        {
            wakes.add(key);
        }
        PODS => {
            if let Some(pod) = world.pods.get(key.as_str()) {
                wake_of_pod(world, pod, wakes);
            }
        }
        _ => {}
    }
}

fn wake_of_pod(world: &World, pod: &Pod, wakes: &mut Wakes) {
    if pod.node.is_empty() {
        if pod.is_deleting() {
            wakes.add(pod.key());
        }
    } else if world.nodes.get(&pod.node).is_none_or(|node| pod.is_deleting() && is_out_of_service(node)) {
        wakes.add(&Key::object("", "nodes", "", &pod.node));
    }
    if pod.is_finished() && world.pods.finished().len() > world.rules.terminated_pod_gc_threshold {
        wakes.add(&finished());
    }
}

fn keys(world: &World, wakes: &mut Wakes) {
    world.pods.iter().for_each(|pod| wake_of_pod(world, pod, wakes));
    wakes.add(&finished());
}

fn is_out_of_service(node: &Node) -> bool {
    node.ready != Truth::True && node.taints.iter().any(|taint| &*taint.key == OUT_OF_SERVICE)
}

fn plan(world: &World, key: &Key, _: &LastOutcomes, now_ms: u64) -> Plan {
    let mut plan = Plan::default();
    if *key == finished() {
        let most = world.rules.terminated_pod_gc_threshold;
        let surplus = world.pods.finished().len().saturating_sub(most).min(BATCH);
        let oldest = world.pods.finished().take(surplus).filter_map(|key| world.pods.get(key.as_str()));
        plan.intents.extend(oldest.filter_map(|pod| end(pod, false, now_ms)));
        return plan;
    }
    if key.collection() == PODS {
        let pod = world.pods.get(key.as_str()).filter(|pod| pod.is_deleting() && pod.node.is_empty());
        plan.intents.extend(pod.and_then(|pod| end(pod, false, now_ms)));
        return plan;
    }
    let pods = world.pods.on(key.name());
    match (world.nodes.get(key.name()), world.nodes.gone_ms(key.name())) {
        (Some(node), _) if is_out_of_service(node) => {
            let going = pods.filter(|pod| pod.is_deleting());
            plan.intents.extend(going.filter_map(|pod| end(pod, false, now_ms)).take(BATCH));
        }
        (Some(_), _) => {}
        (None, Some(since)) if now_ms < since + QUARANTINE_MS => plan.requeue_at(since + QUARANTINE_MS),
        (None, _) => plan.intents.extend(pods.filter_map(|pod| end(pod, true, now_ms)).take(BATCH)),
    }
    plan
}

/// The next step to the end of a pod: it has failed, then it goes at once. `None`: others keep it.
fn end(pod: &Pod, is_orphan: bool, now_ms: u64) -> Option<Intent> {
    if !pod.is_finished() {
        let mut status = json!({"phase": "Failed"});
        if is_orphan {
            let (reason, message) = ("DeletionByPodGC", "PodGC: node no longer exists");
            if let Some(conditions) = disruption::target(pod, reason, message, now_ms) {
                status["conditions"] = conditions.into();
            }
        }
        return Some(Intent::patch(&pod.object, "status", json!({"status": status})));
    }
    let is_kept = pod.object.meta.finalizers
        && pod.is_deleting()
        && stored::at(&pod.object, &["metadata", "deletionGracePeriodSeconds"]).as_i64().unwrap_or(0) == 0;
    let at_once = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
    (!is_kept).then(|| Intent::delete_with(&pod.object, at_once))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use projection::rules::Rules;
    use projection::testing::{NOW_MS, remove, shown, world};
    use serde_json::Value;

    use super::*;
    use crate::testing::{carry_out, namespace, nobody, pod, settle, woken, woken_by_removal};

    fn node() -> Value {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    }

    fn key() -> Key {
        Key::object("", "nodes", "", "n")
    }

    fn look(world: &World, key: &Key, now_ms: u64) -> Plan {
        plan(world, key, &LastOutcomes::default(), now_ms)
    }

    #[test]
    fn pods_of_a_node_that_is_gone_fail_and_go_after_a_while() {
        let mut world =
            world([namespace("default"), node(), pod("a", json!({}), "n"), pod("b", json!({}), "")]);
        assert_eq!(woken_by_removal(&POD_GC, &mut world, &key()), [key().to_string()]);
        let early = look(&world, &key(), NOW_MS + QUARANTINE_MS - 1);
        assert_eq!((early.intents.len(), early.requeue_ms), (0, Some(NOW_MS + QUARANTINE_MS)));
        let due = look(&world, &key(), NOW_MS + QUARANTINE_MS);
        expect![[r#"
            patch core/pods/default/a/status {"status":{"phase":"Failed","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2025-12-31T23:59:00Z"},{"type":"DisruptionTarget","status":"True","reason":"DeletionByPodGC","message":"PodGC: node no longer exists","lastTransitionTime":"2026-01-01T00:00:40Z"}]}}
        "#]].assert_eq(&shown(&due));
        carry_out(&mut world, &due);
        let then = look(&world, &key(), NOW_MS + QUARANTINE_MS);
        assert_eq!(shown(&then), "delete core/pods/default/a grace 0\n");
        carry_out(&mut world, &then);
        assert_eq!(world.pods.len(), 1, "one without a node waits for one");
    }

    #[test]
    fn a_pod_without_a_node_does_not_stay_when_it_is_going() {
        let mut going = pod("a", json!({}), "");
        going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:30Z".into();
        let mut world = world([namespace("default")]);
        assert_eq!(woken(&POD_GC, &mut world, going), ["core/pods/default/a"]);
        let pod = Key::object("", "pods", "default", "a");
        let first = look(&world, &pod, NOW_MS);
        assert_eq!(shown(&first), "patch core/pods/default/a/status {\"status\":{\"phase\":\"Failed\"}}\n");
        settle(&mut world, &[POD_GC], nobody);
        assert!(world.pods.is_empty());
    }

    #[test]
    fn the_oldest_of_too_many_that_ended_go() {
        let ended = |name: &str, second: u32| {
            let mut pod = pod(name, json!({}), "n");
            pod["metadata"]["creationTimestamp"] = format!("2025-12-31T00:00:{second:02}Z").into();
            pod["status"]["phase"] = "Succeeded".into();
            pod
        };
        let mut world = world([
            namespace("default"),
            node(),
            ended("a", 3),
            ended("b", 1),
            ended("c", 2),
            pod("d", json!({}), "n"),
        ]);
        world.rules = Rules { terminated_pod_gc_threshold: 1, ..Rules::default() }.into();
        assert_eq!(
            shown(&look(&world, &finished(), NOW_MS)),
            "delete core/pods/default/b grace 0\ndelete core/pods/default/c grace 0\n"
        );
    }

    #[test]
    fn a_node_out_of_service_gives_up_pods_that_are_going() {
        let mut out = node();
        out["spec"]["taints"] = json!([{"key": OUT_OF_SERVICE, "effect": "NoExecute"}]);
        let mut going = pod("a", json!({}), "n");
        going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:30Z".into();
        let mut world = world([namespace("default"), out, going, pod("b", json!({}), "n")]);
        settle(&mut world, &[POD_GC], nobody);
        assert_eq!(world.pods.iter().map(|pod| pod.key().name()).collect::<Vec<_>>(), ["b"]);
        remove(&mut world, &Key::object("", "pods", "default", "b"));
    }
}
