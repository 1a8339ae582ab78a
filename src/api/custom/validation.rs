//! Whether a value is as its schema wants it, and Kubernetes' words for what is not.
//!
//! What did not change keeps the mistakes that it had: a schema that became stricter does not stop the changes of
//! objects that are older.

mod found;
mod junctors;
mod numbers;

use serde_json::{Map, Value};

use self::found::{Found, Mistake, Place};
use self::junctors::junctors;
use self::numbers::{in_range, is_whole, number};
use super::formats;
use super::structural::{Additional, ListType, Rules, Structural};
use crate::field_error::{FieldError, quoted};

/// What is wrong with a value: `within` is where it stands (empty: the object itself), `old` what it was before.
pub fn errors(value: &Value, schema: &Structural, within: &str, old: Option<&Value>) -> Vec<FieldError> {
    let found = checked(value, schema, &Place::Root, old);
    found.wrong.into_iter().map(|wrong| wrong.told(within)).collect()
}

/// The same of an object's members.
pub fn object_errors(
    members: &Map<String, Value>,
    schema: &Structural,
    old: Option<&Map<String, Value>>,
) -> Vec<FieldError> {
    let mut found = Found::default();
    if let Some(rules) = &schema.rules {
        members_count(members, rules, &Place::Root, &mut found);
    }
    // Of the object itself nothing is forgiven: its metadata has no schema, so it is never known to be the same.
    object(members, schema, &Place::Root, old, &mut found);
    found.wrong.into_iter().map(|wrong| wrong.told("")).collect()
}

/// Checks a value that may have been there before.
fn checked(value: &Value, schema: &Structural, place: &Place<'_>, old: Option<&Value>) -> Found {
    let mut found = run(value, schema, place, old);
    if !found.is_good() && old.is_some_and(|old| is_same(value, old, schema)) {
        found.wrong.clear();
    }
    found
}

/// Whether a value is what it was, as far as its schema knows it.
fn is_same(value: &Value, old: &Value, schema: &Structural) -> bool {
    match (value, old) {
        (Value::Object(members), Value::Object(before)) => {
            let is_same = |(name, value): (&String, &Value)| match (before.get(name), schema.member(name)) {
                (Some(old), Some(of)) => is_same(value, old, of),
                _ => false,
            };
            members.len() == before.len() && members.iter().all(is_same)
        }
        (Value::Array(items), Value::Array(before)) => {
            let (ListType::Map(_), Some(of)) = (&schema.list_type, &schema.items) else {
                return items == before;
            };
            let is_same =
                |item| same_item(item, before, &schema.list_type).is_some_and(|old| is_same(item, old, of));
            items.len() == before.len() && items.iter().all(is_same)
        }
        _ => value == old,
    }
}

fn run(value: &Value, schema: &Structural, place: &Place<'_>, old: Option<&Value>) -> Found {
    let mut found = Found::default();
    let rules = schema.rules.as_deref();
    let format = rules.map_or("", |rules| &rules.format);
    if value.is_null() {
        kind(value, schema, format, place, &mut found);
        if let Some(rules) = rules {
            enumeration(value, rules, place, &mut found);
        }
        return found;
    }
    if schema.kind.is_some() || schema.is_int_or_string || !format.is_empty() {
        found.passed += 1;
        kind(value, schema, format, place, &mut found);
    }
    found.passed += PASSED_BY_ALL;
    if let Some(rules) = rules {
        junctors(value, rules, place, old, &mut found);
        enumeration(value, rules, place, &mut found);
    }
    match value {
        Value::Number(given) => {
            found.passed += 2;
            in_range(given, "Checked", schema, format, place, &mut found);
            if let Some(rules) = rules {
                number(given, schema, rules, place, &mut found);
            }
        }
        Value::String(given) => {
            found.passed += 1 + u32::from(formats::is_of_text(format));
            if let Some(rules) = rules {
                text(given, rules, place, &mut found);
            }
        }
        Value::Array(items) => {
            found.passed += 2;
            list(items, schema, place, old.and_then(Value::as_array), &mut found);
        }
        Value::Object(members) => {
            found.passed += 1;
            if let Some(rules) = rules {
                members_count(members, rules, place, &mut found);
            }
            object(members, schema, place, old.and_then(Value::as_object), &mut found);
        }
        _ => {}
    }
    found
}

/// Checks that every value passes, whatever it is: junctors (and that they ran), enumerations, the whole.
const PASSED_BY_ALL: u32 = 4;

fn invalid_type(place: &Place<'_>, wanted: &str, is: &str, found: &mut Found) {
    let text = format!("{place} in body must be of type {wanted}: {is:?}");
    found.add(place, Mistake::Type(is.into()), text);
}

fn kind(value: &Value, schema: &Structural, format: &str, place: &Place<'_>, found: &mut Found) {
    let wanted = match (schema.kind, schema.is_int_or_string) {
        (_, true) => "integer,string",
        (Some(kind), _) => kind.word(),
        (None, _) => "",
    };
    let contains = |word: &str| wanted.split(',').any(|wanted| !word.is_empty() && wanted == word);
    let (is, is_format) = match value {
        Value::Null => {
            if !wanted.is_empty() && !schema.is_nullable {
                invalid_type(place, wanted, "null", found);
            } else {
                found.passed += 1;
            }
            return;
        }
        Value::Bool(_) => ("boolean", ""),
        Value::Number(number) if number.is_i64() => ("integer", "int64"),
        Value::Number(_) => ("number", "float64"),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    };
    let is_whole = is == "number" && contains("integer") && value.as_f64().is_some_and(is_whole);
    let fits = contains(is) || is_whole || is == "integer" && contains("number");
    let is_row = value.is_string() || value.is_array();
    if !is_row && !format.is_empty() && !fits && is_format != format {
        return invalid_type(place, format, is_format, found);
    }
    let is_number = contains("number") || contains("integer");
    if !is_number && !format.is_empty() && is_row || fits {
        found.passed += 1;
    } else {
        invalid_type(place, wanted, is, found);
    }
}

