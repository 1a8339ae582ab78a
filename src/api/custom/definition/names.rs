//! Names of a definition: its own, that of its group, and those of its kind.

use serde_json::Value;

use super::Spec;
use crate::custom::{text, texts};
use crate::field_error::FieldError;
use crate::names;
use crate::object::Object;

pub(super) fn name_error(definition: &Object, spec: &Spec<'_>) -> Option<FieldError> {
    let (name, plural) = (&definition.meta.name, text(spec.names(), "plural"));
    let wanted = format!("{plural}.{}", spec.group());
    (*name != wanted && !name.is_empty()).then(|| {
        FieldError::invalid("metadata.name", name.as_str(), "must be spec.names.plural+\".\"+spec.group")
    })
}

pub(super) fn group_errors(group: &str, errors: &mut Vec<FieldError>) {
    let field = "spec.group";
    let wrong = names::dns_subdomain(group, false);
    if group.is_empty() {
        errors.push(FieldError::required(field, ""));
    } else if !wrong.is_empty() {
        errors.push(FieldError::invalid(field, group, &wrong.join(",")));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid(field, group, "should be a domain with at least one dot"));
    }
}

pub(super) fn names_errors(names: &Value, path: &str, errors: &mut Vec<FieldError>) {
    const MIXED: &str = "may have mixed case, but should otherwise match: ";
    for (name, before) in [("plural", ""), ("singular", ""), ("kind", MIXED), ("listKind", MIXED)] {
        let given = text(names, name);
        if !given.is_empty() {
            joined(&format!("{path}.{name}"), given, before, errors);
        }
    }
    let (kind, list_kind) = (text(names, "kind"), text(names, "listKind"));
    if !kind.is_empty() && kind == list_kind {
        let why = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(&format!("{path}.listKind"), list_kind, why));
    }
    for list in ["shortNames", "categories"] {
        for (at, name) in texts(names, list).iter().enumerate() {
            joined(&format!("{path}.{list}[{at}]"), name, "", errors);
        }
    }
}

/// A name of one part; all that is wrong with it is told as one.
pub(super) fn joined(field: &str, name: &str, before: &str, errors: &mut Vec<FieldError>) {
    let checked = if before.is_empty() { name.to_owned() } else { name.to_lowercase() };
    let wrong = names::dns_1035_label(&checked, false);
    if !wrong.is_empty() {
        errors.push(FieldError::invalid(field, name, &format!("{before}{}", wrong.join(","))));
    }
}
