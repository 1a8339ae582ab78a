//! Paths from a schema to one within it.

use serde_json::Value;

use super::Props;

/// Follows `.name` and, where it may, `['name']`.
pub(super) fn steps<'p>(path: &str, props: &'p Props, with_brackets: bool) -> Result<&'p Props, String> {
    let unknown = || "does not refer to a valid field".to_owned();
    let end = || "unexpected end of JSON path".to_owned();
    let (mut rest, mut at) = (path, props);
    while !rest.is_empty() {
        let name;
        if let Some(behind) = rest.strip_prefix('.') {
            let length = behind.find(['.', '[', ']']).unwrap_or(behind.len());
            if behind.is_empty() {
                return Err(end());
            }
            // A sign that follows at once is taken for a name.
            let length = length.max(1);
            (name, rest) = behind.split_at(length);
        } else if let Some(behind) = rest.strip_prefix('[') {
            if !with_brackets {
                return Err("array notation is not allowed".to_owned());
            }
            let inner = behind
                .strip_prefix('\'')
                .ok_or_else(|| format!("expected single quoted string but got {behind}"))?;
            let (quoted, behind) = inner.split_once('\'').ok_or_else(end)?;
            rest = behind.strip_prefix(']').ok_or_else(end)?;
            name = quoted;
        } else {
            let length = rest.find(['.', '[', ']']).unwrap_or(rest.len()).max(1);
            return Err(format!("expected [ or . but got: {}", &rest[..length]));
        }
        let properties = at.get("properties").and_then(Value::as_object).filter(|all| !all.is_empty());
        at = match (properties, at.get("additionalProperties")) {
            (Some(all), _) => all.get(name).and_then(Value::as_object).ok_or_else(unknown)?,
            (None, Some(Value::Object(of))) => of,
            _ => return Err(unknown()),
        };
    }
    Ok(at)
}
