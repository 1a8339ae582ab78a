//! The rules of `metadata`, and those of the kind behind them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::field_error::FieldError;
use crate::meta::ObjectMeta;
use crate::names;
use crate::object::Object;
use crate::resource::Resource;

/// How large all annotations of an object may be together, keys and values.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

const IMMUTABLE: &str = "field is immutable";

/// What is wrong with a new object. Its name has been generated already, if it asked for that.
pub fn create(object: &Object, resource: &Resource) -> Vec<FieldError> {
    let meta = &object.meta;
    let mut errors = name_errors(meta, resource);
    errors.extend(namespace_errors(meta, resource));
    if meta.generation < 0 {
        errors.push(FieldError::invalid(
            "metadata.generation",
            meta.generation,
            "must be greater than or equal to 0",
        ));
    }
    errors.extend(common(meta));
    errors.extend(finalizer_errors(meta));
    errors.extend((resource.strategy.validate)(object));
    errors
}

/// What is wrong with a change of an object.
pub fn update(new: &Object, old: &Object, resource: &Resource) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if old.meta.is_deleting() {
        let added: Vec<_> =
            new.meta.finalizers.iter().filter(|name| !old.meta.finalizers.contains(name)).collect();
        if !added.is_empty() {
            let text = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
            );
            errors.push(FieldError::forbidden("metadata.finalizers", &text));
        }
    }
    errors.extend(unchanged("metadata.name", &new.meta.name, &old.meta.name));
    errors.extend(unchanged("metadata.namespace", &new.meta.namespace, &old.meta.namespace));
    errors.extend(unchanged("metadata.uid", &new.meta.uid, &old.meta.uid));
    errors.extend(unchanged(
        "metadata.creationTimestamp",
        &new.meta.creation_timestamp,
        &old.meta.creation_timestamp,
    ));
    errors.extend(unchanged(
        "metadata.deletionTimestamp",
        &new.meta.deletion_timestamp,
        &old.meta.deletion_timestamp,
    ));
    errors.extend(common(&new.meta));
    errors.extend(finalizer_errors(&new.meta));
    errors.extend((resource.strategy.validate_update)(new, old));
    errors.extend((resource.strategy.validate)(new));
    errors
}

fn unchanged<T: PartialEq + Clone + Into<Value>>(field: &str, new: &T, old: &T) -> Option<FieldError> {
    (new != old).then(|| FieldError::invalid(field, new.clone(), IMMUTABLE))
}

fn name_errors(meta: &ObjectMeta, resource: &Resource) -> Vec<FieldError> {
    let check = resource.strategy.name;
    let mut errors = Vec::new();
    if !meta.generate_name.is_empty() {
        let wrong = check(&meta.generate_name, true).into_iter();
        errors
            .extend(wrong.map(|text| {
                FieldError::invalid("metadata.generateName", meta.generate_name.as_str(), &text)
            }));
    }
    if meta.name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        let wrong = check(&meta.name, false).into_iter();
        errors.extend(wrong.map(|text| FieldError::invalid("metadata.name", meta.name.as_str(), &text)));
    }
    errors
}

fn namespace_errors(meta: &ObjectMeta, resource: &Resource) -> Vec<FieldError> {
    let field = "metadata.namespace";
    match (resource.namespaced, meta.namespace.as_str()) {
        (false, "") => Vec::new(),
        (false, _) => vec![FieldError::forbidden(field, "not allowed on this type")],
        (true, "") => vec![FieldError::required(field, "")],
        (true, name) => names::dns_label(name, false)
            .into_iter()
            .map(|text| FieldError::invalid(field, name, &text))
            .collect(),
    }
}

fn common(meta: &ObjectMeta) -> Vec<FieldError> {
    let mut errors = label_errors(&meta.labels);
    for key in meta.annotations.keys() {
        let wrong = names::qualified(&key.to_lowercase()).into_iter();
        errors.extend(wrong.map(|text| FieldError::invalid("metadata.annotations", key.as_str(), &text)));
    }
    let size: usize = meta.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > ANNOTATIONS_BYTES_MAX {
        errors.push(FieldError::too_long("metadata.annotations", ANNOTATIONS_BYTES_MAX));
    }
    errors.extend(owner_errors(&meta.owner_references));
    errors
}

