//! What a create, a PUT or a patch does to the owners of an object's fields.

use std::borrow::Cow;
use std::cell::LazyCell;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::By;
use super::check;
use super::compare::{self, Comparison};
use super::entry::{Entry, FIELDS_TYPE};
use super::first;
use super::managers::{self, Operation, Owner, Owners};
use super::reset::{self, NOBODYS};
use super::set::Set;
use super::settled;
use super::shape;
use super::typed::Members;
use super::versions::{self, Changes, Seen};
use crate::meta::ObjectMeta;
use crate::object::Object;
use crate::resource::Resource;

/// Sets `metadata.managedFields` of an object that was changed, or created when there is no old one. What differs is
/// the manager's from now on.
pub fn update(row: &Resource, old: Option<&Object>, new: &mut Object, by: &By<'_>) {
    let given = std::mem::take(&mut new.meta.managed_fields);
    new.meta.managed_fields = entries(row, old, new, given, by);
}

fn entries(row: &Resource, old: Option<&Object>, new: &Object, given: Vec<Entry>, by: &By<'_>) -> Vec<Entry> {
    let new_meta = tracked(&new.meta);
    let old_meta = old.map_or_else(|| json!({}), |old| tracked(&old.meta));
    let nothing = Map::new();
    let old_fields = old.map_or(&nothing, |old| &old.fields);
    let (old_members, new_members) = (stored(old_fields, &old_meta), stored(&new.fields, &new_meta));
    let found = LazyCell::new(|| differing(row, old_members, new_members, by));
    let settled = old.and_then(|old| settled::entries(row, old, &found, &given, by));
    match settled {
        Some(settled) if !cfg!(debug_assertions) => settled,
        settled => {
            let tracked = track(row, (old, new), (old_members, new_members), found, given, by);
            if let Some(settled) = settled {
                assert_eq!(settled, tracked, "no field came to another owner");
            }
            tracked
        }
    }
}

/// What [`differing`] finds, when somebody asks.
pub(super) type Found<'o, F> = LazyCell<Result<Comparison<'o>, String>, F>;

/// The entries, by the sets of all owners.
fn track<'o, F: FnOnce() -> Result<Comparison<'o>, String>>(
    row: &'o Resource,
    (old, new): (Option<&Object>, &Object),
    (old_members, new_members): (Members<'o>, Members<'o>),
    found: Found<'o, F>,
    given: Vec<Entry>,
    by: &By<'_>,
) -> Vec<Entry> {
    let known = old.map_or(&[][..], |old| &old.meta.managed_fields);
    let is_stated = by.subresource.is_empty();
    let is_reset = is_stated && given.len() == 1 && given[0] == Entry::default();
    let mut owners = Owners::new();
    if !is_reset {
        // Clients that know nothing of managers send none, or what they cannot read: then it stays as it was.
        let stated = if is_stated { managers::owners(&given).unwrap_or_default() } else { owners };
        owners = if stated.is_empty() { managers::owners(known).unwrap_or_default() } else { stated };
    }
    if owners.is_empty() && old.is_some() {
        // Nobody tracks this object until somebody applies to it.
        return Vec::new();
    }
    if owners.is_empty() && by.subresource.is_empty() {
        let filter = reset::filter(row, "");
        let written = first::write(old_members, new_members, &row.schema, filter).unwrap_or_default();
        return by.first(row, written).into_iter().collect();
    }
    if old.is_some_and(|old| check::stored(&old.fields, row).is_some()) {
        return known.to_vec();
    }
    let others = versions::of_owners(row, &mut owners);
    let seen: Result<Vec<_>, _> = others.into_iter().map(|other| seen_as(row, other, old, new)).collect();
    let advanced = seen.as_deref().map_err(Clone::clone).and_then(|seen| {
        advance(row, &mut owners, (*found).clone()?, seen, by)?;
        Ok(managers::entries(owners))
    });
    advanced.unwrap_or_else(|_| known.to_vec())
}

