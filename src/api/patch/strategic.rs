//! Strategic merge patch: a merge patch whose lists merge item by item where their type says so.
//!
//! # Directives
//! - `$patch: replace | delete` in an object: it replaces the other one whole, or empties it; in a list's item:
//!   the list is replaced, or the item goes.
//! - `$retainKeys: [..]`: members that it does not name go first.
//! - `$setElementOrder/FIELD: [..]`: the order of the list's items, by their keys.
//! - `$deleteFromPrimitiveList/FIELD: [..]`: these go from a list of scalars.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::PatchError;
use crate::go_json;
use crate::schema::{Field, Shape, Type};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ORDER_PREFIX: &str = "$setElementOrder/";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList/";

/// Merges `patch` into `target`, which are of the type `of` where that is known.
pub(super) fn object(
    target: &mut Map<String, Value>,
    mut patch: Map<String, Value>,
    of: Option<&Type>,
) -> Result<(), PatchError> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        *target = match directive.as_str() {
            Some("replace") => {
                patch.shift_remove(DIRECTIVE);
                patch
            }
            Some("delete") => Map::new(),
            _ => return Err(unknown_directive(directive, &patch)),
        };
        return Ok(());
    }
    retain_keys(target, &mut patch)?;
    let ordered: Vec<String> =
        patch.keys().filter_map(|name| name.strip_prefix(ORDER_PREFIX)).map(str::to_owned).collect();
    for name in ordered {
        let order = patch.shift_remove(&format!("{ORDER_PREFIX}{name}"));
        let items = patch.shift_remove(&name);
        ordered_list(target, &name, items, order, of)?;
    }
    for (name, value) in patch {
        member(target, name, value, of)?;
    }
    Ok(())
}

fn member(
    target: &mut Map<String, Value>,
    name: String,
    value: Value,
    of: Option<&Type>,
) -> Result<(), PatchError> {
    if let Some(name) = name.strip_prefix(DELETE_PREFIX) {
        if let (Some(Value::Array(items)), Value::Array(gone)) = (target.get_mut(name), &value) {
            items.retain(|item| !gone.contains(item));
        }
        return Ok(());
    }
    let field = of.and_then(|of| of.field(&name));
    match (target.get_mut(&name), value) {
        (_, Value::Null) => {
            target.shift_remove(&name);
        }
        (Some(Value::Object(inner)), Value::Object(patch))
            if field.is_some_and(|field| field.patch.replace) =>
        {
            *inner = patch;
        }
        (Some(Value::Object(inner)), Value::Object(patch)) => {
            object(inner, patch, field.and_then(|field| structure(&field.shape)))?;
        }
        (Some(Value::Array(items)), Value::Array(patch)) => {
            if let Some(key) = merge_key(field) {
                *items = list(std::mem::take(items), patch, key, item_type(field))?;
            } else {
                *items = patch;
            }
        }
        (_, value) => match plain(value) {
            Some(value) => drop(target.insert(name, value)),
            None => drop(target.shift_remove(&name)),
        },
    }
    Ok(())
}

/// Removes what `$retainKeys` does not name. What the patch sets must be named.
fn retain_keys(target: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), PatchError> {
    let Some(retained) = patch.shift_remove(RETAIN_KEYS) else { return Ok(()) };
    let bad = || PatchError::Malformed("invalid patch format of retainKeys".to_owned());
    let retained = retained.as_array().ok_or_else(bad)?;
    let is_retained = |name: &String| retained.iter().any(|one| one == name.as_str());
    if patch.iter().any(|(name, value)| !value.is_null() && !is_parallel(name) && !is_retained(name)) {
        return Err(bad());
    }
    target.retain(|name, _| is_retained(name));
    Ok(())
}

