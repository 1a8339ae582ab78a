//! What a delete asks for beside the name.

use serde_json::{Map, Value};

use super::Format;
use super::body::{self, Refused};
use crate::conform::conform;
use crate::deletion::Propagation;
use crate::field_error::FieldError;
use crate::schema::builtin;
use crate::scheme;
use crate::status::{GroupResource, Status};
use crate::strconv::parse_int;

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

impl DeleteOptions {
    /// Reads what a body asks for.
    ///
    /// # Errors
    /// 400, saying what cannot be understood; 422 for words that mean nothing.
    pub fn read(body: &[u8], format: Format) -> Result<Self, Status> {
        let schema = builtin("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
        let read = body::read(body, format, &schema, |kind, api_version| match kind {
            "" | "DeleteOptions" => Ok(()),
            other => {
                let version = if api_version.is_empty() { "v1" } else { api_version };
                Err(Refused::Unrecognized(scheme::not_registered("", version, other)))
            }
        });
        let tree = read.map_err(|refused| Status::bad_request(refused.why()))?.tree;
        let (map, _) = conform(tree, &schema).map_err(|error| Status::bad_request(error.to_string()))?;
        Self::of(&map)
    }

    /// The same from the parameters of a query, of which `values` gives all that have a name.
    ///
    /// # Errors
    /// 400, saying what cannot be understood; 422 for words that mean nothing.
    pub fn in_query<'q>(values: impl Fn(&str) -> Vec<&'q str>) -> Result<Self, Status> {
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
        if let Some(given) = values("gracePeriodSeconds").first() {
            put("gracePeriodSeconds", parse_int(given).map_err(Status::bad_request)?.into());
        }
        if let Some(given) = values("orphanDependents").first() {
            put("orphanDependents", super::is_yes(given).into());
        }
        if let Some(given) = values("propagationPolicy").first() {
            put("propagationPolicy", (*given).into());
        }
        let dry_run = values("dryRun");
        if !dry_run.is_empty() {
            put("dryRun", dry_run.into());
        }
        Self::of(&map)
    }

    /// From a tree of the type.
    fn of(map: &Map<String, Value>) -> Result<Self, Status> {
        let precondition = |name: &str| {
            let value = map.get("preconditions").and_then(|given| given.get(name));
            value.and_then(Value::as_str).map(str::to_owned)
        };
        let orphans = map.get("orphanDependents").and_then(Value::as_bool);
        let policy = map.get("propagationPolicy").and_then(Value::as_str);
        let said = policy.map(|word| (word, Propagation::parse(word)));
        let mut errors = Vec::new();
        if let (Some(_), Some(policy)) = (orphans, policy) {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(FieldError::invalid("propagationPolicy", policy, why));
        }
        if let Some((word, None)) = said {
            let words = ["Foreground", "Background", "Orphan", "nil"];
            errors.push(FieldError::not_supported("propagationPolicy", word, &words));
        }
        let dry_run = map.get("dryRun").and_then(Value::as_array).into_iter().flatten();
        let dry_run: Vec<_> = dry_run.filter_map(Value::as_str).collect();
        errors.extend(super::dry_run_error(&dry_run));
        if !errors.is_empty() {
            let kind = GroupResource { group: "meta.k8s.io", resource: "DeleteOptions" };
            return Err(Status::invalid(kind, "", &errors));
        }
        let by_orphans = orphans.map(|stay| if stay { Propagation::Orphan } else { Propagation::Background });
        Ok(Self {
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
            dry_run: !dry_run.is_empty(),
            grace_seconds: map.get("gracePeriodSeconds").and_then(Value::as_i64),
            propagation: by_orphans.or(said.and_then(|(_, known)| known)),
            cascades: orphans == Some(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletes_with_preconditions() {
        let json = br#"{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"u"},"propagationPolicy":"Background"}"#;
        let by_uid = DeleteOptions { uid: Some("u".into()), ..DeleteOptions::default() };
        let expect = DeleteOptions { propagation: Some(Propagation::Background), ..by_uid.clone() };
        assert_eq!(DeleteOptions::read(json, Format::Json), Ok(expect));
        let protobuf = b"k8s\0\n\x13\n\x02v1\x12\rDeleteOptions\x12\x05\x12\x03\n\x01u";
        assert_eq!(DeleteOptions::read(protobuf, Format::Protobuf), Ok(by_uid));
    }

    #[test]
    fn deletes_that_say_how() {
        assert_eq!(DeleteOptions::in_query(|_| Vec::new()), Ok(DeleteOptions::default()));
        let query = |name: &str| match name {
            "gracePeriodSeconds" => vec!["5", "six"],
            "orphanDependents" => vec!["False"],
            _ => Vec::new(),
        };
        let expect = DeleteOptions {
            grace_seconds: Some(5),
            propagation: Some(Propagation::Background),
            cascades: true,
            ..DeleteOptions::default()
        };
        assert_eq!(DeleteOptions::in_query(query), Ok(expect));
    }

    #[test]
    fn what_is_refused() {
        let cases = [
            (
                r#"{"propagationPolicy":"Later"}"#,
                r#"DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Later": supported values: "Foreground", "Background", "Orphan", "nil""#,
            ),
            (
                r#"{"orphanDependents":true,"propagationPolicy":"Orphan"}"#,
                r#"DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "Orphan": orphanDependents and deletionPropagation cannot be both set"#,
            ),
            (
                r#"{"dryRun":["Some"]}"#,
                r#"DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All""#,
            ),
            (
                r#"{"kind":"Pod","apiVersion":"v1"}"#,
                r#"no kind "Pod" is registered for version "v1" in scheme "pkg/runtime/scheme.go:111""#,
            ),
            (
                r#"{"gracePeriodSeconds":"x"}"#,
                "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64",
            ),
            ("{", "couldn't get version/kind; json parse error: unexpected end of JSON input"),
        ];
        for (body, expect) in cases {
            let refused = DeleteOptions::read(body.as_bytes(), Format::Json).expect_err(body);
            assert_eq!(refused.message, expect);
        }
        let query = |name: &str| if name == "gracePeriodSeconds" { vec!["soon"] } else { Vec::new() };
        let refused = DeleteOptions::in_query(query).expect_err("refused");
        assert_eq!(
            (refused.code, &*refused.message),
            (400, r#"strconv.ParseInt: parsing "soon": invalid syntax"#)
        );
    }
}