fn label_errors(labels: &BTreeMap<String, String>) -> Vec<FieldError> {
    let field = "metadata.labels";
    let mut errors = Vec::new();
    for (key, value) in labels {
        let wrong = names::qualified(key).into_iter();
        errors.extend(wrong.map(|text| FieldError::invalid(field, key.as_str(), &text)));
        let wrong = names::label_value(value).into_iter();
        errors.extend(wrong.map(|text| FieldError::invalid(field, value.as_str(), &text)));
    }
    errors
}

fn owner_errors(owners: &[Value]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (at, owner) in owners.iter().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner.get(field).and_then(Value::as_str).unwrap_or_default().is_empty() {
                let path = format!("metadata.ownerReferences[{at}].{field}");
                errors.push(FieldError::required(&path, "must not be empty"));
            }
        }
    }
    let controllers: Vec<_> =
        owners.iter().filter(|owner| owner.get("controller") == Some(&Value::Bool(true))).collect();
    if let [first, second, ..] = controllers.as_slice() {
        let name = |owner: &Value| {
            let text = |field| owner.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            format!("{}/{}", text("kind"), text("name"))
        };
        let text = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
            name(first),
            name(second)
        );
        errors.push(FieldError::invalid("metadata.ownerReferences", owners.to_vec(), &text));
    }
    errors
}

fn finalizer_errors(meta: &ObjectMeta) -> Vec<FieldError> {
    let field = "metadata.finalizers";
    let wrong = |name: &String| {
        names::qualified(name)
            .into_iter()
            .map(|text| FieldError::invalid(field, name.as_str(), &text))
            .collect::<Vec<_>>()
    };
    meta.finalizers.iter().flat_map(wrong).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::{config_map, namespace};

    fn object(meta: Value) -> Object {
        Object::from_tree(json!({"metadata": meta}), &config_map::RESOURCE).expect("conforms").0
    }

    fn check(errors: &[FieldError], expect: &[&str]) {
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), expect.len(), "{texts:?}");
        for (text, expect) in texts.iter().zip(expect) {
            assert!(text.starts_with(expect), "{text} / {expect}");
        }
    }

    #[test]
    fn metadata_of_new_objects() {
        let of = |meta: Value| create(&object(meta), &config_map::RESOURCE);
        check(&of(json!({"name": "a", "namespace": "b"})), &[]);
        check(
            &of(json!({"namespace": "b"})),
            &["metadata.name: Required value: name or generateName is required"],
        );
        check(
            &of(json!({"name": "A"})),
            &[
                "metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain",
                "metadata.namespace: Required value",
            ],
        );
        check(
            &of(json!({"name": "a", "namespace": "b", "labels": {"k": "?", "/": ""}})),
            &[
                "metadata.labels: Invalid value: \"/\": prefix part must be non-empty",
                "metadata.labels: Invalid value: \"/\": name part must be non-empty",
                "metadata.labels: Invalid value: \"/\": name part must consist of",
                "metadata.labels: Invalid value: \"?\": a valid label must be",
            ],
        );
        check(
            &of(
                json!({"name": "a", "namespace": "b", "ownerReferences": [{"kind": "A", "name": "b", "uid": "c"}]}),
            ),
            &["metadata.ownerReferences[0].apiVersion: Required value: must not be empty"],
        );
        check(
            &of(
                json!({"name": "a", "namespace": "b", "annotations": {"a": "x".repeat(ANNOTATIONS_BYTES_MAX)}}),
            ),
            &["metadata.annotations: Too long: may not be more than 262144 bytes"],
        );
        check(
            &create(&object(json!({"name": "a", "namespace": "b"})), &namespace::RESOURCE),
            &["metadata.namespace: Forbidden: not allowed on this type"],
        );
    }

    #[test]
    fn metadata_of_changed_objects() {
        let old = object(
            json!({"name": "a", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x.y/z"]}),
        );
        let of = |meta: Value| update(&object(meta), &old, &config_map::RESOURCE);
        check(&of(json!({"name": "a", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"})), &[]);
        check(
            &of(
                json!({"name": "a", "uid": "2", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x.y/new"]}),
            ),
            &[
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"x.y/new\"}",
                "metadata.uid: Invalid value: \"2\": field is immutable",
            ],
        );
    }
}
