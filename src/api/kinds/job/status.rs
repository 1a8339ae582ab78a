//! What may be told about a Job. Most rules hold for what changed, so that what was told before can stay.

use serde_json::Value;

use super::indexes;
use crate::FieldError;
use crate::time;
use crate::validate::at::{At, Root};
use crate::validate::{internal, workload};

/// Whether a condition is there and true.
pub(super) fn has(status: At<'_>, condition: &str) -> bool {
    is(status, condition, "True")
}

fn is(status: At<'_>, condition: &str, value: &str) -> bool {
    status
        .field("conditions")
        .items()
        .any(|known| known.field("type").text() == condition && known.field("status").text() == value)
}

fn finished(status: At<'_>) -> bool {
    has(status, "Complete") || has(status, "Failed")
}

/// A status, new and old.
struct Change<'a> {
    spec: At<'a>,
    new: At<'a>,
    old: At<'a>,
}

/// A changed status.
pub(super) fn update(new: Root<'_>, old: Root<'_>) {
    let change = Change { spec: new.field("spec"), new: new.field("status"), old: old.field("status") };
    let status = change.new;
    workload::counts(status, &["active", "succeeded", "failed", "ready", "terminating"]);
    uncounted(status.field("uncountedTerminatedPods"));
    change.conditions();
    change.times();
    change.when_finished();
    change.indexes();
    change.counters();
}

fn uncounted(pods: At<'_>) {
    let mut known: Vec<&str> = Vec::new();
    for pod in ["succeeded", "failed"].into_iter().flat_map(|list| pods.field(list).items()) {
        if pod.text().is_empty() {
            pod.invalid("must not be empty");
        } else if known.contains(&pod.text()) {
            pod.duplicate();
        }
        known.push(pod.text());
    }
}

impl<'a> Change<'a> {
    fn condition_changed(&self, condition: &str) -> bool {
        has(self.new, condition) != has(self.old, condition)
    }

    fn changed(&self, field: &'static str) -> bool {
        let (new, old) = (self.new.field(field), self.old.field(field));
        new.value() != old.value() && !(new.is_empty() && old.is_empty() && new.is_set() == old.is_set())
    }

    fn finished_changed(&self) -> bool {
        finished(self.new) != finished(self.old)
    }

    fn refuse_conditions(&self, rule: &str) {
        self.new.field("conditions").report(|path| FieldError::invalid_omitted(path, rule));
    }

