//! The ReplicaSets of a deployment, as they are and as the plan moves them.

use std::sync::Arc;

use projection::intent::{Intent, Told};
use serde_json::{Map, Value, json};
use state::Object;

use super::hash::HASH_LABEL;
use super::spec::Deployment;
use crate::shared::stored;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// Annotations of a deployment that its ReplicaSets do not take over.
const OWN_ANNOTATIONS: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.rollback-to",
];

/// How long the list of a ReplicaSet's former revisions may become, in letters.
const HISTORY_LENGTH_MAX: usize = 2000;

/// One ReplicaSet.
#[derive(Clone)]
pub(super) struct Set {
    pub object: Arc<Object>,
    before: Value,
    pub replicas: i64,
    pub annotations: Map<String, Value>,
    pub min_ready_seconds: i64,
}

impl Set {
    pub fn read(object: &Arc<Object>) -> Self {
        let before = stored::tree(object);
        Self {
            object: Arc::clone(object),
            replicas: before["spec"]["replicas"].as_i64().unwrap_or(1),
            annotations: before["metadata"]["annotations"].as_object().cloned().unwrap_or_default(),
            min_ready_seconds: before["spec"]["minReadySeconds"].as_i64().unwrap_or(0),
            before,
        }
    }

    pub fn name(&self) -> &str {
        self.object.key.name()
    }

    /// A number of its status; `None`: it is not there.
    pub fn counted(&self, field: &str) -> Option<i64> {
        self.before["status"][field].as_i64()
    }

    pub fn available(&self) -> i64 {
        self.counted("availableReplicas").unwrap_or(0)
    }

    /// Its conditions.
    pub fn conditions(&self) -> &[Value] {
        self.before["status"]["conditions"].as_array().map_or(&[], |all| all)
    }

    /// A number among its annotations.
    pub fn annotated(&self, name: &str) -> Option<i64> {
        let text = self.annotations.get(name)?.as_str()?;
        text.parse().ok().filter(|number| (0..=i64::from(i32::MAX)).contains(number))
    }

    /// Its revision; 0: it has none.
    pub fn revision(&self) -> i64 {
        let text = self.annotations.get(REVISION).and_then(Value::as_str);
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    fn template(&self) -> Value {
        without_hash(&self.before["spec"]["template"])
    }

    /// Sets its size; the sizes that the deployment had then are noted with it. Unless `force`, a size that is right
    /// already leaves these notes as they are.
    pub fn scale(&mut self, of: &Deployment, replicas: i64, force: bool) -> bool {
        if !force && self.replicas == replicas {
            return false;
        }
        note_sizes(&mut self.annotations, of);
        std::mem::replace(&mut self.replicas, replicas) != replicas
    }

    /// Takes over what is the deployment's: its annotations, its minReadySeconds, and the newest revision.
    pub fn take_over(&mut self, of: &Deployment, revision: i64) {
        copy_annotations(of, &mut self.annotations);
        self.min_ready_seconds = of.min_ready_seconds;
        let old = self.annotations.get(REVISION).and_then(Value::as_str).map(str::to_owned);
        if self.revision() >= revision {
            return;
        }
        self.annotations.insert(REVISION.to_owned(), revision.to_string().into());
        let Some(old) = old else { return };
        let history = self.annotations.get(REVISION_HISTORY).and_then(Value::as_str).unwrap_or_default();
        let mut all: Vec<&str> = history.split(',').filter(|one| !one.is_empty()).collect();
        all.push(&old);
        while all.len() > 1 && all.iter().map(|one| one.len() + 1).sum::<usize>() - 1 > HISTORY_LENGTH_MAX {
            all.remove(0);
        }
        let history = all.join(",");
        self.annotations.insert(REVISION_HISTORY.to_owned(), history.into());
    }

    /// What must be written of it, if anything.
    pub fn intent(&self, of: &Deployment) -> Option<Intent> {
        let was = Self::read(&self.object);
        let mut patch = json!({});
        for (name, value) in &self.annotations {
            if was.annotations.get(name) != Some(value) {
                patch["metadata"]["annotations"][name] = value.clone();
            }
        }
        if was.min_ready_seconds != self.min_ready_seconds {
            patch["spec"]["minReadySeconds"] = self.min_ready_seconds.into();
        }
        let (from, to) = (was.replicas, self.replicas);
        if from != to {
            patch["spec"]["replicas"] = to.into();
        }
        if patch == json!({}) {
            return None;
        }
        let direction = if from < to { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {} from {from} to {to}", self.name());
        let intent = Intent::patch(&self.object, "", patch).while_live(&of.object).at_generation(&of.object);
        let told =
            Told { about: of.object.key.clone(), done: Some(("ScalingReplicaSet", message)), refused: None };
        Some(if from == to { intent } else { intent.telling(told) })
    }
}

/// The annotations that a new ReplicaSet begins with.
pub(super) fn first_annotations(of: &Deployment, revision: i64) -> Map<String, Value> {
    let mut annotations = Map::new();
    copy_annotations(of, &mut annotations);
    annotations.insert(REVISION.to_owned(), revision.to_string().into());
    note_sizes(&mut annotations, of);
    annotations
}

fn copy_annotations(of: &Deployment, to: &mut Map<String, Value>) {
    for (name, value) in of.annotations.iter().filter(|(name, _)| !OWN_ANNOTATIONS.contains(&name.as_str())) {
        to.insert(name.clone(), value.clone());
    }
}

fn note_sizes(annotations: &mut Map<String, Value>, of: &Deployment) {
    annotations.insert(DESIRED_REPLICAS.to_owned(), of.replicas.to_string().into());
    annotations.insert(MAX_REPLICAS.to_owned(), of.replicas_max().to_string().into());
}

fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.shift_remove(HASH_LABEL);
    }
    template
}

