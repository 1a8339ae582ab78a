//! The resources that are served: one row for each, from the kind's own file.

use serde_json::Value;

use crate::field_error::FieldError;
use crate::fields::Type;
use crate::key::{Key, collection_prefix};
use crate::kinds;
use crate::names::NameCheck;
use crate::object::Object;
use crate::status::GroupResource;

/// Every resource, in the order of discovery.
pub static RESOURCES: &[&Resource] =
    &[&kinds::config_map::RESOURCE, &kinds::namespace::RESOURCE, &kinds::secret::RESOURCE];

/// What can be done with a resource, in the order of discovery.
pub const ALL_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

/// How long old versions of a resource's objects are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// As long as watches may resume; for what changes all the time and nobody asks back for.
    Window,
    /// A day.
    Day,
}

/// One resource.
#[derive(Debug)]
pub struct Resource {
    /// API group, empty for the legacy group.
    pub group: &'static str,
    /// Version served and stored.
    pub version: &'static str,
    /// `configmaps`.
    pub plural: &'static str,
    /// `configmap`.
    pub singular: &'static str,
    /// `ConfigMap`.
    pub kind: &'static str,
    /// `cm`.
    pub short_names: &'static [&'static str],
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What can be done with it.
    pub verbs: &'static [&'static str],
    /// How long old versions are kept.
    pub retention: Retention,
    /// Its fields.
    pub schema: &'static Type,
    /// Columns of a table between Name and Age.
    pub columns: &'static [Column],
    /// Fields besides name and namespace that field selectors know.
    pub selectable: &'static [Selectable],
    /// What is particular to the kind.
    pub strategy: Strategy,
}

/// A column of a table.
#[derive(Debug)]
pub struct Column {
    /// Its title.
    pub name: &'static str,
    /// `string` or `integer`.
    pub kind: &'static str,
    /// What it shows.
    pub description: &'static str,
    /// The cell of an object.
    pub cell: fn(&Object) -> Value,
}

/// A field that selectors know.
#[derive(Debug)]
pub struct Selectable {
    /// Its path as selectors write it.
    pub path: &'static str,
    /// Its value in an object.
    pub value: fn(&Object) -> String,
}

/// The code that is particular to a kind. Everything else is the same for all.
#[derive(Debug)]
pub struct Strategy {
    /// What a name may look like.
    pub name: NameCheck,
    /// Fills in what was left out. Runs after decoding and after each mutation.
    pub default: fn(&mut Object),
    /// Resets what a creator may not set.
    pub prepare_create: fn(&mut Object),
    /// Resets in the new object what an updater may not change of the old one.
    pub prepare_update: fn(new: &mut Object, old: &Object),
    /// The rules of the kind.
    pub validate: fn(&Object) -> Vec<FieldError>,
    /// The rules of a change: new, old. [`Strategy::validate`] is checked as well.
    pub validate_update: fn(new: &Object, old: &Object) -> Vec<FieldError>,
    /// Marks an object whose deletion begins, beside its deletionTimestamp.
    pub prepare_delete: fn(&mut Object),
    /// Whether something besides `metadata.finalizers` keeps a deleted object for now.
    pub is_held: fn(&Object) -> bool,
}

impl Strategy {
    /// A strategy for kinds with nothing particular.
    pub const PLAIN: Self = Self {
        name: crate::names::dns_subdomain,
        default: |_| {},
        prepare_create: |_| {},
        prepare_update: |_, _| {},
        validate: |_| Vec::new(),
        validate_update: |_, _| Vec::new(),
        prepare_delete: |_| {},
        is_held: |_| false,
    };
}

impl Resource {
    /// The row of `group`/`plural`.
    pub fn find(group: &str, plural: &str) -> Option<&'static Self> {
        RESOURCES.iter().find(|row| row.group == group && row.plural == plural).copied()
    }

    /// `v1`, or `apps/v1` in a named group.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// As texts about its objects name it.
    pub fn group_resource(&self) -> GroupResource<'static> {
        GroupResource { group: self.group, resource: self.plural }
    }

    /// As texts about its kind name it.
    pub fn group_kind(&self) -> GroupResource<'static> {
        GroupResource { group: self.group, resource: self.kind }
    }

    /// The key of one of its objects.
    pub fn key(&self, namespace: &str, name: &str) -> Key {
        Key::object(self.group, self.plural, namespace, name)
    }

    /// What the keys of its objects begin with, in one namespace or (empty) in all.
    pub fn prefix(&self, namespace: &str) -> String {
        collection_prefix(self.group, self.plural, namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_their_names_unique() {
        let names: Vec<_> = RESOURCES.iter().map(|row| (row.group, row.plural)).collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
        for row in RESOURCES {
            assert_eq!(Resource::find(row.group, row.plural).map(|found| found.kind), Some(row.kind));
            assert_eq!(row.schema.name, row.kind);
        }
    }
}
