//! What the server itself does to an object that is written, before it is validated.

use crate::object::Object;
use crate::parts::{Part, keep};
use crate::resource::Resource;

/// Takes from a new object what its creator may not set, and fills in what the server sets.
pub fn create(object: &mut Object, resource: &Resource) {
    if resource.has_status() && !resource.particular.creates_status {
        object.fields.shift_remove("status");
    }
    (resource.strategy().prepare_create)(object);
    object.meta.generation = resource.first_generation();
}

/// Puts back in a changed object what an update may not change, and counts the change.
pub fn update(new: &mut Object, old: &Object, resource: &Resource) {
    keep_system_fields(new, old);
    if resource.has_status() {
        keep(new, old, "status");
    }
    (resource.strategy().prepare_update)(new, old);
    if resource.counts(new, old) {
        new.meta.generation += 1;
    }
}

/// Puts back in an object of which a part changed everything else, and counts the change.
pub fn update_part(new: &mut Object, old: &Object, resource: &Resource, part: &Part) {
    keep_system_fields(new, old);
    (part.prepare)(new, old, resource);
    // A status is nothing that anybody wants.
    if part.of[2] != "status" && resource.counts(new, old) {
        new.meta.generation += 1;
    }
}

/// What only the server sets stays as it is; what the client left out is filled in.
fn keep_system_fields(new: &mut Object, old: &Object) {
    let (new, old) = (&mut new.meta, &old.meta);
    if new.uid.is_empty() {
        new.uid.clone_from(&old.uid);
    }
    if !old.creation_timestamp.is_empty() {
        new.creation_timestamp.clone_from(&old.creation_timestamp);
    }
    if old.deletion_timestamp.is_some() {
        new.deletion_timestamp.clone_from(&old.deletion_timestamp);
    }
    if new.deletion_grace_period_seconds.is_none() {
        new.deletion_grace_period_seconds = old.deletion_grace_period_seconds;
    }
    new.generation = old.generation;
}