fn text(given: &str, rules: &Rules, place: &Place<'_>, found: &mut Found) {
    let count = || i64::try_from(given.chars().count()).unwrap_or(i64::MAX);
    let invalid = || Mistake::Invalid(given.into());
    if let Some(most) = rules.max_length.filter(|most| count() > *most) {
        found.add(
            place,
            Mistake::TooLong(most),
            format!("{place} in body should be at most {most} chars long"),
        );
    } else if let Some(least) = rules.min_length.filter(|least| count() < *least) {
        found.add(place, invalid(), format!("{place} in body should be at least {least} chars long"));
    } else if let Some(pattern) = rules.pattern.as_ref().filter(|pattern| !pattern.matches(given)) {
        found.add(place, invalid(), format!("{place} in body should match '{}'", pattern.text));
    }
    if !formats::holds(&rules.format, given) {
        let told = format!("{place} in body must be of type {}: {}", rules.format, quoted(given));
        found.add(place, Mistake::Type(given.into()), told);
    }
}

fn list(
    items: &[Value],
    schema: &Structural,
    place: &Place<'_>,
    old: Option<&Vec<Value>>,
    found: &mut Found,
) {
    if let Some(of) = &schema.items {
        for (at, item) in items.iter().enumerate() {
            let old = old.and_then(|old| same_item(item, old, &schema.list_type));
            found.merge(checked(item, of, &Place::Item(place, at), old));
        }
    }
    let Some(rules) = &schema.rules else { return };
    let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
    if let Some(least) = rules.min_items.filter(|least| count < *least) {
        let told = format!("{place} in body should have at least {least} items");
        found.add(place, Mistake::Invalid(count.into()), told);
    }
    if let Some(most) = rules.max_items.filter(|most| count > *most) {
        let told = format!("{place} in body should have at most {most} items");
        found.add(place, Mistake::TooMany(items.len(), most), told);
    }
    let repeats = |(at, item)| items[..at].contains(item);
    if rules.unique_items && items.iter().enumerate().any(repeats) {
        let told = format!("{place} in body shouldn't contain duplicates");
        found.add(place, Mistake::Invalid("".into()), told);
    }
}

/// The item that was this one before, where items have keys.
fn same_item<'o>(item: &Value, old: &'o [Value], list_type: &ListType) -> Option<&'o Value> {
    let ListType::Map(keys) = list_type else { return None };
    old.iter().find(|old| old.is_object() && keys.iter().all(|key| old.get(key) == item.get(key)))
}

fn members_count(members: &Map<String, Value>, rules: &Rules, place: &Place<'_>, found: &mut Found) {
    let count = i64::try_from(members.len()).unwrap_or(i64::MAX);
    if let Some(least) = rules.min_properties.filter(|least| count < *least) {
        let told = format!("{place} in body should have at least {least} properties");
        found.add(place, Mistake::Invalid(count.into()), told);
    }
    if let Some(most) = rules.max_properties.filter(|most| count > *most) {
        let told = format!("{place} in body should have at most {most} properties");
        found.add(place, Mistake::TooMany(members.len(), most), told);
    }
    for name in rules.required.iter().filter(|name| !members.contains_key(*name)) {
        let place = Place::Extra(place, name);
        found.add(&place, Mistake::Required, format!("{place} in body is required"));
    }
}

fn object(
    members: &Map<String, Value>,
    schema: &Structural,
    place: &Place<'_>,
    old: Option<&Map<String, Value>>,
    found: &mut Found,
) {
    for (name, value) in members {
        let old = old.and_then(|old| old.get(name));
        match (schema.properties.get(name), &schema.additional) {
            (Some(of), _) => found.merge(checked(value, of, &Place::Member(place, name), old)),
            (None, Some(Additional::Schema(of))) => {
                found.merge(checked(value, of, &Place::Extra(place, name), old));
            }
            (None, Some(Additional::Any(false))) => {
                let told = format!("{place}.{name} in body is a forbidden property");
                found.add(place, Mistake::Invalid(name.as_str().into()), told);
            }
            (None, _) => {}
        }
    }
}

/// Go compares after it converted one to the type of the other: numbers lose their fraction, or become a letter.
fn equals_as_go(value: &Value, wanted: &Value) -> bool {
    if value == wanted {
        return true;
    }
    match (value, wanted) {
        (Value::Number(value), Value::Number(wanted)) => match (value.as_i64(), wanted.as_i64()) {
            (None, Some(wanted)) => value.as_f64().is_some_and(|value| value as i64 == wanted),
            (Some(_), None) => value.as_f64() == wanted.as_f64(),
            _ => false,
        },
        (Value::Number(value), Value::String(wanted)) => {
            let letter = value.as_i64().and_then(|code| u32::try_from(code).ok()).and_then(char::from_u32);
            letter.is_some_and(|letter| wanted.chars().eq([letter]))
        }
        _ => false,
    }
}

fn enumeration(value: &Value, rules: &Rules, place: &Place<'_>, found: &mut Found) {
    if rules.enumeration.is_empty() {
        return;
    }
    let is_one = |wanted: &Value| !value.is_null() && equals_as_go(value, wanted);
    if rules.enumeration.iter().any(is_one) {
        return;
    }
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let words: Vec<String> = rules.enumeration.iter().map(word).collect();
    let told = format!("{place} in body should be one of [{}]", words.join(" "));
    found.add(place, Mistake::Enumeration(value.clone(), words), told);
}
