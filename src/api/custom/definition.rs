//! What a CustomResourceDefinition may say.
//!
//! Kubernetes looks at a definition in a form of its own: what all versions have in common stands above them, and its
//! texts name the fields of that form (`spec.validation.openAPIV3Schema`), which no client ever writes.

mod approval;
mod columns;
mod conversion;
mod defaults;
mod names;
mod schema;
mod selectable;
mod shown;
mod spec;
mod structure;
mod subresources;
mod versions;

use std::sync::{Arc, LazyLock};

use serde_json::Value;

use self::names::{group_errors, joined, name_error, names_errors};
use self::spec::{COLUMNS, SCHEMA, SUBRESOURCES, Spec};
use self::versions::{deprecation_errors, missing_schema_errors, stored_errors, version_errors};
use super::{is, naming, pattern, text};
use crate::encode::drop_empty;
use crate::field_error::FieldError;
use crate::object::Object;
use crate::schema::{Type, builtin};

pub use schema::warnings;

const IMMUTABLE: &str = "field is immutable";

/// What is wrong with a definition, or with what became of `old`.
pub fn errors(definition: &Object, old: Option<&Object>) -> Vec<FieldError> {
    let null = Value::Null;
    let (new_spec, old_spec) = (plain_spec(definition), old.map(plain_spec));
    let spec = Spec::of(&new_spec);
    let mut errors = Vec::new();
    if old.is_none() {
        errors.extend(name_error(definition, &spec));
    }
    let old_spec = old_spec.as_ref().map(Spec::of);
    let lenience = old_spec.as_ref().map(schema::Lenience::of).unwrap_or_default();
    spec_errors(&spec, old_spec.as_ref(), lenience, &mut errors);
    if let (Some(old), Some(old_spec)) = (old, &old_spec) {
        immutable_errors(&spec, old_spec, naming::is_true(old, "Established"), &mut errors);
    }
    let status = definition.fields.get("status").unwrap_or(&null);
    if old.is_some() {
        names_errors(status.get("acceptedNames").unwrap_or(&null), "status.acceptedNames", &mut errors);
    }
    stored_errors(status, &spec, &mut errors);
    approval::errors(definition, old, spec.group(), &mut errors);
    let was_open = old_spec.is_some_and(|old| is(old.spec, "preserveUnknownFields"));
    if !was_open && is(spec.spec, "preserveUnknownFields") {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(FieldError::invalid("spec.preserveUnknownFields", true, why));
    }
    errors
}

/// The spec without what is there and empty: that says nothing.
fn plain_spec(definition: &Object) -> Value {
    let mut spec = definition.fields.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
    drop_empty(&mut spec, &SPEC);
    spec.into()
}

static SPEC: LazyLock<Arc<Type>> = LazyLock::new(|| {
    builtin("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec")
});

/// What is wrong with a status that a client writes.
pub fn status_errors(definition: &Object) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let names = definition.fields.get("status").and_then(|status| status.get("acceptedNames"));
    names_errors(names.unwrap_or(&Value::Null), "status.acceptedNames", &mut errors);
    errors
}

fn spec_errors(
    spec: &Spec<'_>,
    old: Option<&Spec<'_>>,
    lenience: schema::Lenience,
    errors: &mut Vec<FieldError>,
) {
    group_errors(spec.group(), errors);
    one_of("spec.scope", text(spec.spec, "scope"), &["Cluster", "Namespaced"], errors);
    let is_open = is(spec.spec, "preserveUnknownFields");
    let lenience = lenience.for_spec(spec, is_open);
    missing_schema_errors(spec, is_open, &lenience, errors);
    if is_open && spec.schemas().any(|props| schema::has(props, &|props| props.contains_key("default"))) {
        let why = "must be false in order to use defaults in the schema";
        errors.push(FieldError::invalid("spec.preserveUnknownFields", true, why));
    }
    for (at, version) in spec.versions.iter().enumerate() {
        let path = format!("spec.versions[{at}]");
        joined(&format!("{path}.name"), text(version, "name"), "", errors);
        deprecation_errors(version, &path, errors);
        part_errors(spec, old, Some(at), &lenience, errors);
    }
    version_errors(spec, errors);
    for name in ["plural", "singular", "kind", "listKind"] {
        if text(spec.names(), name).is_empty() {
            errors.push(FieldError::required(&format!("spec.names.{name}"), ""));
        }
    }
    names_errors(spec.names(), "spec.names", errors);
    part_errors(spec, old, None, &lenience, errors);
    conversion::errors(spec, is_open, old, errors);
}

/// What is wrong with the parts that a version says for itself, or with those that all have in common.
fn part_errors(
    spec: &Spec<'_>,
    old: Option<&Spec<'_>>,
    version: Option<usize>,
    lenience: &schema::Lenience,
    errors: &mut Vec<FieldError>,
) {
    let has_status = |version: &Value| version.pointer("/subresources/status").is_some();
    if let Some((path, given)) = spec.part(SCHEMA, version) {
        let has_status = match version {
            Some(at) => has_status(&spec.versions[at]),
            None => spec.versions.iter().any(has_status),
        };
        schema::errors(given, &path, has_status, lenience, errors);
    }
    if let Some((path, given)) = spec.part(SUBRESOURCES, version) {
        subresources::errors(given, &path, errors);
    }
    if let Some((path, given)) = spec.part(COLUMNS, version) {
        for (at, column) in given.as_array().into_iter().flatten().enumerate() {
            columns::errors(column, &format!("{path}[{at}]"), errors);
        }
    }
    selectable::errors(spec, old, version, errors);
}

fn immutable_errors(spec: &Spec<'_>, old: &Spec<'_>, is_established: bool, errors: &mut Vec<FieldError>) {
    let mut fixed = |field: &str, new: &str, old: &str| {
        if new != old {
            errors.push(FieldError::invalid(field, new, IMMUTABLE));
        }
    };
    if is_established {
        fixed("spec.scope", text(spec.spec, "scope"), text(old.spec, "scope"));
        fixed("spec.names.kind", text(spec.names(), "kind"), text(old.names(), "kind"));
    }
    fixed("spec.group", spec.group(), old.group());
    fixed("spec.names.plural", text(spec.names(), "plural"), text(old.names(), "plural"));
}

fn one_of(field: &str, value: &str, words: &[&str], errors: &mut Vec<FieldError>) {
    if value.is_empty() {
        errors.push(FieldError::required(field, ""));
    } else if !words.contains(&value) {
        errors.push(FieldError::not_supported(field, value, words));
    }
}

fn path_errors(path: &str, field: &str, errors: &mut Vec<FieldError>) -> bool {
    let is_good = path.starts_with('.');
    if !is_good {
        errors.push(FieldError::invalid(field, path, "must be a simple json path starting with ."));
    }
    is_good
}

/// What is wrong with a pattern in a schema.
fn pattern_error(given: &str, field: &str) -> Option<FieldError> {
    let why = pattern::error(given)?;
    Some(FieldError::invalid(field, given, &format!("must be a valid regular expression, but isn't: {why}")))
}
