//! Who belongs to whom: every owner reference of every object, from both ends.

use std::sync::Arc;

use api::Key;
use api::view::View;
use imbl::OrdMap;
use state::{Change, Object};

use crate::places::Places;

/// One of an object's `metadata.ownerReferences`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerReference {
    /// `apps/v1`.
    pub api_version: Box<str>,
    /// `ReplicaSet`.
    pub kind: Box<str>,
    /// The owner's name; its namespace is the dependent's, or none.
    pub name: Box<str>,
    /// The owner's uid.
    pub uid: Box<str>,
    /// Whether this owner manages the object.
    pub is_controller: bool,
    /// Whether a foreground deletion of the owner waits for this object.
    pub blocks_deletion: bool,
}

/// All references of all objects.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    of: OrdMap<Key, Arc<[OwnerReference]>>,
    dependents: Places,
}

impl Owners {
    /// Takes in one change.
    pub fn fold(&mut self, change: &Change) {
        let key = &change.object.key;
        let after = if change.deleted { Vec::new() } else { read(&change.object) };
        let before = self.of.get(key).cloned();
        if before.as_deref().unwrap_or(&[]) == after {
            return;
        }
        for reference in before.iter().flat_map(|all| all.iter()) {
            self.dependents.remove(&reference.uid, key);
        }
        let after = self.common(after);
        for reference in &*after {
            self.dependents.insert(&reference.uid, key);
        }
        if after.is_empty() {
            self.of.remove(key);
        } else {
            self.of.insert(key.clone(), after);
        }
    }

    /// The list that the first dependent of the same owner has, if it says the same: replicas share one.
    fn common(&self, references: Vec<OwnerReference>) -> Arc<[OwnerReference]> {
        let first = references.first().and_then(|first| self.dependents.under(&first.uid).next());
        let known = first.and_then(|sibling| self.of.get(sibling)).filter(|known| ***known == references);
        known.map_or_else(|| references.into(), Arc::clone)
    }

    /// The owners of an object, as it names them.
    pub fn of(&self, key: &Key) -> &[OwnerReference] {
        self.of.get(key).map_or(&[], |all| all)
    }

    /// The owner that manages an object.
    pub fn controller_of(&self, key: &Key) -> Option<&OwnerReference> {
        self.of(key).iter().find(|reference| reference.is_controller)
    }

    /// The keys of all objects that name this uid as an owner, in key order.
    pub fn dependents<'s>(&'s self, uid: &str) -> impl Iterator<Item = &'s Key> + use<'s> {
        self.dependents.under(uid)
    }

    /// The keys of all objects that have owners, in key order.
    pub fn owned(&self) -> impl Iterator<Item = &Key> {
        self.of.keys()
    }
}

/// The owner references of an object.
pub fn read(object: &Object) -> Vec<OwnerReference> {
    let list = object.view().at(&["metadata", "ownerReferences"]);
    if !list.is_there() {
        return Vec::new();
    }
    let one = |reference: View<'_>| OwnerReference {
        api_version: reference.get("apiVersion").text().into(),
        kind: reference.get("kind").text().into(),
        name: reference.get("name").text().into(),
        uid: reference.get("uid").text().into(),
        is_controller: reference.get("controller").is_true(),
        blocks_deletion: reference.get("blockOwnerDeletion").is_true(),
    };
    list.items().map(one).collect()
}
