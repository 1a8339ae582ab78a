//! Deployments: pods of one template, replaced step by step when it changes.
//!
//! # Flow
//! Each template has a ReplicaSet of its own. The plan reads all that belong to a deployment into a [`rollout::Rollout`],
//! moves their sizes there by one step, and writes what came of it: the ReplicaSets that changed, the one that is
//! missing, those that are history, and the status.

mod hash;
mod plan;
mod proportion;
mod rollout;
mod spec;
mod status;
mod steps;
#[cfg(test)]
mod tests;

use api::Key;
use projection::pods::{PODS, Phase, Pod};
use projection::{Controller, Wakes, World};
use state::Change;

use crate::shared::{owned, stored};

const DEPLOYMENTS: &str = "apps/deployments/";
const REPLICA_SETS: &str = "apps/replicasets/";

/// The row.
pub const DEPLOYMENT: Controller = Controller {
    name: "deployment",
    actor: "system:serviceaccount:kube-system:deployment-controller",
    component: "deployment-controller",
    wakes,
    keys: |world, wakes| stored::keys(world, DEPLOYMENTS, wakes),
    plan: plan::plan,
};

fn wakes(world: &World, change: &Change, wakes: &mut Wakes) {
    match change.object.key.collection() {
        DEPLOYMENTS => wakes.add(&change.object.key),
        REPLICA_SETS => owned::wake(world, change, "Deployment", DEPLOYMENTS, wakes),
        PODS => wake_of_end(world, change, wakes),
        _ => {}
    }
}

/// The end of a pod, which one that recreates its pods waits for.
fn wake_of_end(world: &World, change: &Change, wakes: &mut Wakes) {
    let is_finished = || matches!(Pod::of(&change.object).phase, Phase::Succeeded | Phase::Failed);
    let Some(set) = owned::controller(&change.object).filter(|owner| &*owner.kind == "ReplicaSet") else {
        return;
    };
    if !change.deleted && !is_finished() {
        return;
    }
    let namespace = change.object.key.namespace();
    let set = Key::object("apps", "replicasets", namespace, &set.name);
    if let Some(owner) = world.owners.controller_of(&set).filter(|owner| &*owner.kind == "Deployment") {
        wakes.add(&Key::object("apps", "deployments", namespace, &owner.name));
    }
}
