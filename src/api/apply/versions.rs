//! Owners know the fields of an object as the version has them in which they wrote: what they own is compared there.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::Value;

use super::check;
use super::compare::{self, Comparison};
use super::managers::Owners;
use super::reset;
use super::set::Set;
use super::typed::Members;
use crate::decode;
use crate::object::Object;
use crate::resource::Resource;

/// The other versions in which somebody owns fields. Owners by versions that are not served own nothing.
pub(super) fn of_owners(row: &Resource, owners: &mut Owners<'_>) -> Vec<Arc<Resource>> {
    let here = row.api_version();
    let mut others: Vec<Arc<Resource>> = Vec::new();
    owners.retain(|owner| {
        if owner.api_version == here || others.iter().any(|other| other.api_version() == owner.api_version) {
            return true;
        }
        let found = find(row, &owner.api_version);
        let is_served = found.is_some();
        others.extend(found);
        is_served
    });
    others
}

/// Another version of a resource.
fn find(row: &Resource, api_version: &str) -> Option<Arc<Resource>> {
    if let Some(custom) = &row.custom {
        return custom.versions.iter().find(|other| other.api_version() == api_version).cloned();
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    Resource::find(group, version, &row.plural).filter(|other| other.kind == row.kind)
}

/// An object of one version in the form of another. Those of definitions are as they were given, but for the version
/// that they name: whoever owns fields in a version that cannot say something goes on owning what they did.
///
/// # Errors
/// When it is no object of its version.
pub(super) fn converted(object: &Object, from: &Resource, to: &Resource) -> Result<Value, String> {
    if to.custom.is_some() {
        let seen = tree(object, to)?;
        return check::object(&seen, &to.schema).map_or(Ok(seen), Err);
    }
    let object = object.clone();
    let stored = match &from.storage {
        Some(storage) => (storage.store)(object, &storage.row),
        None => object,
    };
    let shown = match &to.storage {
        Some(storage) => (storage.show)(stored, to),
        None => stored,
    };
    tree(&shown, to)
}

fn tree(object: &Object, row: &Resource) -> Result<Value, String> {
    decode::json(&object.bytes(row)).map(|decoded| decoded.value).map_err(|error| error.to_string())
}

/// The same of a tree; null is no object in any version.
///
/// # Errors
/// When it is no object of its version.
pub(super) fn in_version<'t>(
    tree: &'t Value,
    from: &Resource,
    to: &Resource,
) -> Result<Cow<'t, Value>, String> {
    if tree.is_null() || from.api_version() == to.api_version() {
        return Ok(Cow::Borrowed(tree));
    }
    let (object, _) = Object::from_tree(tree.clone(), from).map_err(|error| error.to_string())?;
    converted(&object, from, to).map(Cow::Owned)
}

/// A version of a resource: the one that is asked for, or another.
pub(super) enum Version<'r> {
    Here(&'r Resource),
    Other(Arc<Resource>),
}

impl<'r> Version<'r> {
    pub(super) fn of(row: &'r Resource, api_version: &str) -> Result<Self, String> {
        if row.api_version() == api_version {
            return Ok(Self::Here(row));
        }
        find(row, api_version).map(Self::Other).ok_or_else(|| format!("{api_version} is not served"))
    }
}

impl Deref for Version<'_> {
    type Target = Resource;

    fn deref(&self) -> &Resource {
        match self {
            Self::Here(row) => row,
            Self::Other(row) => row,
        }
    }
}

/// Two objects as another version has them.
pub(super) struct Seen {
    row: Arc<Resource>,
    old: Value,
    new: Value,
}

impl Seen {
    pub(super) fn new(row: Arc<Resource>, old: Value, new: Value) -> Self {
        Self { row, old, new }
    }

    /// What differs between them of what a write through this subresource may own.
    pub(super) fn changes(&self, subresource: &str) -> Result<Changes<'_>, String> {
        let members = |object| Members::of(Some(object), true);
        let found = compare::objects(members(&self.old), members(&self.new), &self.row.schema)?;
        let filter = reset::filter(&self.row, subresource);
        Ok(Changes::of(self.row.api_version(), found.each(|set| filter.of(set))))
    }
}

/// What differs between two objects in the words of one version.
pub(super) struct Changes<'v> {
    api_version: String,
    /// What is of another value now.
    pub(super) changed: Set<'v>,
    removed: Set<'v>,
}

impl<'v> Changes<'v> {
    pub(super) fn of(api_version: String, found: Comparison<'v>) -> Self {
        let Comparison { removed, modified, added } = found;
        Self { api_version, changed: modified.union(&added), removed }
    }

    /// Those of a version that somebody owns fields in.
    pub(super) fn in_version<'c>(all: &'c [Self], api_version: &str) -> Option<&'c Self> {
        all.iter().find(|changes| changes.api_version == api_version)
    }

    /// Takes from all owners what others changed, and what is gone.
    pub(super) fn take(all: &[Self], owners: &mut Owners<'_>) {
        for owner in owners.iter_mut() {
            if let Some(changes) = Self::in_version(all, &owner.api_version) {
                owner.set.remove(&changes.changed);
                owner.set.remove(&changes.removed);
            }
        }
        owners.retain(|owner| !owner.set.is_empty());
    }
}
