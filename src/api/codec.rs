//! A request's body to an object: media type, kind, fields, strictness.

use serde_json::Value;

use crate::decode;
use crate::deletion::Propagation;
use crate::field_error::FieldError;
use crate::object::Object;
use crate::proto;
use crate::resource::Resource;
use crate::schema::{Type, builtin};
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
    let (tree, duplicates) = tree(body, format, &resource.schema, &resource.kind, &resource.api_version())?;
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
        let (kind, version) = (&resource.kind, &resource.version);
        Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
    };
    let (object, mut unknown) =
        Object::from_tree(tree, resource).map_err(|error| unusable(&error.to_string()))?;
    let mut odd: Vec<_> = duplicates.into_iter().map(|path| format!("duplicate field {path:?}")).collect();
    if resource.custom.is_some() {
        // What is odd about the metadata is found before the rest is looked at.
        unknown.sort_by_key(|path| (!path.starts_with("metadata."), path.clone()));
    }
    let unknown = unknown.into_iter().map(|path| format!("unknown field {path:?}"));
    odd.splice(if resource.custom.is_some() { odd.len()..odd.len() } else { 0..0 }, unknown);
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
    /// How long the object may take to end by itself, in seconds.
    pub grace_seconds: Option<i64>,
    /// What becomes of its dependents.
    pub propagation: Option<Propagation>,
    /// Whether the client said in the old way that dependents do not stay.
    pub cascades: bool,
}

/// Reads what a delete asks for: in its body, or without one in the parameters of its query.
///
/// # Errors
/// 400, saying what cannot be understood; 422 for words that mean nothing.
pub fn delete_options<'q>(
    body: &[u8],
    format: Format,
    query: impl Fn(&str) -> &'q str,
) -> Result<DeleteOptions, Status> {
    let schema = builtin("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
    let tree =
        if body.is_empty() { in_query(query)? } else { tree(body, format, &schema, "DeleteOptions", "")?.0 };
    let unusable = |why: &dyn std::fmt::Display| {
        Status::bad_request(format!(
            "DeleteOptions in version \"v1\" cannot be handled as a DeleteOptions: {why}"
        ))
    };
    let (map, _) = crate::conform::conform(tree, &schema).map_err(|error| unusable(&error))?;
    let precondition = |name: &str| {
        let value = map.get("preconditions").and_then(|given| given.get(name));
        value.and_then(Value::as_str).map(str::to_owned)
    };
    let orphans = map.get("orphanDependents").and_then(Value::as_bool);
    let policy = map.get("propagationPolicy").and_then(Value::as_str);
    let dry_run: Vec<_> = map.get("dryRun").and_then(Value::as_array).into_iter().flatten().collect();
    let mut errors = Vec::new();
    if let (Some(_), Some(policy)) = (orphans, policy) {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(FieldError::invalid("propagationPolicy", policy, why));
    }
    let said = policy.map(|word| (word, Propagation::parse(word)));
    if let Some((word, None)) = said {
        let words = ["Background", "Foreground", "Orphan", "nil"];
        errors.push(FieldError::not_supported("propagationPolicy", word, &words));
    }
    if dry_run.iter().any(|word| **word != "All") {
        let words: Value = dry_run.iter().copied().cloned().collect();
        errors.push(FieldError::not_supported("dryRun", words, &["All"]));
    }
    if !errors.is_empty() {
        let kind = crate::GroupResource { group: "meta.k8s.io", resource: "DeleteOptions" };
        return Err(Status::invalid(kind, "", &errors));
    }
    let by_orphans = orphans.map(|stay| if stay { Propagation::Orphan } else { Propagation::Background });
    Ok(DeleteOptions {
        uid: precondition("uid"),
        resource_version: precondition("resourceVersion"),
        dry_run: !dry_run.is_empty(),
        grace_seconds: map.get("gracePeriodSeconds").and_then(Value::as_i64),
        propagation: by_orphans.or(said.and_then(|(_, known)| known)),
        cascades: orphans == Some(false),
    })
}

/// The same from a query. What it does not say is not there.
fn in_query<'q>(query: impl Fn(&str) -> &'q str) -> Result<Value, Status> {
    let mut tree = serde_json::Map::new();
    for name in ["propagationPolicy", "dryRun"] {
        let word = query(name);
        if !word.is_empty() {
            tree.insert(name.to_owned(), if name == "dryRun" { vec![word].into() } else { word.into() });
        }
    }
    for name in ["gracePeriodSeconds", "orphanDependents"] {
        let word = query(name);
        if !word.is_empty() {
            let value = serde_json::from_str(word);
            let value: Value =
                value.map_err(|_| Status::bad_request(format!("{name}: {word:?} cannot be read")))?;
            tree.insert(name.to_owned(), value);
        }
    }
    Ok(tree.into())
}