/// What differs between two objects, of what a write may own.
///
/// # Errors
/// Says which list has an item that cannot be told from others.
pub(super) fn differing<'o>(
    row: &'o Resource,
    old: Members<'o>,
    new: Members<'o>,
    by: &By<'_>,
) -> Result<Comparison<'o>, String> {
    let filter = reset::filter(row, by.subresource);
    let found = compare::objects(old, new, &row.schema)?;
    Ok(found.each(|set| filter.of(set)))
}

/// The members of a stored object, those of its type and its metadata.
pub(super) fn stored<'o>(fields: &'o Map<String, Value>, meta: &'o Value) -> Members<'o> {
    Members { map: Some(fields), meta: Some(meta), is_stored: true }
}

/// Both objects as another version has them.
fn seen_as(row: &Resource, other: Arc<Resource>, old: Option<&Object>, new: &Object) -> Result<Seen, String> {
    let old = old.map_or(Ok(Value::Null), |old| versions::converted(old, row, &other))?;
    let new = versions::converted(new, row, &other)?;
    Ok(Seen::new(other, old, new))
}

/// The metadata that managers may own.
pub(super) fn tracked(meta: &ObjectMeta) -> Value {
    const SYSTEM: &[&str] =
        &["name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp"];
    let mut members = meta.members();
    members.retain(|name, _| !SYSTEM.contains(&&**name));
    members.into()
}

/// Moves what differs, of what it may own, to the manager, and joins managers when they become too many. `seen` is the
/// same in the other versions in which somebody owns fields.
///
/// # Errors
/// Says which list has an item that cannot be told from others.
pub(super) fn advance<'a>(
    row: &Resource,
    owners: &mut Owners<'a>,
    found: Comparison<'a>,
    seen: &[Seen],
    by: &By<'a>,
) -> Result<(), String> {
    reconcile(row, owners);
    let all = [Changes::of(row.api_version(), found)];
    Changes::take(&all, owners);
    let [here] = all;
    let mut set = here.changed;
    for seen in seen {
        Changes::take(&[seen.changes(by.subresource)?], owners);
    }
    set.remove(&Set::of_paths(NOBODYS));
    if !set.is_empty() {
        own(owners, by.owner(row, Operation::Update, set));
    }
    managers::cap(owners);
    Ok(())
}

/// Brings what is owned in this version into the form of its type.
pub(super) fn reconcile(row: &Resource, owners: &mut Owners<'_>) {
    let here = row.api_version();
    for owner in owners.iter_mut().filter(|owner| owner.api_version == here) {
        shape::reconcile(&mut owner.set, &row.schema);
    }
}

/// Gives the fields to their new owner, beside those that it has.
fn own<'a>(owners: &mut Owners<'a>, owner: Owner<'a>) {
    match owners.iter_mut().find(|known| known.is_same(&owner)) {
        Some(known) => {
            known.set = known.set.union(&owner.set);
            known.time = owner.time;
        }
        None => owners.push(owner),
    }
}

impl<'a> By<'a> {
    /// The only entry of an object that is created; none when there are no fields.
    fn first(&self, row: &Resource, fields: String) -> Option<Entry> {
        (!fields.is_empty()).then(|| Entry {
            manager: self.name().to_owned(),
            operation: Operation::Update.word().to_owned(),
            api_version: row.api_version(),
            time: Some(self.now.to_owned()),
            fields_type: FIELDS_TYPE.to_owned(),
            fields: Some(fields),
            subresource: String::new(),
        })
    }

    /// Kubernetes has no manager without a name.
    pub(super) fn name(&self) -> &'a str {
        if self.manager.is_empty() { "unknown" } else { self.manager }
    }

    pub(super) fn owner(&self, row: &Resource, operation: Operation, set: Set<'a>) -> Owner<'a> {
        Owner {
            manager: Cow::Borrowed(self.name()),
            operation,
            api_version: Cow::Owned(row.api_version()),
            subresource: Cow::Borrowed(self.subresource),
            time: Some(Cow::Borrowed(self.now)),
            set,
        }
    }
}
