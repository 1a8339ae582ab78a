//! `Status`: what the API answers when a request fails, or succeeds without an object to show.
//!
//! Codes, reasons and texts are those of Kubernetes, because clients and people match on them.

use std::fmt;

use serde::Serialize;

use crate::field_error::FieldError;

/// The machine-readable word beside a status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are Kubernetes' own, and all that is said there")]
pub enum Reason {
    AlreadyExists,
    BadRequest,
    Conflict,
    Expired,
    Forbidden,
    Gone,
    InsufficientStorage,
    InternalError,
    Invalid,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    RequestEntityTooLarge,
    ServerTimeout,
    ServiceUnavailable,
    Timeout,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
}

/// A `Status` object. A failure, unless made by [`Status::success`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The HTTP status code.
    pub code: u16,
    /// Why; `None` for success.
    pub reason: Option<Reason>,
    /// What failed, in words; empty for success.
    pub message: String,
    /// What it was about.
    pub details: Option<Box<Details>>,
    /// `metadata.continue`: a list that expired can go on from here, inconsistently.
    pub continue_token: Option<String>,
}

/// What a status is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The resource (`configmaps`); for [`Reason::Invalid`] the kind (`ConfigMap`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Uid of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// One for each thing that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// When a retry makes sense, seconds; 0 for not said.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Machine-readable.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: &'static str,
    /// In words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Path of the field, like `metadata.name`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A resource as texts name it: `configmaps`, or `deployments.apps` in a named group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupResource<'a> {
    /// The group; empty for the legacy group.
    pub group: &'a str,
    /// Plural resource name; in [`Status::invalid`] the kind.
    pub resource: &'a str,
}

impl fmt::Display for GroupResource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group {
            "" => f.write_str(self.resource),
            group => write!(f, "{}.{group}", self.resource),
        }
    }
}

impl GroupResource<'_> {
    fn details(self, name: &str) -> Details {
        Details {
            name: name.into(),
            group: self.group.into(),
            kind: self.resource.into(),
            ..Details::default()
        }
    }
}

/// What an optimistic writer is told when somebody else was faster.
pub const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

impl Status {
    /// A failure with nothing but its code, reason and text.
    pub fn failure(code: u16, reason: Reason, message: impl Into<String>) -> Self {
        Self { code, reason: Some(reason), message: message.into(), details: None, continue_token: None }
    }

    /// `Success`, about the object described by `details`.
    pub fn success(details: Details) -> Self {
        Self {
            code: 200,
            reason: None,
            message: String::new(),
            details: Some(Box::new(details)),
            continue_token: None,
        }
    }

    fn about(mut self, details: Details) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// Has details, be they empty.
    #[must_use]
    pub fn with_details(mut self) -> Self {
        self.details.get_or_insert_default();
        self
    }

    /// Adds one more thing that is wrong.
    #[must_use]
    pub fn with_cause(mut self, cause: Cause) -> Self {
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// Says when a retry makes sense.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// 404: no such object.
    pub fn not_found(resource: GroupResource<'_>, name: &str) -> Self {
        Self::failure(404, Reason::NotFound, format!("{resource} {name:?} not found"))
            .about(resource.details(name))
    }

    /// 404: no such path.
    pub fn no_such_path() -> Self {
        Self::failure(404, Reason::NotFound, "the server could not find the requested resource")
            .about(Details::default())
    }

    /// 409: the name is taken.
    pub fn already_exists(resource: GroupResource<'_>, name: &str) -> Self {
        Self::failure(409, Reason::AlreadyExists, format!("{resource} {name:?} already exists"))
            .about(resource.details(name))
    }

    /// 409: every generated name was taken.
    pub fn generate_name_conflict(resource: GroupResource<'_>, name: &str) -> Self {
        let text = format!(
            "{resource} {name:?} already exists, the server was not able to generate a unique name for the object"
        );
        Self::failure(409, Reason::AlreadyExists, text).about(resource.details(name)).with_retry_after(1)
    }

    /// 409: a stated precondition does not hold; `why` is [`MODIFIED`] for a stale resourceVersion.
    pub fn conflict(resource: GroupResource<'_>, name: &str, why: &str) -> Self {
        Self::failure(
            409,
            Reason::Conflict,
            format!("Operation cannot be fulfilled on {resource} {name:?}: {why}"),
        )
        .about(resource.details(name))
    }

    /// 401: credentials that are no good.
    pub fn unauthorized() -> Self {
        Self::failure(401, Reason::Unauthorized, "Unauthorized")
    }

    /// 403: the request is understood and refused. An empty `name` and `resource` leave their words out.
    pub fn forbidden(resource: GroupResource<'_>, name: &str, why: &str) -> Self {
        let text = match (resource.resource, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{resource} is forbidden: {why}"),
            _ => format!("{resource} {name:?} is forbidden: {why}"),
        };
        Self::failure(403, Reason::Forbidden, text).about(resource.details(name))
    }

    /// 422: the object breaks rules of its kind. `kind.resource` holds the kind.
    pub fn invalid(kind: GroupResource<'_>, name: &str, errors: &[FieldError]) -> Self {
        let texts = distinct(errors.iter().map(ToString::to_string));
        let listed = match texts.as_slice() {
            [] => String::new(),
            [one] => format!(": {one}"),
            many => format!(": [{}]", many.join(", ")),
        };
        let causes = errors.iter().map(FieldError::cause).collect();
        Self::failure(422, Reason::Invalid, format!("{kind} {name:?} is invalid{listed}"))
            .about(Details { causes, ..kind.details(name) })
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, Reason::BadRequest, message)
    }

