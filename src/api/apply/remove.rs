//! An object without some of its fields.

use serde_json::{Map, Value};

use super::element::Element;
use super::set::Set;
use super::typed::{Held, Parts, keyed, scalar};
use crate::schema::Type;

/// The object without the members of `fields`. What loses all that it held is null.
pub(super) fn objects(object: &Value, fields: &Set<'_>, schema: &Type) -> Value {
    structure(object, fields, |name| Held::member(schema, name))
}

fn value(given: &Value, fields: &Set<'_>, held: Held<'_>) -> Value {
    match held.parts(given) {
        Parts::Whole if given.is_object() || given.is_array() => Value::Null,
        Parts::Whole => given.clone(),
        Parts::Fields(of) => structure(given, fields, |name| Held::member(of, name)),
        Parts::Members(of) => structure(given, fields, |_| Held::item(of)),
        Parts::Items(keys, of) => items(given, fields, |item| keyed(item, keys, of).ok(), Held::item(of)),
        Parts::Set => items(given, fields, |item| scalar(item).ok(), Held::SCALAR),
    }
}

fn structure<'s>(given: &Value, fields: &Set<'_>, held: impl Fn(&str) -> Held<'s>) -> Value {
    let mut kept = Map::new();
    for (name, member) in given.as_object().into_iter().flatten() {
        match fields.get(&Element::field(name)) {
            Some(node) if node.is_member => {}
            Some(node) => {
                kept.insert(name.clone(), value(member, &node.below, held(name)));
            }
            None => {
                kept.insert(name.clone(), member.clone());
            }
        }
    }
    if kept.is_empty() { Value::Null } else { Value::Object(kept) }
}

fn items<'v>(
    list: &'v Value,
    fields: &Set<'_>,
    element: impl Fn(&'v Value) -> Option<Element<'v>>,
    held: Held<'_>,
) -> Value {
    let mut kept = Vec::new();
    for item in list.as_array().into_iter().flatten() {
        match element(item).and_then(|element| fields.get(&element)) {
            Some(node) if node.is_member => {}
            Some(node) => kept.push(value(item, &node.below, held)),
            None => kept.push(item.clone()),
        }
    }
    if kept.is_empty() { Value::Null } else { Value::Array(kept) }
}
