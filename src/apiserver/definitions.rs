//! The resources that CustomResourceDefinitions make, as a State tells them: no task follows the log, so what a State
//! holds is what is served from it.
//!
//! Names are given in the write that makes or changes a definition, so a definition that was answered is served. A
//! controller deletes the objects of one that is going, then lets it go.

use std::sync::Arc;

use api::custom::{definition, naming};
use api::deletion::{FOREGROUND, ORPHAN};
use api::field_error::quoted;
use api::kinds::custom_resource_definition::RESOURCE;
use api::kinds::namespace;
use api::{Object, Resource, Status, names, time};
use base::env;
use parking_lot::Mutex;
use projection::definitions::DEFINITIONS;
use state::{Guard, State};

use crate::chain::admission::Attempt;
use crate::openapi::WithDefinitions;
use crate::request::ResourcePath;

/// What the definitions of one State make, and what is told of it.
#[derive(Debug, Default)]
pub struct Definitions {
    /// The revision of the last change of any definition.
    revision: u64,
    made: projection::definitions::Definitions,
    /// Their documents, made when somebody asks.
    pub(crate) openapi: WithDefinitions,
}

impl Definitions {
    /// Those of a State.
    pub fn of(state: &State) -> Self {
        Self {
            revision: state.last_written(DEFINITIONS),
            made: projection::definitions::Definitions::of(state),
            openapi: WithDefinitions::default(),
        }
    }

    /// What is served.
    pub fn served(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.made.served()
    }

    /// The row whose objects' keys begin with this, in the form in which they are stored.
    pub fn stored_row(&self, collection: &str) -> Option<Arc<Resource>> {
        let is_it = |row: &&Arc<Resource>| {
            row.custom.as_ref().is_some_and(|custom| custom.is_stored) && row.prefix("") == collection
        };
        self.made.rows().iter().find(is_it).cloned()
    }
}

/// The definitions of the newest State that was asked about: they are read again when one of them changed.
#[derive(Debug, Default)]
pub struct Registry(Mutex<Arc<Definitions>>);

impl Registry {
    /// The definitions of a State.
    pub fn at(&self, state: &State) -> Arc<Definitions> {
        let mut known = self.0.lock();
        if known.revision != state.last_written(DEFINITIONS) {
            *known = Arc::new(Definitions::of(state));
        }
        Arc::clone(&known)
    }

    /// The row that a path names in a State, if it is served there. What hangs below objects of a definition is looked
    /// for in the objects.
    pub fn row(&self, path: &ResourcePath, state: &State) -> Option<Arc<Resource>> {
        let row = path.builtin().or_else(|| {
            let wanted = (path.group.as_str(), path.version.as_str(), path.resource.as_str());
            let is_it = |row: &&Arc<Resource>| (&*row.group, &*row.version, &*row.plural) == wanted;
            self.at(state).served().find(is_it).cloned()
        })?;
        let is_below = path.subresource.is_empty() || row.subresource(&path.subresource).is_some();
        (is_below || row.custom.is_some()).then_some(row)
    }
}

/// Whether the definition behind a row is in a State as it was when the row was made.
pub fn is_current(row: &Resource, state: &State) -> bool {
    let Some(custom) = &row.custom else { return true };
    let found = state.get(RESOURCE.key("", &custom.definition).as_str());
    found.is_some_and(|found| found.meta.uid == custom.uid && found.meta.generation == custom.generation)
}

/// What a write of an object holds to: the definition is as it was read, and, for a new object, not going.
pub fn guards(row: &Resource, is_create: bool) -> Vec<Guard> {
    let Some(custom) = &row.custom else { return Vec::new() };
    let key = RESOURCE.key("", &custom.definition);
    let live = is_create.then(|| Guard::Live { key: key.clone(), uid: custom.uid.clone() });
    let same = Guard::AtGeneration { key: key.clone(), generation: custom.generation };
    live.into_iter().chain([same]).collect()
}

/// What the creator of a definition, or of an object of one, is warned of.
pub fn warnings(row: &Resource, object: &Object) -> Vec<String> {
    if is_definition(row) {
        return object.fields.get("spec").map(definition::warnings).unwrap_or_default();
    }
    let finalizers = object.meta.finalizers.iter().filter(|_| row.custom.is_some());
    finalizers.flat_map(|name| finalizer_warnings(name)).collect()
}

fn finalizer_warnings(name: &str) -> Vec<String> {
    const STANDARD: &[&str] = &[FOREGROUND, ORPHAN, namespace::CONTENT_FINALIZER];
    let told = |why: &str| format!("metadata.finalizers: {}: {why}", quoted(name));
    let mut warnings: Vec<String> = names::qualified(name).iter().map(|why| told(why)).collect();
    if !name.contains('/') && !STANDARD.contains(&name) {
        let path = if name.contains('.') { " including a path (/)" } else { "" };
        warnings.push(told(&format!(
            "prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
        )));
    }
    warnings
}

/// Gives a definition that is made or changed its names, and establishes it.
///
/// # Errors
/// 500 when a definition that is stored cannot be read.
pub fn settle(attempt: &Attempt<'_>, definition: &mut Object) -> Result<Vec<Guard>, Status> {
    if !is_definition(attempt.resource) {
        return Ok(Vec::new());
    }
    let others = all(attempt.state).map_err(|error| Status::internal(&error))?;
    naming::settle(definition, &others, &time::rfc3339(env::wall_ms()));
    Ok(vec![unwritten(attempt.state)])
}

fn is_definition(resource: &Resource) -> bool {
    (&resource.group, &resource.kind) == (&RESOURCE.group, &RESOURCE.kind)
}

fn unwritten(state: &State) -> Guard {
    Guard::Unwritten { prefix: DEFINITIONS.to_owned(), since: state.revision() }
}

fn all(state: &State) -> Result<Vec<Object>, String> {
    let read = |found: &Arc<state::Object>| {
        Object::read(&found.bytes.to_bytes(), &RESOURCE).map_err(|error| error.to_string())
    };
    state.range(DEFINITIONS).map(read).collect()
}