    /// 422 that does not say why.
    pub fn rejected() -> Self {
        Self::failure(422, Reason::Invalid, "the server rejected our request due to an error in our request")
            .with_details()
    }

    /// 405: the path does not know this method.
    pub fn no_such_method() -> Self {
        let text = "the server does not allow this method on the requested resource";
        Self::failure(405, Reason::MethodNotAllowed, text).with_details()
    }

    /// 405: the resource, one that a definition made, does not know this verb.
    pub fn method_not_allowed(resource: GroupResource<'_>, verb: &str) -> Self {
        let text = format!("{verb} is not supported on resources of kind \"{resource}\"");
        Self::failure(405, Reason::MethodNotAllowed, text).about(resource.details(""))
    }

    /// 406: none of the accepted representations can be made.
    pub fn not_acceptable(available: &[&str]) -> Self {
        let text = format!("only the following media types are accepted: {}", available.join(", "));
        Self::failure(406, Reason::NotAcceptable, text)
    }

    /// 415: the body is in none of the `accepted` formats.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let text = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::failure(415, Reason::UnsupportedMediaType, text)
    }

    /// 410: the revision asked for is no longer kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, Reason::Expired, message)
    }

    /// 410 of a list's continue token; `resume` lets the list go on, inconsistently.
    pub fn expired_token(resume: String) -> Self {
        let text = "The provided continue parameter is too old to display a consistent list result. You can start \
                    a new list without the continue parameter, or use the continue token in this response to retrieve \
                    the remainder of the results. Continuing with the provided token results in an inconsistent list - \
                    objects that were created, modified, or deleted between the time the first chunk was returned and \
                    now may show up in the list.";
        Self { continue_token: Some(resume), ..Self::expired(text) }
    }

    /// 410 of a watch whose start is no longer in the history that begins at `floor`.
    pub fn too_old(revision: u64, floor: u64) -> Self {
        Self::expired(format!("too old resource version: {revision} ({floor})"))
    }

    /// 504: the revision asked for has not been reached here.
    pub fn too_large_resource_version(asked: u64, current: u64) -> Self {
        let text = format!("Too large resource version: {asked}, current: {current}");
        let message = "Too large resource version".to_owned();
        Self::timeout(&text, 1).with_cause(Cause {
            reason: "ResourceVersionTooLarge",
            message,
            field: String::new(),
        })
    }

    /// 504: nobody knows whether the request took effect.
    pub fn timeout(message: &str, retry_after_seconds: u32) -> Self {
        Self::failure(504, Reason::Timeout, format!("Timeout: {message}"))
            .about(Details { retry_after_seconds, ..Details::default() })
    }

    /// 413: a body or an object above its limit.
    pub fn too_large(message: &str) -> Self {
        Self::failure(413, Reason::RequestEntityTooLarge, format!("Request entity too large: {message}"))
    }

    /// 429: come back later.
    pub fn too_many_requests(message: &str, retry_after_seconds: u32) -> Self {
        Self::failure(429, Reason::TooManyRequests, message)
            .about(Details { retry_after_seconds, ..Details::default() })
    }

    /// 503: certainly not done, for the reason given.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::failure(503, Reason::ServiceUnavailable, message)
    }

    /// 507: no room to write it down.
    pub fn insufficient_storage(message: impl Into<String>) -> Self {
        Self::failure(507, Reason::InsufficientStorage, message)
    }

    /// 500: the request broke something that gives no reason.
    pub fn unexplained(message: impl Into<String>) -> Self {
        Self { reason: None, ..Self::failure(500, Reason::InternalError, message) }
    }

    /// 500: a fault of ours.
    pub fn internal(message: &str) -> Self {
        let cause = Cause { message: message.to_owned(), ..Cause::default() };
        Self::failure(500, Reason::InternalError, format!("Internal error occurred: {message}"))
            .with_cause(cause)
    }

    /// The JSON of the object.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a Status has only text keys and cannot fail to serialize")
    }
}