/// Reads a body and checks that it says what it should be. An empty `api_version`: any.
fn tree(
    body: &[u8],
    format: Format,
    schema: &Type,
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

    fn refused(body: &str, validation: FieldValidation) -> String {
        object(body.as_bytes(), Format::Json, &Resource::builtin("", "v1", "configmaps"), validation)
            .expect_err("refused")
            .message
    }

    #[test]
    fn strict_refuses_what_warn_tells() {
        let body = r#"{"metadata":{"name":"x"},"extra":1,"data":{"a":"1","a":"2"}}"#;
        assert_eq!(
            refused(body, FieldValidation::Strict),
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "extra", duplicate field "data.a""#
        );
        let warnings = |validation| {
            object(body.as_bytes(), Format::Json, &Resource::builtin("", "v1", "configmaps"), validation)
                .expect("accepted")
                .1
        };
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
        assert!(
            object(b"{}", Format::Json, &Resource::builtin("", "v1", "configmaps"), FieldValidation::Warn)
                .is_ok()
        );
    }

    #[test]
    fn deletes_with_preconditions() {
        let json = br#"{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"u"},"propagationPolicy":"Background"}"#;
        let read = |body: &[u8], format| delete_options(body, format, |_| "");
        let by_uid = DeleteOptions { uid: Some("u".into()), ..DeleteOptions::default() };
        let expect = DeleteOptions { propagation: Some(Propagation::Background), ..by_uid.clone() };
        assert_eq!(read(json, Format::Json), Ok(expect));
        assert_eq!(read(b"", Format::Json), Ok(DeleteOptions::default()));
        let protobuf = b"k8s\0\n\x13\n\x02v1\x12\rDeleteOptions\x12\x05\x12\x03\n\x01u";
        assert_eq!(read(protobuf, Format::Protobuf), Ok(by_uid));
    }

    #[test]
    fn deletes_that_say_how() {
        let query = |name: &str| match name {
            "gracePeriodSeconds" => "5",
            "orphanDependents" => "false",
            _ => "",
        };
        let expect = DeleteOptions {
            grace_seconds: Some(5),
            propagation: Some(Propagation::Background),
            cascades: true,
            ..DeleteOptions::default()
        };
        assert_eq!(delete_options(b"", Format::Json, query), Ok(expect));
        let refused = |body: &[u8]| delete_options(body, Format::Json, |_| "").expect_err("refused").message;
        assert_eq!(
            refused(br#"{"propagationPolicy":"Later"}"#),
            r#"DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Later": supported values: "Background", "Foreground", "Orphan", "nil""#
        );
        assert_eq!(
            refused(br#"{"orphanDependents":true,"propagationPolicy":"Orphan"}"#),
            r#"DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "Orphan": orphanDependents and deletionPropagation cannot be both set"#
        );
        assert_eq!(
            refused(br#"{"dryRun":["Some"]}"#),
            r#"DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All""#
        );
    }

    #[test]
    fn media_types() {
        assert_eq!(Format::of("application/json; charset=utf-8"), Some(Format::Json));
        assert_eq!(Format::of("application/yaml"), Some(Format::Yaml));
        assert_eq!(Format::of("text/plain"), None);
    }
}
