//! A request's body to an object: media type, kind, fields, strictness.

mod body;
mod delete;

use serde_json::Value;

use crate::decode::{self, Oddity};
use crate::field_error::FieldError;
use crate::object::Object;
use crate::resource::Resource;
use crate::status::Status;

pub use delete::DeleteOptions;

/// What bodies may be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/json`; also what a body without a type is taken for.
    Json,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
    /// `application/yaml`.
    Yaml,
}

/// The media types of [`Format`], as error texts list them.
pub const MEDIA_TYPES: &[&str] =
    &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

impl Format {
    /// From a Content-Type header; `None` when it is none of ours.
    pub fn of(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "" | "application/json" | "*/*" => Some(Self::Json),
            "application/vnd.kubernetes.protobuf" => Some(Self::Protobuf),
            "application/yaml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// What to do about fields that the type does not know, and about keys given twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Nothing.
    Ignore,
    /// Refuse the request.
    Strict,
    /// Warn.
    #[default]
    Warn,
}

impl FieldValidation {
    /// From the query parameter `fieldValidation`.
    ///
    /// # Errors
    /// Says what else would have been a word for it.
    pub fn parse(word: &str) -> Result<Self, FieldError> {
        match word {
            "" | "Warn" => Ok(Self::Warn),
            "Ignore" => Ok(Self::Ignore),
            "Strict" => Ok(Self::Strict),
            other => {
                Err(FieldError::not_supported("fieldValidation", other, &["", "Ignore", "Strict", "Warn"]))
            }
        }
    }
}

/// What is wrong with the values of `dryRun`, if anything is.
pub fn dry_run_error(values: &[&str]) -> Option<FieldError> {
    let is_known = values.iter().all(|value| *value == "All");
    (!is_known).then(|| FieldError::not_supported("dryRun", values.to_vec(), &["All"]))
}

/// Whether a parameter's value says yes: all that does not say no.
pub fn is_yes(value: &str) -> bool {
    value != "0" && !value.eq_ignore_ascii_case("false")
}

/// Reads an object of `resource`. Also returns warnings for the client.
///
/// # Errors
/// 400, saying what cannot be understood.
pub fn object(
    bytes: &[u8],
    format: Format,
    resource: &Resource,
    validation: FieldValidation,
) -> Result<(Object, Vec<String>), Status> {
    let check = |kind: &str, version: &str| body::check(bytes, format, kind, version, resource);
    let read = body::read(bytes, format, &resource.schema, check);
    let read = read.map_err(|refused| refused.status(bytes, &resource.kind))?;
    let (object, unknown) = conformed(read.tree, resource)?;
    let is_mixed = !read.duplicates.is_empty() && !unknown.is_empty();
    let odd = if format == Format::Yaml && !read.duplicates.is_empty() {
        let is_told = validation != FieldValidation::Ignore;
        let repeated = is_told.then(|| decode::repeated(bytes)).flatten();
        repeated.into_iter().chain(texts(oddities(Vec::new(), unknown))).collect()
    } else if is_mixed && format == Format::Json && resource.custom.is_none() {
        texts(decode::oddities(bytes, unknown))
    } else {
        texts(oddities(read.duplicates, unknown))
    };
    judged(object, &odd, resource, validation)
}

/// The same from a tree that came about otherwise, by a patch; `duplicates` are paths of keys that it gave twice.
///
/// # Errors
/// 400, saying what cannot be understood.
pub fn from_tree(
    tree: Value,
    duplicates: Vec<String>,
    resource: &Resource,
    validation: FieldValidation,
) -> Result<(Object, Vec<String>), Status> {
    let (object, unknown) = conformed(tree, resource)?;
    judged(object, &texts(oddities(duplicates, unknown)), resource, validation)
}

/// The object of a tree, and the paths of fields that it does not have, in the order in which they are told.
fn conformed(tree: Value, resource: &Resource) -> Result<(Object, Vec<String>), Status> {
    let read = Object::from_tree(tree, resource);
    let (object, mut unknown) = read.map_err(|error| unusable(resource, &error.to_string()))?;
    if resource.custom.is_some() {
        // What is odd about the metadata is found before the rest is looked at.
        unknown.sort_by_key(|path| (!path.starts_with("metadata."), path.clone()));
    }
    Ok((object, unknown))
}

fn oddities(duplicates: Vec<String>, unknown: Vec<String>) -> Vec<Oddity> {
    let duplicates = duplicates.into_iter().map(Oddity::Duplicate);
    duplicates.chain(unknown.into_iter().map(Oddity::Unknown)).collect()
}

fn texts(odd: Vec<Oddity>) -> Vec<String> {
    odd.iter().map(ToString::to_string).collect()
}

/// The object with its warnings, unless what is odd about it is not to be.
fn judged(
    object: Object,
    odd: &[String],
    resource: &Resource,
    validation: FieldValidation,
) -> Result<(Object, Vec<String>), Status> {
    match validation {
        FieldValidation::Strict if !odd.is_empty() => {
            Err(unusable(resource, &format!("strict decoding error: {}", odd.join(", "))))
        }
        FieldValidation::Ignore => Ok((object, Vec::new())),
        FieldValidation::Strict | FieldValidation::Warn => {
            Ok((object, odd.iter().flat_map(|error| decode::warnings(error)).collect()))
        }
    }
}

fn unusable(resource: &Resource, why: &str) -> Status {
    let (kind, version) = (&resource.kind, &resource.version);
    Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str, validation: FieldValidation) -> String {
        object(body.as_bytes(), Format::Json, &Resource::builtin("", "v1", "configmaps"), validation)
            .expect_err("refused")
            .message
    }

