//! The fields of a value: every part that has an owner of its own.

use serde_json::Value;

use super::element::Element;
use super::set::{Node, Set};
use super::typed::{Held, Members, Parts, Shown, keyed, scalar};
use crate::schema::{Item, Type};

/// All fields of a given object.
pub(super) fn of<'v>(object: &'v Value, schema: &'v Type) -> Set<'v> {
    structure(Members::of(Some(object), false), schema)
}

/// The fields of a value, and whether it is one itself.
fn value<'v>(value: &'v Value, held: Held<'v>) -> (Set<'v>, bool) {
    match held.parts(value) {
        Parts::Whole => (Set::EMPTY, true),
        Parts::Fields(of) => (structure(Members::of(Some(value), false), of), false),
        Parts::Members(of) => (members(value, of), false),
        Parts::Items(keys, of) => (items(value, |item| keyed(item, keys, of), Held::item(of)), false),
        Parts::Set => (items(value, scalar, Held::SCALAR), false),
    }
}

fn structure<'v>(members: Members<'v>, schema: &'v Type) -> Set<'v> {
    let mut set = Set::EMPTY;
    for Shown { name, value, held } in members.shown(schema) {
        let is_member = is_nothing(value) || Held::known(schema, name).is_none();
        set.push(member(name, value, held, is_member));
    }
    set
}

fn members<'v>(map: &'v Value, of: &'v Item) -> Set<'v> {
    let mut pairs: Vec<_> = map.as_object().into_iter().flatten().collect();
    pairs.sort_unstable_by_key(|pair| pair.0);
    let mut set = Set::EMPTY;
    for (name, value) in pairs {
        set.push(member(name, value, Held::item(of), true));
    }
    set
}

fn member<'v>(name: &'v str, given: &'v Value, held: Held<'v>, is_member: bool) -> Node<'v> {
    let (below, is_whole) = value(given, held);
    Node { element: Element::field(name), is_member: is_member || is_whole, below }
}

/// Whether a known field counts though nothing in it does.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// Items that stand there more than once are fields, but nothing in them is.
fn items<'v>(
    list: &'v Value,
    element: impl Fn(&'v Value) -> Result<Element<'v>, String>,
    held: Held<'v>,
) -> Set<'v> {
    let known = |item| element(item).ok().map(|element| (element, item));
    let mut pairs: Vec<_> = list.as_array().into_iter().flatten().filter_map(known).collect();
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let mut set = Set::EMPTY;
    let mut pairs = pairs.into_iter().peekable();
    while let Some((element, item)) = pairs.next() {
        let mut is_alone = true;
        while pairs.next_if(|next| next.0 == element).is_some() {
            is_alone = false;
        }
        let below = if is_alone { value(item, held).0 } else { Set::EMPTY };
        set.push(Node { element, is_member: true, below });
    }
    set
}
