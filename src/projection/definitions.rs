//! The resources that CustomResourceDefinitions make, as a State tells them.

use std::sync::Arc;

use api::kinds::custom_resource_definition::RESOURCE;
use api::{Object, RESOURCES, Resource, custom};
use state::State;

/// What the keys of definitions begin with.
pub const DEFINITIONS: &str = "apiextensions.k8s.io/customresourcedefinitions/";

/// What the definitions of one State make.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    /// A row for each version, served or not, sorted by group, version and name.
    rows: Arc<Vec<Arc<Resource>>>,
}

impl Definitions {
    /// Those of a State. One that cannot be read makes nothing.
    pub fn of(state: &State) -> Self {
        let found = state.range(DEFINITIONS).filter_map(|found| {
            Some((Object::read(&found.bytes.to_bytes(), &RESOURCE).ok()?, found.revision))
        });
        let mut rows: Vec<_> =
            found.flat_map(|(definition, revision)| custom::rows(&definition, revision)).collect();
        rows.sort_by(|one, other| place(one).cmp(&place(other)));
        Self { rows: Arc::new(rows) }
    }

    /// A row for each version, served or not.
    pub fn rows(&self) -> &[Arc<Resource>] {
        &self.rows
    }

    /// What is served.
    pub fn served(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.rows.iter().filter(|row| row.custom.as_ref().is_some_and(|custom| custom.is_served))
    }

    /// A row for each resource, in the form in which its objects are stored.
    pub fn stored(&self) -> impl Iterator<Item = &Resource> {
        let seen = self.rows.iter().filter(|row| row.custom.as_ref().is_some_and(|custom| custom.is_stored));
        seen.map(|row| row.stored())
    }

    /// The row of a kind that is served, built in or defined.
    pub fn kind(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let is_it = |row: &&Arc<Resource>| {
            row.kind == kind && row.group == group && row.version == version && row.is_stored()
        };
        RESOURCES.iter().find(is_it).or_else(|| self.served().find(is_it)).map(|row| &**row)
    }

    /// Every resource that is stored in namespaces.
    pub fn namespaced(&self) -> impl Iterator<Item = &Resource> {
        let builtin =
            RESOURCES.iter().map(|row| &**row).filter(|row| row.is_stored() && row.storage.is_none());
        builtin.chain(self.stored()).filter(|row| row.namespaced)
    }
}

fn place(row: &Resource) -> (&str, &str, &str) {
    (&row.group, &row.version, &row.plural)
}