    #[test]
    fn strict_refuses_what_warn_tells() {
        let body = r#"{"metadata":{"name":"x"},"data":{"a":"1","a":"2"},"extra":1}"#;
        assert_eq!(
            refused(body, FieldValidation::Strict),
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: duplicate field "data.a", unknown field "extra""#
        );
        let warnings = |validation| {
            object(body.as_bytes(), Format::Json, &Resource::builtin("", "v1", "configmaps"), validation)
                .expect("accepted")
                .1
        };
        assert_eq!(
            warnings(FieldValidation::Warn),
            [r#"duplicate field "data.a""#, r#"unknown field "extra""#]
        );
        assert!(warnings(FieldValidation::Ignore).is_empty());
    }

    #[test]
    fn the_body_must_be_what_the_path_says() {
        let as_map = |kind: &str, version: &str, why: &str| {
            format!("{kind} in version {version:?} cannot be handled as a ConfigMap: {why}")
        };
        let unrecognized = |why: &str, body: &str| {
            format!("the object provided is unrecognized (must be of type ConfigMap): {why} ({body})")
        };
        let scheme = r#"in scheme "pkg/runtime/scheme.go:111""#;
        let cases = [
            (
                r#"{"kind":"ConfigMap","apiVersion":"v2"}"#,
                as_map(
                    "ConfigMap",
                    "v2",
                    &format!(r#"no kind "ConfigMap" is registered for version "v2" {scheme}"#),
                ),
            ),
            (
                r#"{"kind":"Pod","apiVersion":"v1"}"#,
                as_map("Pod", "v1", "converting (v1.Pod) to (core.ConfigMap): unknown conversion"),
            ),
            (
                r#"{"kind":"Deployment","apiVersion":"apps/v1"}"#,
                as_map(
                    "Deployment",
                    "v1",
                    "converting (v1.Deployment) to (core.ConfigMap): unknown conversion",
                ),
            ),
            (
                r#"{"kind":"X","apiVersion":"apps/"}"#,
                as_map("X", "", r#"Object 'apiVersion' is missing in '{"kind":"X","apiVersion":"apps/"}'"#),
            ),
            (
                r#"{"data":{"a":1}}"#,
                as_map(
                    "ConfigMap",
                    "v1",
                    "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
                ),
            ),
            (
                r#"{"kind":"ConfigMap","apiVersion":"a/b/c"}"#,
                unrecognized(
                    "unexpected GroupVersion string: a/b/c",
                    r#"{"kind":"ConfigMap","apiVersio ..."#,
                ),
            ),
            (
                "5",
                unrecognized(
                    r#"couldn't get version/kind; json parse error: json: cannot unmarshal number into Go value of type struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#,
                    "35",
                ),
            ),
        ];
        for (body, expect) in cases {
            assert_eq!(refused(body, FieldValidation::Warn), expect);
        }
    }

    #[test]
    fn what_a_body_does_not_say_its_path_says() {
        let maps = Resource::builtin("", "v1", "configmaps");
        for body in ["{}", "null", r#"{"kind":"ConfigMap"}"#, r#"{"apiVersion":"v1"}"#] {
            assert!(object(body.as_bytes(), Format::Json, &maps, FieldValidation::Warn).is_ok(), "{body}");
        }
        let scales = Resource::builtin("autoscaling", "v2", "horizontalpodautoscalers");
        let older = br#"{"kind":"HorizontalPodAutoscaler","apiVersion":"autoscaling/v1"}"#;
        let refused = object(older, Format::Json, &scales, FieldValidation::Warn).expect_err("older");
        assert_eq!(
            refused.message,
            "the API version in the data (autoscaling/v1) does not match the expected API version (autoscaling/v2)"
        );
    }

    #[test]
    fn bodies_in_other_formats() {
        let maps = Resource::builtin("", "v1", "configmaps");
        let refused = |body: &[u8], format| {
            object(body, format, &maps, FieldValidation::Warn).expect_err("refused").message
        };
        let cases: [(&[u8], Format, &str); 4] = [
            (b"a: [b", Format::Yaml, "yaml: line 1: did not find expected ',' or ']' (613a205b62)"),
            (
                b"{}",
                Format::Protobuf,
                "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] ({})",
            ),
            (b"", Format::Protobuf, "empty data (<empty>)"),
            (b"k8s\0", Format::Protobuf, "empty body (6b387300)"),
        ];
        for (body, format, expect) in cases {
            let expect = format!("the object provided is unrecognized (must be of type ConfigMap): {expect}");
            assert_eq!(refused(body, format), expect);
        }
        assert!(object(b"", Format::Yaml, &maps, FieldValidation::Warn).is_ok(), "nothing is null in YAML");
    }

    #[test]
    fn media_types() {
        assert_eq!(Format::of("application/json; charset=utf-8"), Some(Format::Json));
        assert_eq!(Format::of("application/yaml"), Some(Format::Yaml));
        assert_eq!(Format::of("text/plain"), None);
    }
}
