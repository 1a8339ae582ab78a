//! The versions of a definition, and those that objects are stored in.

use std::collections::BTreeMap;

use serde_json::Value;

use super::names::joined;
use super::{Spec, schema};
use crate::custom::{is, text, texts};
use crate::field_error::FieldError;

pub(super) fn missing_schema_errors(
    spec: &Spec<'_>,
    is_open: bool,
    lenience: &schema::Lenience,
    errors: &mut Vec<FieldError>,
) {
    let is_missing = |version: &Value| version.pointer("/schema/openAPIV3Schema").is_none();
    for (at, version) in spec.versions.iter().enumerate().filter(|(_, version)| is_missing(version)) {
        let path = format!("spec.versions[{at}].schema.openAPIV3Schema");
        if !lenience.may_lack_schema {
            errors.push(FieldError::required(&path, ""));
        } else if !is_open && is(version, "served") {
            errors.push(FieldError::required(&path, "because otherwise all fields are pruned"));
        }
    }
}

pub(super) fn version_errors(spec: &Spec<'_>, errors: &mut Vec<FieldError>) {
    let field = "spec.versions";
    let names: Vec<&str> = spec.versions.iter().map(|version| text(version, "name")).collect();
    if names.iter().enumerate().any(|(at, name)| names[..at].contains(name)) {
        errors.push(FieldError::invalid(field, spec.shown_versions(), "must contain unique version names"));
    }
    if spec.versions.iter().filter(|version| is(version, "storage")).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        let shown = if spec.versions.is_empty() { Value::Null } else { spec.shown_versions() };
        errors.push(FieldError::invalid(field, shown, why));
    }
    if let Some(first) = names.first().filter(|name| !name.is_empty()) {
        joined("spec.version", first, "", errors);
    }
}

pub(super) fn deprecation_errors(version: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(warning) = version.get("deprecationWarning").and_then(Value::as_str) else { return };
    let mut wrong = |why: &str| {
        errors.push(FieldError::invalid(&format!("{path}.deprecationWarning"), warning, why));
    };
    if !is(version, "deprecated") {
        return wrong("can only be set for deprecated versions");
    }
    if warning.len() > 256 {
        wrong("must be <= 256 characters long");
    }
    if warning.is_empty() {
        wrong("must not be an empty string");
    }
    if let Some((at, _)) = warning.char_indices().find(|(_, letter)| letter.is_control()) {
        wrong(&format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {at}"
        ));
    }
}

pub(super) fn stored_errors(status: &Value, spec: &Spec<'_>, errors: &mut Vec<FieldError>) {
    let field = "status.storedVersions";
    let stored = texts(status, "storedVersions");
    if stored.is_empty() {
        return errors.push(FieldError::invalid(field, Value::Null, "must have at least one stored version"));
    }
    // Each accounts for one version of its name.
    let mut left: BTreeMap<&str, usize> = stored.iter().enumerate().map(|(at, name)| (&**name, at)).collect();
    for version in spec.versions {
        let name = text(version, "name");
        if left.remove(name).is_none() && is(version, "storage") {
            let why = format!("must have the storage version {name}");
            errors.push(FieldError::invalid(field, stored.clone(), &why));
        }
    }
    for (version, at) in left {
        let why = format!(
            "missing from spec.versions; {version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {version} and removes {version} from status.storedVersions"
        );
        errors.push(FieldError::invalid(&format!("{field}[{at}]"), version, &why));
    }
}