/// Merges a list whose order the patch states.
fn ordered_list(
    target: &mut Map<String, Value>,
    name: &str,
    items: Option<Value>,
    order: Option<Value>,
    of: Option<&Type>,
) -> Result<(), PatchError> {
    let array = |value| match value {
        Value::Array(items) => Ok(items),
        other => {
            // Printed as text, nothing looks odd.
            let received = if other.is_null() { "%!s(<nil>)" } else { go_json::type_name(&other) };
            Err(PatchError::Failed(format!("expected a []interface {{}}, but received a {received}")))
        }
    };
    let order = array(order.unwrap_or_default())?;
    let patch = items.map(array).transpose()?;
    let found = target.shift_remove(name).map(array).transpose()?;
    if found.is_none() && patch.is_none() {
        return Ok(());
    }
    let field = of.and_then(|of| of.field(name));
    let key = merge_key(field);
    check_order(patch.as_deref().unwrap_or_default(), &order, key.unwrap_or_default())?;
    let server = found.clone().unwrap_or_default();
    let merged = match (found, patch) {
        (None, Some(patch)) => patch.into_iter().filter_map(without_directives).collect(),
        (Some(found), Some(patch)) => match key {
            Some(key) => list(found, patch, key, item_type(field))?,
            None => patch,
        },
        (found, None) => found.unwrap_or_default(),
    };
    let merged = in_order(merged, &order, &server, key.unwrap_or_default())?;
    target.insert(name.to_owned(), merged.into());
    Ok(())
}

/// What the patch changes must stand in its order, and as it stands there. What it deletes need not.
fn check_order(patch: &[Value], order: &[Value], key: &str) -> Result<(), PatchError> {
    if order.is_empty() {
        return Ok(());
    }
    let mut places = order.iter();
    for item in patch.iter().filter(|item| key.is_empty() || item.get(DIRECTIVE).is_none()) {
        let name = key_of(item, key)?;
        let mut is_found = false;
        for place in places.by_ref() {
            is_found = key_of(place, key)? == name;
            if is_found {
                break;
            }
        }
        if !is_found {
            let list = |items: &[Value]| go_text(&items.to_vec().into());
            let (patch, order) = (list(patch), list(order));
            return Err(PatchError::Failed(format!(
                "The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n"
            )));
        }
    }
    Ok(())
}

/// Merges two lists by the key of their items; an empty key: they are scalars.
fn list(
    mut items: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
    of: Option<&Type>,
) -> Result<Vec<Value>, PatchError> {
    if key.is_empty() {
        let mut merged = items.clone();
        merged.extend(patch.iter().cloned());
        return in_order(without_repeats(merged), &patch, &items, key);
    }
    let mut rest = Vec::new();
    let mut is_replaced = false;
    for item in patch {
        match item.get(DIRECTIVE).and_then(Value::as_str) {
            None if item.get(DIRECTIVE).is_none() => rest.push(item),
            Some("delete") => {
                let gone = key_of(&item, key)?;
                items.retain(|item| key_of(item, key).as_ref() != Ok(&gone));
            }
            Some("replace") => is_replaced = true,
            Some("merge") => {
                let text = "merging lists cannot yet be specified in the patch";
                return Err(PatchError::Failed(text.to_owned()));
            }
            _ => {
                let empty = Map::new();
                return Err(unknown_directive(&item[DIRECTIVE], item.as_object().unwrap_or(&empty)));
            }
        }
    }
    if is_replaced {
        return Ok(rest);
    }
    let server = items.clone();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        places.entry(key_of(item, key)?).or_insert(at);
    }
    for item in rest.iter().cloned() {
        let name = key_of(&item, key)?;
        match (places.get(&name).map(|at| &mut items[*at]), item) {
            (Some(Value::Object(found)), Value::Object(patch)) => object(found, patch, of)?,
            (_, item) => {
                places.insert(name, items.len());
                items.extend(without_directives(item));
            }
        }
    }
    in_order(items, &rest, &server, key)
}

