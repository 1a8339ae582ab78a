//! What the server serves: its kinds, and how words of a command line name them.

use std::sync::Arc;

use kube::core::discovery::v2::{APIGroupDiscovery, APIResourceDiscovery};

use crate::failure::Failure;

/// One resource of one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// API group, empty for the legacy group.
    pub group: String,
    /// Version.
    pub version: String,
    /// `deployments`
    pub plural: String,
    /// `deployment`
    pub singular: String,
    /// `Deployment`
    pub kind: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What can be done with it.
    pub verbs: Vec<String>,
    /// `deploy`
    pub short_names: Vec<String>,
    /// `all`
    pub categories: Vec<String>,
    /// `status`, `scale`
    pub subresources: Vec<String>,
}

impl Kind {
    /// `apps/v1`
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// `deployments.apps`
    pub fn resource(&self) -> String {
        dotted(&self.plural, &self.group)
    }

    /// `deployment.apps`
    pub fn singular_resource(&self) -> String {
        dotted(&self.kind.to_lowercase(), &self.group)
    }

    /// `Deployment.apps`
    pub fn group_kind(&self) -> String {
        dotted(&self.kind, &self.group)
    }

    /// `deployment.apps/web`
    pub fn printed(&self, name: &str) -> String {
        format!("{}/{name}", self.singular_resource())
    }

    /// Where its objects stand; an empty namespace means all of them.
    pub fn path(&self, namespace: &str, name: &str) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let mut path = format!("{root}/{}", self.api_version());
        if self.namespaced && !namespace.is_empty() {
            path.push_str(&format!("/namespaces/{namespace}"));
        }
        path.push_str(&format!("/{}", self.plural));
        if !name.is_empty() {
            path.push_str(&format!("/{name}"));
        }
        path
    }

    /// Whether this can be done with it.
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|known| known == verb)
    }

    /// Whether a word without group and version means it: plural, singular, kind, or a short name.
    fn is_called(&self, word: &str) -> bool {
        self.plural == word || self.singular == word || self.kind.to_lowercase() == word
    }
}

fn dotted(word: &str, group: &str) -> String {
    if group.is_empty() { word.to_owned() } else { format!("{word}.{group}") }
}

/// The kinds of a server, in its order of preference.
#[derive(Debug, Default)]
pub struct Catalog {
    kinds: Vec<Arc<Kind>>,
}

impl Catalog {
    /// Reads aggregated discovery.
    pub fn new(groups: &[APIGroupDiscovery]) -> Self {
        let kinds = groups.iter().flat_map(|group| {
            let name = group.metadata.as_ref().and_then(|metadata| metadata.name.clone()).unwrap_or_default();
            let version = |of: &kube::core::discovery::v2::APIVersionDiscovery| {
                let version = of.version.clone().unwrap_or_default();
                of.resources.iter().map(|row| Arc::new(kind(&name, &version, row))).collect::<Vec<_>>()
            };
            group.versions.iter().flat_map(version).collect::<Vec<_>>()
        });
        Self { kinds: kinds.collect() }
    }

    /// All of them.
    pub fn kinds(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.kinds.iter()
    }

    /// The kind that a manifest names.
    ///
    /// # Errors
    /// When the server does not serve it.
    pub fn of_object(&self, api_version: &str, kind: &str) -> Result<Arc<Kind>, Failure> {
        let found = self.kinds.iter().find(|row| row.kind == kind && row.api_version() == api_version);
        found.cloned().ok_or_else(|| {
            Failure::Refused(format!(
                "no matches for kind \"{kind}\" in version \"{api_version}\": `kctl api-resources` lists what the \
                 server has; a custom kind needs its CustomResourceDefinition first"
            ))
        })
    }

    /// The kind that a word names: `pods`, `po`, `deployments.apps`, `deployments.v1.apps`.
    ///
    /// # Errors
    /// When none does.
    pub fn find(&self, word: &str) -> Result<Arc<Kind>, Failure> {
        let lower = word.to_lowercase();
        let (name, rest) = lower.split_once('.').unwrap_or((&lower, ""));
        let (version, group) = rest.split_once('.').unwrap_or((rest, ""));
        let in_place = |row: &&Arc<Kind>| {
            rest.is_empty() || row.group == rest || (row.version == version && row.group == group)
        };
        let short = |row: &&Arc<Kind>| row.short_names.iter().any(|short| short == name);
        let rows = || self.kinds.iter().filter(in_place);
        let found = rows().find(|row| row.is_called(name)).or_else(|| rows().find(short));
        found.cloned().ok_or_else(|| {
            Failure::Refused(format!(
                "the server doesn't have a resource type \"{word}\": `kctl api-resources` lists those that it has"
            ))
        })
    }

