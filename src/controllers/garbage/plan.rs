//! What to do about one object.

use api::Key;
use api::codec::DeleteOptions;
use api::deletion::{FOREGROUND, ORPHAN, Propagation};
use projection::intent::Intent;
use projection::owners::OwnerReference;
use projection::{LastOutcomes, Plan, Reason, World};
use serde_json::{Value, json};
use state::Object;

use super::{owner_key, waits};
use crate::shared::stored;

/// Dependents that one plan lets go of at most.
const BATCH: usize = 500;

/// Plans one object.
pub(super) fn plan(world: &World, key: &Key, _: &LastOutcomes, _: u64) -> Plan {
    let mut plan = Plan::default();
    let Some(object) = world.state.get(key.as_str()) else { return plan };
    match waits(object) {
        Some(ORPHAN) => orphan(world, object, &mut plan),
        Some(_) => finish_foreground(world, object, &mut plan),
        None if object.meta.deleting => {}
        None => collect(world, object, &mut plan),
    }
    plan
}

/// Lets go of all dependents, then of the object.
fn orphan(world: &World, object: &Object, plan: &mut Plan) {
    let dependents =
        world.owners.dependents(&object.meta.uid).filter_map(|key| world.state.get(key.as_str()));
    let dependents: Vec<_> = dependents.take(BATCH).collect();
    for dependent in &dependents {
        plan.intents.push(without(dependent, &[&object.meta.uid]));
    }
    if dependents.is_empty() {
        plan.intents.push(stored::without_finalizer(object, ORPHAN));
    }
}

/// Lets go of an object when none of its dependents blocks that any more; they are looked at on their own.
fn finish_foreground(world: &World, object: &Object, plan: &mut Plan) {
    let blocks = |key: &&Key| {
        let mut owners = world.owners.of(key).iter();
        owners.any(|owner| *owner.uid == *object.meta.uid && owner.blocks_deletion)
    };
    if !world.owners.dependents(&object.meta.uid).any(|key| blocks(&key)) {
        plan.intents.push(stored::without_finalizer(object, FOREGROUND));
    }
}

/// How an owner stands.
enum Owner {
    Absent,
    /// It goes when its dependents are gone.
    Waiting,
    Solid,
}

/// Deletes an object none of whose owners keeps it.
fn collect(world: &World, object: &Object, plan: &mut Plan) {
    let owners = world.owners.of(&object.key);
    let (mut solid, mut gone, mut is_awaited) = (0, Vec::new(), false);
    for owner in owners {
        match stands(world, owner, object, plan) {
            // Nobody can say: it stays as it is.
            None => return,
            Some(Owner::Absent) => gone.push(&*owner.uid),
            Some(Owner::Waiting) => {
                gone.push(&*owner.uid);
                is_awaited = true;
            }
            Some(Owner::Solid) => solid += 1,
        }
    }
    if gone.is_empty() {
        return;
    }
    if solid > 0 {
        plan.intents.push(without(object, &gone));
        return;
    }
    let has_dependents = world.owners.dependents(&object.meta.uid).next().is_some();
    let propagation = if is_awaited && has_dependents {
        if has_cycle(world, object) && owners.iter().any(|owner| owner.blocks_deletion) {
            // Each would wait for the other.
            plan.intents.push(unblocked(object));
            return;
        }
        Propagation::Foreground
    } else {
        own_propagation(object)
    };
    plan.intents.push(Intent::delete_with(
        object,
        DeleteOptions {
            propagation: Some(propagation),
            resource_version: Some(object.revision.to_string()),
            ..DeleteOptions::default()
        },
    ));
}

fn stands(world: &World, owner: &OwnerReference, object: &Object, plan: &mut Plan) -> Option<Owner> {
    let row = world.definitions.kind(&owner.api_version, &owner.kind)?;
    if row.namespaced && object.key.namespace().is_empty() {
        let OwnerReference { api_version, kind, name, uid, .. } = owner;
        plan.reasons.push(Reason {
            about: object.key.clone(),
            is_warning: true,
            reason: "OwnerRefInvalidNamespace",
            message: format!(
                "ownerRef [{api_version}/{kind}, namespace: , name: {name}, uid: {uid}] does not exist in namespace \"\""
            ),
        });
        return None;
    }
    let key = owner_key(world, owner, &object.key)?;
    let found = world.state.get(key.as_str()).filter(|found| *found.meta.uid == *owner.uid);
    Some(match found {
        None => Owner::Absent,
        Some(found) if waits(found) == Some(FOREGROUND) => Owner::Waiting,
        Some(_) => Owner::Solid,
    })
}

/// Whether a dependent of an object waits for its own dependents: the object may be among them.
fn has_cycle(world: &World, object: &Object) -> bool {
    let dependents =
        world.owners.dependents(&object.meta.uid).filter_map(|key| world.state.get(key.as_str()));
    dependents.into_iter().any(|dependent| waits(dependent) == Some(FOREGROUND))
}

/// What an object's own finalizers ask for.
fn own_propagation(object: &Object) -> Propagation {
    let finalizers = stored::list(object, &["metadata", "finalizers"]);
    let has = |name: &str| finalizers.iter().any(|one| one == name);
    match () {
        () if has(ORPHAN) => Propagation::Orphan,
        () if has(FOREGROUND) => Propagation::Foreground,
        () => Propagation::Background,
    }
}

fn without(object: &Object, uids: &[&str]) -> Intent {
    let mut owners = stored::list(object, &["metadata", "ownerReferences"]);
    owners.retain(|owner| !uids.iter().any(|uid| owner["uid"] == *uid));
    let owners = if owners.is_empty() { Value::Null } else { owners.into() };
    Intent::patch(object, "", json!({"metadata": {"ownerReferences": owners}}))
}

fn unblocked(object: &Object) -> Intent {
    let mut owners = stored::list(object, &["metadata", "ownerReferences"]);
    for owner in owners.iter_mut().filter(|owner| owner["blockOwnerDeletion"] == true) {
        owner["blockOwnerDeletion"] = false.into();
    }
    Intent::patch(object, "", json!({"metadata": {"ownerReferences": owners}}))
}