/// Texts without their repetitions, in order: one mistake is told once.
fn distinct(texts: impl Iterator<Item = String>) -> Vec<String> {
    texts.fold(Vec::new(), |mut seen, text| {
        if !seen.contains(&text) {
            seen.push(text);
        }
        seen
    })
}

impl Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct ListMeta<'a> {
            #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
            continue_token: &'a Option<String>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire<'a> {
            kind: &'static str,
            api_version: &'static str,
            metadata: ListMeta<'a>,
            status: &'static str,
            #[serde(skip_serializing_if = "str::is_empty")]
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<Reason>,
            #[serde(skip_serializing_if = "Option::is_none")]
            details: Option<&'a Details>,
            #[serde(skip_serializing_if = "Option::is_none")]
            code: Option<u16>,
        }
        let failed = self.code >= 400;
        Wire {
            kind: "Status",
            api_version: "v1",
            metadata: ListMeta { continue_token: &self.continue_token },
            status: if failed { "Failure" } else { "Success" },
            message: &self.message,
            reason: self.reason,
            details: self.details.as_deref(),
            code: failed.then_some(self.code),
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG_MAPS: GroupResource<'_> = GroupResource { group: "", resource: "configmaps" };
    const DEPLOYMENTS: GroupResource<'_> = GroupResource { group: "apps", resource: "deployments" };

    fn check(status: &Status, expect: &str) {
        assert_eq!(String::from_utf8(status.to_json()).expect("JSON is text"), expect);
    }

    #[test]
    fn golden_bodies() {
        check(
            &Status::not_found(CONFIG_MAPS, "x"),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"configmaps \"x\" not found","reason":"NotFound","details":{"name":"x","kind":"configmaps"},"code":404}"#,
        );
        check(
            &Status::conflict(DEPLOYMENTS, "web", MODIFIED),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Operation cannot be fulfilled on deployments.apps \"web\": the object has been modified; please apply your changes to the latest version and try again","reason":"Conflict","details":{"name":"web","group":"apps","kind":"deployments"},"code":409}"#,
        );
        check(
            &Status::too_large_resource_version(9, 5),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Timeout: Too large resource version: 9, current: 5","reason":"Timeout","details":{"causes":[{"reason":"ResourceVersionTooLarge","message":"Too large resource version"}],"retryAfterSeconds":1},"code":504}"#,
        );
        let details =
            Details { name: "x".into(), kind: "configmaps".into(), uid: "u".into(), ..Details::default() };
        check(
            &Status::success(details),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","details":{"name":"x","kind":"configmaps","uid":"u"}}"#,
        );
    }

    #[test]
    fn codes_reasons_and_texts() {
        let cases = [
            (Status::already_exists(CONFIG_MAPS, "x"), 409, r#"configmaps "x" already exists"#),
            (Status::forbidden(CONFIG_MAPS, "", "no"), 403, "configmaps is forbidden: no"),
            (Status::forbidden(CONFIG_MAPS, "x", "no"), 403, r#"configmaps "x" is forbidden: no"#),
            (Status::forbidden(GroupResource { group: "", resource: "" }, "", "no"), 403, "forbidden: no"),
            (Status::too_old(1, 5), 410, "too old resource version: 1 (5)"),
            (Status::too_large("limit is 3145728"), 413, "Request entity too large: limit is 3145728"),
            (Status::internal("x"), 500, "Internal error occurred: x"),
            (
                Status::method_not_allowed(CONFIG_MAPS, "patch"),
                405,
                r#"patch is not supported on resources of kind "configmaps""#,
            ),
            (
                Status::not_acceptable(&["application/json"]),
                406,
                "only the following media types are accepted: application/json",
            ),
        ];
        for (status, code, message) in cases {
            assert_eq!((status.code, status.message.as_str()), (code, message));
        }
    }

    #[test]
    fn invalid_lists_its_causes_once() {
        let kind = GroupResource { group: "", resource: "ConfigMap" };
        let error = FieldError::required("metadata.name", "name or generateName is required");
        let one = Status::invalid(kind, "", std::slice::from_ref(&error));
        assert_eq!(
            one.message,
            r#"ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required"#
        );
        let two = Status::invalid(
            kind,
            "x",
            &[error.clone(), error, FieldError::invalid("data[a b]", "a b", "no")],
        );
        assert_eq!(
            two.message,
            r#"ConfigMap "x" is invalid: [metadata.name: Required value: name or generateName is required, data[a b]: Invalid value: "a b": no]"#
        );
        let causes = &two.details.expect("details").causes;
        assert_eq!(
            (causes.len(), causes[2].reason, causes[2].message.as_str()),
            (3, "FieldValueInvalid", r#"Invalid value: "a b": no"#)
        );
    }
}
