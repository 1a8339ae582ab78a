//! A request's body to an object: media type, kind, fields, strictness.

use serde_json::Value;

use crate::decode;
use crate::fields::{DELETE_OPTIONS, Type};
use crate::object::Object;
use crate::proto;
use crate::resource::Resource;
use crate::status::Status;

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
    &["application/json", "application/vnd.kubernetes.protobuf", "application/yaml"];

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
    /// 422 for any other word.
    pub fn parse(word: &str) -> Result<Self, Status> {
        match word {
            "" | "Warn" => Ok(Self::Warn),
            "Ignore" => Ok(Self::Ignore),
            "Strict" => Ok(Self::Strict),
            other => {
                let supported = ["Ignore", "Strict", "Warn"];
                let error = crate::FieldError::not_supported("fieldValidation", other, &supported);
                let kind = crate::GroupResource { group: "meta.k8s.io", resource: "CreateOptions" };
                Err(Status::invalid(kind, "", &[error]))
            }
        }
    }
}

/// Reads an object of `resource`. Also returns warnings for the client.
///
/// # Errors
/// 400, saying what cannot be understood.
pub fn object(
    body: &[u8],
    format: Format,
    resource: &Resource,
    validation: FieldValidation,
) -> Result<(Object, Vec<String>), Status> {
    let (tree, duplicates) = tree(body, format, resource.schema, resource.kind, &resource.api_version())?;
    from_tree(tree, duplicates, resource, validation)
}

/// The same from a tree that came about otherwise, by a patch.
///
/// # Errors
/// 400, saying what cannot be understood.
pub fn from_tree(
    tree: Value,
    duplicates: Vec<String>,
    resource: &Resource,
    validation: FieldValidation,
) -> Result<(Object, Vec<String>), Status> {
    let unusable = |why: &str| {
        let (kind, version) = (resource.kind, resource.version);
        Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
    };
    let (object, unknown) =
        Object::from_tree(tree, resource).map_err(|error| unusable(&error.to_string()))?;
    let unknown = unknown.into_iter().map(|path| format!("unknown field {path:?}"));
    let odd: Vec<_> =
        unknown.chain(duplicates.into_iter().map(|path| format!("duplicate field {path:?}"))).collect();
    match validation {
        FieldValidation::Strict if !odd.is_empty() => {
            Err(unusable(&format!("strict decoding error: {}", odd.join(", "))))
        }
        FieldValidation::Ignore => Ok((object, Vec::new())),
        FieldValidation::Strict | FieldValidation::Warn => Ok((object, odd)),
    }
}

/// What a delete asks for beside the name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// The object must have this uid.
    pub uid: Option<String>,
    /// The object must be of this resourceVersion.
    pub resource_version: Option<String>,
    /// Only check, delete nothing.
    pub dry_run: bool,
}

/// Reads the body of a delete; an empty one asks for nothing particular.
///
/// # Errors
/// 400, saying what cannot be understood.
pub fn delete_options(body: &[u8], format: Format) -> Result<DeleteOptions, Status> {
    if body.is_empty() {
        return Ok(DeleteOptions::default());
    }
    let (mut tree, _) = tree(body, format, &DELETE_OPTIONS, "DeleteOptions", "")?;
    let unusable = |why: &dyn std::fmt::Display| {
        Status::bad_request(format!(
            "DeleteOptions in version \"v1\" cannot be handled as a DeleteOptions: {why}"
        ))
    };
    if let Some(map) = tree.as_object_mut() {
        map.shift_remove("kind");
        map.shift_remove("apiVersion");
    }
    let (map, _) = crate::conform::conform(tree, &DELETE_OPTIONS).map_err(|error| unusable(&error))?;
    let precondition = |name: &str| {
        let value = map.get("preconditions").and_then(|given| given.get(name));
        value.and_then(Value::as_str).map(str::to_owned)
    };
    let dry_run = map.get("dryRun").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    Ok(DeleteOptions { uid: precondition("uid"), resource_version: precondition("resourceVersion"), dry_run })
}

