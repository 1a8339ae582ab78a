//! What holds for the owners of fields, whoever writes what.

#![allow(dead_code, reason = "each user runs some of these")]

use std::sync::Arc;

use api::apply::{self, By, Set};
use api::codec::{self, FieldValidation};
use api::{Object, RESOURCES, Resource};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::schemas;
use super::shapes::{Dice, blend, object};

/// How many writes one object gets at most.
const WRITES_MAX: u32 = 12;

/// Members of metadata that a client may own.
const OWNED: &[&str] = &["annotations", "finalizers", "labels", "ownerReferences"];

/// Two sets of fields, a line each, as objects hold them. Each is refused or reads back, and what is made of both
/// holds of each what it should.
pub fn check_sets(bytes: &[u8]) {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let mut line = || lines.next().and_then(|line| serde_json::from_slice::<&RawValue>(line).ok());
    let (Some(a), Some(b)) = (line(), line()) else { return };
    let (Ok(a), Ok(b)) = (apply::read(a.get()), apply::read(b.get())) else { return };
    for (a, b) in [(&a, &b), (&b, &a), (&a, &a)] {
        check_set(a);
        let (both, either, rest) = (a.intersection(b), a.union(b), a.difference(b));
        for set in [&both, &either, &rest] {
            check_set(set);
        }
        assert_eq!(either, b.union(a), "in any order");
        assert_eq!(both, b.intersection(a), "in any order");
        assert_eq!(either.size() + both.size(), a.size() + b.size());
        assert_eq!(rest.union(&both), *a, "what is not in the other and what is are all");
        assert!(rest.intersection(b).is_empty());
        assert_eq!(rest.union(b), either);
        let mut removed = a.clone();
        removed.remove(b);
        assert_eq!(removed, rest, "in place");
        assert!(a.recursive_difference(b).difference(&rest).is_empty(), "what is below goes as well");
    }
}

/// A set is well-formed, knows its members, and reads back.
fn check_set(set: &Set<'_>) {
    let mut members = 0;
    set.each(&mut |path| {
        members += 1;
        let path: Vec<_> = path.iter().map(|element| (*element).clone()).collect();
        assert!(set.has(&path), "{path:?}");
    });
    assert_eq!(members, set.size());
    let text = apply::write(set);
    let again = apply::read(&text).expect("what is written can be read");
    assert_eq!(again, *set);
    assert_eq!(apply::write(&again), text);
}

/// Fields of kinds of which some follow from others whenever they are read: not all stays as it was applied.
const ENTANGLED: &[(&str, &str)] = &[("Node", "spec"), ("Pod", "status")];

/// An object that managers write in turns: of which kind, by whom and what, the bytes decide.
pub fn check_apply(bytes: &[u8]) {
    let mut dice = Dice::of_bytes(bytes);
    let (row, props) = row(&mut dice);
    let mut live = None;
    for turn in 0..WRITES_MAX {
        if dice.is_used_up() {
            break;
        }
        let manager = dice.one_of(&["a", "b", "kubectl"]);
        let subresource = if dice.chance(8) { "status" } else { "" };
        let now = format!("2026-01-01T00:00:{turn:02}Z");
        let write = Write { row: &row, live: live.as_ref(), by: By { manager, subresource, now: &now } };
        let is_applied = !dice.chance(3);
        let force = dice.chance(2);
        let wanted = wanted(&row, props.as_ref(), live.as_ref(), &mut dice);
        let written = if is_applied { write.apply(&wanted, force) } else { write.update(&wanted) };
        live = written.or(live);
    }
}

/// A resource, and its schema when a definition made it.
fn row(dice: &mut Dice) -> (Arc<Resource>, Option<Value>) {
    if dice.chance(3) {
        let props = schemas::schema(dice, 0);
        return (schemas::row(&props), Some(props));
    }
    (Arc::clone(&RESOURCES[dice.below(RESOURCES.len() as u64) as usize]), None)
}

/// What somebody wants: something new, or that with what is there.
fn wanted(row: &Resource, props: Option<&Value>, live: Option<&Object>, dice: &mut Dice) -> Value {
    let mut tree = match props.map(|props| schemas::instance(props, dice, 0)) {
        Some(Value::Object(fields)) => fields,
        Some(_) => Map::new(),
        None => object(&row.schema, dice, 0),
    };
    if let (Some(live), false) = (live, dice.chance(3))
        && let Value::Object(live) = shown(live, row)
    {
        tree = blend(&live, &tree, dice, &row.schema);
    }
    let mut meta = match tree.get_mut("metadata").map(Value::take) {
        Some(Value::Object(meta)) => meta,
        _ => Map::new(),
    };
    meta.retain(|name, _| OWNED.contains(&name.as_str()));
    meta.insert("name".into(), "n".into());
    tree.retain(|name, _| !ENTANGLED.contains(&(row.kind.as_str(), name.as_str())));
    tree.insert("metadata".into(), meta.into());
    tree.insert("apiVersion".into(), row.api_version().into());
    tree.insert("kind".into(), row.kind.clone().into());
    tree.into()
}

