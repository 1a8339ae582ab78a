//! Fields that a write cannot set, because the server puts them back: nobody comes to own them that way.

use super::element::Element;
use super::set::Set;
use crate::parts;
use crate::resource::Resource;

/// A path of members; `*` stands for any element.
type Path = &'static [&'static str];

/// What a write may own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// All but these fields and what is in them.
    Without(&'static [Path]),
    /// Only these fields and what is in them.
    Only(&'static [Path]),
}

/// Where it is not `status` for an object and `spec` for its status: group, resource, subresource.
static PARTICULAR: &[(&str, &str, &str, Filter)] = &[
    ("", "namespaces", "finalize", Filter::Without(&[&["status"]])),
    ("", "pods", "ephemeralcontainers", Filter::Only(&[&["spec", "ephemeralContainers"]])),
    // Kubernetes means resizePolicy as well, but of the paths behind a wildcard it only follows the first.
    (
        "",
        "pods",
        "resize",
        Filter::Only(&[
            &["spec", "containers", "*", "resources"],
            &["spec", "initContainers", "*", "resources"],
        ]),
    ),
    (
        "",
        "pods",
        "status",
        Filter::Without(&[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]]),
    ),
    ("apps", "deployments", "status", Filter::Without(&[&["spec"], &["metadata", "labels"]])),
    ("certificates.k8s.io", "certificatesigningrequests", "", Filter::Without(&[&["spec"], &["status"]])),
    (
        "certificates.k8s.io",
        "certificatesigningrequests",
        "approval",
        Filter::Without(&[&["spec"], &["status", "certificate"]]),
    ),
    (
        "certificates.k8s.io",
        "certificatesigningrequests",
        "status",
        Filter::Without(&[&["spec"], &["status", "conditions"]]),
    ),
];

/// What a write of an object, or of a subresource, may own.
pub(super) fn filter(row: &Resource, subresource: &str) -> Filter {
    let is_ours = |one: &&(&str, &str, &str, Filter)| {
        (one.0, one.1, one.2) == (row.group.as_str(), row.plural.as_str(), subresource)
    };
    match (PARTICULAR.iter().find(is_ours), subresource) {
        (Some((.., filter)), _) => *filter,
        (None, "") if row.has_status() => Filter::Without(&[&["status"]]),
        (None, "status") if parts::keeps_metadata(row) => Filter::Without(&[&["metadata"], &["spec"]]),
        (None, "status") => Filter::Without(&[&["spec"]]),
        (None, _) => Filter::Without(&[]),
    }
}

impl Filter {
    /// Whether a field of the object itself may not be owned.
    pub(super) fn is_without(self, name: &str) -> bool {
        matches!(self, Self::Without(paths) if paths.contains(&&[name][..]))
    }

    /// What of the set may be owned.
    pub(super) fn of<'a>(self, set: Set<'a>) -> Set<'a> {
        match self {
            Self::Without([]) => set,
            Self::Without(paths) => set.recursive_difference(&Set::of_paths(paths)),
            Self::Only(paths) => only(&set, paths),
        }
    }
}

fn only<'a>(set: &Set<'a>, paths: &[Path]) -> Set<'a> {
    let mut kept = Set::EMPTY;
    for node in set.nodes() {
        let is_on = |path: &&Path| match path.first() {
            Some(&"*") => true,
            Some(name) => node.element == Element::field(name),
            None => false,
        };
        let rest: Vec<Path> = paths.iter().filter(is_on).map(|path| &path[1..]).collect();
        if rest.is_empty() {
            continue;
        }
        let mut node = node.clone();
        if !rest.iter().any(|path| path.is_empty()) {
            node.below = only(&node.below, &rest);
        }
        kept.push(node);
    }
    kept
}

/// Fields that nobody owns: the server alone sets them, or they name the object.
pub(super) static NOBODYS: &[&[&str]] = &[
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "clusterName"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];
