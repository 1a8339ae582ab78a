//! What a create, a PUT or a patch does to the owners of an object's fields.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::By;
use super::compare::{self, Comparison};
use super::entry::{Entry, FIELDS_TYPE};
use super::first;
use super::managers::{self, Operation, Owner, Owners};
use super::reset::{self, NOBODYS};
use super::set::Set;
use super::shape;
use super::typed::Members;
use crate::meta::ObjectMeta;
use crate::object::Object;
use crate::resource::Resource;

/// Sets `metadata.managedFields` of an object that was changed, or created when there is no old one. What differs is
/// the manager's from now on.
pub fn update(row: &Resource, old: Option<&Object>, new: &mut Object, by: &By<'_>) {
    let given = std::mem::take(&mut new.meta.managed_fields);
    let known = old.map_or(&[][..], |old| &old.meta.managed_fields);
    let meta = tracked(&new.meta);
    let new_members = Members { map: Some(&new.fields), meta: Some(&meta), is_stored: true };
    let old_meta = old.map_or_else(|| json!({}), |old| tracked(&old.meta));
    let nothing = Map::new();
    let old_fields = old.map_or(&nothing, |old| &old.fields);
    let old_members = Members { map: Some(old_fields), meta: Some(&old_meta), is_stored: true };
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
        return;
    }
    if owners.is_empty() && by.subresource.is_empty() {
        let filter = reset::filter(row, "");
        let written = first::write(old_members, new_members, &row.schema, filter).unwrap_or_default();
        new.meta.managed_fields = by.first(row, written).into_iter().collect();
        return;
    }
    let entries = match compare::objects(old_members, new_members, &row.schema) {
        Ok(found) => {
            advance(row, &mut owners, found, by);
            managers::entries(owners)
        }
        Err(_) => known.to_vec(),
    };
    new.meta.managed_fields = entries;
}

/// The metadata that managers may own.
fn tracked(meta: &ObjectMeta) -> Value {
    let mut map = Map::new();
    let mut add = |name: &str, value: Value, is_there: bool| {
        if is_there {
            map.insert(name.to_owned(), value);
        }
    };
    add("generateName", meta.generate_name.as_str().into(), !meta.generate_name.is_empty());
    let deletion = meta.deletion_timestamp.as_deref();
    add("deletionTimestamp", deletion.unwrap_or_default().into(), deletion.is_some());
    let grace = meta.deletion_grace_period_seconds;
    add("deletionGracePeriodSeconds", grace.unwrap_or_default().into(), grace.is_some());
    for (name, texts) in [("labels", &meta.labels), ("annotations", &meta.annotations)] {
        if !texts.is_empty() {
            let members = texts.iter().map(|(key, text)| (key.clone(), Value::from(text.as_str())));
            add(name, members.collect::<Map<_, _>>().into(), true);
        }
    }
    add("ownerReferences", meta.owner_references.clone().into(), !meta.owner_references.is_empty());
    add("finalizers", meta.finalizers.clone().into(), !meta.finalizers.is_empty());
    Value::Object(map)
}

/// Moves what differs to the manager, and joins managers when they become too many.
pub(super) fn advance<'a>(row: &Resource, owners: &mut Owners<'a>, found: Comparison<'a>, by: &By<'a>) {
    for owner in owners.iter_mut() {
        shape::reconcile(&mut owner.set, &row.schema);
    }
    forget_unknown_versions(row, owners);
    let filter = reset::filter(row, by.subresource);
    let found = found.each(|set| filter.of(set));
    let changed = found.modified.union(&found.added);
    for owner in owners.iter_mut() {
        owner.set.remove(&changed);
        owner.set.remove(&found.removed);
    }
    owners.retain(|owner| !owner.set.is_empty());
    let mut set = changed;
    set.remove(&Set::of_paths(NOBODYS));
    if !set.is_empty() {
        own(owners, by.owner(row, Operation::Update, set));
    }
    managers::cap(owners);
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

/// Owners by a version that is not served own nothing.
pub(super) fn forget_unknown_versions(row: &Resource, owners: &mut Owners<'_>) {
    let here = row.api_version();
    owners.retain(|owner| {
        owner.api_version == here || {
            let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &*owner.api_version));
            Resource::find(group, version, &row.plural).is_some_and(|other| other.kind == row.kind)
        }
    });
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
    fn name(&self) -> &'a str {
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
