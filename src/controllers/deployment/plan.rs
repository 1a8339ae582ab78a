//! What to do about one deployment.

use std::sync::{Arc, LazyLock};

use api::{Key, Resource};
use projection::intent::{Intent, Op, Told};
use projection::pods::PODS;
use projection::{LastOutcomes, Plan, Reason, World};
use serde_json::{Value, json};
use state::Object;

use super::hash::{HASH_LABEL, hash};
use super::rollout::{REVISION, Rollout, Set, first_annotations};
use super::spec::Deployment;
use super::status::{PROGRESSING, Status, is_timed_out};
use super::{REPLICA_SETS, proportion, steps};
use crate::shared::{conditions, owned, stored};

static ROW: LazyLock<Arc<Resource>> = LazyLock::new(|| Resource::builtin("apps", "v1", "replicasets"));

/// The longest name.
const NAME_MAX: usize = 253;

/// Plans one deployment.
pub(super) fn plan(world: &World, key: &Key, last: &LastOutcomes, now_ms: u64) -> Plan {
    let mut plan = Plan::default();
    let Some(deployment) = Deployment::read(world, key) else { return plan };
    if world.selectors.of(key).is_none() {
        plan.reasons.push(Reason {
            about: key.clone(),
            is_warning: true,
            reason: "SelectingAll",
            message: "This deployment is selecting all pods. A non-empty selector is required.".to_owned(),
        });
        return plan;
    }
    let sets = claim(world, &deployment, &mut plan);
    // What is taken on is looked at when it is taken on.
    if plan.intents.is_empty() {
        let rollout = Rollout::of(&deployment, sets.into_iter().map(Set::read).collect());
        Pass {
            world,
            deployment: &deployment,
            status: Status::of(&deployment),
            rollout,
            last,
            now_ms,
            plan: &mut plan,
        }
        .run();
    }
    plan
}

/// The ReplicaSets of a deployment: it takes on those that it selects and nobody owns, and lets go of those that it no
/// longer selects.
fn claim<'w>(world: &'w World, deployment: &Deployment, plan: &mut Plan) -> Vec<&'w Arc<Object>> {
    let (owner, key) = (&*deployment.object, &deployment.object.key);
    let Some(selector) = world.selectors.of(key) else { return Vec::new() };
    let selects = |set: &Object| projection::labels::matches(selector, set.labels());
    let controller = |set: &Object| world.owners.controller_of(&set.key);
    let mut claimed = Vec::new();
    let owned = world.owners.dependents(&owner.meta.uid).filter(|key| key.collection() == REPLICA_SETS);
    let owned = owned.filter_map(|key| world.state.get(key.as_str()));
    for set in owned.filter(|set| controller(set).is_some_and(|by| *by.uid == *owner.meta.uid)) {
        if selects(set) {
            claimed.push(set);
        } else if !owner.meta.deleting {
            plan.intents.push(owned::release(owner, set));
        }
    }
    if owner.meta.deleting {
        return claimed;
    }
    let orphans: Vec<&Key> = match world.replica_sets.candidates(key.namespace(), selector) {
        Some(keys) => keys.collect(),
        None => {
            world.state.range(&format!("{REPLICA_SETS}{}/", key.namespace())).map(|set| &set.key).collect()
        }
    };
    let orphans = orphans.into_iter().filter_map(|key| world.state.get(key.as_str()));
    for set in orphans.filter(|set| selects(set) && !set.meta.deleting && controller(set).is_none()) {
        plan.intents.push(owned::adopt(owner, owned::reference(owner, "apps/v1", "Deployment"), set));
    }
    claimed
}

/// One look at a deployment.
struct Pass<'p> {
    world: &'p World,
    deployment: &'p Deployment,
    rollout: Rollout,
    status: Status,
    last: &'p LastOutcomes,
    now_ms: u64,
    plan: &'p mut Plan,
}

