//! Field selectors: `metadata.name=x,status.phase!=Active`.

use std::borrow::Cow;

use crate::custom::CustomResource;
use crate::custom::json_path::JsonPath;
use crate::field_error::quoted;
use crate::key::Key;
use crate::resource::{Resource, Selectable};
use crate::view::View;

/// What fields must be like. Empty: everything matches.
#[derive(Debug, Default)]
pub struct FieldSelector(Vec<Requirement>);

#[derive(Debug)]
struct Requirement {
    place: Place,
    value: String,
    equal: bool,
}

/// Where a selected value comes from.
#[derive(Debug)]
enum Place {
    Name,
    Namespace,
    Body(&'static Selectable),
    Custom(JsonPath),
}

/// A selector that cannot be read, or names a field that no selector knows.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FieldSelectorError(String);

impl FieldSelector {
    /// Reads a selector for objects of `resource`.
    ///
    /// # Errors
    /// Says which term is no selector, or which field is not known.
    pub fn parse(text: &str, resource: &Resource) -> Result<Self, FieldSelectorError> {
        // What cannot be read is told before what is not known.
        let terms: Vec<_> = terms(text).into_iter().filter(|term| !term.is_empty()).collect();
        let read = terms.iter().map(|term| split(term)).collect::<Result<Vec<_>, _>>()?;
        let requirement = |(path, value, equal): (&str, String, bool)| {
            place(path, resource).map(|place| Requirement { place, value, equal })
        };
        read.into_iter().map(requirement).collect::<Result<_, _>>().map(Self)
    }

    /// Whether it lets everything pass.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The only name that can match, if there is one.
    pub fn exact_name(&self) -> Option<&str> {
        self.0
            .iter()
            .find(|term| term.equal && matches!(term.place, Place::Name))
            .map(|term| term.value.as_str())
    }

    /// Whether an object matches. `shown` has its bytes as they are shown, and is called only when a field of its body
    /// counts; an object that cannot be shown matches nothing.
    pub fn matches<'b>(&self, key: &Key, shown: impl FnOnce() -> Option<Cow<'b, [u8]>>) -> bool {
        let holds = |term: &Requirement, value: &str| (value == term.value) == term.equal;
        let (by_key, by_body): (Vec<_>, Vec<_>) =
            self.0.iter().partition(|term| !matches!(term.place, Place::Body(_) | Place::Custom(_)));
        let key_holds = by_key.iter().all(|term| match term.place {
            Place::Namespace => holds(term, key.namespace()),
            _ => holds(term, key.name()),
        });
        if !key_holds || by_body.is_empty() {
            return key_holds;
        }
        let Some(bytes) = shown() else { return false };
        let object = View::new(&bytes);
        by_body.iter().all(|term| match term.place {
            Place::Body(field) => holds(term, &(field.value)(object)),
            Place::Custom(ref path) => holds(term, &CustomResource::selected(object, path)),
            Place::Name | Place::Namespace => true,
        })
    }
}

/// The fields that a selector wants to have one value, and the values; none for what is no selector.
pub fn equalities(text: &str) -> Vec<(String, String)> {
    let terms: Vec<_> = terms(text).into_iter().filter(|term| !term.is_empty()).collect();
    let read: Result<Vec<_>, _> = terms.iter().map(|term| split(term)).collect();
    let equal = read.unwrap_or_default().into_iter().filter(|(_, _, equal)| *equal);
    equal.map(|(path, value, _)| (path.to_owned(), value)).collect()
}

/// Splits at commas that no backslash escapes.
fn terms(text: &str) -> Vec<String> {
    let mut terms = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let last = terms.last_mut().expect("there is always a last term");
        match letter {
            '\\' => last.extend([Some('\\'), letters.next()].into_iter().flatten()),
            ',' => terms.push(String::new()),
            letter => last.push(letter),
        }
    }
    terms
}

/// Path, value and whether they are to be equal.
fn split(term: &str) -> Result<(&str, String, bool), FieldSelectorError> {
    let split = [("!=", false), ("==", true), ("=", true)].into_iter();
    let split =
        split.filter_map(|(sign, equal)| term.split_once(sign).map(|(path, value)| (path, value, equal)));
    // Of the signs, the one that comes first counts: a value may hold another.
    let Some((path, value, equal)) = split.min_by_key(|(path, ..)| path.len()) else {
        return Err(FieldSelectorError(format!("invalid selector: '{term}'; can't understand '{term}'")));
    };
    let value =
        unescape(value).map_err(|why| FieldSelectorError(format!("invalid field selector: {why}")))?;
    Ok((path, value, equal))
}

fn place(path: &str, resource: &Resource) -> Result<Place, FieldSelectorError> {
    match path {
        "metadata.name" => Ok(Place::Name),
        "metadata.namespace" => Ok(Place::Namespace),
        _ => body(path, resource).ok_or_else(|| FieldSelectorError(unknown(path, resource))),
    }
}

