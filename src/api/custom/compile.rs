//! The schema of a definition as a type, so that objects of definitions go the same ways as all others.

use std::sync::Arc;

use super::structural::{Additional, Kind, ListType, Structural};
use crate::schema::{Custom, Field, Item, Merge, PatchStrategy, Presence, Rest, Shape, Type, builtin};

/// Names that every object has.
const META: &[&str] = &["kind", "apiVersion", "metadata"];

/// The type of a definition's objects. `model` is its name.
pub fn root(model: &str, schema: &Structural) -> Type {
    let meta = Shape::Struct(builtin("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"));
    let named = schema.properties.iter().filter(|(name, _)| !META.contains(&name.as_str()));
    let rows =
        [field("metadata", meta, Merge::ByMember, false)].into_iter().chain(fields(named, schema, model));
    let rest = if schema.keeps_unknown { Rest::Kept } else { Rest::Dropped };
    Type::custom(model, rows.collect(), Custom { rest, is_embedded: false })
}

fn field(name: &str, shape: Shape, merge: Merge, required: bool) -> Field {
    Field {
        name: name.to_owned(),
        number: 0,
        inside: Box::default(),
        shape,
        go: String::new(),
        presence: Presence::Given,
        null: false,
        required,
        default: None,
        words: Box::default(),
        merge,
        patch: PatchStrategy::default(),
    }
}

fn fields<'s>(
    named: impl Iterator<Item = (&'s String, &'s Structural)>,
    schema: &Structural,
    model: &str,
) -> impl Iterator<Item = Field> {
    let is_required =
        |name: &String| schema.rules.as_ref().is_some_and(|rules| rules.required.contains(name));
    named.map(move |(name, of)| {
        let Item { shape, merge } = item(of, &format!("{model}.{name}"), false);
        let default = of.default.clone();
        Field { default, ..field(name, shape, merge, is_required(name)) }
    })
}

fn merge(schema: &Structural) -> Merge {
    match (&schema.list_type, schema.is_atomic) {
        (ListType::Map(keys), _) => Merge::ByKeys(keys.clone().into()),
        (ListType::Set, _) => Merge::Set,
        (ListType::Atomic, true) => Merge::Atomic,
        (ListType::Atomic, false) if schema.kind == Some(Kind::Object) => Merge::ByMember,
        (ListType::Atomic, false) => Merge::Atomic,
    }
}

/// A value of a schema, in a field or in a list or map.
fn item(schema: &Structural, model: &str, keeps_unknown: bool) -> Item {
    Item { shape: shape(schema, model, keeps_unknown), merge: merge(schema) }
}

/// What a value of a schema looks like. Items keep what they do not know when the list around them does.
fn shape(schema: &Structural, model: &str, keeps_unknown: bool) -> Shape {
    let keeps_unknown = schema.keeps_unknown || keeps_unknown;
    let rest = match &schema.additional {
        Some(Additional::Schema(of)) => Rest::Shaped(item(of, model, false)),
        Some(Additional::Any(_)) => Rest::Shaped(Item::of(Shape::Opaque)),
        None if keeps_unknown => Rest::Kept,
        None => Rest::Dropped,
    };
    let is_object = schema.kind == Some(Kind::Object) || !schema.properties.is_empty() || schema.is_embedded;
    let is_map = schema.properties.is_empty() && !schema.is_embedded;
    match (schema.kind, rest) {
        (_, Rest::Shaped(of)) if is_map => Shape::Map(of.into()),
        (_, rest) if is_object || matches!(rest, Rest::Shaped(_)) => {
            let rows = fields(schema.properties.iter(), schema, model).collect();
            let custom = Custom { rest, is_embedded: schema.is_embedded };
            Shape::Struct(Arc::new(Type::custom(model, rows, custom)))
        }
        (_, rest) if schema.items.is_some() || schema.kind == Some(Kind::Array) => {
            let keeps_unknown = matches!(rest, Rest::Kept);
            let known = schema.items.as_ref().map(|of| item(of, model, keeps_unknown));
            let unknown = Item::of(if keeps_unknown { Shape::Any } else { Shape::Text });
            Shape::List(known.unwrap_or(unknown).into())
        }
        (_, Rest::Kept) => Shape::Any,
        _ if schema.is_int_or_string => Shape::IntOrString,
        (Some(Kind::Boolean), _) => Shape::Bool,
        (Some(Kind::Integer), _) => Shape::Int64,
        (Some(Kind::Number), _) => Shape::Float,
        _ => Shape::Text,
    }
}
