//! The fields that selectors of a definition's objects may name.

use serde_json::{Map, Value};

use super::spec::{SCHEMA, SELECTABLE};
use super::{Spec, schema};
use crate::custom::text;
use crate::field_error::FieldError;

/// How many fields of one version selectors may know.
const SELECTABLE_MAX: usize = 8;

pub(super) fn errors(
    spec: &Spec<'_>,
    old: Option<&Spec<'_>>,
    version: Option<usize>,
    errors: &mut Vec<FieldError>,
) {
    let Some((path, given)) = spec.part(SELECTABLE, version) else { return };
    let fields = given.as_array().map_or(&[][..], Vec::as_slice);
    if fields.is_empty() {
        return;
    }
    let schema = spec.part(SCHEMA, version).and_then(|(_, schema)| schema.get("openAPIV3Schema"));
    let Some(props) = schema.and_then(Value::as_object) else {
        let why = if version.is_none() {
            "may only be set when validations.schema is included"
        } else {
            "may only be set when `version.schema.openAPIV3Schema` is not included"
        };
        return errors.push(FieldError::invalid(&path, "", why));
    };
    let was_there = old.is_some_and(|old| old.parts(SELECTABLE).any(|known| known == given));
    each_selectable(fields, props, &path, was_there, errors);
}

fn each_selectable(
    fields: &[Value],
    props: &Map<String, Value>,
    path: &str,
    was_there: bool,
    errors: &mut Vec<FieldError>,
) {
    let mut seen: Vec<&str> = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let (given, place) = (text(field, "jsonPath"), format!("{path}[{at}].jsonPath"));
        if given.is_empty() {
            errors.push(FieldError::required(&place, ""));
            continue;
        }
        let found = match schema::at_path(given, props) {
            Ok(found) => found,
            Err(why) => {
                errors.push(FieldError::invalid(&place, given, &format!("is an invalid path: {why}")));
                continue;
            }
        };
        if given == ".metadata" || given.starts_with(".metadata.") {
            errors.push(FieldError::invalid(&place, given, "must not point to fields in metadata"));
        }
        let kind = found.get("type").and_then(Value::as_str).unwrap_or_default();
        if !["string", "boolean", "integer"].contains(&kind) {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.push(FieldError::invalid(&place, given, why));
        }
        if seen.contains(&given) {
            errors.push(FieldError::duplicate(&place, given));
        } else {
            seen.push(given);
        }
    }
    if seen.len() > SELECTABLE_MAX && !was_there {
        errors.push(FieldError::too_many(path, seen.len(), SELECTABLE_MAX));
    }
}
