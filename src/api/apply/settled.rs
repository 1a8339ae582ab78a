//! Updates by which no field comes to another owner: a manager changes what is its own, as nearly all do who write
//! again. Nothing of the entries changes but when it wrote, and no set of fields has to be built.

use std::cell::LazyCell;
use std::str;

use super::By;
use super::compare::Comparison;
use super::element::Element;
use super::entry::{Entry, FIELDS_TYPE};
use super::managers::{self, Operation, UPDATERS_MAX};
use super::reset::NOBODYS;
use super::set::Set;
use super::update::Found;
use crate::object::Object;
use crate::resource::Resource;
use crate::view::View;

/// Fields that are looked for in the text of each set, from its beginning; for more it is faster to build the sets.
const FIELDS_MAX: usize = 16;

/// The entries of an object that was changed; `given` are those that its client sent. `None`: it takes more to know.
pub(super) fn entries<'o, F: FnOnce() -> Result<Comparison<'o>, String>>(
    row: &Resource,
    old: &Object,
    found: &Found<'o, F>,
    given: &[Entry],
    by: &By<'_>,
) -> Option<Vec<Entry>> {
    let known = &old.meta.managed_fields;
    // Types of others may have changed since the sets were written, and many managers are joined.
    let is_simple = row.custom.is_none()
        && (given.is_empty() || given == known)
        && known.len() <= UPDATERS_MAX
        && known.iter().enumerate().all(|(at, entry)| {
            is_plain(entry, row) && !known[..at].iter().any(|other| is_same(entry, other))
        });
    let is_mine = |entry: &Entry| {
        entry.operation == Operation::Update.word()
            && entry.manager == by.name()
            && entry.subresource == by.subresource
    };
    let mine = known.iter().position(is_mine).filter(|_| is_simple)?;
    let found = LazyCell::force(found).as_ref().ok()?;
    if [&found.modified, &found.added, &found.removed].map(Set::size).iter().sum::<usize>() > FIELDS_MAX {
        return None;
    }
    let (mut is_written, mut is_settled) = (false, true);
    let mut look = |path: &[&Element<'_>]| {
        let is_nobodys = is_nobodys(path);
        is_written |= !is_nobodys;
        is_settled = is_settled
            && known.iter().enumerate().all(|(at, entry)| holds(entry, path) == (at == mine && !is_nobodys));
    };
    found.modified.each(&mut look);
    found.added.each(&mut look);
    // What goes and was nobody's is missed by nobody.
    found.removed.each(&mut |path| is_settled = is_settled && !known.iter().any(|entry| holds(entry, path)));
    let mut entries = known.clone();
    if is_written {
        entries[mine].time = Some(by.now.to_owned());
        managers::sort(&mut entries);
    }
    is_settled.then_some(entries)
}

fn is_plain(entry: &Entry, row: &Resource) -> bool {
    let operations = [Operation::Apply.word(), Operation::Update.word()];
    entry.api_version == row.api_version()
        && entry.fields_type == FIELDS_TYPE
        && operations.contains(&&*entry.operation)
        && entry.fields.as_deref().is_some_and(|fields| fields != "{}")
}

/// Whether two entries of one version are of one manager.
fn is_same(one: &Entry, other: &Entry) -> bool {
    (&one.manager, &one.operation, &one.subresource) == (&other.manager, &other.operation, &other.subresource)
}

fn is_nobodys(path: &[&Element<'_>]) -> bool {
    let is_it = |names: &&&[&str]| {
        names.len() == path.len()
            && names.iter().zip(path).all(|(name, element)| **element == Element::field(name))
    };
    NOBODYS.iter().any(|names| is_it(&names))
}

/// Whether a field is a member of an entry's set.
fn holds(entry: &Entry, path: &[&Element<'_>]) -> bool {
    let mut name = Vec::new();
    let mut at = View::new(entry.fields.as_deref().unwrap_or_default().as_bytes());
    for element in path {
        name.clear();
        element.write(&mut name);
        at = at.get(str::from_utf8(&name[1..name.len() - 1]).unwrap_or_default());
    }
    at.bytes() == b"{}" || at.get(".").is_there()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::update::{differing, stored, tracked, update};
    use super::*;
    use crate::resource::RESOURCES;

    fn by(manager: &str) -> By<'_> {
        By { manager, subresource: "", now: "2026-02-02T00:00:00Z" }
    }

    #[test]
    fn only_what_is_ones_own_already_is_settled() {
        let row = RESOURCES.iter().find(|row| row.kind == "ConfigMap").expect("a row");
        let object = |data: Value| {
            let tree =
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n"}, "data": data});
            Object::from_tree(tree, row).expect("an object").0
        };
        let mut old = object(json!({"a": "1", "b": "1"}));
        update(row, None, &mut old, &By { now: "2026-01-01T00:00:00Z", ..by("one") });
        let entries = |old: &Object, new: &Object, given: &[Entry], by: &By<'_>| {
            let metas = [old, new].map(|object| tracked(&object.meta));
            let [before, after] = [(old, 0), (new, 1)].map(|(object, at)| stored(&object.fields, &metas[at]));
            entries(row, old, &LazyCell::new(|| differing(row, before, after, by)), given, by)
        };
        let settled = |data: Value, manager: &str| entries(&old, &object(data), &[], &by(manager));
        let same = settled(json!({"a": "1", "b": "1"}), "one").expect("settled");
        assert_eq!(same, old.meta.managed_fields);
        let written = settled(json!({"a": "2", "b": "1"}), "one").expect("settled");
        assert_eq!(written[0].time.as_deref(), Some("2026-02-02T00:00:00Z"));
        assert!(written.len() == 1 && written[0].is_as_of(&same[0]));
        for (data, manager) in [
            (json!({"a": "2", "b": "1"}), "other"),
            (json!({"a": "1", "b": "1", "c": "1"}), "one"),
            (json!({"a": "1"}), "one"),
        ] {
            assert_eq!(settled(data.clone(), manager), None, "{data} by {manager}");
        }
        let many = |value: &str| (0..=FIELDS_MAX).map(|at| (format!("k{at}"), value.into())).collect();
        let mut large = object(Value::Object(many("1")));
        update(row, None, &mut large, &by("one"));
        assert_eq!(entries(&large, &object(Value::Object(many("2"))), &[], &by("one")), None, "too many");
        let mut wider = old.clone();
        wider.fields["data"]["c"] = "1".into();
        let less = object(json!({"a": "1", "b": "1"}));
        assert_eq!(entries(&wider, &less, &[], &by("one")).as_ref(), Some(&same), "nobody's is gone");
        let mut shared = old.clone();
        shared
            .meta
            .managed_fields
            .push(Entry { manager: "other".to_owned(), ..old.meta.managed_fields[0].clone() });
        let new = object(json!({"a": "2", "b": "1"}));
        assert_eq!(entries(&shared, &new, &[], &by("one")), None, "the other loses it");
        assert_eq!(entries(&old, &new, &[Entry::default()], &by("one")), None, "the client says who owns");
    }
}
