//! Objects that a controller owns: whom their changes wake, and how they are taken on and let go.

use api::Key;
use projection::intent::Intent;
use projection::{Wakes, World, owners};
use serde_json::{Value, json};
use state::{Change, Object};

use super::stored;

/// Wakes the owners that a changed object has or had, of one kind; of an object that nobody owns, those whose selector
/// matches it.
pub(crate) fn wake(world: &World, change: &Change, kind: &str, collection: &str, wakes: &mut Wakes) {
    let object = &change.object;
    let owners = [Some(object), change.previous.as_ref()].into_iter().flatten();
    for reference in owners.flat_map(|object| controller(object)).filter(|owner| &*owner.kind == kind) {
        let key = Key::parse(&format!("{collection}{}/{}", object.key.namespace(), reference.name));
        key.iter().for_each(|key| wakes.add(key));
    }
    if !change.deleted && world.owners.controller_of(&object.key).is_none() {
        for key in world.selectors.matching(collection, object.key.namespace(), object.labels()) {
            wakes.add(key);
        }
    }
}

/// Whom an object's own bytes name as the owner that manages it.
pub(crate) fn controller(object: &Object) -> Option<owners::OwnerReference> {
    owners::read(object).into_iter().find(|reference| reference.is_controller)
}

/// The reference by which an object belongs to its owner.
pub(crate) fn reference(owner: &Object, api_version: &str, kind: &str) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "name": owner.key.name(),
        "uid": owner.meta.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// Takes an object on that nobody owns, while the owner lives.
pub(crate) fn adopt(owner: &Object, reference: Value, object: &Object) -> Intent {
    let mut references = stored::list(object, &["metadata", "ownerReferences"]);
    references.push(reference);
    Intent::patch(object, "", json!({"metadata": {"ownerReferences": references}})).while_live(owner)
}

/// Lets an object go that the owner no longer selects: it stays, without the reference.
pub(crate) fn release(owner: &Object, object: &Object) -> Intent {
    let mut references = stored::list(object, &["metadata", "ownerReferences"]);
    references.retain(|reference| reference["uid"] != *owner.meta.uid);
    let references = if references.is_empty() { Value::Null } else { references.into() };
    Intent::patch(object, "", json!({"metadata": {"ownerReferences": references}}))
}
