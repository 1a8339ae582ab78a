//! Plans carried out naively on a World: as if everything were admitted, at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::Key;
use projection::intent::Op;
use projection::testing::{NOW_MS, put, remove};
use projection::{Controller, LastOutcomes, Plan, Wakes, World};
use serde_json::{Value, json};
use state::Change;

/// More rounds than any test needs: who plans on and on never comes to an end.
const ROUNDS_MAX: usize = 300;

/// Lets controllers plan and carries out what they want until they want nothing more. `act` is what everybody else does
/// between two rounds (a kubelet, a scheduler); it tells whether it did something.
pub(crate) fn settle(
    world: &mut World,
    controllers: &[Controller],
    mut act: impl FnMut(&mut World) -> bool,
) -> usize {
    for round in 0..ROUNDS_MAX {
        let mut is_done = true;
        for controller in controllers {
            let mut wakes = Wakes::default();
            (controller.keys)(world, &mut wakes);
            for key in wakes.take() {
                let plan = (controller.plan)(world, &key, &LastOutcomes::default(), NOW_MS);
                is_done &= plan.intents.is_empty();
                carry_out(world, &plan);
            }
        }
        if !act(world) && is_done {
            return round;
        }
    }
    panic!("no fixed point after {ROUNDS_MAX} rounds");
}

/// The same by wakes alone: a key is planned when a change woke it, never otherwise.
pub(crate) fn settle_by_wakes(
    world: &mut World,
    before: &World,
    controllers: &[Controller],
    mut act: impl FnMut(&mut World) -> bool,
) {
    let mut waiting = wakes_between(before, world, controllers);
    for _ in 0..ROUNDS_MAX * 10 {
        let seen = world.clone();
        if let Some((index, key)) = waiting.pop_first() {
            let plan = (controllers[index].plan)(world, &key, &LastOutcomes::default(), NOW_MS);
            carry_out(world, &plan);
        } else if !act(world) {
            return;
        }
        waiting.extend(wakes_between(&seen, world, controllers));
    }
    panic!("wakes go on and on");
}

/// What becomes of wakes on their way.
pub(crate) struct Unrest(u64);

impl Unrest {
    /// Drawn from a seed; 0: nothing happens to them.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Happens in one of four cases.
    fn strikes(&mut self) -> bool {
        // Knuth's constants; the high bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(u64::from(self.0 != 0));
        self.0 >> 62 == 1
    }
}

/// The same by wakes of which some are missed, some come twice and some late. When nothing is left to do a sweep finds
/// what was missed. Returns how many objects were created and deleted.
pub(crate) fn settle_in_unrest(
    world: &mut World,
    controllers: &[Controller],
    mut act: impl FnMut(&mut World) -> bool,
    mut unrest: Unrest,
) -> (usize, usize) {
    let mut waiting = sweep(world, controllers);
    let (mut known, mut done, mut is_swept) = (waiting.clone(), (0, 0), true);
    for _ in 0..ROUNDS_MAX * 10 {
        let seen = world.clone();
        if let Some(work) = waiting.pop_first() {
            // Of a wake long ago, and this one twice.
            let late = known.iter().find(|_| unrest.strikes()).cloned();
            let again = unrest.strikes().then(|| work.clone());
            for (index, key) in [Some(work), again, late].into_iter().flatten() {
                let plan = (controllers[index].plan)(world, &key, &LastOutcomes::default(), NOW_MS);
                let ops = || plan.intents.iter().flat_map(|intent| &intent.ops);
                done.0 += ops().filter(|op| matches!(op, Op::Create { .. })).count();
                done.1 += ops().filter(|op| matches!(op, Op::Delete { .. })).count();
                carry_out(world, &plan);
            }
        } else if !act(world) {
            if is_swept {
                return done;
            }
            waiting = sweep(world, controllers);
            is_swept = true;
        }
        let woken = wakes_between(&seen, world, controllers);
        known.extend(woken.iter().cloned());
        for work in woken {
            if unrest.strikes() {
                is_swept = false;
            } else {
                waiting.insert(work);
            }
        }
    }
    panic!("wakes go on and on");
}

/// Every key.
fn sweep(world: &World, controllers: &[Controller]) -> BTreeSet<(usize, Key)> {
    let mut all = BTreeSet::new();
    for (index, controller) in controllers.iter().enumerate() {
        let mut wakes = Wakes::default();
        (controller.keys)(world, &mut wakes);
        all.extend(wakes.take().into_iter().map(|key| (index, key)));
    }
    all
}

/// Whom the way from one World to another wakes.
fn wakes_between(before: &World, after: &World, controllers: &[Controller]) -> BTreeSet<(usize, Key)> {
    let mut changes = Vec::new();
    for object in after.state.range("") {
        let previous = before.state.get(object.key.as_str()).cloned();
        if previous.as_ref().is_none_or(|previous| previous.revision != object.revision) {
            let revision = object.revision;
            changes.push(Change { revision, object: Arc::clone(object), previous, deleted: false });
        }
    }
    for object in before.state.range("").filter(|object| after.state.get(object.key.as_str()).is_none()) {
        let previous = Some(Arc::clone(object));
        changes.push(Change { revision: 0, object: Arc::clone(object), previous, deleted: true });
    }
    let mut waiting = BTreeSet::new();
    for (index, controller) in controllers.iter().enumerate() {
        let mut wakes = Wakes::default();
        changes.iter().for_each(|change| (controller.wakes)(after, change, &mut wakes));
        waiting.extend(wakes.take().into_iter().map(|key| (index, key)));
    }
    waiting
}

