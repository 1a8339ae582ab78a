//! Sets of fields as a type has them: after the type changed, and with the named fields on the way.

use super::element::Element;
use super::set::Set;
use super::typed::{Held, Parts};
use crate::schema::{Shape, Type};

static UNKNOWN: Shape = Shape::Any;

/// What a set's element leads to; `None` when the type has no such thing.
fn step<'s>(held: Held<'s>, element: &Element<'_>) -> Option<Held<'s>> {
    match (held.shape, element) {
        (Shape::Struct(of), Element::Field(name)) => Held::known(of, name),
        (Shape::Map(of), Element::Field(_)) | (Shape::List(of), _) => Some(Held::item(of)),
        _ => None,
    }
}

/// Turns fields below what is one value now into that value. Returns whether any were.
pub(super) fn reconcile(set: &mut Set<'_>, schema: &Type) -> bool {
    let mut is_changed = false;
    for node in set.nodes_mut() {
        let Element::Field(name) = &node.element else { continue };
        if let Some(held) = Held::known(schema, name) {
            is_changed |= reconcile_node(&mut node.is_member, &mut node.below, held);
        }
    }
    is_changed
}

fn reconcile_node(is_member: &mut bool, below: &mut Set<'_>, held: Held<'_>) -> bool {
    let is_whole = matches!(held.known_parts(), Parts::Whole);
    let is_list = matches!(held.shape, Shape::List(_));
    if is_list && is_whole && !(*is_member && below.is_empty()) {
        (*is_member, *below) = (true, Set::EMPTY);
        return true;
    }
    if matches!(held.shape, Shape::Struct(_) | Shape::Map(_) | Shape::Raw) && is_whole && !below.is_empty() {
        (*is_member, *below) = (true, Set::EMPTY);
        return true;
    }
    let mut is_changed = false;
    if !is_whole {
        for node in below.nodes_mut() {
            if let Some(held) = step(held, &node.element) {
                is_changed |= reconcile_node(&mut node.is_member, &mut node.below, held);
            }
        }
    }
    is_changed
}

/// The set with every named field that holds one of its members.
pub(super) fn with_named<'a>(set: &Set<'a>, schema: &Type) -> Set<'a> {
    let mut set = set.clone();
    name_fields(&mut set, Some(schema), &UNKNOWN);
    set
}

/// The fields of a struct have names, the members and items of others do not.
fn name_fields(set: &mut Set<'_>, of: Option<&Type>, item: &Shape) {
    for node in set.nodes_mut() {
        let known = match &node.element {
            Element::Field(name) => of.and_then(|of| Held::known(of, name)),
            _ => None,
        };
        node.is_member |= known.is_some() && !node.below.is_empty();
        match known.map_or(item, |held| held.shape) {
            Shape::Struct(of) => name_fields(&mut node.below, Some(of), &UNKNOWN),
            Shape::Map(of) | Shape::List(of) => name_fields(&mut node.below, None, of),
            _ => name_fields(&mut node.below, None, &UNKNOWN),
        }
    }
}
