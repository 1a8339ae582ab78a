//! `apps/v1 Deployment`: pods of one template, replaced step by step when it changes.

use super::{prepare_template, prepare_template_update, replica_set};
use crate::object::Object;
use crate::resource::{Particular, Strategy};
use crate::same;
use crate::validate::at::{At, Root};
use crate::validate::workload::{
    Rolling, counts, not_decremented, parts_of_replicas, required_selector, unknown_strategy,
};

/// What is particular.
pub static KIND: Particular = Particular {
    group: "apps",
    kind: "Deployment",
    counted: Some("spec"),
    strategy: Strategy {
        prepare_create: |object| prepare_template(object, &["spec", "template"]),
        prepare_update,
        prepare_status: |new, old| new.meta.labels.clone_from(&old.meta.labels),
        validate: |root| spec(root.field("spec"), None),
        validate_update: |new, old| {
            spec(new.field("spec"), Some(old.field("spec")));
            new.field("spec").field("selector").immutable_selector(old.field("spec").field("selector"));
        },
        validate_status: status,
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

/// Annotations count like the spec: they are copied to the ReplicaSets.
fn prepare_update(new: &mut Object, old: &Object) {
    prepare_template_update(new, old, &["spec", "template"]);
    let spec = |object: &Object| object.fields.get("spec").cloned();
    let is_same = same::field_of("apps.v1.Deployment", "spec", spec(new).as_ref(), spec(old).as_ref());
    if is_same && new.meta.annotations != old.meta.annotations {
        new.meta.generation += 1;
    }
}

fn spec(spec: At<'_>, old: Option<At<'_>>) {
    spec.field("replicas").non_negative();
    required_selector(spec.field("selector"), "deployment");
    replica_set::pods(spec, old);
    strategy(spec.field("strategy"));
    spec.field("minReadySeconds").non_negative();
    spec.field("revisionHistoryLimit").non_negative();
    let deadline = spec.field("progressDeadlineSeconds");
    deadline.non_negative();
    if deadline.int().is_some_and(|seconds| seconds <= spec.field("minReadySeconds").number()) {
        deadline.invalid("must be greater than minReadySeconds");
    }
}

fn strategy(strategy: At<'_>) {
    let update = strategy.field("rollingUpdate");
    match strategy.field("type").text() {
        "Recreate" if update.is_set() => {
            update.forbidden("may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        "RollingUpdate" => {
            let rolling = Rolling::of(update);
            if !rolling.is_unavailable() && !rolling.is_surging() {
                rolling.max_unavailable.invalid("may not be 0 when `maxSurge` is 0");
            }
        }
        _ => unknown_strategy(strategy, &["Recreate", "RollingUpdate"]),
    }
}

fn status(new: Root<'_>, old: Root<'_>) {
    let status = new.field("status");
    let parts = ["updatedReplicas", "readyReplicas", "availableReplicas"];
    counts(
        status,
        &["observedGeneration", "replicas", "unavailableReplicas", "terminatingReplicas", "collisionCount"],
    );
    counts(status, &parts);
    parts_of_replicas(status, &parts, "readyReplicas");
    not_decremented(status.field("collisionCount"), old.field("status").field("collisionCount"));
}
