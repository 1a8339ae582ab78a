//! An object with what was applied to it.

use serde_json::Value;

use super::element::Element;
use super::typed::{Held, Parts, keyed, scalar};
use crate::schema::Type;

/// `live` with all that `applied` says. Nothing is taken away.
pub(super) fn objects(live: &Value, applied: &Value, schema: &Type) -> Value {
    structure(live, applied, |name| Held::member(schema, name))
}

/// Empty lists and objects, and null, only stay where the other side has nothing more.
fn value(live: &Value, applied: &Value, held: Held<'_>) -> Value {
    let is_nothing = |value: &Value| match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    };
    let parts = held.parts(applied);
    if matches!(parts, Parts::Whole) || (is_nothing(live) && is_nothing(applied)) {
        return applied.clone();
    }
    match parts {
        Parts::Whole => applied.clone(),
        Parts::Fields(of) => structure(live, applied, |name| Held::member(of, name)),
        Parts::Members(of) => structure(live, applied, |_| Held::item(of)),
        Parts::Items(keys, of) => items(live, applied, |item| keyed(item, keys, of).ok(), Held::item(of)),
        Parts::Set => items(live, applied, |item| scalar(item).ok(), Held::SCALAR),
    }
}

fn structure<'s>(live: &Value, applied: &Value, held: impl Fn(&str) -> Held<'s>) -> Value {
    let mut merged = live.as_object().cloned().unwrap_or_default();
    for (name, given) in applied.as_object().into_iter().flatten() {
        let new = match merged.get(name) {
            Some(old) => value(old, given, held(name)),
            None => given.clone(),
        };
        merged.insert(name.clone(), new);
    }
    Value::Object(merged)
}

/// An item of the lists, with what tells it from others.
struct Item<'v> {
    element: Option<Element<'v>>,
    value: &'v Value,
}

/// Merges lists. Applied items come in the order in which they were applied, and each of the others behind the one that
/// it followed.
fn items<'v>(
    live: &'v Value,
    applied: &'v Value,
    element: impl Fn(&'v Value) -> Option<Element<'v>>,
    held: Held<'_>,
) -> Value {
    let read = |list: &'v Value| {
        let items = list.as_array().into_iter().flatten();
        items.map(|value| Item { element: element(value), value }).collect::<Vec<_>>()
    };
    let (live, applied) = (read(live), read(applied));
    let is_in = |items: &[Item<'_>], item: &Item<'_>| items.iter().any(|other| other.element == item.element);
    let mut shared = applied.iter().filter(|item| is_in(&live, item)).map(|item| &item.element);
    let mut next_shared = shared.next();
    let mut merged = Vec::with_capacity(live.len().max(applied.len()));
    let (mut old, mut new) = (0, 0);
    while old < live.len() || new < applied.len() {
        if let (Some(mine), Some(theirs)) = (live.get(old), applied.get(new)) {
            if mine.element == theirs.element {
                merged.push(item(&live, theirs, held));
                (old, new) = (old + 1, new + 1);
                next_shared = shared.next();
                continue;
            }
            // It comes later, where it was applied.
            if is_in(&applied, mine) && next_shared.is_some_and(|next| *next != mine.element) {
                old += 1;
                continue;
            }
        }
        if let Some(mine) = live.get(old) {
            if !is_in(&applied, mine) {
                merged.push(mine.value.clone());
                old += 1;
                continue;
            }
            if is_in(&applied[..new], mine) {
                old += 1;
            }
        }
        if let Some(theirs) = applied.get(new) {
            merged.push(item(&live, theirs, held));
            new += 1;
            if next_shared.is_some_and(|next| *next == theirs.element) {
                next_shared = shared.next();
            }
        }
    }
    Value::Array(merged)
}

/// An applied item with what was there of it. One that was there more than once is made anew.
fn item(live: &[Item<'_>], applied: &Item<'_>, held: Held<'_>) -> Value {
    let mut known = live.iter().filter(|item| item.element == applied.element);
    match (known.next(), known.next()) {
        (Some(one), None) => value(one.value, applied.value, held),
        _ => applied.value.clone(),
    }
}
