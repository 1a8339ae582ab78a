//! Objects in the place of others: what Kubernetes says of a body that names a kind of its own choice.

use std::sync::Arc;

use serde_json::Value;

use crate::conform::conform;
use crate::resource::{RESOURCES, Resource};
use crate::scheme;

/// Why a tree that says what it is cannot become an object of `wanted`; nothing when it can, or when it does not say.
pub fn mistake(tree: &Value, wanted: &Resource) -> Option<String> {
    let text = |name| tree.get(name).and_then(Value::as_str).unwrap_or_default();
    let (kind, api_version) = (text("kind"), text("apiVersion"));
    let is_it = |said: &str, is: &str| said.is_empty() || said == is;
    if is_it(kind, &wanted.kind) && is_it(api_version, &wanted.api_version()) || wanted.custom.is_some() {
        return None;
    }
    Some(unconvertible(tree, kind, api_version, wanted))
}

fn unconvertible(tree: &Value, kind: &str, api_version: &str, wanted: &Resource) -> String {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if !scheme::is_registered(group, version, kind) {
        return scheme::not_registered(group, version, kind);
    }
    // It is read before anybody asks what it is.
    let is_named = |row: &&Arc<Resource>| (&*row.group, &*row.version, &*row.kind) == (group, version, kind);
    let read = RESOURCES.iter().find(is_named).map(|row| conform(tree.clone(), &row.schema));
    if let Some(Err(error)) = read {
        return error.to_string();
    }
    scheme::not_convertible(version, kind, wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_body_says_it_is() {
        let cases = [
            (json!({}), None),
            (json!({"kind": "ConfigMap", "apiVersion": "v1"}), None),
            (
                json!({"kind": "Secret", "apiVersion": "v1"}),
                Some("converting (v1.Secret) to (core.ConfigMap): unknown conversion"),
            ),
            (
                json!({"kind": "Secret", "apiVersion": "v1", "data": {"a": "?"}}),
                Some("illegal base64 data at input byte 0"),
            ),
            (
                json!({"kind": "Parrot", "apiVersion": "v1"}),
                Some(
                    r#"no kind "Parrot" is registered for version "v1" in scheme "pkg/runtime/scheme.go:111""#,
                ),
            ),
        ];
        let maps = Resource::builtin("", "v1", "configmaps");
        for (tree, expect) in cases {
            assert_eq!(mistake(&tree, &maps).as_deref(), expect, "{tree}");
        }
    }
}
