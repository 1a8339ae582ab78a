//! The resources that CustomResourceDefinitions make, as a State tells them: no task follows the log, so what a State
//! holds is what is served from it.
//!
//! Names are given in the write that makes or changes a definition, so a definition that was answered is served. The
//! sweep of the leader deletes the objects of a definition that is going, then lets it go.

use std::sync::Arc;

use api::custom::{self, definition, naming};
use api::deletion::{FOREGROUND, ORPHAN};
use api::field_error::quoted;
use api::kinds::custom_resource_definition::{CLEANUP_FINALIZER, RESOURCE};
use api::kinds::namespace;
use api::{Object, Resource, Status, names, time};
use base::env;
use parking_lot::Mutex;
use state::{Guard, State, Write};

use crate::chain::admission::Attempt;
use crate::namespaces::{Step, empty};
use crate::openapi::WithDefinitions;
use crate::request::ResourcePath;
use crate::verbs::write::put;

/// What the definitions of one State make.
#[derive(Debug, Default)]
pub struct Definitions {
    /// The revision of the last change of any definition.
    revision: u64,
    /// A row for each version, served or not, sorted by group, version and name.
    rows: Vec<Arc<Resource>>,
    /// Their documents, made when somebody asks.
    pub(crate) openapi: WithDefinitions,
}

impl Definitions {
    /// Those of a State.
    pub fn of(state: &State) -> Self {
        let prefix = RESOURCE.prefix("");
        let rows = state.range(&prefix).filter_map(|found| {
            Some((Object::read(&found.bytes.to_bytes(), &RESOURCE).ok()?, found.revision))
        });
        let mut rows: Vec<_> =
            rows.flat_map(|(definition, revision)| custom::rows(&definition, revision)).collect();
        rows.sort_by(|one, other| place(one).cmp(&place(other)));
        Self { revision: state.last_written(&prefix), rows, openapi: WithDefinitions::default() }
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

    /// The row whose objects' keys begin with this, in the form in which they are stored.
    pub fn stored_row(&self, collection: &str) -> Option<Arc<Resource>> {
        let is_it = |row: &&Arc<Resource>| {
            row.custom.as_ref().is_some_and(|custom| custom.is_stored) && row.prefix("") == collection
        };
        self.rows.iter().find(is_it).cloned()
    }
}

fn place(row: &Resource) -> (&str, &str, &str) {
    (&row.group, &row.version, &row.plural)
}

/// The definitions of the newest State that was asked about: they are read again when one of them changed.
#[derive(Debug, Default)]
pub struct Registry(Mutex<Arc<Definitions>>);

impl Registry {
    /// The definitions of a State.
    pub fn at(&self, state: &State) -> Arc<Definitions> {
        let mut known = self.0.lock();
        if known.revision != state.last_written(&RESOURCE.prefix("")) {
            *known = Arc::new(Definitions::of(state));
        }
        Arc::clone(&known)
    }

    /// The row that a path names in a State, if it is served there. What hangs below objects of a definition is looked
    /// for in the objects.
    pub fn row(&self, path: &ResourcePath, state: &State) -> Option<Arc<Resource>> {
        let row = path.builtin().or_else(|| {
            let wanted = (path.group.as_str(), path.version.as_str(), path.resource.as_str());
            self.at(state).served().find(|row| place(row) == wanted).cloned()
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
    Guard::Unwritten { prefix: RESOURCE.prefix(""), since: state.revision() }
}

fn all(state: &State) -> Result<Vec<Object>, String> {
    let read = |found: &Arc<state::Object>| {
        Object::read(&found.bytes.to_bytes(), &RESOURCE).map_err(|error| error.to_string())
    };
    state.range(&RESOURCE.prefix("")).map(read).collect()
}

/// The names of the definitions that need a step: they are going, or their names may be free by now.
pub(crate) fn waiting(state: &State) -> Vec<String> {
    let all = state.range(&RESOURCE.prefix(""));
    let waits = |found: &&Arc<state::Object>| {
        let is_refused = |object: Object| !naming::is_true(&object, "NamesAccepted");
        found.meta.deleting || Object::read(&found.bytes.to_bytes(), &RESOURCE).is_ok_and(is_refused)
    };
    all.filter(waits).map(|found| found.key.name().to_owned()).collect()
}

/// The next step for the definition `name`, when there is one to take now.
pub(crate) fn plan(state: &State, definitions: &Definitions, name: &str, now_ms: u64) -> Option<Step> {
    let found = state.get(RESOURCE.key("", name).as_str())?;
    let definition = Object::read(&found.bytes.to_bytes(), &RESOURCE).ok()?;
    let at_revision = Guard::AtRevision { key: found.key.clone(), revision: found.revision };
    if !found.meta.deleting {
        let mut settled = definition.clone();
        naming::settle(&mut settled, &all(state).ok()?, &time::rfc3339(now_ms));
        return (settled != definition).then(|| Step {
            guards: vec![at_revision, unwritten(state)],
            writes: vec![put(found.key.clone(), &settled.prepare(&RESOURCE))],
        });
    }
    if !definition.meta.finalizers.iter().any(|name| name == CLEANUP_FINALIZER) {
        return None;
    }
    let row =
        definitions.stored().find(|row| row.custom.as_ref().is_some_and(|custom| custom.definition == name));
    let mut guards = vec![at_revision];
    if let Some(row) = row {
        let prefix = row.prefix("");
        if state.count(&prefix) > 0 {
            return empty(state, row, &prefix, now_ms);
        }
        guards.push(Guard::Unwritten { prefix, since: state.revision() });
    }
    let write = finish(definition, found, row.is_some(), now_ms);
    Some(Step { guards, writes: vec![write] })
}

/// Nothing is left of a definition: it goes, unless finalizers of others keep it.
fn finish(mut definition: Object, found: &state::Object, was_established: bool, now_ms: u64) -> Write {
    definition.meta.finalizers.retain(|name| name != CLEANUP_FINALIZER);
    if definition.meta.finalizers.is_empty() {
        return Write::Delete { key: found.key.clone() };
    }
    let (reason, message) = if was_established {
        ("InstanceDeletionCompleted", "removed all instances")
    } else {
        ("NeverEstablished", "resource was never established")
    };
    naming::set_condition(&mut definition, "Terminating", false, reason, message, &time::rfc3339(now_ms));
    put(found.key.clone(), &definition.prepare(&RESOURCE))
}