/// Reads a body and checks that it says what it should be. An empty `api_version`: any.
fn tree(
    body: &[u8],
    format: Format,
    schema: &'static Type,
    kind: &str,
    api_version: &str,
) -> Result<(Value, Vec<String>), Status> {
    let malformed = |error: &dyn std::fmt::Display| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: {error}"
        ))
    };
    if format == Format::Protobuf {
        let envelope = proto::open(body).map_err(|error| malformed(&error))?;
        expect(envelope.kind, envelope.api_version, kind, api_version)?;
        let tree = proto::tree(envelope.message, schema).map_err(|error| malformed(&error))?;
        return Ok((tree, Vec::new()));
    }
    let decoded = match format {
        Format::Yaml => decode::yaml(body),
        Format::Json | Format::Protobuf => decode::json(body),
    }
    .map_err(|error| malformed(&error))?;
    let text = |name| decoded.value.get(name).and_then(Value::as_str).unwrap_or_default();
    expect(text("kind"), text("apiVersion"), kind, api_version)?;
    Ok((decoded.value, decoded.duplicates))
}

/// What a body does not say is taken from the path.
fn expect(kind: &str, api_version: &str, want_kind: &str, want_version: &str) -> Result<(), Status> {
    if !kind.is_empty() && kind != want_kind {
        return Err(Status::bad_request(format!(
            "{kind} in version {api_version:?} cannot be handled as a {want_kind}: no kind {kind:?} is served at this path"
        )));
    }
    if !want_version.is_empty() && !api_version.is_empty() && api_version != want_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({want_version})"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::config_map::RESOURCE;

    fn refused(body: &str, validation: FieldValidation) -> String {
        object(body.as_bytes(), Format::Json, &RESOURCE, validation).expect_err("refused").message
    }

    #[test]
    fn strict_refuses_what_warn_tells() {
        let body = r#"{"metadata":{"name":"x"},"extra":1,"data":{"a":"1","a":"2"}}"#;
        assert_eq!(
            refused(body, FieldValidation::Strict),
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "extra", duplicate field "data.a""#
        );
        let warnings =
            |validation| object(body.as_bytes(), Format::Json, &RESOURCE, validation).expect("accepted").1;
        assert_eq!(
            warnings(FieldValidation::Warn),
            [r#"unknown field "extra""#, r#"duplicate field "data.a""#]
        );
        assert!(warnings(FieldValidation::Ignore).is_empty());
    }

    #[test]
    fn the_body_must_be_what_the_path_says() {
        assert_eq!(
            refused(r#"{"kind":"ConfigMap","apiVersion":"v2"}"#, FieldValidation::Warn),
            "the API version in the data (v2) does not match the expected API version (v1)"
        );
        assert!(
            refused(r#"{"kind":"Pod","apiVersion":"v1"}"#, FieldValidation::Warn)
                .starts_with(r#"Pod in version "v1" cannot be handled as a ConfigMap"#)
        );
        assert_eq!(
            refused(r#"{"data":{"a":1}}"#, FieldValidation::Warn),
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string"#
        );
        assert!(object(b"{}", Format::Json, &RESOURCE, FieldValidation::Warn).is_ok());
    }

    #[test]
    fn deletes_with_preconditions() {
        let json = br#"{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"u"},"propagationPolicy":"Background"}"#;
        let expect = DeleteOptions { uid: Some("u".into()), ..DeleteOptions::default() };
        assert_eq!(delete_options(json, Format::Json), Ok(expect.clone()));
        assert_eq!(delete_options(b"", Format::Json), Ok(DeleteOptions::default()));
        let protobuf = b"k8s\0\n\x13\n\x02v1\x12\rDeleteOptions\x12\x05\x12\x03\n\x01u";
        assert_eq!(delete_options(protobuf, Format::Protobuf), Ok(expect));
    }

    #[test]
    fn media_types() {
        assert_eq!(Format::of("application/json; charset=utf-8"), Some(Format::Json));
        assert_eq!(Format::of("application/yaml"), Some(Format::Yaml));
        assert_eq!(Format::of("text/plain"), None);
    }
}