    fn conditions(&self) {
        let has = |condition: &str| has(self.new, condition);
        let had = |condition: &str| super::status::has(self.old, condition);
        let changed =
            |conditions: &[&str]| conditions.iter().any(|condition| self.condition_changed(condition));
        let rules = [
            (
                changed(&["Complete", "Failed"]) && has("Complete") && has("Failed"),
                "cannot set Complete=True and Failed=true conditions",
            ),
            (
                changed(&["Complete", "FailureTarget"]) && has("Complete") && has("FailureTarget"),
                "cannot set Complete=True and FailureTarget=true conditions",
            ),
            (
                (changed(&["Failed"]) || self.changed("failedIndexes"))
                    && has("Failed")
                    && !has("FailureTarget"),
                "cannot set Failed=True condition without the FailureTarget=true condition",
            ),
            (
                changed(&["Complete", "SuccessCriteriaMet"]) && has("Complete") && !has("SuccessCriteriaMet"),
                "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            ),
            (
                has("SuccessCriteriaMet") && has("Failed"),
                "cannot set SuccessCriteriaMet=True and Failed=true conditions",
            ),
            (
                has("SuccessCriteriaMet") && has("FailureTarget"),
                "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
            ),
            (
                self.spec.field("successPolicy").is_set() && !has("SuccessCriteriaMet") && has("Complete"),
                "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
            ),
            (had("Failed") && !has("Failed"), "cannot disable the terminal Failed=True condition"),
            (had("Complete") && !has("Complete"), "cannot disable the terminal Complete=True condition"),
            (
                had("FailureTarget") && !has("FailureTarget"),
                "cannot disable the terminal FailureTarget=True condition",
            ),
            (
                had("SuccessCriteriaMet") && !has("SuccessCriteriaMet"),
                "cannot disable the SuccessCriteriaMet=True condition",
            ),
            (
                had("Complete") && !had("SuccessCriteriaMet") && has("SuccessCriteriaMet"),
                "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
            ),
        ];
        rules.iter().filter(|(broken, _)| *broken).for_each(|(_, rule)| self.refuse_conditions(rule));
    }

    fn times(&self) {
        let (start, end) = (self.new.field("startTime"), self.new.field("completionTime"));
        let (old_start, old_end) = (self.old.field("startTime"), self.old.field("completionTime"));
        let complete_changed = self.condition_changed("Complete");
        let (start_changed, end_changed) = (self.changed("startTime"), self.changed("completionTime"));
        if complete_changed || end_changed {
            if end.is_set() && !has(self.new, "Complete") {
                end.invalid("cannot set completionTime when there is no Complete=True condition");
            }
            if !end.is_set() && has(self.new, "Complete") {
                end.required("completionTime is required for Complete jobs");
            }
        }
        let seconds = |at: At<'_>| time::parse_rfc3339(at.text());
        if (start_changed || end_changed) && start.is_set() && end.is_set() && seconds(end) < seconds(start) {
            end.invalid("must be equal to or after `startTime`");
        }
        if end.is_set() && old_end.is_set() && end.value() != old_end.value() {
            end.invalid("field is immutable");
        }
        let resumes = has(self.old, "Suspended") && is(self.new, "Suspended", "False");
        let fixed = old_start.is_set() && !self.spec.field("suspend").is_true();
        if start_changed && !resumes && fixed {
            start.invalid_value(
                start.value().cloned().unwrap_or_default(),
                "field is immutable for unsuspended job once set",
            );
        }
    }

    fn when_finished(&self) {
        let (active, uncounted) = (self.new.field("active"), self.new.field("uncountedTerminatedPods"));
        let finished_changed = self.finished_changed();
        let ready = self.new.field("ready");
        if (self.changed("ready") || self.changed("active")) && ready.number() > active.number() {
            ready.invalid("cannot set more ready pods than active");
        }
        if !finished(self.new) {
            return;
        }
        if (finished_changed || self.changed("active")) && active.number() > 0 {
            active.invalid("active>0 is invalid for finished job");
        }
        let (suspended, completions) =
            (self.spec.field("suspend").is_true(), self.spec.field("completions").int());
        let is_empty = suspended && completions == Some(0);
        let start = self.new.field("startTime");
        if (finished_changed || self.changed("startTime")) && !is_empty && !start.is_set() {
            start.required("startTime is required for finished job");
        }
        let count = ["succeeded", "failed"].iter().map(|list| uncounted.field(list).count()).sum::<usize>();
        if (finished_changed || self.changed("uncountedTerminatedPods")) && count > 0 {
            uncounted.invalid_value(internal::uncounted(uncounted), "must be empty for finished job");
        }
        let terminating = self.new.field("terminating");
        if (finished_changed || self.changed("terminating")) && terminating.number() > 0 {
            terminating.invalid("terminating>0 is invalid for finished job");
        }
    }

    fn indexes(&self) {
        let (done, failed) = (self.new.field("completedIndexes"), self.new.field("failedIndexes"));
        let (done_changed, failed_changed) =
            (self.changed("completedIndexes"), self.changed("failedIndexes"));
        let (limit, completions) =
            (self.spec.field("backoffLimitPerIndex"), self.spec.field("completions").int());
        let is_indexed = self.spec.field("completionMode").text() == "Indexed";
        if let (true, Some(completions)) = (done_changed, completions)
            && let Err(error) = indexes::total(done.text(), completions)
        {
            done.invalid(&format!("error parsing completedIndexes: {error}"));
        }
        if let (true, Some(completions)) = (failed_changed && limit.is_set() && failed.is_set(), completions)
            && let Err(error) = indexes::total(failed.text(), completions)
        {
            failed.invalid(&format!("error parsing failedIndexes: {error}"));
        }
        if done_changed && !done.text().is_empty() && !is_indexed {
            done.invalid("cannot set non-empty completedIndexes when non-indexed completion mode");
        }
        if failed_changed && !limit.is_set() && failed.is_set() {
            failed.invalid("cannot set non-null failedIndexes when backoffLimitPerIndex is null");
        }
        if let (true, Some(completions)) = ((failed_changed || done_changed) && failed.is_set(), completions)
            && let Some(index) = indexes::overlap(done.text(), failed.text(), completions)
        {
            failed.invalid(&format!("failedIndexes and completedIndexes overlap at index: {index}"));
        }
    }

    fn counters(&self) {
        let is_elastic = self.spec.field("completionMode").text() == "Indexed"
            && self.spec.field("completions").value() == self.spec.field("parallelism").value();
        for (field, rule, applies) in [
            ("failed", "cannot decrease the failed counter", true),
            ("succeeded", "cannot decrease the succeeded counter", !is_elastic),
        ] {
            let new = self.new.field(field);
            if applies && new.number() < self.old.field(field).number() {
                new.invalid_value(Value::from(new.number()), rule);
            }
        }
    }
}
