//! Pods that do not tolerate a NoExecute taint of their node leave it.

mod tolerate;

use api::Key;
use projection::intent::{Intent, Told};
use projection::nodes::{Effect, NODES, Node, Taint};
use projection::pods::{PODS, Pod};
use projection::{Controller, LastOutcomes, Plan, Wakes, World};
use serde_json::json;
use state::Change;

use crate::shared::{disruption, stored};

/// Pods of one plan.
const BATCH: usize = 500;

/// The row. What it looks at are nodes.
pub const TAINT_EVICTION: Controller = Controller {
    name: "taint-eviction",
    actor: "system:serviceaccount:kube-system:node-controller",
    component: "taint-eviction-controller",
    wakes,
    keys: |world, wakes| stored::keys(world, NODES, wakes),
    plan,
};

fn wakes(world: &World, change: &Change, wakes: &mut Wakes) {
    let key = &change.object.key;
    let node = match key.collection() {
        NODES => Some(key.name()),
        PODS => world.pods.get(key.as_str()).map(|pod| &*pod.node),
        _ => None,
    };
    let node = node.and_then(|name| world.nodes.get(name)).filter(|node| taints(node).next().is_some());
    node.into_iter().for_each(|node| wakes.add(&node.object.key));
}

fn taints(node: &Node) -> impl Iterator<Item = &Taint> {
    node.taints.iter().filter(|taint| taint.effect == Effect::NoExecute)
}

fn plan(world: &World, key: &Key, _: &LastOutcomes, now_ms: u64) -> Plan {
    let mut plan = Plan::default();
    let Some(node) = world.nodes.get(key.name()) else { return plan };
    let taints: Vec<&Taint> = taints(node).collect();
    if taints.is_empty() {
        return plan;
    }
    for pod in world.pods.on(key.name()).filter(|pod| !pod.is_deleting()) {
        match tolerate::until_ms(pod, &taints) {
            Some(at) if at > now_ms => plan.requeue_at(at),
            Some(_) if plan.intents.len() < BATCH => plan.intents.push(evict(pod, node, now_ms)),
            _ => {}
        }
    }
    plan
}

/// The next step: the pod is told why, then it is deleted. Each only while the node is as it was seen.
fn evict(pod: &Pod, node: &Node, now_ms: u64) -> Intent {
    let (reason, message) = ("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint");
    let mut intent = match disruption::target(pod, reason, message, now_ms) {
        Some(conditions) => {
            Intent::patch(&pod.object, "status", json!({"status": {"conditions": conditions}}))
        }
        None => {
            let name = format!("{}/{}", pod.key().namespace(), pod.key().name());
            let message = format!("Marking for deletion Pod {name}");
            let done = Some(("TaintManagerEviction", message));
            Intent::delete(&pod.object).telling(Told { about: pod.key().clone(), done, refused: None })
        }
    };
    intent
        .guards
        .push(state::Guard::AtRevision { key: node.object.key.clone(), revision: node.object.revision });
    intent
}

#[cfg(test)]
mod tests {
    use projection::testing::{NOW_MS, put, shown, world};
    use serde_json::Value;

    use super::*;
    use crate::testing::{carry_out, namespace, nobody, pod, settle, woken};

    fn node(taints: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": {"taints": taints}})
    }

    fn unreachable() -> Value {
        json!([{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": api::time::rfc3339(NOW_MS - 60_000)}])
    }

    fn tolerating(name: &str, tolerations: Value) -> Value {
        let mut pod = pod(name, json!({}), "n");
        pod["metadata"]["creationTimestamp"] = "2025-12-31T00:00:00Z".into();
        pod["spec"]["tolerations"] = tolerations;
        pod
    }

    fn tolerates(seconds: Option<i64>) -> Value {
        let mut toleration =
            json!({"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"});
        if let Some(seconds) = seconds {
            toleration["tolerationSeconds"] = seconds.into();
        }
        json!([toleration])
    }

    fn key() -> Key {
        Key::object("", "nodes", "", "n")
    }

    #[test]
    fn pods_leave_when_they_tolerate_a_taint_no_longer() {
        let mut world = world([
            namespace("default"),
            node(unreachable()),
            tolerating("always", tolerates(None)),
            tolerating("long", tolerates(Some(300))),
            tolerating("short", tolerates(Some(60))),
            tolerating("never", json!([])),
        ]);
        let first = projection::testing::plan(&world, &key(), TAINT_EVICTION.plan);
        assert_eq!(first.intents.len(), 2);
        assert_eq!(first.requeue_ms, Some(NOW_MS + 240_000), "when the next one's time is over");
        assert!(shown(&first).contains("DeletionByTaintManager"), "{}", shown(&first));
        carry_out(&mut world, &first);
        let second = projection::testing::plan(&world, &key(), TAINT_EVICTION.plan);
        let told: Vec<_> = second.intents.iter().filter_map(|intent| intent.told.clone()?.done).collect();
        assert_eq!(told[0], ("TaintManagerEviction", "Marking for deletion Pod default/never".to_owned()));
        settle(&mut world, &[TAINT_EVICTION], nobody);
        assert_eq!(world.pods.iter().map(|pod| pod.key().name()).collect::<Vec<_>>(), ["always", "long"]);
        put(&mut world, node(json!([])));
        let free = projection::testing::plan(&world, &key(), TAINT_EVICTION.plan);
        assert_eq!((free.intents.len(), free.requeue_ms), (0, None), "nobody leaves when the taint is gone");
    }

    #[test]
    fn a_pod_wakes_its_node_only_when_that_is_tainted() {
        let mut world = world([namespace("default"), node(json!([]))]);
        assert!(woken(&TAINT_EVICTION, &mut world, tolerating("a", json!([]))).is_empty());
        assert_eq!(woken(&TAINT_EVICTION, &mut world, node(unreachable())), [key().to_string()]);
        assert_eq!(woken(&TAINT_EVICTION, &mut world, tolerating("a", json!([]))), [key().to_string()]);
    }
}
