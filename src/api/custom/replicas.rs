//! The numbers behind the scale of an object.

use serde_json::{Map, Value};

use super::text;
use crate::field_error::{FieldError, go_float};
use crate::scale::ScalePaths;

/// Where an object holds what its scale shows, as paths like `.spec.replicas`.
#[derive(Debug)]
pub(super) struct ReplicaPaths {
    pub(super) spec: String,
    pub(super) status: String,
    /// Empty: nowhere.
    pub(super) selector: String,
}

impl ReplicaPaths {
    pub(super) fn read(scale: &Value) -> Self {
        let path = |name| text(scale, name).to_owned();
        Self {
            spec: path("specReplicasPath"),
            status: path("statusReplicasPath"),
            selector: path("labelSelectorPath"),
        }
    }

    pub(super) fn scale(&self) -> ScalePaths {
        let names = |path: &str| path.trim_start_matches('.').split('.').map(str::to_owned).collect();
        let selector = Some(&self.selector).filter(|path| !path.is_empty()).map(|path| names(path));
        ScalePaths { spec: names(&self.spec), status: names(&self.status), selector }
    }

    pub(super) fn wanted_errors(&self, fields: &Map<String, Value>) -> Option<FieldError> {
        count_error(fields, &self.spec)
    }

    pub(super) fn status_errors(&self, fields: &Map<String, Value>) -> Vec<FieldError> {
        let selector = || match at(fields, &self.selector) {
            Ok(None | Some(Value::String(_))) => None,
            Ok(Some(other)) => Some(mismatch(&self.selector, other, "string")),
            Err(why) => Some(why),
        };
        let selector = if self.selector.is_empty() { None } else { selector() };
        let selector = selector.map(|why| FieldError::invalid(&self.selector, "", &why));
        count_error(fields, &self.status).into_iter().chain(selector).collect()
    }
}

fn count_error(fields: &Map<String, Value>, path: &str) -> Option<FieldError> {
    let count = match at(fields, path) {
        Ok(None) => return None,
        Ok(Some(value)) => value.as_i64().ok_or_else(|| mismatch(path, value, "int64")),
        Err(why) => Err(why),
    };
    match count {
        Err(why) => Some(FieldError::invalid(path, 0, &why)),
        Ok(count) if count < 0 => Some(FieldError::invalid(path, count, "should be a non-negative integer")),
        Ok(count) if count > i64::from(i32::MAX) => {
            let why = format!("should be less than or equal to {}", i32::MAX);
            Some(FieldError::invalid(path, count, &why))
        }
        Ok(_) => None,
    }
}

/// What stands at a path.
fn at<'v>(fields: &'v Map<String, Value>, path: &str) -> Result<Option<&'v Value>, String> {
    let path = path.strip_prefix('.').unwrap_or(path);
    let mut names = path.split('.');
    let mut found = names.next().and_then(|name| fields.get(name));
    let mut walked = path.split('.').next().unwrap_or_default().to_owned();
    for name in names {
        walked.push('.');
        walked.push_str(name);
        found = match found {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(map)) => map.get(name),
            Some(other) => return Err(mismatch(&format!(".{walked}"), other, "map[string]interface{}")),
        };
    }
    Ok(found)
}

fn mismatch(path: &str, value: &Value, wanted: &str) -> String {
    let (shown, is) = match value {
        Value::Null => ("<nil>".to_owned(), "<nil>"),
        Value::Bool(given) => (given.to_string(), "bool"),
        Value::Number(number) if number.is_i64() => (number.to_string(), "int64"),
        Value::Number(number) => (go_float(number.as_f64().unwrap_or_default()), "float64"),
        Value::String(given) => (given.clone(), "string"),
        Value::Array(_) => (value.to_string(), "[]interface {}"),
        Value::Object(_) => (value.to_string(), "map[string]interface {}"),
    };
    format!("{path} accessor error: {shown} is of the type {is}, expected {wanted}")
}
