//! What is served, told to clients: groups, versions, resources, and the server's version.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::custom::preference;
use crate::resource::{RESOURCES, Resource};
use crate::scheme::joined;

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
    let processor = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "major": "1", "minor": "37",
        "emulationMajor": "1", "emulationMinor": "37",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "36",
        "gitVersion": GIT_VERSION, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc",
        "platform": format!("{}/{processor}", std::env::consts::OS),
    })
}

/// `/api`, for clients that call the server `address`.
pub fn legacy_versions(address: &str) -> Value {
    let everybody = json!([{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]);
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": everybody})
}

/// Whether Kubernetes brings a group of this name.
pub fn is_builtin(group: &str) -> bool {
    !group.is_empty() && RESOURCES.iter().any(|row| row.group == group)
}

/// What is served: what Kubernetes brings, and what definitions make.
#[derive(Clone, Debug)]
pub struct Served<'r>(Vec<&'r Resource>);

impl<'r> Served<'r> {
    /// What Kubernetes brings.
    pub fn builtin() -> Self {
        Self::with([])
    }

    /// The same with these beside it.
    pub fn with(custom: impl IntoIterator<Item = &'r Resource>) -> Self {
        Self(RESOURCES.iter().map(Arc::as_ref).chain(custom).collect())
    }

    /// `/apis`.
    pub fn groups(&self) -> Value {
        let names = self.group_names().into_iter().filter(|name| !name.is_empty());
        let groups: Vec<_> = names.filter_map(|name| self.group_body(name)).collect();
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
    }

    /// `/apis/GROUP`; `None` when there is no such group.
    pub fn group(&self, name: &str) -> Option<Value> {
        let Value::Object(group) = self.group_body(name)? else { return None };
        let head = [("kind".to_owned(), json!("APIGroup")), ("apiVersion".to_owned(), json!("v1"))];
        Some(head.into_iter().chain(group).collect::<Map<_, _>>().into())
    }

    /// `/api/v1` or `/apis/GROUP/VERSION`; `None` when it is not served.
    pub fn resources(&self, group: &str, version: &str) -> Option<Value> {
        let rows: Vec<_> = self.rows(group, version).flat_map(resource).collect();
        let mut list = json!({"kind": "APIResourceList"});
        // The legacy group is older than versions of these documents.
        if !group.is_empty() {
            list["apiVersion"] = "v1".into();
        }
        list["groupVersion"] = joined(group, version).into();
        list["resources"] = rows.as_slice().into();
        (!rows.is_empty()).then_some(list)
    }

    /// `/api` (`legacy`) or `/apis`, with everything below it in one document.
    pub fn aggregated(&self, legacy: bool, form: Aggregated) -> Value {
        let names = self.group_names().into_iter().filter(|name| name.is_empty() == legacy);
        let items: Vec<_> = names.map(|name| self.aggregated_group(name)).collect();
        json!({
            "kind": "APIGroupDiscoveryList",
            "apiVersion": format!("apidiscovery.k8s.io/{}", form.version()),
            "metadata": {},
            "items": items,
        })
    }

    /// Groups in the order in which they are told.
    fn group_names(&self) -> Vec<&'r str> {
        let names: BTreeSet<_> = self.0.iter().map(|row| row.group.as_str()).collect();
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_by_key(|name| ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()));
        names
    }

    /// Versions of a group, the preferred one first.
    fn versions(&self, group: &str) -> Vec<&'r str> {
        let of_group = self.0.iter().filter(|row| row.group == group);
        let versions: BTreeSet<&str> = of_group.map(|row| row.version.as_str()).collect();
        let mut versions: Vec<_> = versions.into_iter().collect();
        versions.sort_by_cached_key(|version| Reverse(preference(version)));
        versions
    }

    fn rows(&self, group: &str, version: &str) -> impl Iterator<Item = &'r Resource> {
        self.0.iter().copied().filter(move |row| row.group == group && row.version == version)
    }

    fn group_body(&self, name: &str) -> Option<Value> {
        let version =
            |version: &&str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
        let versions: Vec<_> = self.versions(name).iter().map(version).collect();
        let preferred = versions.first().cloned()?;
        Some(json!({"name": name, "versions": versions, "preferredVersion": preferred}))
    }

    fn aggregated_group(&self, name: &str) -> Value {
        let version = |version: &&str| {
            let rows: Vec<_> = self.rows(name, version).map(aggregated_resource).collect();
            json!({"version": version, "resources": rows, "freshness": "Current"})
        };
        let versions: Vec<_> = self.versions(name).iter().map(version).collect();
        json!({"metadata": {"name": name}, "versions": versions})
    }
}

/// The order in which groups are told: clients that find a name in two take the first. Others follow, by name.
const ORDER: &[&str] = &[
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "storagemigration.k8s.io",
];