/// Puts items into the order that the patch states; those that it does not know stay before or behind the
/// ones that they were before or behind.
fn in_order(
    items: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    key: &str,
) -> Result<Vec<Value>, PatchError> {
    let places = |order: &[Value]| -> Result<BTreeMap<String, usize>, PatchError> {
        let mut places = BTreeMap::new();
        for (at, item) in order.iter().enumerate() {
            places.entry(key_of(item, key)?).or_insert(at);
        }
        Ok(places)
    };
    let (by_patch, by_server) = (places(patch_order)?, places(server_order)?);
    let (mut patched, mut others) = (Vec::new(), Vec::new());
    for item in items {
        let name = key_of(&item, key)?;
        let server = by_server.get(&name).copied();
        match by_patch.get(&name) {
            Some(at) => patched.push((*at, server, item)),
            None => others.push((server, item)),
        }
    }
    patched.sort_by_key(|(at, ..)| *at);
    others.sort_by_key(|(server, _)| *server);
    let mut ordered = Vec::with_capacity(patched.len() + others.len());
    let mut others = others.into_iter().peekable();
    for (_, place, item) in patched {
        while others
            .next_if(|(server, _)| matches!((server, place), (Some(a), Some(b)) if *a < b))
            .is_some_and(|(_, other)| {
                ordered.push(other);
                true
            })
        {}
        ordered.push(item);
    }
    ordered.extend(others.map(|(_, item)| item));
    Ok(ordered)
}

/// What tells an item from others: the text of its key.
fn key_of(item: &Value, key: &str) -> Result<String, PatchError> {
    if key.is_empty() {
        return Ok(item.to_string());
    }
    let value = item.get(key).map(Value::to_string);
    value.ok_or_else(|| {
        let text = format!("map: {} does not contain declared merge key: {key}", go_text(item));
        PatchError::Failed(text)
    })
}

fn without_repeats(items: Vec<Value>) -> Vec<Value> {
    let mut seen = std::collections::BTreeSet::new();
    items.into_iter().filter(|item| seen.insert(item.to_string())).collect()
}

/// A value without its directives and nulls; `None` for one that is a directive.
fn plain(value: Value) -> Option<Value> {
    stripped(value, true)
}

/// A value without its directives; nulls stay, and become the zero values of what is there.
fn without_directives(value: Value) -> Option<Value> {
    stripped(value, false)
}

fn stripped(value: Value, without_nulls: bool) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => None,
        Value::Object(map) => {
            let kept = map
                .into_iter()
                .filter(|(name, value)| !(is_parallel(name) || without_nulls && value.is_null()));
            let kept =
                kept.filter_map(|(name, value)| stripped(value, without_nulls).map(|value| (name, value)));
            Some(kept.collect::<Map<_, _>>().into())
        }
        Value::Array(items) => {
            Some(items.into_iter().filter_map(|item| stripped(item, without_nulls)).collect())
        }
        scalar => Some(scalar),
    }
}

/// Whether a member speaks about its neighbours instead of being one.
fn is_parallel(name: &str) -> bool {
    name.starts_with(ORDER_PREFIX) || name.starts_with(DELETE_PREFIX) || name == RETAIN_KEYS
}

fn structure(shape: &Shape) -> Option<&Type> {
    if let Shape::Struct(of) = shape { Some(of) } else { None }
}

fn item_type(field: Option<&Field>) -> Option<&Type> {
    match field.map(|field| &field.shape) {
        Some(Shape::List(item)) => structure(item),
        _ => None,
    }
}

fn merge_key(field: Option<&Field>) -> Option<&str> {
    field.and_then(|field| field.patch.merge_by.as_deref())
}

fn unknown_directive(directive: &Value, within: &Map<String, Value>) -> PatchError {
    let directive = directive.as_str().map_or_else(|| directive.to_string(), str::to_owned);
    let within = go_text(&Value::Object(within.clone()));
    PatchError::Failed(format!("unknown patch type: {directive} in map: {within}"))
}

/// A value as Go prints it.
fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => go_members(map),
        scalar => scalar.to_string(),
    }
}

/// The same of an object.
pub(super) fn go_members(map: &Map<String, Value>) -> String {
    let sorted: BTreeMap<_, _> = map.iter().collect();
    let members = sorted.into_iter().map(|(name, value)| format!("{name}:{}", go_text(value)));
    format!("map[{}]", members.collect::<Vec<_>>().join(" "))
}
