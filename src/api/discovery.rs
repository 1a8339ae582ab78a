//! What is served, told to clients: groups, versions, resources, and the server's version.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::resource::{RESOURCES, Resource};

/// The version of Kubernetes whose API this is.
pub const GIT_VERSION: &str = "v1.37.0";

/// Versions of the aggregated discovery document that can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregated {
    /// `v2`.
    V2,
    /// `v2beta1`: what older clients ask for; the same content.
    V2Beta1,
}

impl Aggregated {
    /// `v2` or `v2beta1`.
    pub fn version(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V2Beta1 => "v2beta1",
        }
    }
}

/// `/version`.
pub fn version() -> Value {
    json!({
        "major": "1", "minor": "37", "gitVersion": GIT_VERSION, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc", "platform": "linux/amd64",
    })
}

/// `/api`.
pub fn legacy_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

/// `/apis`.
pub fn groups() -> Value {
    let groups: Vec<_> =
        group_names().into_iter().filter(|name| !name.is_empty()).filter_map(group_body).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`; `None` when there is no such group.
pub fn group(name: &str) -> Option<Value> {
    let mut body = group_body(name)?;
    body["kind"] = "APIGroup".into();
    body["apiVersion"] = "v1".into();
    Some(body)
}

/// `/api/v1` or `/apis/GROUP/VERSION`; `None` when it is not served.
pub fn resources(group: &str, version: &str) -> Option<Value> {
    let rows: Vec<_> = rows(group, version).map(resource).collect();
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let list = json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": rows,
    });
    (!rows.is_empty()).then_some(list)
}

/// `/api` (`legacy`) or `/apis`, with everything below it in one document.
pub fn aggregated(legacy: bool, form: Aggregated) -> Value {
    let items: Vec<_> =
        group_names().into_iter().filter(|name| name.is_empty() == legacy).map(aggregated_group).collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{}", form.version()),
        "metadata": {},
        "items": items,
    })
}

fn group_names() -> BTreeSet<&'static str> {
    RESOURCES.iter().map(|row| row.group).collect()
}

fn versions(group: &str) -> BTreeSet<&'static str> {
    RESOURCES.iter().filter(|row| row.group == group).map(|row| row.version).collect()
}

fn rows(group: &str, version: &str) -> impl Iterator<Item = &'static Resource> {
    RESOURCES.iter().copied().filter(move |row| row.group == group && row.version == version)
}

fn group_body(name: &str) -> Option<Value> {
    let version = |version: &&str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let versions: Vec<_> = versions(name).iter().map(version).collect();
    let preferred = versions.first().cloned()?;
    Some(json!({"name": name, "versions": versions, "preferredVersion": preferred}))
}

fn resource(row: &Resource) -> Value {
    let mut body = json!({
        "name": row.plural, "singularName": row.singular, "namespaced": row.namespaced, "kind": row.kind,
        "verbs": row.verbs,
    });
    if !row.short_names.is_empty() {
        body["shortNames"] = row.short_names.into();
    }
    body
}

fn aggregated_group(name: &str) -> Value {
    let version = |version: &&str| {
        let rows: Vec<_> = rows(name, version).map(aggregated_resource).collect();
        json!({"version": version, "resources": rows, "freshness": "Current"})
    };
    json!({"metadata": {"name": name}, "versions": versions(name).iter().map(version).collect::<Vec<_>>()})
}

fn aggregated_resource(row: &Resource) -> Value {
    let mut body = json!({
        "resource": row.plural,
        "responseKind": {"group": row.group, "version": row.version, "kind": row.kind},
        "scope": if row.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": row.singular,
        "verbs": row.verbs,
    });
    if !row.short_names.is_empty() {
        body["shortNames"] = row.short_names.into();
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_tell_the_same() {
        let plain = resources("", "v1").expect("core v1");
        let names = |list: &Value, field: &str| -> Vec<String> {
            list.as_array()
                .expect("list")
                .iter()
                .map(|row| row[field].as_str().expect("name").to_owned())
                .collect()
        };
        let aggregated = aggregated(true, Aggregated::V2);
        assert_eq!(aggregated["apiVersion"], "apidiscovery.k8s.io/v2");
        let all = &aggregated["items"][0]["versions"][0]["resources"];
        assert_eq!(names(&plain["resources"], "name"), names(all, "resource"));
        assert_eq!(names(&plain["resources"], "name"), ["configmaps", "namespaces", "secrets"]);
        assert_eq!(plain["resources"][0]["shortNames"], json!(["cm"]));
    }

    #[test]
    fn what_is_not_served() {
        assert_eq!(resources("", "v2"), None);
        assert_eq!(group("apps"), None);
        assert_eq!(groups()["groups"], json!([]));
    }

    #[test]
    fn major_and_minor_are_numbers() {
        let version = version();
        for field in ["major", "minor"] {
            assert!(version[field].as_str().is_some_and(|text| text.parse::<u32>().is_ok()));
        }
    }
}