/// A resource, and behind it what hangs below its objects.
fn resource(row: &Resource) -> Vec<Value> {
    let mut body = json!({
        "name": row.plural, "singularName": row.singular, "namespaced": row.namespaced, "kind": row.kind,
        "verbs": row.verbs,
    });
    names(&mut body, row);
    // What is not stored is stored in no version.
    if !row.storage_hash.is_empty() {
        body["storageVersionHash"] = row.storage_hash.as_str().into();
    }
    let below = row.subresources.iter().map(|below| {
        let name = format!("{}/{}", row.plural, below.name);
        let mut body = json!({"name": name, "singularName": "", "namespaced": row.namespaced});
        if let Some((group, version)) = &below.api_version {
            (body["group"], body["version"]) = (group.as_str().into(), version.as_str().into());
        }
        (body["kind"], body["verbs"]) = (below.kind.as_str().into(), below.verbs.as_slice().into());
        body
    });
    [body].into_iter().chain(below).collect()
}

fn aggregated_resource(row: &Resource) -> Value {
    let mut body = json!({
        "resource": row.plural,
        "responseKind": {"group": row.group, "version": row.version, "kind": row.kind},
        "scope": if row.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": row.singular,
        "verbs": row.verbs,
    });
    names(&mut body, row);
    let below = row.subresources.iter().map(|below| {
        let (group, version) = below.api_version(row);
        let kind = json!({"group": group, "version": version, "kind": below.kind});
        json!({"subresource": below.name, "responseKind": kind, "verbs": below.verbs})
    });
    let below: Vec<_> = below.collect();
    if !below.is_empty() {
        body["subresources"] = below.into();
    }
    body
}

fn names(body: &mut Value, row: &Resource) {
    for (member, names) in [("shortNames", &row.short_names), ("categories", &row.categories)] {
        if !names.is_empty() {
            body[member] = names.as_slice().into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Kubernetes itself publishes of its resources is the data, so both documents must lead back to it.
    #[test]
    fn both_forms_tell_the_same() {
        for group in Served::builtin().group_names() {
            for version in Served::builtin().versions(group) {
                let plain = Served::builtin().resources(group, version).expect("a version of the group");
                let mut plain: Vec<_> =
                    plain["resources"].as_array().expect("list").iter().map(name).collect();
                let document = Served::builtin().aggregated(group.is_empty(), Aggregated::V2);
                let mut deep = Vec::new();
                let groups = document["items"].as_array().expect("list").iter();
                for found in groups.filter(|one| one["metadata"]["name"] == group) {
                    let versions = found["versions"].as_array().expect("list").iter();
                    for row in versions
                        .filter(|one| one["version"] == version)
                        .flat_map(|one| items(one, "resources"))
                    {
                        deep.push(text(row, "resource"));
                        let below = items(row, "subresources").iter();
                        deep.extend(
                            below
                                .map(|one| format!("{}/{}", text(row, "resource"), text(one, "subresource"))),
                        );
                    }
                }
                plain.sort();
                deep.sort();
                assert_eq!(plain, deep, "{group}/{version}");
                assert!(!plain.is_empty());
            }
        }
    }

    fn name(row: &Value) -> String {
        text(row, "name")
    }

    fn text(row: &Value, member: &str) -> String {
        row[member].as_str().expect("text").to_owned()
    }

    fn items<'v>(row: &'v Value, member: &str) -> &'v [Value] {
        row.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    #[test]
    fn what_is_told_of_a_resource() {
        let apps = Served::builtin().resources("apps", "v1").expect("apps");
        let scale = json!({
            "name": "deployments/scale", "singularName": "", "namespaced": true, "kind": "Scale",
            "group": "autoscaling", "version": "v1", "verbs": ["get", "patch", "update"],
        });
        assert!(items(&apps, "resources").contains(&scale));
        assert_eq!(
            Served::builtin().group("autoscaling").map(|group| text(&group["preferredVersion"], "version")),
            Some("v2".into())
        );
        let core = Served::builtin().resources("", "v1").expect("core");
        let pods = items(&core, "resources").iter().find(|row| row["name"] == "pods").expect("pods");
        assert_eq!((&pods["shortNames"], &pods["categories"]), (&json!(["po"]), &json!(["all"])));
    }

    #[test]
    fn what_is_not_served() {
        assert_eq!(Served::builtin().resources("", "v2"), None);
        assert_eq!(Served::builtin().resources("apps", "v1beta1"), None);
        assert_eq!(Served::builtin().group("example.com"), None);
    }

    #[test]
    fn major_and_minor_are_numbers() {
        let version = version();
        for field in ["major", "minor", "emulationMinor", "minCompatibilityMinor"] {
            assert!(version[field].as_str().is_some_and(|text| text.parse::<u32>().is_ok()));
        }
    }
}
