//! Applies an object that somebody wants to what is there.
//!
//! # Flow
//! Merge, take away what the manager applied before and no longer does (unless others own it), and see whose fields
//! change by that. What the manager applied is its own from then on.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

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
use super::update::{advance, differing, reconcile};
use super::versions::{self, Changes, Seen, Version};
use super::{check, fields, merge, remove, shape};
use crate::resource::Resource;
use crate::schema::Type;
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
        return Err(Status::unexplained(format!("failed to create typed patch object ({object}): {why}")));
    }
    let before = By { manager: BEFORE_FIRST_APPLY, ..*by };
    let mut owners = managers::owners(known)
        .map_err(|why| Status::unexplained(format!("failed to decode managed fields: {why}")))?;
    let misfit = live.as_object().and_then(|fields| check::stored(fields, row));
    if let Some(why) = misfit {
        let object = describe(row, live);
        return Err(Status::unexplained(if owners.is_empty() {
            format!(
                "failed to create manager for existing fields: failed to convert new object ({object}) to smd typed: {why}"
            )
        } else {
            format!("failed to create typed live object ({object}): {why}")
        }));
    }
    if owners.is_empty() && !live.is_null() {
        let nothing = Members { map: Some(&NOTHING), meta: None, is_stored: true };
        let found =
            differing(row, nothing, Members::of(Some(live), true), by).map_err(Status::unexplained)?;
        advance(row, &mut owners, found, &[], &before).map_err(Status::unexplained)?;
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
        Failure::Other(why) => Status::unexplained(why),
    })?;
    last_applied::refresh(&mut merged.object, wanted, by);
    Ok(Applied { object: merged.object, managed_fields: managers::entries(merged.owners) })
}

static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

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
        let others = versions::of_owners(row, &mut owners);
        reconcile(row, &mut owners);
        let filter = reset::filter(row, self.by.subresource);
        let mut object = merge::objects(self.live, self.wanted, schema);
        let set = filter.of(fields::of(self.wanted, schema));
        let mut mine = self.by.owner(row, Operation::Apply, set);
        let last = owners.iter().position(|owner| owner.is_same(&mine)).map(|at| owners.remove(at));
        mine.time = last.as_ref().and_then(|last| last.time.clone());
        if let Some(last) = last.filter(|last| goes(last, &mine)) {
            object = self.prune(&object, &last, &mine, &owners).map_err(Failure::Other)?;
        }
        if !same(self.live, &object) {
            mine.time = Some(self.by.now.into());
        }
        let members = |object| Members::of(Some(object), false);
        let found = compare::objects(members(self.live), members(&object), schema).map_err(Failure::Other)?;
        let seen: Vec<_> = others
            .into_iter()
            .map(|other| self.seen_as(other, &object))
            .collect::<Result<_, _>>()
            .map_err(Failure::Other)?;
        let mut changes = vec![Changes::of(row.api_version(), found.each(|set| filter.of(set)))];
        for seen in &seen {
            changes.push(seen.changes(self.by.subresource).map_err(Failure::Other)?);
        }
        if !force {
            let conflicts: Vec<_> = owners.iter().filter_map(|owner| conflict(owner, &changes)).collect();
            if !conflicts.is_empty() {
                return Err(Failure::Conflicts(conflicts));
            }
        }
        Changes::take(&changes, &mut owners);
        mine.set.remove(&Set::of_paths(NOBODYS));
        owners.push(mine);
        owners.retain(|owner| !owner.set.is_empty());
        Ok(Merged { object, owners })
    }

    /// What was there and what comes of it, as another version has them.
    fn seen_as(&self, other: Arc<Resource>, object: &Value) -> Result<Seen, String> {
        let seen = |tree, which: &str| {
            let seen = versions::in_version(tree, self.row, &other).map(Cow::into_owned);
            seen.map_err(|why| format!("failed to convert {which} object: {why}"))
        };
        let (old, new) = (seen(self.live, "old")?, seen(object, "new")?);
        Ok(Seen::new(other, old, new))
    }

    /// Takes away what the manager applied before (`last`) and does not any more, unless somebody owns it.
    fn prune(
        &self,
        merged: &Value,
        last: &Owner<'_>,
        mine: &Owner<'_>,
        others: &[Owner<'_>],
    ) -> Result<Value, String> {
        let before = Version::of(self.row, &last.api_version)?;
        let applied = versions::in_version(merged, self.row, &before)?;
        let last = shape::with_named(&last.set, &before.schema);
        let mut pruned = remove::objects(&applied, &last, &before.schema);
        for (version, owned) in owned_by_version(before.api_version(), others, mine) {
            let there = Version::of(self.row, &version)?;
            let whole = versions::in_version(&applied, &before, &there)?;
            let bare = versions::in_version(&pruned, &before, &there)?;
            let with_owned = with_owned(&whole, &bare, &owned, &there.schema);
            pruned = versions::in_version(&with_owned, &there, &before)?.into_owned();
        }
        // What the manager never applied stays, though it stood in what went.
        let of = |object| shape::with_named(&fields::of(object, &before.schema), &before.schema);
        let gone = of(&applied).difference(&of(&pruned));
        let pruned = remove::objects(&applied, &gone.intersection(&last), &before.schema);
        Ok(versions::in_version(&pruned, &before, self.row)?.into_owned())
    }
}