/// Nobody else does anything.
pub(crate) fn nobody(_: &mut World) -> bool {
    false
}

/// Does what a plan wants.
pub(crate) fn carry_out(world: &mut World, plan: &Plan) {
    for op in plan.intents.iter().flat_map(|intent| &intent.ops) {
        carry_out_op(world, op);
    }
}

fn carry_out_op(world: &mut World, op: &Op) {
    match op {
        Op::Create { row, namespace, object } => {
            let mut object = object.clone();
            object["kind"] = (*row.kind).into();
            object["apiVersion"] = row.api_version().into();
            if row.namespaced {
                object["metadata"]["namespace"] = namespace.as_str().into();
            }
            if object["metadata"]["name"].is_null() {
                let stem = object["metadata"]["generateName"].as_str().expect("a name, or how one begins");
                object["metadata"]["name"] = format!("{stem}{}", world.state.revision()).into();
            }
            if row.first_generation() > 0 {
                object["metadata"]["generation"] = row.first_generation().into();
            }
            put(world, object);
        }
        Op::Patch { key, subresource, patch, .. } => change(world, key, |object| {
            let before = object["spec"].clone();
            merge(object, patch);
            if subresource.is_empty() && before != object["spec"] {
                let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
                object["metadata"]["generation"] = (generation + 1).into();
            }
        }),
        Op::Delete { key, .. } => {
            let found = world.state.get(key.as_str()).expect("an object to delete");
            if !found.meta.finalizers {
                return remove(world, key);
            }
            change(world, key, |object| {
                object["metadata"]["deletionTimestamp"] = api::time::rfc3339(NOW_MS).into();
            });
        }
        Op::Bind { pod, node, .. } => {
            change(world, pod, |pod| pod["spec"]["nodeName"] = node.as_str().into())
        }
    }
}

/// Changes a stored object in place; one that is going and that nothing keeps any more goes.
pub(crate) fn change(world: &mut World, key: &Key, change: impl FnOnce(&mut Value)) {
    let stored = world.state.get(key.as_str()).unwrap_or_else(|| panic!("no {key}"));
    let mut object: Value = serde_json::from_slice(&stored.bytes.to_bytes()).expect("JSON");
    object["metadata"].as_object_mut().expect("metadata").remove("resourceVersion");
    change(&mut object);
    let metadata = &object["metadata"];
    let is_kept = metadata["finalizers"].as_array().is_some_and(|all| !all.is_empty())
        || object["spec"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
    let is_going = metadata.get("deletionTimestamp").is_some();
    if is_going && !is_kept && key.collection() != "core/pods/" {
        return remove(world, key);
    }
    put(world, object);
}

/// A JSON merge patch.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in members {
        if value.is_null() {
            target.as_object_mut().expect("an object").shift_remove(name);
        } else {
            merge(&mut target[name.as_str()], value);
        }
    }
}

/// Whom a change wakes, of one controller.
pub(crate) fn woken(controller: &Controller, world: &mut World, object: Value) -> Vec<String> {
    let before = world.clone();
    let key = put(world, object);
    let after = world.state.get(key.as_str()).cloned().expect("it was put");
    let previous = before.state.get(key.as_str()).cloned();
    let change = Change { revision: after.revision, object: after, previous, deleted: false };
    told(controller, world, &change)
}

/// Whom the removal of an object wakes.
pub(crate) fn woken_by_removal(controller: &Controller, world: &mut World, key: &Key) -> Vec<String> {
    let object = world.state.get(key.as_str()).cloned().expect("an object to remove");
    remove(world, key);
    let change = Change { revision: 0, object: object.clone(), previous: Some(object), deleted: true };
    told(controller, world, &change)
}

fn told(controller: &Controller, world: &World, change: &Change) -> Vec<String> {
    let mut wakes = Wakes::default();
    (controller.wakes)(world, change, &mut wakes);
    wakes.take().into_iter().map(|key| key.to_string()).collect()
}

/// A namespace that stands open.
pub(crate) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
        "spec": {"finalizers": ["kubernetes"]}})
}

/// A pod of labels; `Running` and ready when it has a node.
pub(crate) fn pod(name: &str, labels: Value, node: &str) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Pending"},
    });
    if !node.is_empty() {
        pod["spec"]["nodeName"] = node.into();
        pod["status"] = running("10.0.0.1");
    }
    pod
}

/// The status of a pod that runs and is ready since the beginning of the tests.
pub(crate) fn running(address: &str) -> Value {
    let since = api::time::rfc3339(NOW_MS - 60_000);
    json!({
        "phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "startTime": since,
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}],
    })
}

/// Makes every pod that waits run and be ready, on a node `n`; tells whether there was one.
pub(crate) fn run_pods(world: &mut World) -> bool {
    let waiting: Vec<Key> = world.pods.waiting().map(|pod| pod.key().clone()).collect();
    for (index, key) in waiting.iter().enumerate() {
        change(world, key, |pod| {
            pod["spec"]["nodeName"] = "n".into();
            pod["status"] = running(&format!("10.0.0.{}", index + 1));
        });
    }
    !waiting.is_empty()
}
