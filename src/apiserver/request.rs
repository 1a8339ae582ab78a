//! What a request asks for: its verb, resource and options, from path, method and query.

use std::borrow::Cow;
use std::sync::Arc;

use api::codec::is_yes;
use api::strconv::parse_int;
use api::{Resource, Status, field_selector};
use http::Method;

/// A request, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `get`, `list`, `watch`, `create`...; for a path that is no resource the method in small letters.
    pub verb: Cow<'static, str>,
    /// The path as it came.
    pub path: String,
    /// What it is about, if the path is below /api/VERSION or /apis/GROUP/VERSION.
    pub resource: Option<ResourcePath>,
    /// Fields that all it is about have, and their values: from the field selector of what reads several objects.
    pub fields: Vec<(String, String)>,
}

/// A path to a collection or an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourcePath {
    /// API group; empty for the legacy group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Empty: all namespaces, or the resource has none.
    pub namespace: String,
    /// Plural resource name.
    pub resource: String,
    /// Empty: the collection.
    pub name: String,
    /// `status`...; empty for the object itself.
    pub subresource: String,
}

impl Target {
    /// From method, path and query.
    pub fn of(method: &Method, path: &str, query: &Query) -> Self {
        let resource = resource_path(path);
        let verb = match &resource {
            Some(resource) => resource_verb(method, resource, query),
            None => method_word(method),
        };
        let fields = match verb {
            "list" | "watch" | "deletecollection" => field_selector::equalities(query.get("fieldSelector")),
            _ => Vec::new(),
        };
        Self { verb: Cow::Borrowed(verb), path: path.to_owned(), resource, fields }
    }

    /// The one object that it is about: the path names it, or the field selector does.
    pub fn name(&self) -> &str {
        let named = self.resource.as_ref().map_or("", |path| &path.name);
        if named.is_empty() { self.field("metadata.name").unwrap_or_default() } else { named }
    }

    /// The value that a field of all it is about has.
    pub fn field(&self, path: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == path).map(|(_, value)| value.as_str())
    }
}

fn resource_path(path: &str) -> Option<ResourcePath> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        // The namespace itself, or a subresource of it, is an object without a namespace.
        ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => ("", rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        _ => ("", rest),
    };
    let (resource, name, subresource) = match rest {
        [resource] => (*resource, "", ""),
        [resource, name] => (*resource, *name, ""),
        [resource, name, subresource @ ..] if !name.is_empty() => (*resource, *name, *subresource.first()?),
        _ => return None,
    };
    let owned = str::to_owned;
    (!resource.is_empty()).then(|| ResourcePath {
        group: owned(group),
        version: owned(version),
        namespace: owned(namespace),
        resource: owned(resource),
        name: owned(name),
        subresource: owned(subresource),
    })
}

fn resource_verb(method: &Method, resource: &ResourcePath, query: &Query) -> &'static str {
    let one = !resource.name.is_empty();
    match *method {
        Method::GET | Method::HEAD if query.is_true("watch") => "watch",
        Method::GET | Method::HEAD if one => "get",
        Method::GET | Method::HEAD => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if one => "delete",
        Method::DELETE => "deletecollection",
        _ => "",
    }
}

fn method_word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

impl ResourcePath {
    /// The row of the table, if it is one that Kubernetes brings.
    pub fn builtin(&self) -> Option<Arc<Resource>> {
        Resource::find(&self.group, &self.version, &self.resource)
    }
}

/// A query, decoded.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the text behind the question mark.
    pub fn parse(text: &str) -> Self {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        };
        Self(text.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    /// All values of a parameter, in order.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|pair| pair.0 == name).map(|pair| pair.1.as_str()).collect()
    }

    /// The first value of a parameter, if it is there.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|pair| pair.0 == name).map(|pair| pair.1.as_str())
    }

    /// The first value of a parameter; empty when it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.first(name).unwrap_or_default()
    }

    /// Puts these values in place of all that a parameter has.
    pub fn set(&mut self, name: &str, values: &[&str]) {
        self.0.retain(|pair| pair.0 != name);
        self.0.extend(values.iter().map(|value| (name.to_owned(), (*value).to_owned())));
    }

    /// Whether a parameter is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// Whether a parameter is set to yes, as Kubernetes reads it.
    pub fn is_true(&self, name: &str) -> bool {
        self.first(name).is_some_and(is_yes)
    }

    /// A whole number, if the parameter is there.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        self.first(name).map(parse_int).transpose().map_err(Status::bad_request)
    }
}