/// One write of an object that is there or not.
struct Write<'w> {
    row: &'w Resource,
    live: Option<&'w Object>,
    by: By<'w>,
}

impl Write<'_> {
    /// What is applied can be applied again, which changes nothing; nothing is in the way of force. Of what loses all
    /// of its members or items null is left, as in Kubernetes, and applied again it is empty.
    fn apply(&self, wanted: &Value, force: bool) -> Option<Object> {
        let made = self.applied(wanted, force)?;
        check_owners(&made);
        if made.meta.managed_fields.is_empty() {
            // Nothing was applied but a name. What is there now is somebody's only when something is applied to it.
            return Some(made);
        }
        let by = By { now: "2026-02-01T00:00:00Z", ..self.by };
        let later = Write { live: Some(&made), by, ..*self };
        let Some(again) = later.applied(wanted, false) else {
            // What holds nothing is gone when it is all that is left: applied again it is new, and may be another's.
            assert!(holds_nothing(wanted), "what was applied is there, and its manager's");
            return Some(made);
        };
        if !holds_nothing(wanted) {
            assert_same(&again, &made, self.row);
        }
        let later = Write { live: Some(&again), by, ..*self };
        let settled = later.applied(wanted, false).expect("what was applied twice is there");
        assert_same(&settled, &again, self.row);
        Some(made)
    }

    /// `None`: it is refused.
    fn applied(&self, wanted: &Value, force: bool) -> Option<Object> {
        let mut live = self.live.map_or(Value::Null, |live| shown(live, self.row));
        if let Some(meta) = live.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.shift_remove("managedFields");
        }
        let known = self.live.map_or(&[][..], |live| &live.meta.managed_fields);
        let applied = apply::apply(self.row, &live, known, wanted, &self.by, force);
        let applied =
            applied.inspect_err(|refused| assert!(!force || refused.code != 409, "{refused:?}")).ok()?;
        let mut made = conformed(self.row, applied.object)?;
        made.meta.managed_fields = applied.managed_fields;
        Some(made)
    }

    /// What is written again is nobody else's by that.
    fn update(&self, wanted: &Value) -> Option<Object> {
        let mut made = conformed(self.row, wanted.clone())?;
        apply::update(self.row, self.live, &mut made, &self.by);
        check_owners(&made);
        let mut again = made.clone();
        let by = By { manager: "another", ..self.by };
        apply::update(self.row, Some(&made), &mut again, &by);
        assert_same(&again, &made, self.row);
        Some(made)
    }
}

/// As it would be stored; `None` when it is of no use.
fn conformed(row: &Resource, tree: Value) -> Option<Object> {
    let (mut object, _) = codec::from_tree(tree, Vec::new(), row, FieldValidation::Ignore).ok()?;
    object.default(row);
    object.meta.creation_timestamp = "2026-01-01T00:00:00Z".into();
    Object::read(&object.bytes(row), row).ok()
}

fn shown(object: &Object, row: &Resource) -> Value {
    serde_json::from_slice(&object.bytes(row)).expect("JSON")
}

/// No manager is there twice, and each owns something that can be read.
fn check_owners(object: &Object) {
    let owners = &object.meta.managed_fields;
    for (at, entry) in owners.iter().enumerate() {
        let fields = entry.fields.as_ref().expect("owners own something");
        let set = apply::read(fields).expect("sets can be read");
        assert!(!set.is_empty(), "{entry:?}");
        let name = |entry: &apply::Entry| {
            [&entry.manager, &entry.operation, &entry.api_version, &entry.subresource].map(String::clone)
        };
        assert!(owners[..at].iter().all(|other| name(other) != name(entry)), "{owners:?}");
    }
}

/// Whether there is null in it, or something empty.
fn holds_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty() || items.iter().any(holds_nothing),
        Value::Object(map) => map.is_empty() || map.values().any(holds_nothing),
        _ => false,
    }
}

/// The same object with the same owners, whenever they wrote.
fn assert_same(one: &Object, other: &Object, row: &Resource) {
    let bare = |object: &Object| {
        let mut object = object.clone();
        object.meta.managed_fields.iter_mut().for_each(|entry| entry.time = None);
        shown(&object, row)
    };
    let (one, other) = (bare(one), bare(other));
    assert!(one == other, "{}\n{}", json!(one), json!(other));
}
