//! Tests on Worlds of a few objects, given as users write them.

mod affinity;
mod filters;
mod messages;
mod rounds;
mod scores;
mod spread;
mod wakes;

use projection::testing::{put, world};
use projection::{Op, Plan, World};
use serde_json::{Value, json};

/// A node of 4 cores, 8 GiB and 10 pods, with the label of its host and what else is given.
fn node(name: &str, more: Value) -> Value {
    let mut node = json!({
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}},
    });
    merge(&mut node, more);
    node
}

/// The same in a zone.
fn zoned(name: &str, zone: &str) -> Value {
    node(name, json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}))
}

/// A pod of one container, with what else is given.
fn pod(name: &str, more: Value) -> Value {
    let mut pod = json!({
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "image": "main"}]},
        "status": {"phase": "Pending"},
    });
    merge(&mut pod, more);
    pod
}

/// A pod of this spec.
fn of(name: &str, spec: Value) -> Value {
    pod(name, json!({"spec": spec}))
}

/// A pod with labels.
fn labelled(name: &str, labels: Value, spec: Value) -> Value {
    pod(name, json!({"metadata": {"labels": labels}, "spec": spec}))
}

/// A pod that asks for CPU and memory.
fn asking(name: &str, cpu: &str, memory: &str) -> Value {
    of(name, requests(json!({"cpu": cpu, "memory": memory})))
}

/// The spec of a pod whose container asks for this.
fn requests(requests: Value) -> Value {
    json!({"containers": [{"name": "main", "image": "main", "resources": {"requests": requests}}]})
}

/// What stands in the second takes the place of what stands in the first, objects member by member.
fn merge(to: &mut Value, from: Value) {
    match (to, from) {
        (Value::Object(to), Value::Object(from)) => {
            for (name, value) in from {
                merge(to.entry(name).or_insert(Value::Null), value);
            }
        }
        (to, from) => *to = from,
    }
}

/// Which nodes will not do for a pod in a World of these objects and the pod, and why.
fn misfits(objects: &[Value], waiting: &Value) -> Vec<String> {
    let mut world = world(objects.iter().cloned());
    let key = put(&mut world, waiting.clone());
    let lines = crate::explain(&world, &key).into_iter();
    lines.map(|(node, filter, reason)| format!("{node}: {filter}: {reason}")).collect()
}

/// What the scheduler plans in a World, as text.
fn planned(world: &World) -> String {
    projection::testing::shown(&plan(world))
}

/// What the scheduler plans in a World.
fn plan(world: &World) -> Plan {
    projection::testing::plan(world, &crate::plan::KEY, crate::SCHEDULER.plan)
}

/// Does what a plan says.
fn fold(world: &mut World, plan: &Plan) {
    for op in plan.intents.iter().flat_map(|intent| &intent.ops) {
        let (key, patch) = match op {
            Op::Bind { pod, node, .. } => (pod, json!({"spec": {"nodeName": node}})),
            Op::Patch { key, patch, .. } => (key, patch.clone()),
            other => panic!("{other:?}"),
        };
        let found = world.state.get(key.as_str()).expect("the pod");
        let mut object = serde_json::from_slice(&found.bytes.to_bytes()).expect("JSON");
        merge(&mut object, patch);
        put(world, object);
    }
}
