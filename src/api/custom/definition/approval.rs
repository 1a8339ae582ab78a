//! Groups of the community are theirs to give.

use crate::custom::formats;
use crate::field_error::FieldError;
use crate::object::Object;

/// The annotation that groups of the community need.
const APPROVAL: &str = "api-approved.kubernetes.io";

pub(super) fn errors(definition: &Object, old: Option<&Object>, group: &str, errors: &mut Vec<FieldError>) {
    let is_protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|own| group.strip_suffix(own).is_some_and(|before| before.is_empty() || before.ends_with('.')));
    let state = approval(definition);
    if !is_protected || old.is_some_and(|old| approval(old) == state) {
        return;
    }
    let field = format!("metadata.annotations[{APPROVAL}]");
    let needs = format!("protected groups must have approval annotation \"{APPROVAL}\"");
    let more = "see https://github.com/kubernetes/enhancements/pull/1111";
    match state {
        "missing" => errors.push(FieldError::required(&field, &format!("{needs}, {more}"))),
        "invalid" => {
            let given = definition.meta.annotations[APPROVAL].as_str();
            let why = format!("{needs} with either a URL or a reason starting with \"unapproved\", {more}");
            errors.push(FieldError::invalid(&field, given, &why));
        }
        _ => {}
    }
}

/// Whether groups of the community are approved there.
fn approval(definition: &Object) -> &'static str {
    match definition.meta.annotations.get(APPROVAL).map(String::as_str).unwrap_or_default() {
        "" => "missing",
        text if text.starts_with("unapproved") => "bypassed",
        text if text.contains("://") && formats::holds("uri", text) && !text.ends_with("://") => "approved",
        _ => "invalid",
    }
}