impl Pass<'_> {
    fn run(mut self) {
        let deployment = self.deployment;
        if deployment.object.meta.deleting {
            self.status.count(deployment, &self.rollout, self.now_ms);
            return self.write_status(None);
        }
        self.tell_pause();
        self.sync_new();
        if deployment.is_paused || proportion::is_scaled(deployment, &self.rollout) {
            proportion::scale(deployment, &mut self.rollout);
            if deployment.is_paused {
                self.clean_up();
            }
            self.status.count(deployment, &self.rollout, self.now_ms);
            self.write_sets();
            return self.write_status(None);
        }
        let creates = if deployment.is_rolling { self.roll() } else { self.recreate() };
        if creates {
            return self.create_new();
        }
        self.status.count(deployment, &self.rollout, self.now_ms);
        self.status.tell_progress(deployment, &self.rollout, self.now_ms);
        self.status.tell_failure(&self.rollout);
        self.write_sets();
        self.write_status(None);
    }

    /// The deadline does not run while a deployment is paused.
    fn tell_pause(&mut self) {
        if self.deployment.deadline_seconds.is_none() || self.status.progress().is_some_and(is_timed_out) {
            return;
        }
        let was_paused = self.status.progress().is_some_and(|now| now["reason"] == "DeploymentPaused");
        let condition = match (self.deployment.is_paused, was_paused) {
            (true, false) => ("Unknown", "DeploymentPaused", "Deployment is paused"),
            (false, true) => ("Unknown", "DeploymentResumed", "Deployment is resumed"),
            _ => return,
        };
        self.status.set(PROGRESSING, condition, self.now_ms);
    }

    /// The ReplicaSet of the current template, if there is one, gets the newest revision: also one that was there
    /// before and is gone back to.
    fn sync_new(&mut self) {
        let revision = self.rollout.next_revision();
        let Some(new) = self.rollout.new_set_mut() else { return };
        new.take_over(self.deployment, revision);
        if self.deployment.deadline_seconds.is_some() && self.status.progress().is_none() {
            let message = format!("Found new replica set \"{}\"", new.name());
            self.status.set(PROGRESSING, ("True", "FoundNewReplicaSet", &message), self.now_ms);
        }
    }

    /// Tells whether the new ReplicaSet is to be created.
    fn roll(&mut self) -> bool {
        if self.rollout.new_set().is_none() {
            return true;
        }
        if !steps::roll(self.deployment, &mut self.rollout) {
            self.clean_up_when_complete();
        }
        false
    }

    /// Tells whether the new ReplicaSet is to be created.
    fn recreate(&mut self) -> bool {
        if steps::end_old(self.deployment, &mut self.rollout) || self.has_old_pods() {
            return false;
        }
        let Some(new) = self.rollout.new_set_mut() else { return true };
        new.scale(self.deployment, self.deployment.replicas, false);
        self.clean_up_when_complete();
        false
    }

    fn has_old_pods(&self) -> bool {
        let pods = |set: &Set| {
            let keys = self.world.owners.dependents(&set.object.meta.uid);
            let mut pods = keys.filter(|key| key.collection() == PODS);
            pods.any(|key| self.world.pods.get(key.as_str()).is_some_and(|pod| !pod.is_finished()))
        };
        self.rollout.old().any(|set| set.counted("replicas").unwrap_or(0) > 0 || pods(set))
    }

    fn clean_up_when_complete(&mut self) {
        let stored = Status { counts: self.deployment.status.clone(), conditions: Vec::new() };
        if stored.is_complete(self.deployment) {
            self.clean_up();
        }
    }

    /// Deletes the oldest of the old ReplicaSets, beyond those that are kept.
    fn clean_up(&mut self) {
        let Some(limit) = self.deployment.history_limit else { return };
        let mut old: Vec<&Set> = self.rollout.old().filter(|set| !set.object.meta.deleting).collect();
        let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        old.sort_by_key(|set| set.revision());
        for set in old.into_iter().take(surplus) {
            let is_observed = set.object.meta.generation <= set.counted("observedGeneration").unwrap_or(0);
            if set.replicas == 0 && set.counted("replicas").unwrap_or(0) == 0 && is_observed {
                let delete = Intent::delete(&set.object).while_live(&self.deployment.object);
                self.plan.intents.push(delete.at_generation(&set.object));
            }
        }
    }

    fn write_sets(&mut self) {
        let intents = self.rollout.sets.iter().filter_map(|set| set.intent(self.deployment));
        self.plan.intents.extend(intents);
    }

    /// Creates the ReplicaSet of the current template, together with the status that tells of it.
    fn create_new(mut self) {
        let deployment = self.deployment;
        let key = &deployment.object.key;
        if stored::is_closed(self.world, key.namespace()) {
            return;
        }
        let collisions = deployment.counted("collisionCount");
        let hash = hash(&deployment.template, collisions);
        let stem_max = NAME_MAX - 1 - hash.len();
        let name = format!("{}-{hash}", &key.name()[..key.name().len().min(stem_max)]);
        if self.world.state.get(&format!("{REPLICA_SETS}{}/{name}", key.namespace())).is_some() {
            // The name is another's: the next hash is another one.
            let patch = json!({"status": {"collisionCount": collisions + 1}});
            self.plan.intents.push(Intent::patch(&deployment.object, "status", patch));
            return;
        }
        if let Some(refused) = self.last.refused.first() {
            let message = format!("Failed to create new replica set \"{name}\": {}", refused.status.message);
            if self.tell_refused(message) {
                return self.write_status(None);
            }
        }
        let (size, revision) = (self.rollout.new_size(deployment, 0), self.rollout.next_revision());
        self.rollout.created = size;
        self.status.count(deployment, &self.rollout, self.now_ms);
        if deployment.deadline_seconds.is_some() {
            let message = format!("Created new replica set \"{name}\"");
            self.status.set(PROGRESSING, ("True", "NewReplicaSetCreated", &message), self.now_ms);
        }
        self.status.tell_failure(&self.rollout);
        let set =
            replica_set(deployment, (&name, &hash), size, first_annotations(deployment, revision).into());
        let create = Op::Create { row: Arc::clone(&ROW), namespace: key.namespace().to_owned(), object: set };
        self.write_status(Some((create, name, size, revision)));
    }

    /// Notes that the ReplicaSet cannot be created; tells whether that is news.
    fn tell_refused(&mut self, message: String) -> bool {
        let reason = "ReplicaSetCreateError";
        let is_known =
            self.status.progress().is_some_and(|now| now["reason"] == reason && now["status"] == "False");
        let is_news = !is_known && self.deployment.deadline_seconds.is_some();
        if is_news {
            self.status.counts = json!({"observedGeneration": self.deployment.object.meta.generation});
            self.status.set(PROGRESSING, ("False", reason, &message), self.now_ms);
        }
        let about = self.deployment.object.key.clone();
        self.plan.reasons.push(Reason { about, is_warning: true, reason, message });
        is_news
    }

    /// Writes the status when it changed, in one transaction with what it tells of, and the revision with it.
    fn write_status(self, created: Option<(Op, String, i64, i64)>) {
        let deployment = self.deployment;
        let object = &deployment.object;
        let mut patch = json!({});
        let revision = match (&created, self.rollout.new_set()) {
            (Some((.., revision)), _) => revision.to_string().into(),
            (None, Some(new)) => new.annotations.get(REVISION).cloned().unwrap_or_default(),
            (None, None) => Value::Null,
        };
        if !object.meta.deleting
            && !revision.is_null()
            && deployment.annotations.get(REVISION) != Some(&revision)
        {
            patch["metadata"]["annotations"][REVISION] = revision;
        }
        let were = deployment.status["conditions"].as_array().map_or(&[][..], |all| all);
        let deadline =
            self.status.deadline_ms(deployment).filter(|_| !deployment.is_paused && !object.meta.deleting);
        deadline.into_iter().for_each(|at| self.plan.requeue_at(at.max(self.now_ms + 1000)));
        if stored::differs(&deployment.status, &self.status.counts, &["terminatingReplicas"])
            || were != self.status.conditions
        {
            patch["status"] = self.status.counts;
            patch["status"]["conditions"] = conditions::patch(self.status.conditions);
        }
        let mut intent = match patch == json!({}) {
            true if created.is_none() => return,
            true => Intent { ops: Vec::new(), guards: Vec::new(), told: None }.at_generation(object),
            false => Intent::patch(object, "status", patch),
        };
        if let Some((create, name, size, _)) = created {
            intent.ops.insert(0, create);
            let done = format!("Scaled up replica set {name} from 0 to {size}");
            intent = intent.while_live(object).telling(Told {
                about: object.key.clone(),
                done: (size > 0).then_some(("ScalingReplicaSet", done)),
                refused: None,
            });
        }
        self.plan.intents.push(intent);
    }
}

/// The ReplicaSet of a deployment's current template.
fn replica_set(of: &Deployment, (name, hash): (&str, &str), replicas: i64, annotations: Value) -> Value {
    let mut template = of.template.clone();
    template["metadata"]["labels"][HASH_LABEL] = hash.into();
    let mut selector = of.selector.clone();
    selector["matchLabels"][HASH_LABEL] = hash.into();
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "labels": template["metadata"]["labels"],
            "annotations": annotations,
            "ownerReferences": [owned::reference(&of.object, "apps/v1", "Deployment")],
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": of.min_ready_seconds,
            "selector": selector,
            "template": template,
        },
    })
}