/// Undoes percent-encoding; what is not UTF-8 then is replaced.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    while let [first, behind @ ..] = rest {
        let escaped = match (first, behind) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        (bytes, rest) = match escaped {
            Some((high, low)) => (push(bytes, high * 16 + low), &behind[2..]),
            None => (push(bytes, if *first == b'+' { b' ' } else { *first }), behind),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn push(mut bytes: Vec<u8>, byte: u8) -> Vec<u8> {
    bytes.push(byte);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: Method, path: &str, query: &str) -> (Cow<'static, str>, Option<[String; 6]>) {
        let target = Target::of(&method, path, &Query::parse(query));
        let parts = target.resource.map(|path| {
            [path.group, path.version, path.namespace, path.resource, path.name, path.subresource]
        });
        (target.verb, parts)
    }

    #[test]
    fn paths_and_verbs() {
        let cases = [
            (Method::GET, "/api/v1/configmaps", "", "list", Some(["", "v1", "", "configmaps", "", ""])),
            (
                Method::GET,
                "/api/v1/namespaces/a/configmaps",
                "watch=true",
                "watch",
                Some(["", "v1", "a", "configmaps", "", ""]),
            ),
            (
                Method::GET,
                "/api/v1/namespaces/a/configmaps/b",
                "watch=0",
                "get",
                Some(["", "v1", "a", "configmaps", "b", ""]),
            ),
            (Method::POST, "/api/v1/namespaces", "", "create", Some(["", "v1", "", "namespaces", "", ""])),
            (
                Method::DELETE,
                "/api/v1/namespaces/a",
                "",
                "delete",
                Some(["", "v1", "", "namespaces", "a", ""]),
            ),
            (
                Method::PUT,
                "/api/v1/namespaces/a/finalize",
                "",
                "update",
                Some(["", "v1", "", "namespaces", "a", "finalize"]),
            ),
            (
                Method::DELETE,
                "/api/v1/namespaces/a/secrets",
                "",
                "deletecollection",
                Some(["", "v1", "a", "secrets", "", ""]),
            ),
            (
                Method::PATCH,
                "/apis/apps/v1/namespaces/a/deployments/b/status",
                "",
                "patch",
                Some(["apps", "v1", "a", "deployments", "b", "status"]),
            ),
            (Method::GET, "/api/v1", "", "get", None),
            (Method::GET, "/healthz", "", "get", None),
            (
                Method::GET,
                "/api/v1/namespaces//configmaps",
                "",
                "list",
                Some(["", "v1", "", "configmaps", "", ""]),
            ),
        ];
        for (method, path, query, verb, parts) in cases {
            assert_eq!(
                target(method, path, query),
                (Cow::Borrowed(verb), parts.map(|parts| parts.map(str::to_owned))),
                "{path}"
            );
        }
    }

    #[test]
    fn queries() {
        let query = Query::parse("labelSelector=a%3Db%2Cc+in+%28d%29&limit=5&watch&x=%zz&x=2&no=False");
        assert_eq!(query.get("labelSelector"), "a=b,c in (d)");
        assert_eq!(query.number("limit"), Ok(Some(5)));
        assert!(query.is_true("watch") && !query.is_true("absent") && !query.is_true("no"));
        assert_eq!((query.get("x"), query.values("x")), ("%zz", vec!["%zz", "2"]));
        let many = Query::parse("limit=many").number("limit").expect_err("no number");
        assert_eq!((many.code, &*many.message), (400, r#"strconv.ParseInt: parsing "many": invalid syntax"#));
    }
}