    /// The kinds that a list of words names, categories among them.
    ///
    /// # Errors
    /// When a word names none.
    pub fn find_all(&self, words: &str) -> Result<Vec<Arc<Kind>>, Failure> {
        let mut found: Vec<Arc<Kind>> = Vec::new();
        for word in words.split(',').filter(|word| !word.is_empty()) {
            let group = self.category(word);
            let more = if group.is_empty() { vec![self.find(word)?] } else { group };
            found.extend(more);
        }
        let mut distinct: Vec<Arc<Kind>> = Vec::new();
        for kind in found {
            if !distinct.contains(&kind) {
                distinct.push(kind);
            }
        }
        Ok(distinct)
    }

    /// The kinds of a category, each in the version that the server prefers.
    fn category(&self, word: &str) -> Vec<Arc<Kind>> {
        let mut kinds: Vec<Arc<Kind>> = Vec::new();
        for row in self.kinds.iter().filter(|row| row.categories.iter().any(|name| name == word)) {
            if !kinds.iter().any(|known| (&known.group, &known.plural) == (&row.group, &row.plural)) {
                kinds.push(Arc::clone(row));
            }
        }
        kinds
    }
}

fn kind(group: &str, version: &str, row: &APIResourceDiscovery) -> Kind {
    let response = row.response_kind.as_ref();
    let plural = row.resource.clone().unwrap_or_default();
    let below = row.subresources.iter().filter_map(|below| below.subresource.clone());
    Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        singular: row.singular_resource.clone().unwrap_or_default(),
        kind: response.and_then(|kind| kind.kind.clone()).unwrap_or_default(),
        namespaced: row.scope.as_deref() == Some("Namespaced"),
        verbs: row.verbs.clone(),
        short_names: row.short_names.clone(),
        categories: row.categories.clone(),
        subresources: below.collect(),
        plural,
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A row for tests.
    pub fn row(group: &str, version: &str, kind: &str, short: &str) -> Arc<Kind> {
        let words = |text: &str| text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        Arc::new(Kind {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: format!("{}s", kind.to_lowercase()),
            singular: kind.to_lowercase(),
            kind: kind.to_owned(),
            namespaced: kind != "Node",
            verbs: words("get list watch create"),
            short_names: words(short),
            categories: if kind == "Node" { vec![] } else { words("all") },
            subresources: vec![],
        })
    }

    /// A small server.
    pub fn catalog() -> Catalog {
        let kinds = vec![
            row("", "v1", "Event", "ev"),
            row("", "v1", "Node", "no"),
            row("", "v1", "Pod", "po"),
            row("apps", "v1", "Deployment", "deploy"),
            row("apps", "v1beta1", "Deployment", "deploy"),
            row("events.k8s.io", "v1", "Event", "ev"),
        ];
        Catalog { kinds }
    }

    #[test]
    fn words_name_kinds() {
        let catalog = catalog();
        let cases = [
            ("pods", "v1 pods"),
            ("pod", "v1 pods"),
            ("Pod", "v1 pods"),
            ("po", "v1 pods"),
            ("ev", "v1 events"),
            ("events.events.k8s.io", "events.k8s.io/v1 events"),
            ("deploy", "apps/v1 deployments"),
            ("deployments.apps", "apps/v1 deployments"),
            ("deployment.v1beta1.apps", "apps/v1beta1 deployments"),
            ("all", "v1 events,v1 pods,apps/v1 deployments,events.k8s.io/v1 events"),
            ("po,pods,no", "v1 pods,v1 nodes"),
            (
                "cats",
                "kctl: the server doesn't have a resource type \"cats\": `kctl api-resources` lists those that it has",
            ),
        ];
        for (word, expected) in cases {
            let found = catalog.find_all(word).map_or_else(
                |failure| failure.to_string(),
                |kinds| {
                    let names = kinds.iter().map(|kind| format!("{} {}", kind.api_version(), kind.plural));
                    names.collect::<Vec<_>>().join(",")
                },
            );
            assert_eq!(found, expected, "{word}");
        }
    }

    #[test]
    fn where_objects_stand() {
        let cases = [
            (row("", "v1", "Pod", ""), "shop", "a", "/api/v1/namespaces/shop/pods/a"),
            (row("", "v1", "Pod", ""), "", "", "/api/v1/pods"),
            (row("", "v1", "Node", ""), "shop", "a", "/api/v1/nodes/a"),
            (row("apps", "v1", "Deployment", ""), "shop", "", "/apis/apps/v1/namespaces/shop/deployments"),
        ];
        for (kind, namespace, name, path) in cases {
            assert_eq!(kind.path(namespace, name), path);
        }
        assert_eq!(row("apps", "v1", "Deployment", "").printed("a"), "deployment.apps/a");
    }
}
