//! The status of a deployment.

use api::time;
use serde_json::{Value, json};

use super::rollout::Rollout;
use super::spec::Deployment;
use crate::shared::conditions;

pub(super) const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const COMPLETE: &str = "NewReplicaSetAvailable";

/// A status that is being made.
pub(super) struct Status {
    /// Its numbers.
    pub counts: Value,
    /// Its conditions.
    pub conditions: Vec<Value>,
}

impl Status {
    /// The stored conditions, and nothing counted yet.
    pub fn of(deployment: &Deployment) -> Self {
        let conditions = deployment.status["conditions"].as_array().cloned().unwrap_or_default();
        Self { counts: json!({}), conditions }
    }

    /// Counts, and says whether there are enough.
    pub fn count(&mut self, of: &Deployment, rollout: &Rollout, now_ms: u64) {
        let available = rollout.counted("availableReplicas");
        self.counts = json!({
            "observedGeneration": of.object.meta.generation,
            "replicas": rollout.counted("replicas"),
            "updatedReplicas": rollout.new_set().and_then(|new| new.counted("replicas")).unwrap_or(0),
            "readyReplicas": rollout.counted("readyReplicas"),
            "availableReplicas": available,
            "unavailableReplicas": (rollout.replicas() - available).max(0),
            "terminatingReplicas": terminating(rollout),
        });
        let condition = if available >= of.replicas - of.unavailable {
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        self.set("Available", condition, now_ms);
    }

    /// Sets a condition of now.
    pub fn set(&mut self, kind: &str, (status, reason, message): (&str, &str, &str), now_ms: u64) {
        let mut condition = conditions::new(kind, status, reason, message);
        condition["lastUpdateTime"] = time::rfc3339(now_ms).into();
        conditions::set(&mut self.conditions, condition, now_ms);
    }

    /// The condition of progress.
    pub fn progress(&self) -> Option<&Value> {
        conditions::find(&self.conditions, PROGRESSING)
    }

    pub fn counted(&self, field: &str) -> i64 {
        self.counts[field].as_i64().unwrap_or(0)
    }

    /// Whether everything runs and is new.
    pub fn is_complete(&self, of: &Deployment) -> bool {
        let all = ["updatedReplicas", "replicas", "availableReplicas"];
        all.iter().all(|field| self.counted(field) == of.replicas)
            && self.counted("observedGeneration") >= of.object.meta.generation
    }

    /// Says how the rollout gets on.
    pub fn tell_progress(&mut self, of: &Deployment, rollout: &Rollout, now_ms: u64) {
        let Some(deadline_seconds) = of.deadline_seconds else {
            conditions::remove(&mut self.conditions, PROGRESSING);
            return;
        };
        let current = self.progress().cloned();
        let was_complete = current.as_ref().is_some_and(|current| current["reason"] == COMPLETE);
        if was_complete && self.counted("replicas") == self.counted("updatedReplicas") {
            return;
        }
        let about = match rollout.new_set() {
            Some(new) => format!("ReplicaSet \"{}\"", new.name()),
            None => format!("Deployment \"{}\"", of.name()),
        };
        if self.is_complete(of) {
            let message = format!("{about} has successfully progressed.");
            self.set(PROGRESSING, ("True", COMPLETE, &message), now_ms);
        } else if self.has_progressed(of) {
            let message = format!("{about} is progressing.");
            let current = current.filter(|current| current["status"] == "True");
            // Progress counts anew each time, also where nothing else about the condition changes.
            conditions::remove(&mut self.conditions, PROGRESSING);
            self.set(PROGRESSING, ("True", "ReplicaSetUpdated", &message), now_ms);
            if let (Some(current), Some(last)) = (current, self.conditions.last_mut()) {
                last["lastTransitionTime"] = current["lastTransitionTime"].clone();
            }
        } else if current.is_some_and(|current| is_late(&current, deadline_seconds, now_ms)) {
            let message = format!("{about} has timed out progressing.");
            self.set(PROGRESSING, ("False", TIMED_OUT, &message), now_ms);
        }
    }

    fn has_progressed(&self, of: &Deployment) -> bool {
        let more = |field: &str| self.counted(field) > of.counted(field);
        let old = self.counted("replicas") - self.counted("updatedReplicas");
        let old_before = of.counted("replicas") - of.counted("updatedReplicas");
        more("updatedReplicas") || old < old_before || more("readyReplicas") || more("availableReplicas")
    }

    /// Says that a ReplicaSet cannot create or delete pods, the new one's word before that of others.
    pub fn tell_failure(&mut self, rollout: &Rollout) {
        let sets = rollout.new_set().into_iter().chain(&rollout.sets);
        let mut failures = sets.filter_map(|set| conditions::find(set.conditions(), REPLICA_FAILURE));
        let Some(failure) = failures.next() else {
            conditions::remove(&mut self.conditions, REPLICA_FAILURE);
            return;
        };
        let known = conditions::find(&self.conditions, REPLICA_FAILURE);
        if known
            .is_some_and(|known| known["status"] == failure["status"] && known["reason"] == failure["reason"])
        {
            return;
        }
        let mut failure = failure.clone();
        failure["lastUpdateTime"] = failure["lastTransitionTime"].clone();
        conditions::remove(&mut self.conditions, REPLICA_FAILURE);
        self.conditions.push(failure);
    }

    /// When the deadline of the current step has passed, in milliseconds since the epoch.
    pub fn deadline_ms(&self, of: &Deployment) -> Option<u64> {
        let current = self.progress()?;
        if self.is_complete(of) || current["reason"] == TIMED_OUT {
            return None;
        }
        Some(since_ms(current) + of.deadline_seconds?.unsigned_abs() * 1000 + 1000)
    }
}

/// Whether a condition says that the deadline passed.
pub(super) fn is_timed_out(condition: &Value) -> bool {
    condition["reason"] == TIMED_OUT
}

fn is_late(current: &Value, deadline_seconds: i64, now_ms: u64) -> bool {
    match current["reason"].as_str() {
        Some(COMPLETE) => false,
        Some(TIMED_OUT) => true,
        _ => since_ms(current) + deadline_seconds.unsigned_abs() * 1000 < now_ms,
    }
}

fn since_ms(condition: &Value) -> u64 {
    condition["lastUpdateTime"].as_str().and_then(time::parse_rfc3339).unwrap_or(0)
}

/// Pods that are going, of all ReplicaSets; null while one of them does not say.
fn terminating(rollout: &Rollout) -> Value {
    let mut sum = 0;
    for set in &rollout.sets {
        match set.counted("terminatingReplicas") {
            Some(count) => sum += count,
            None if set.counted("observedGeneration").unwrap_or(0) == 0 => {}
            None => return Value::Null,
        }
    }
    sum.into()
}
