//! What to do about one set of pods.

use std::sync::{Arc, LazyLock};

use api::{Key, Resource};
use projection::intent::{Intent, Told};
use projection::pods::{PODS, Pod};
use projection::{LastOutcomes, Plan, World};
use serde_json::{Value, json};
use state::Object;

use super::{Kind, rank};
use crate::shared::{conditions, owned, stored, template};

/// Pods created or deleted by one plan at most: Kubernetes' `BurstReplicas`.
const BURST: usize = 500;

/// The condition that says that pods cannot be created or deleted.
const REPLICA_FAILURE: &str = "ReplicaFailure";

static POD_ROW: LazyLock<Arc<Resource>> = LazyLock::new(|| Resource::builtin("", "v1", "pods"));

/// A set as it is stored.
struct Set {
    object: Arc<Object>,
    replicas: usize,
    min_ready_ms: u64,
}

impl Set {
    fn read(world: &World, key: &Key) -> Option<Self> {
        let object = world.state.get(key.as_str())?;
        let spec = object.view().get("spec");
        let [replicas, min_ready] = spec.pick(["replicas", "minReadySeconds"]);
        let whole = |number: Option<i64>, or: i64| u64::try_from(number.unwrap_or(or)).unwrap_or(0);
        Some(Self {
            object: Arc::clone(object),
            replicas: usize::try_from(whole(replicas.number(), 1)).unwrap_or(usize::MAX),
            min_ready_ms: whole(min_ready.number(), 0) * 1000,
        })
    }
}

/// The pods of a set.
#[derive(Default)]
struct Claimed<'w> {
    active: Vec<&'w Arc<Pod>>,
    terminating: usize,
    /// Whether some of them are taken on by this plan only.
    has_adopted: bool,
}

/// Plans one set.
pub(super) fn plan(kind: &Kind, world: &World, key: &Key, last: &LastOutcomes, now_ms: u64) -> Plan {
    let mut plan = Plan::default();
    // One that selects nothing would never find what it creates; validation keeps it out.
    let Some(set) = Set::read(world, key).filter(|_| world.selectors.of(key).is_some()) else { return plan };
    let claimed = claim(kind, world, &set, &mut plan);
    if !set.object.meta.deleting && !stored::is_closed(world, key.namespace()) {
        scale(kind, world, &set, &claimed, last, &mut plan, now_ms);
    }
    tell(kind, &set, &claimed, last, &mut plan, now_ms);
    plan
}

/// Finds the pods of a set: takes on those that it selects and nobody owns, lets go of those that it no longer selects.
fn claim<'w>(kind: &Kind, world: &'w World, set: &Set, plan: &mut Plan) -> Claimed<'w> {
    let mut claimed = Claimed::default();
    let (owner, key) = (&*set.object, &set.object.key);
    let Some(selector) = world.selectors.of(key) else { return claimed };
    let selects = |pod: &Pod| projection::labels::matches(selector, pod.object.labels());
    let is_controlled =
        |pod: &Pod| world.owners.controller_of(pod.key()).is_some_and(|by| *by.uid == *owner.meta.uid);
    let dependents = world.owners.dependents(&owner.meta.uid).filter(|key| key.collection() == PODS);
    let owned = dependents.filter_map(|key| world.pods.get(key.as_str())).filter(|pod| is_controlled(pod));
    for pod in owned.filter(|pod| !pod.is_finished()) {
        match (pod.is_deleting(), selects(pod)) {
            (true, true) => claimed.terminating += 1,
            (true, false) => {}
            (false, true) => claimed.active.push(pod),
            (false, false) if owner.meta.deleting => {}
            (false, false) => plan.intents.push(owned::release(owner, &pod.object)),
        }
    }
    if owner.meta.deleting {
        return claimed;
    }
    let orphans = world.pods.selected(key.namespace(), selector).into_iter();
    for pod in orphans.filter(|pod| pod.is_active() && world.owners.controller_of(pod.key()).is_none()) {
        let reference = owned::reference(owner, kind.api_version, kind.kind);
        plan.intents.push(owned::adopt(owner, reference, &pod.object));
        claimed.active.push(pod);
        claimed.has_adopted = true;
    }
    claimed
}

