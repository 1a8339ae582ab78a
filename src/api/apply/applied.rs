//! Applies an object that somebody wants to what is there.
//!
//! # Flow
//! Merge, take away what the manager applied before and no longer does (unless others own it), and see whose fields
//! change by that. What the manager applied is its own from then on.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::By;
use super::compare;
use super::conflict::{self, Conflict};
use super::element::same;
use super::entry::Entry;
use super::last_applied;
use super::managers::{self, Operation, Owner, Owners};
use super::reset::{self, NOBODYS};
use super::set::Set;
use super::typed::Members;
use super::update::{advance, forget_unknown_versions};
use super::{check, fields, merge, remove, shape};
use crate::resource::Resource;
use crate::status::Status;

/// Who owns fields of an object that nobody tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// What came of an apply.
#[derive(Debug, PartialEq)]
pub struct Applied {
    /// The object, as it was given and found: not yet brought into the form of its type.
    pub object: Value,
    /// Who owns its fields.
    pub managed_fields: Vec<Entry>,
}

/// Applies `wanted` to the object `live`, which has no managedFields, those being `known`. Null: there is none yet.
///
/// # Errors
/// 400 for what is no such object, 409 for conflicts, 500 for what does not fit its type.
pub fn apply(
    row: &Resource,
    live: &Value,
    known: &[Entry],
    wanted: &Value,
    by: &By<'_>,
    force: bool,
) -> Result<Applied, Status> {
    expect_kind(row, wanted)?;
    if wanted.pointer("/metadata/managedFields").is_some_and(|given| !given.is_null()) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    if let Some(why) = check::object(wanted, &row.schema) {
        let object = describe(row, wanted);
        return Err(failed(format!("failed to create typed patch object ({object}): {why}")));
    }
    let before = By { manager: BEFORE_FIRST_APPLY, ..*by };
    let mut owners =
        managers::owners(known).map_err(|why| failed(format!("failed to decode managed fields: {why}")))?;
    if owners.is_empty() && !live.is_null() {
        let nothing = Members { map: Some(&NOTHING), meta: None, is_stored: true };
        let found = compare::objects(nothing, Members::of(Some(live), true), &row.schema).map_err(failed)?;
        advance(row, &mut owners, found, &before);
    }
    let attempt = Attempt { row, live, wanted, by };
    let mut tried = attempt.merge(owners.clone(), force);
    if let Err(Failure::Conflicts(conflicts)) = &mut tried {
        last_applied::allow(row, live, conflicts, by);
        if conflicts.is_empty() {
            tried = attempt.merge(owners, true);
        }
    }
    let mut merged = tried.map_err(|failure| match failure {
        Failure::Conflicts(conflicts) => conflict::status(conflicts),
        Failure::Other(why) => failed(why),
    })?;
    last_applied::refresh(&mut merged.object, wanted, by);
    Ok(Applied { object: merged.object, managed_fields: managers::entries(merged.owners) })
}

static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

/// A failure that Kubernetes gives no reason for.
fn failed(message: String) -> Status {
    Status { code: 500, reason: None, message, details: None, continue_token: None }
}

fn expect_kind(row: &Resource, wanted: &Value) -> Result<(), Status> {
    let text = |name: &str| wanted.get(name).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    if (version, kind) == (&*row.api_version(), &*row.kind) {
        return Ok(());
    }
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    Err(Status::bad_request(format!("invalid object type: {group}/{version}, Kind={kind}")))
}

/// `default/web; apps/v1, Kind=Deployment`.
fn describe(row: &Resource, object: &Value) -> String {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    format!("{namespace}/{name}; {}/{}, Kind={}", row.group, row.version, row.kind)
}

/// One try: with the same object and owners it may be made again by force.
struct Attempt<'a> {
    row: &'a Resource,
    live: &'a Value,
    wanted: &'a Value,
    by: &'a By<'a>,
}

enum Failure<'a> {
    Conflicts(Vec<Conflict<'a>>),
    Other(String),
}

struct Merged<'a> {
    object: Value,
    owners: Owners<'a>,
}

impl<'a> Attempt<'a> {
    fn merge(&self, mut owners: Owners<'a>, force: bool) -> Result<Merged<'a>, Failure<'a>> {
        let (row, schema) = (self.row, &*self.row.schema);
        for owner in &mut owners {
            shape::reconcile(&mut owner.set, schema);
        }
        forget_unknown_versions(row, &mut owners);
        let filter = reset::filter(row, self.by.subresource);
        let mut object = merge::objects(self.live, self.wanted, schema);
        let set = filter.of(fields::of(self.wanted, schema));
        let mut mine = self.by.owner(row, Operation::Apply, set);
        let last = match owners.iter().position(|owner| owner.is_same(&mine)) {
            Some(at) => {
                let last = owners.remove(at);
                mine.time = last.time;
                // Of another version its paths would say something else.
                if last.api_version == mine.api_version { last.set } else { Set::EMPTY }
            }
            None => {
                mine.time = None;
                Set::EMPTY
            }
        };
        if !last.difference(&mine.set).is_empty() {
            object = self.prune(&object, &last, &mine, &owners);
        }
        if !same(self.live, &object) {
            mine.time = Some(self.by.now.into());
        }
        let members = |object| Members::of(Some(object), false);
        let found = compare::objects(members(self.live), members(&object), schema).map_err(Failure::Other)?;
        let found = found.each(|set| filter.of(set));
        let changed = found.modified.union(&found.added);
        if !force {
            let conflicts = owners.iter().map(|owner| (owner, owner.set.intersection(&changed)));
            let conflicts: Vec<_> = conflicts
                .filter(|(_, fields)| !fields.is_empty())
                .map(|(owner, fields)| Conflict::of(owner, fields))
                .collect();
            if !conflicts.is_empty() {
                return Err(Failure::Conflicts(conflicts));
            }
        }
        for owner in &mut owners {
            owner.set.remove(&changed);
            owner.set.remove(&found.removed);
        }
        mine.set.remove(&Set::of_paths(NOBODYS));
        owners.push(mine);
        owners.retain(|owner| !owner.set.is_empty());
        Ok(Merged { object, owners })
    }

    /// Takes away what the manager applied before (`last`) and does not any more, unless somebody owns it.
    fn prune(&self, merged: &Value, last: &Set<'_>, mine: &Owner<'_>, others: &[Owner<'_>]) -> Value {
        let schema = &*self.row.schema;
        let without = |fields: &Set<'_>| remove::objects(merged, fields, schema);
        let version = self.row.api_version();
        let here = others.iter().filter(|owner| owner.api_version == version);
        let owned = here.fold(mine.set.clone(), |all, owner| all.union(&owner.set));
        let (all, last) =
            (shape::with_named(&fields::of(merged, schema), schema), shape::with_named(last, schema));
        let bare = without(&last);
        // What is owned comes back, with what holds it.
        let held = shape::with_named(&fields::of(&bare, schema), schema);
        let pruned = without(&all.difference(&held.union(&shape::with_named(&owned, schema))));
        // And what the manager never applied stays, though it stood in what went.
        let gone = all.difference(&shape::with_named(&fields::of(&pruned, schema), schema));
        without(&gone.intersection(&last))
    }
}