/// A field of the body: of the kind, or one that the definition names.
fn body(path: &str, resource: &Resource) -> Option<Place> {
    let builtin = resource.particular.selectable.iter().find(|field| field.path == path);
    let named = || resource.custom.as_ref()?.selectable.iter().find(|(name, _)| name == path);
    builtin.map(Place::Body).or_else(|| named().map(|(_, path)| Place::Custom(path.clone())))
}

/// What is said of a field that cannot be selected by: kinds that know others say less.
fn unknown(path: &str, resource: &Resource) -> String {
    if resource.custom.is_none() && resource.particular.selectable.is_empty() {
        let path = quoted(path);
        return format!(
            r#"{path} is not a known field selector: only "metadata.name", "metadata.namespace""#
        );
    }
    format!("field label not supported: {path}")
}

/// `\,`, `\=` and `\\` stand for the letter behind the backslash.
fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(next @ ('\\' | ',' | '=')) => plain.push(next),
                next => {
                    let next = next.map_or(String::new(), String::from);
                    return Err(format!("invalid escape sequence: \\{next}"));
                }
            },
            // Go tells the number of the letter.
            ',' | '=' => return Err(format!("unescaped character in value: {}", u32::from(letter))),
            letter => plain.push(letter),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_matches() {
        let key = Key::object("", "namespaces", "", "a");
        let object = || Some(json!({"status": {"phase": "Active"}}).to_string().into_bytes().into());
        let cases = [
            ("", true),
            ("metadata.name=a", true),
            ("metadata.name==a", true),
            ("metadata.name!=a", false),
            ("metadata.namespace=", true),
            ("status.phase=Active", true),
            ("status.phase!=Active", false),
            ("metadata.name=a,status.phase=Gone", false),
        ];
        for (text, expect) in cases {
            let selector =
                FieldSelector::parse(text, &Resource::builtin("", "v1", "namespaces")).expect("selector");
            assert_eq!(selector.matches(&key, object), expect, "{text}");
        }
    }

    #[test]
    fn the_body_is_not_read_for_a_name() {
        let selector = FieldSelector::parse("metadata.name=x", &Resource::builtin("", "v1", "configmaps"))
            .expect("selector");
        assert!(!selector.matches(&Key::object("", "configmaps", "a", "b"), || panic!("shown")));
        assert_eq!(selector.exact_name(), Some("x"));
    }

    #[test]
    fn fields_of_kinds() {
        let cases = [
            (
                ("", "pods"),
                json!({"spec": {"nodeName": "n", "hostNetwork": true}, "status": {"podIPs": [{"ip": "10.0.0.1"}]}}),
                "spec.nodeName=n,spec.hostNetwork=true,status.podIP=10.0.0.1,status.phase!=Running",
            ),
            (("", "nodes"), json!({"spec": {}}), "spec.unschedulable=false"),
            (("", "secrets"), json!({"type": "Opaque"}), "type=Opaque"),
            (("", "services"), json!({"spec": {"type": "ClusterIP"}}), "spec.type=ClusterIP,spec.clusterIP="),
            (
                ("", "events"),
                json!({"involvedObject": {"name": "a"}, "reportingComponent": "c", "reason": "r"}),
                "involvedObject.name=a,source=c,reason=r",
            ),
            (
                ("events.k8s.io", "events"),
                json!({"regarding": {"name": "a"}, "reportingController": "c"}),
                "regarding.name=a,reportingController=c",
            ),
            (
                ("certificates.k8s.io", "certificatesigningrequests"),
                json!({"spec": {"signerName": "a.b/c"}}),
                "spec.signerName=a.b/c",
            ),
        ];
        for ((group, plural), tree, text) in cases {
            let row = Resource::builtin(group, "v1", plural);
            let object = || Some(tree.to_string().into_bytes().into());
            let selector = FieldSelector::parse(text, &row).expect("selector");
            assert!(selector.matches(&Key::object(group, plural, "", "a"), object), "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        let cases = [
            (
                "configmaps",
                "a\\b=1",
                r#""a\\b" is not a known field selector: only "metadata.name", "metadata.namespace""#,
            ),
            ("pods", "spec.x=1", "field label not supported: spec.x"),
            ("pods", "x", "invalid selector: 'x'; can't understand 'x'"),
            ("pods", "spec.x=1,x", "invalid selector: 'x'; can't understand 'x'"),
            ("pods", r"x=a\b", r"invalid field selector: invalid escape sequence: \b"),
            ("pods", r"x=a\", r"invalid field selector: invalid escape sequence: \"),
            ("pods", "x=a=b", "invalid field selector: unescaped character in value: 61"),
        ];
        for (plural, text, expect) in cases {
            let refused = FieldSelector::parse(text, &Resource::builtin("", "v1", plural));
            assert_eq!(refused.expect_err(text).to_string(), expect);
        }
    }
}