/// Creates or deletes what is amiss.
fn scale(
    kind: &Kind,
    world: &World,
    set: &Set,
    claimed: &Claimed<'_>,
    last: &LastOutcomes,
    plan: &mut Plan,
    now_ms: u64,
) {
    let (have, want) = (claimed.active.len(), set.replicas);
    if have < want {
        // What was refused is tried with one pod until that passes: the others would fare the same.
        let most = if last.refused.is_empty() { BURST } else { 1 };
        let template = stored::at(&set.object, &["spec", "template"]);
        let reference = owned::reference(&set.object, kind.api_version, kind.kind);
        let pod = template::pod(&template, set.object.key.name(), reference);
        for _ in 0..(want - have).min(most) {
            let told = Told {
                about: set.object.key.clone(),
                done: Some(("SuccessfulCreate", "Created pod: {}".to_owned())),
                refused: Some(("FailedCreate", "Error creating: ")),
            };
            let create = Intent::create(&POD_ROW, set.object.key.namespace(), pod.clone());
            plan.intents.push(create.while_live(&set.object).at_generation(&set.object).telling(told));
        }
    }
    // A pod that is taken on by this plan cannot be deleted by it as well: the next one decides.
    if have > want && !claimed.has_adopted {
        let mut pods = claimed.active.clone();
        if want > 0 {
            let beside = beside(kind, world, set, claimed);
            rank::sort(&mut pods, &beside, now_ms);
        }
        for pod in pods.into_iter().take((have - want).min(BURST)) {
            let told = Told {
                about: set.object.key.clone(),
                done: Some(("SuccessfulDelete", format!("Deleted pod: {}", pod.key().name()))),
                refused: Some(("FailedDelete", "Error deleting: ")),
            };
            let delete = Intent::delete(&pod.object);
            plan.intents.push(delete.while_live(&set.object).at_generation(&set.object).telling(told));
        }
    }
}

/// The active pods of all sets that have the same owner as this one.
fn beside<'w>(kind: &Kind, world: &'w World, set: &Set, claimed: &Claimed<'w>) -> Vec<&'w Arc<Pod>> {
    let Some(owner) = world.owners.controller_of(&set.object.key) else { return claimed.active.clone() };
    let sets = world.owners.dependents(&owner.uid).filter(|key| key.collection() == kind.collection);
    let sets = sets.filter_map(|key| world.state.get(key.as_str()));
    let pods = sets.flat_map(|set| world.owners.dependents(&set.meta.uid));
    pods.filter_map(|key| world.pods.get(key.as_str())).filter(|pod| pod.is_active()).collect()
}

/// Writes the status when it changed, and says when time alone will change it.
fn tell(kind: &Kind, set: &Set, claimed: &Claimed<'_>, last: &LastOutcomes, plan: &mut Plan, now_ms: u64) {
    let labels = stored::map(&set.object, &["spec", "template", "metadata", "labels"]);
    let labels = api::selector::Selector::of_labels(&labels);
    let count = |is: &dyn Fn(&Pod) -> bool| claimed.active.iter().filter(|pod| is(pod)).count();
    let ready = count(&|pod| pod.is_ready);
    let available = count(&|pod| pod.is_available(set.min_ready_ms, now_ms));
    let mut status = json!({
        "replicas": claimed.active.len(),
        "fullyLabeledReplicas": count(&|pod| projection::labels::matches(&labels, pod.object.labels())),
        "readyReplicas": ready,
        "availableReplicas": available,
        "observedGeneration": set.object.meta.generation,
    });
    if kind.counts_terminating {
        status["terminatingReplicas"] = claimed.terminating.into();
    }
    if ready > available {
        let waiting = claimed.active.iter().filter(|pod| pod.is_ready);
        let times = waiting.map(|pod| pod.ready_changed_ms + set.min_ready_ms).filter(|at| *at > now_ms);
        times.min().into_iter().for_each(|at| plan.requeue_at(at));
    }
    let before = stored::at(&set.object, &["status"]);
    let mut all: Vec<Value> = before["conditions"].as_array().cloned().unwrap_or_default();
    note_failure(&mut all, set, claimed, last, now_ms);
    let were: &[Value] = before["conditions"].as_array().map_or(&[], |all| all);
    let has_changed = stored::differs(&before, &status, &["terminatingReplicas"]);
    if !has_changed && were == all {
        return;
    }
    if were != all {
        status["conditions"] = conditions::patch(all);
    }
    plan.intents.push(Intent::patch(&set.object, "status", json!({"status": status})));
}

/// What was refused is told until the number of pods is right.
fn note_failure(all: &mut Vec<Value>, set: &Set, claimed: &Claimed<'_>, last: &LastOutcomes, now_ms: u64) {
    let (have, want) = (claimed.active.len(), set.replicas);
    match last.refused.first() {
        _ if have == want => conditions::remove(all, REPLICA_FAILURE),
        Some(refused) if conditions::find(all, REPLICA_FAILURE).is_none() => {
            let reason = if have < want { "FailedCreate" } else { "FailedDelete" };
            let failure = conditions::new(REPLICA_FAILURE, "True", reason, &refused.status.message);
            conditions::set(all, failure, now_ms);
        }
        _ => {}
    }
}
