//! Objects in the place of others: what Kubernetes says of a body that names a kind of its own choice.

use std::sync::Arc;

use serde_json::Value;

use crate::conform::conform;
use crate::resource::{RESOURCES, Resource};

/// Groups whose package in Kubernetes is not named as they are.
const PACKAGES: &[(&str, &str)] = &[("", "core"), ("events.k8s.io", "core")];

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
    let forms =
        RESOURCES.iter().flat_map(|row| row.subresources.iter().filter_map(|below| below.form.as_ref()));
    let is_named = |row: &&Arc<Resource>| (&*row.group, &*row.version, &*row.kind) == (group, version, kind);
    let Some(named) = RESOURCES.iter().chain(forms).find(is_named) else {
        return format!(
            "no kind {kind:?} is registered for version {api_version:?} in scheme \"pkg/runtime/scheme.go:111\""
        );
    };
    // It is read before anybody asks what it is.
    if let Err(error) = conform(tree.clone(), &named.schema) {
        return error.to_string();
    }
    let (from, to) = (named.schema.qualified(), format!("{}.{}", package(&wanted.group), wanted.kind));
    format!("converting ({from}) to ({to}): unknown conversion")
}

fn package(group: &str) -> &str {
    let known = PACKAGES.iter().find(|(known, _)| *known == group);
    known.map_or_else(|| group.split('.').next().unwrap_or_default(), |(_, package)| package)
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
