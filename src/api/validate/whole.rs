//! Whole objects of the core group as errors show them where Kubernetes prints its internal types: all fields, in their
//! order and with their names in Go. `schema/internal.json` holds them, made by `schema/generate`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::internal;
use crate::encode;
use crate::schema::builtin;
use crate::validate::difference;

/// Fields of a type: the name in Go, empty for one that is embedded, and what it is.
type Fields = Vec<(String, String)>;

static TYPES: LazyLock<BTreeMap<String, Fields>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../schema/internal.json")).expect("the generator wrote it")
});

/// Fields whose names in JSON are other words.
const RENAMED: &[(&str, &str)] = &[
    ("CephMonitors", "monitors"),
    ("DataDiskURI", "diskURI"),
    ("DeprecatedServiceAccount", "serviceAccount"),
    ("DiscoveryCHAPAuth", "chapAuthDiscovery"),
    ("EndpointsName", "endpoints"),
    ("RBDImage", "image"),
    ("RBDPool", "pool"),
    ("RadosUser", "user"),
    ("SessionCHAPAuth", "chapAuthSession"),
];

/// A value of an internal type, which is named as in Go.
pub(crate) fn shown(value: Option<&Value>, of: &str) -> Value {
    let mut members = Map::new();
    fields(&mut members, value, of);
    members.into()
}

/// What differs between two values of an internal type, as `diff` shows it.
pub(crate) fn difference(old: Option<&Value>, new: Option<&Value>, of: &str) -> String {
    difference::of_json(&shown(old, of), &shown(new, of))
}

fn fields(members: &mut Map<String, Value>, value: Option<&Value>, of: &str) {
    for (name, what) in &TYPES[of] {
        match what.strip_prefix('=') {
            Some(embedded) if name.is_empty() => fields(members, value, embedded),
            _ if what == "type" => members.extend(kind_and_version(value)),
            _ if name.is_empty() => members.extend(metadata(value)),
            _ => {
                let given = member(value, name).filter(|given| !given.is_null());
                members.insert(name.clone(), field(given, what));
            }
        }
    }
}

fn member<'v>(value: Option<&'v Value>, name: &str) -> Option<&'v Value> {
    let renamed = RENAMED.iter().find(|(go, _)| *go == name).map(|(_, json)| *json);
    let wanted = renamed.unwrap_or(name);
    let map = value?.as_object()?;
    map.iter().find(|(json, _)| json.eq_ignore_ascii_case(wanted)).map(|(_, member)| member)
}

fn field(given: Option<&Value>, what: &str) -> Value {
    let inner = what.trim_start_matches(['=', '*']);
    match (given, what) {
        (given, _) if what.starts_with('=') => shown(given, inner),
        (Some(Value::Array(items)), _) if what.starts_with('*') => {
            items.iter().map(|item| shown(Some(item), inner)).collect()
        }
        (given @ Some(_), _) if what.starts_with('*') => shown(given, inner),
        (Some(given), "selector") => of_meta(given, "LabelSelector"),
        (Some(given), _) => given.as_object().map_or_else(|| given.clone(), |_| internal::sorted(given)),
        (None, "amount") => "0".into(),
        (None, "false") => false.into(),
        (None, "number") => 0.into(),
        (None, "text") => "".into(),
        (None, _) => Value::Null,
    }
}

/// What an object within another says of itself.
fn kind_and_version(value: Option<&Value>) -> impl Iterator<Item = (String, Value)> {
    let given = ["kind", "apiVersion"].into_iter().filter_map(move |name| Some((name, value?.get(name)?)));
    given.filter(|(_, text)| **text != "").map(|(name, text)| (name.to_owned(), text.clone()))
}

/// Metadata is embedded, and keeps the form in which it is sent.
fn metadata(value: Option<&Value>) -> Map<String, Value> {
    let given = value.and_then(|value| value.get("metadata")).map(|given| of_meta(given, "ObjectMeta"));
    given.and_then(|given| given.as_object().cloned()).unwrap_or_default()
}

/// The conditions of a status. They have one type everywhere, with the names that are sent.
pub(crate) fn conditions(given: Option<&Value>) -> Value {
    const MEMBERS: [&str; 6] =
        ["type", "status", "observedGeneration", "lastTransitionTime", "reason", "message"];
    let shown = |condition: &Value| {
        let member = |name: &str| match (name, condition.get(name).filter(|given| !given.is_null())) {
            ("observedGeneration", given) => given.filter(|given| **given != 0).cloned(),
            (_, Some(given)) => Some(given.clone()),
            ("lastTransitionTime", None) => Some(Value::Null),
            _ => Some("".into()),
        };
        let members = MEMBERS.iter().filter_map(|name| Some(((*name).to_owned(), member(name)?)));
        Value::Object(members.collect())
    };
    given.and_then(Value::as_array).map_or(Value::Null, |all| all.iter().map(shown).collect())
}

fn of_meta(given: &Value, name: &str) -> Value {
    let Some(map) = given.as_object() else { return Value::Null };
    let mut text = Vec::new();
    let mut members = encode::Members::open(&mut text);
    encode::fields(&mut members, map, &builtin(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}")), "");
    members.close();
    serde_json::from_slice(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_fields_have_a_name_in_json() {
        let names = |of: &str| -> Vec<String> {
            let of = builtin(&format!("io.k8s.api.core.v1.{of}"));
            of.fields().iter().map(|field| field.name.clone()).collect()
        };
        for of in
            TYPES.keys().filter(|name| crate::schema::find(&format!("io.k8s.api.core.v1.{name}")).is_some())
        {
            for json in names(of).iter().filter(|json| *json != "metadata") {
                let sample = json!({json.as_str(): "given"});
                let is_named = |(name, _): &(String, String)| member(Some(&sample), name).is_some();
                let embedded = TYPES[of].iter().filter(|(name, _)| name.is_empty());
                let embedded = embedded.filter_map(|(_, what)| TYPES.get(what.trim_start_matches('=')));
                let mut all = TYPES[of].iter().chain(embedded.flatten());
                assert!(all.any(is_named), "{of} {json}");
            }
        }
    }

    #[test]
    fn a_claim_and_what_changes_in_it() {
        let claim =
            |mode: &str| json!({"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}});
        let (old, new) = (claim("ReadWriteOnce"), claim("ReadOnlyMany"));
        let expect = concat!(
            "@@ -1,6 +1,6 @@\n {\n  \"AccessModes\": [\n-  \"ReadWriteOnce\"\n+  \"ReadOnlyMany\"\n  ],\n",
            "  \"Selector\": null,\n  \"Resources\": {\n",
        );
        assert_eq!(difference(Some(&old), Some(&new), "PersistentVolumeClaimSpec"), expect);
    }
}
