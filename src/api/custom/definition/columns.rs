//! The columns that a definition prints.

use serde_json::Value;

use super::path_errors;
use crate::custom::text;
use crate::field_error::FieldError;

pub(super) fn errors(column: &Value, path: &str, errors: &mut Vec<FieldError>) {
    const KINDS: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
    const FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
    if text(column, "name").is_empty() {
        errors.push(FieldError::required(&format!("{path}.name"), ""));
    }
    let (kind, format) = (text(column, "type"), text(column, "format"));
    let why = format!("must be one of {}", KINDS.join(","));
    if kind.is_empty() {
        errors.push(FieldError::required(&format!("{path}.type"), &why));
    } else if !KINDS.contains(&kind) {
        errors.push(FieldError::invalid(&format!("{path}.type"), kind, &why));
    }
    if !format.is_empty() && !FORMATS.contains(&format) {
        let why = format!("must be one of {}", FORMATS.join(","));
        errors.push(FieldError::invalid(&format!("{path}.format"), format, &why));
    }
    let (given, field) = (text(column, "jsonPath"), format!("{path}.JSONPath"));
    if given.is_empty() {
        errors.push(FieldError::required(&field, ""));
    } else {
        path_errors(given, &field, errors);
    }
}
