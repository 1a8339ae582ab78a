//! Bytes of a body to a tree of the kind that is wanted, and what is said of any other.

use serde_json::Value;

use super::Format;
use crate::conform::{bare_mismatch, found};
use crate::decode;
use crate::field_error::FieldError;
use crate::proto;
use crate::resource::Resource;
use crate::schema::Type;
use crate::scheme;
use crate::status::{GroupResource, Status};

/// How much of a body is repeated to who sent it.
const SUMMARY_BYTES: usize = 30;

/// What Go reads first of a body, as it names the type of it.
const GO_TYPE_META: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// What only has JSON is told of messages.
const NO_MESSAGES: &str = "object *unstructured.Unstructured does not implement the protobuf marshalling interface and cannot be encoded to a protobuf message";

/// A body that was read.
pub(super) struct Body {
    pub(super) tree: Value,
    /// Paths of keys that were given more than once.
    pub(super) duplicates: Vec<String>,
}

/// Why a body was not taken.
pub(super) enum Refused {
    /// What it is could not be read.
    Unrecognized(String),
    /// It is of this kind and version, and cannot be used.
    Unusable { kind: String, version: String, why: String },
    /// It was understood.
    Understood(Box<Status>),
}

impl Refused {
    /// As told of an object of a resource.
    pub(super) fn status(self, body: &[u8], wanted: &str) -> Status {
        Status::bad_request(match self {
            Self::Unrecognized(why) => {
                format!(
                    "the object provided is unrecognized (must be of type {wanted}): {why} ({})",
                    summary(body)
                )
            }
            Self::Unusable { kind, version, why } => {
                format!("{kind} in version {version:?} cannot be handled as a {wanted}: {why}")
            }
            Self::Understood(status) => return *status,
        })
    }

    /// As told of options.
    pub(super) fn why(self) -> String {
        match self {
            Self::Unrecognized(why) | Self::Unusable { why, .. } => why,
            Self::Understood(status) => status.message,
        }
    }
}

fn summary(body: &[u8]) -> String {
    let (shown, rest) = body.split_at(body.len().min(SUMMARY_BYTES));
    let more = if rest.is_empty() { "" } else { " ..." };
    match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(shown)),
        Some(_) => shown.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + more,
    }
}

/// Reads a body of any kind; `check` gets the kind and the apiVersion that it states, each empty if it does not.
pub(super) fn read(
    body: &[u8],
    format: Format,
    schema: &Type,
    check: impl FnOnce(&str, &str) -> Result<(), Refused>,
) -> Result<Body, Refused> {
    let unrecognized = |why: String| Refused::Unrecognized(why);
    if format == Format::Protobuf {
        let envelope = proto::open(body).map_err(|error| unrecognized(error.to_string()))?;
        check(envelope.kind, envelope.api_version)?;
        let tree = proto::tree(envelope.message, schema).map_err(|error| unrecognized(error.to_string()))?;
        return Ok(Body { tree, duplicates: Vec::new() });
    }
    let decoded = match format {
        Format::Yaml => decode::yaml(body),
        Format::Json | Format::Protobuf => decode::json(body),
    };
    let decoded = decoded.map_err(|error| match error {
        decode::DecodeError::Json(why) => unrecognized(no_kind(&why)),
        decode::DecodeError::Yaml(why) => unrecognized(format!("yaml: {why}")),
    })?;
    let (kind, api_version) = stated(&decoded.value).map_err(|why| unrecognized(no_kind(&why)))?;
    check(kind, api_version)?;
    let tree = if decoded.value.is_null() { Value::Object(serde_json::Map::new()) } else { decoded.value };
    Ok(Body { tree, duplicates: decoded.duplicates })
}

fn no_kind(why: &str) -> String {
    format!("couldn't get version/kind; json parse error: {why}")
}

/// The kind and the apiVersion that a tree states.
fn stated(tree: &Value) -> Result<(&str, &str), String> {
    let text = |name: &str| match tree.get(name) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(other) => {
            let found = found(other, "string");
            Err(format!("json: cannot unmarshal {found} into Go struct field .{name} of type string"))
        }
    };
    match tree {
        Value::Null | Value::Object(_) => Ok((text("kind")?, text("apiVersion")?)),
        other => Err(bare_mismatch(other, GO_TYPE_META).to_string()),
    }
}

/// Whether a body that states this is an object of `wanted`. What it does not state is taken from the path.
pub(super) fn check(
    body: &[u8],
    format: Format,
    kind: &str,
    api_version: &str,
    wanted: &Resource,
) -> Result<(), Refused> {
    let stated = group_version(api_version).map_err(Refused::Unrecognized)?;
    if wanted.custom.is_some() {
        return check_custom(body, format, kind, stated, wanted);
    }
    let kind = if kind.is_empty() { &wanted.kind } else { kind };
    let (group, version) = match stated {
        ("", "") => (&*wanted.group, &*wanted.version),
        (group, "") if group == wanted.group => (group, &*wanted.version),
        given => given,
    };
    if (group, version, kind) == (&wanted.group, &wanted.version, &wanted.kind) {
        return Ok(());
    }
    let why = match () {
        () if version.is_empty() => {
            format!("Object 'apiVersion' is missing in '{}'", String::from_utf8_lossy(body))
        }
        () if !scheme::is_registered(group, version, kind) => scheme::not_registered(group, version, kind),
        () if scheme::internal(group, kind) == scheme::internal(&wanted.group, &wanted.kind) => {
            return Err(other_version((group, version), wanted));
        }
        () => scheme::not_convertible(version, kind, wanted),
    };
    Err(Refused::Unusable { kind: kind.to_owned(), version: version.to_owned(), why })
}

/// What a definition made has no type that could stand for what a body does not state.
fn check_custom(
    body: &[u8],
    format: Format,
    kind: &str,
    stated: (&str, &str),
    wanted: &Resource,
) -> Result<(), Refused> {
    if format == Format::Protobuf {
        let (kind, version) = (kind.to_owned(), stated.1.to_owned());
        return Err(Refused::Unusable { kind, version, why: NO_MESSAGES.to_owned() });
    }
    if kind.is_empty() {
        let body = String::from_utf8_lossy(body);
        return Err(Refused::Unrecognized(format!("Object 'Kind' is missing in '{body}'")));
    }
    if stated != (&wanted.group, &wanted.version) {
        return Err(other_version(stated, wanted));
    }
    if kind != wanted.kind {
        let name = decode::json(body)
            .ok()
            .and_then(|decoded| decoded.value.get("metadata")?.get("name")?.as_str().map(str::to_owned));
        let error = FieldError::invalid("kind", kind, &format!("must be {}", wanted.kind));
        let of = GroupResource { group: &wanted.group, resource: kind };
        let status = Status::invalid(of, &name.unwrap_or_default(), &[error]);
        return Err(Refused::Understood(Box::new(status)));
    }
    Ok(())
}

fn other_version((group, version): (&str, &str), wanted: &Resource) -> Refused {
    let (given, expected) = (scheme::joined(group, version), wanted.api_version());
    let why =
        format!("the API version in the data ({given}) does not match the expected API version ({expected})");
    Refused::Understood(Box::new(Status::bad_request(why)))
}

/// The group and the version of an apiVersion.
fn group_version(text: &str) -> Result<(&str, &str), String> {
    match text.split_once('/') {
        None => Ok(("", text)),
        Some(("", "")) => Ok(("", "")),
        Some((_, version)) if version.contains('/') => Err(format!("unexpected GroupVersion string: {text}")),
        Some(pair) => Ok(pair),
    }
}
