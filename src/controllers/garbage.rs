//! Objects go with their owners.
//!
//! # Guarantees
//! - An owner counts as absent only when its kind is served from State: of a kind that nobody knows nothing is said.
//! - A uid that is gone never comes back, so what was found absent stays so; what is deleted is exactly the version
//!   that was looked at.

mod plan;
#[cfg(test)]
mod tests;

use api::Key;
use api::deletion::{FOREGROUND, ORPHAN};
use projection::{Controller, Wakes, World, owners};
use state::{Change, Object};

use crate::shared::stored;

/// The row.
pub const GARBAGE_COLLECTOR: Controller = Controller {
    name: "garbage-collector",
    actor: "system:serviceaccount:kube-system:generic-garbage-collector",
    component: "garbage-collector-controller",
    wakes,
    keys,
    plan: plan::plan,
};

fn wakes(world: &World, change: &Change, wakes: &mut Wakes) {
    let object = &change.object;
    let owners_now = world.owners.of(&object.key);
    let owners_before = change.previous.as_ref().map(|before| owners::read(before)).unwrap_or_default();
    let is_going = object.meta.deleting && object.meta.finalizers;
    if change.deleted {
        world.owners.dependents(&object.meta.uid).for_each(|key| wakes.add(key));
    } else {
        let have_changed = owners_now != owners_before;
        if is_going || have_changed {
            wakes.add(&object.key);
        }
        let was_going = change.previous.as_ref().is_some_and(|before| before.meta.deleting);
        if is_going && !was_going {
            world.owners.dependents(&object.meta.uid).for_each(|key| wakes.add(key));
        }
    }
    // An owner may wait for this one to go, or to let go of it.
    if change.deleted || owners_now != owners_before {
        for owner in &owners_before {
            if let Some(key) = owner_key(world, owner, &object.key) {
                wakes.add(&key);
            }
        }
    }
}

/// What has owners, and what waits for its dependents.
fn keys(world: &World, wakes: &mut Wakes) {
    world.owners.owned().for_each(|key| wakes.add(key));
    let going = world.state.range("").filter(|object| object.meta.deleting && object.meta.finalizers);
    going.filter(|object| waits(object).is_some()).for_each(|object| wakes.add(&object.key));
}

/// Where the owner of an object would be, if its kind is known and may own it.
fn owner_key(world: &World, owner: &owners::OwnerReference, dependent: &Key) -> Option<Key> {
    let row = world.definitions.kind(&owner.api_version, &owner.kind)?;
    let namespace = if row.namespaced { dependent.namespace() } else { "" };
    Some(row.stored().key(namespace, &owner.name))
}

/// What an object that is going does about its dependents before it goes.
fn waits(object: &Object) -> Option<&'static str> {
    if !object.meta.deleting || !object.meta.finalizers {
        return None;
    }
    let finalizers = stored::list(object, &["metadata", "finalizers"]);
    [ORPHAN, FOREGROUND].into_iter().find(|name| finalizers.iter().any(|one| one == name))
}