/// What an owner has of what changed.
fn conflict<'a>(owner: &Owner<'a>, changes: &[Changes<'_>]) -> Option<Conflict<'a>> {
    let fields = owner.set.intersection(&Changes::in_version(changes, &owner.api_version)?.changed);
    (!fields.is_empty()).then(|| Conflict::of(owner, fields))
}

/// Whether a manager applied fields before that it does not apply any more. Of another version they say something else.
fn goes(last: &Owner<'_>, mine: &Owner<'_>) -> bool {
    last.api_version != mine.api_version || !last.set.difference(&mine.set).is_empty()
}

/// What managers own, by versions: this one first.
fn owned_by_version<'a>(first: String, others: &[Owner<'a>], mine: &Owner<'a>) -> Vec<(String, Set<'a>)> {
    let mut owned = vec![(first, Set::EMPTY)];
    for owner in others.iter().chain([mine]) {
        match owned.iter_mut().find(|(version, _)| *version == owner.api_version) {
            Some((_, set)) => *set = set.union(&owner.set),
            None => owned.push((owner.api_version.clone().into_owned(), owner.set.clone())),
        }
    }
    owned
}

/// The object of which `bare` is left, with what is owned of it and what holds that.
fn with_owned(whole: &Value, bare: &Value, owned: &Set<'_>, schema: &Type) -> Value {
    let of = |object| shape::with_named(&fields::of(object, schema), schema);
    let kept = of(bare).union(&shape::with_named(owned, schema));
    remove::objects(whole, &of(whole).difference(&kept), schema)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::apply::check::tests::row;

    fn by(manager: &str) -> By<'_> {
        By { manager, subresource: "", now: "2026-01-01T00:00:00Z" }
    }

    fn foo(member: &str, value: Value) -> Value {
        json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "x"}, member: value})
    }

    #[test]
    fn metadata_of_an_object_within_goes_as_a_whole() {
        let row = row(&json!({"object": {
            "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true,
        }}));
        let metadata = json!({"name": "a", "labels": {"x": "y"}});
        let with = foo("object", json!({"apiVersion": "v1", "kind": "Thing", "metadata": metadata}));
        let without = foo("object", json!({"apiVersion": "v1", "kind": "Thing"}));
        let first = apply(&row, &Value::Null, &[], &with, &by("m"), false).expect("applied");
        let second = apply(&row, &first.object, &first.managed_fields, &without, &by("m"), false);
        assert_eq!(second.expect("applied").object, without);
    }

    #[test]
    fn an_atomic_map_within_a_map_has_one_owner() {
        let row = row(&json!({"m": {"type": "object", "additionalProperties": {
            "type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"},
        }}}));
        let (one, other) = (foo("m", json!({"k": {"a": "1"}})), foo("m", json!({"k": {"b": "2"}})));
        let first = apply(&row, &Value::Null, &[], &one, &by("one"), false).expect("applied");
        let again = |force| apply(&row, &first.object, &first.managed_fields, &other, &by("other"), force);
        let refused = again(false).expect_err("a conflict");
        assert_eq!(refused.message, "Apply failed with 1 conflict: conflict with \"one\": .m.k");
        let taken = again(true).expect("applied");
        assert_eq!(taken.object, other);
        let managers: Vec<_> = taken.managed_fields.iter().map(|entry| entry.manager.as_str()).collect();
        assert_eq!(managers, ["other"]);
    }

    #[test]
    fn a_list_within_a_list_has_an_owner_for_each_item() {
        let row = row(&json!({"l": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "m": {
                "type": "object", "additionalProperties": {
                    "type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"},
                },
            }}},
        }}));
        let of = |item: &str| foo("l", json!([{"k": "a", "m": {"x": [item]}}]));
        let first = apply(&row, &Value::Null, &[], &of("1"), &by("one"), false).expect("applied");
        let both = apply(&row, &first.object, &first.managed_fields, &of("2"), &by("other"), false);
        let both = both.expect("no conflict");
        assert_eq!(both.object["l"][0]["m"]["x"], json!(["1", "2"]));
        let owned = both.managed_fields.iter().map(|entry| entry.fields.as_deref().unwrap_or_default());
        let item = r#"{"f:l":{"k:{\"k\":\"a\"}":{".":{},"f:k":{},"f:m":{"f:x":{".":{},"v:\"N\"":{}}}}}}"#;
        assert_eq!(owned.collect::<Vec<_>>(), [item.replace('N', "1"), item.replace('N', "2")]);
        let gone = foo("l", json!([{"k": "a", "m": {"x": []}}]));
        let left =
            apply(&row, &both.object, &both.managed_fields, &gone, &by("one"), false).expect("applied");
        assert_eq!(left.object["l"][0]["m"]["x"], json!(["2"]));
    }
}
