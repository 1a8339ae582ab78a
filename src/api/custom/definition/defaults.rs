//! Defaults are values of the schema that they stand in.

use serde_json::{Map, Value, json};

use crate::conform::conform;
use crate::custom::compile;
use crate::custom::structural::Structural;
use crate::custom::{embedded, validation};
use crate::field_error::FieldError;

/// What is wrong with the defaults of a structural schema.
pub(super) fn errors(props: &Map<String, Value>, path: &str, are_pruned: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    // The object itself has kind, apiVersion and metadata.
    let schema = Structural { is_embedded: true, ..Structural::read_whole(props) };
    walk(&schema, path, false, &mut |of, path, in_meta| {
        if let Some(default) = &of.default {
            errors.extend(default_errors(default, of, &format!("{path}.default"), in_meta, are_pruned));
        }
    });
    errors
}

/// Whether a default holds what its schema would prune.
pub(super) fn are_unpruned(props: &Map<String, Value>) -> bool {
    let schema = Structural { is_embedded: true, ..Structural::read(props) };
    let mut found = false;
    walk(&schema, "", false, &mut |of, _, in_meta| {
        found |= !in_meta && of.default.as_ref().is_some_and(|default| has_unknown(default, of));
    });
    found
}

fn walk(schema: &Structural, path: &str, in_meta: bool, visit: &mut impl FnMut(&Structural, &str, bool)) {
    let in_meta = in_meta && !schema.is_embedded;
    visit(schema, path, in_meta);
    if let Some(items) = &schema.items {
        walk(items, &format!("{path}.items"), in_meta, visit);
    }
    for (name, of) in &schema.properties {
        let is_meta = schema.is_embedded && matches!(name.as_str(), "metadata" | "kind" | "apiVersion");
        walk(of, &format!("{path}.properties[{name}]"), in_meta || is_meta, visit);
    }
}

fn default_errors(
    default: &Value,
    of: &Structural,
    path: &str,
    in_meta: bool,
    are_pruned: bool,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !in_meta && are_pruned && has_unknown(default, of) {
        errors.push(FieldError::invalid(path, default.clone(), "must not have unknown fields"));
    }
    let found = if in_meta { Vec::new() } else { embedded::value_errors(path, default, of) };
    let found = if found.is_empty() { validation::errors(default, of, path, None) } else { found };
    errors.extend(found);
    errors
}

/// Whether something of a value would go when it is conformed to its schema.
fn has_unknown(default: &Value, of: &Structural) -> bool {
    let mut around = Structural::default();
    around.properties.insert("it".to_owned(), of.clone());
    let root = compile::root("default", &around);
    conform(json!({"it": default}), &root).is_ok_and(|(_, unknown)| !unknown.is_empty())
}
