//! Where the numbers of the subresource `scale` stand in an object.

use serde_json::Value;

use super::path_errors;
use crate::custom::text;
use crate::field_error::FieldError;

pub(super) fn errors(given: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(scale) = given.get("scale") else { return };
    for (name, below) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
        let (given, field) = (text(scale, name), format!("{path}.scale.{name}"));
        if given.is_empty() {
            errors.push(FieldError::required(&field, ""));
        } else if path_errors(given, &field, errors) && !given.starts_with(below) {
            let why = format!("should be a json path under {}", below.trim_end_matches('.'));
            errors.push(FieldError::invalid(&field, given, &why));
        }
    }
    let (given, field) = (text(scale, "labelSelectorPath"), format!("{path}.scale.labelSelectorPath"));
    let is_below = [".spec.", ".status."].iter().any(|below| given.starts_with(below));
    if !given.is_empty() && path_errors(given, &field, errors) && !is_below {
        errors.push(FieldError::invalid(
            &field,
            given,
            "should be a json path under either .spec or .status",
        ));
    }
}
