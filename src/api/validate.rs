//! The rules of objects: those of `metadata`, and those of the kind behind them.

pub mod at;
pub mod claim;
pub mod common;
pub mod finalizers;
pub(crate) mod internal;
pub(crate) mod meta;
pub mod network;
pub mod pod;
pub mod references;
pub mod signer;
pub mod text;
pub mod volume;
pub mod webhook;
pub(crate) mod whole;
pub mod workload;

mod difference;

use serde_json::Map;

use crate::custom::CustomResource;
use crate::field_error::FieldError;
use crate::meta::ObjectMeta;
use crate::object::Object;
use crate::parts::Part;
use crate::resource::Resource;
use at::{errors_of, errors_of_change};

pub use common::IMMUTABLE;

/// What is wrong with a new object. Its name has been generated already, if it asked for that.
pub fn create(object: &Object, resource: &Resource) -> Vec<FieldError> {
    let errors = errors_of(object, |root| {
        let strategy = resource.strategy();
        if strategy.metadata_last {
            (strategy.validate)(root);
            if root.error_count() == 0 {
                meta::create(root, resource);
            }
            return;
        }
        meta::create(root, resource);
        (strategy.validate)(root);
        report(root, resource, |custom| custom.errors(object, None));
    });
    declared_last(errors, resource)
}

/// Puts what breaks declared rules behind all else, in the order of the rules.
fn declared_last(mut errors: Vec<FieldError>, resource: &Resource) -> Vec<FieldError> {
    let declared = resource.particular.declared;
    if !declared.is_empty() {
        errors.sort_by_cached_key(|error| declared.iter().position(|rule| error.is_of(*rule)));
    }
    errors
}

/// Tells what a definition says is wrong.
fn report(root: at::Root<'_>, resource: &Resource, errors: impl Fn(&CustomResource) -> Vec<FieldError>) {
    if let Some(custom) = &resource.custom {
        errors(custom).into_iter().for_each(|error| root.report(error));
    }
}

/// What is wrong with the metadata of an object within an object, whose place is `path`.
pub fn embedded(meta: ObjectMeta, path: &str) -> Vec<FieldError> {
    let object = Object { meta, fields: Map::new() };
    let errors = errors_of(&object, meta::embedded);
    errors.into_iter().map(|error| error.within(path)).collect()
}

/// What is wrong with a change of an object.
pub fn update(new: &Object, old: &Object, resource: &Resource) -> Vec<FieldError> {
    let errors = errors_of_change(new, old, |new, old| {
        meta::update(new, old.meta(), resource);
        (resource.strategy().validate_update)(new, old);
        report(new, resource, |custom| custom.errors(new.object, Some(old.object)));
    });
    declared_last(errors, resource)
}

/// What a kind itself finds wrong with an object, or with what became of `old`: nothing about its metadata.
pub fn of_kind(new: &Object, old: Option<&Object>, resource: &Resource) -> Vec<FieldError> {
    let strategy = resource.strategy();
    match old {
        None => errors_of(new, strategy.validate),
        Some(old) => errors_of_change(new, old, strategy.validate_update),
    }
}

/// What is wrong with a change of a part of an object.
pub fn update_part(new: &Object, old: &Object, resource: &Resource, part: &Part) -> Vec<FieldError> {
    errors_of_change(new, old, |new, old| {
        meta::update(new, old.meta(), resource);
        (part.validate)(new, old, resource);
        if part.of[2] == "status" {
            report(new, resource, |custom| custom.status_errors(new.object, old.object));
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(meta: Value) -> Object {
        Object::from_tree(json!({"metadata": meta}), &Resource::builtin("", "v1", "configmaps"))
            .expect("conforms")
            .0
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
        let of = |meta: Value| create(&object(meta), &Resource::builtin("", "v1", "configmaps"));
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
                json!({"name": "a", "namespace": "b", "annotations": {"a": "x".repeat(meta::ANNOTATIONS_BYTES_MAX)}}),
            ),
            &["metadata.annotations: Too long: may not be more than 262144 bytes"],
        );
        check(
            &create(
                &object(json!({"name": "a", "namespace": "b"})),
                &Resource::builtin("", "v1", "namespaces"),
            ),
            &["metadata.namespace: Forbidden: not allowed on this type"],
        );
    }

    #[test]
    fn metadata_of_changed_objects() {
        let old = object(
            json!({"name": "a", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x.y/z"]}),
        );
        let of = |meta: Value| update(&object(meta), &old, &Resource::builtin("", "v1", "configmaps"));
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