/// All ReplicaSets of a deployment, the oldest first.
#[derive(Clone)]
pub(super) struct Rollout {
    pub sets: Vec<Set>,
    /// Which of them has the deployment's template.
    new: Option<usize>,
    /// Of how many pods the one is made that is missing.
    pub created: i64,
}

impl Rollout {
    pub fn of(deployment: &Deployment, mut sets: Vec<Set>) -> Self {
        sets.sort_by(|one, other| {
            (one.object.created, &one.object.key).cmp(&(other.object.created, &other.object.key))
        });
        let template = without_hash(&deployment.template);
        let new = sets.iter().position(|set| set.template() == template);
        Self { sets, new, created: 0 }
    }

    pub fn new_set(&self) -> Option<&Set> {
        self.new.map(|at| &self.sets[at])
    }

    pub fn new_set_mut(&mut self) -> Option<&mut Set> {
        self.new.map(|at| &mut self.sets[at])
    }

    pub fn old(&self) -> impl DoubleEndedIterator<Item = &Set> {
        self.sets.iter().enumerate().filter(|(at, _)| Some(*at) != self.new).map(|(_, set)| set)
    }

    pub fn old_mut(&mut self) -> impl Iterator<Item = &mut Set> {
        let new = self.new;
        self.sets.iter_mut().enumerate().filter(move |(at, _)| Some(*at) != new).map(|(_, set)| set)
    }

    /// The pods that all of them together are to have.
    pub fn replicas(&self) -> i64 {
        self.sets.iter().map(|set| set.replicas).sum::<i64>() + self.created
    }

    /// The sum of a number of their statuses.
    pub fn counted(&self, field: &str) -> i64 {
        self.sets.iter().filter_map(|set| set.counted(field)).sum()
    }

    /// The revision that the newest template has.
    pub fn next_revision(&self) -> i64 {
        self.old().map(Set::revision).max().unwrap_or(0) + 1
    }

    /// The size that the new ReplicaSet may have now, from the one that it has.
    pub fn new_size(&self, of: &Deployment, size: i64) -> i64 {
        if !of.is_rolling {
            return of.replicas;
        }
        let room = of.replicas_max() - self.replicas();
        if room <= 0 { size } else { size + room.min(of.replicas - size) }
    }
}
