//! What Kubernetes' own code calls kinds: texts about bodies of a wrong kind repeat it.

use crate::resource::{RESOURCES, Resource};

/// Where Kubernetes registers kinds; the same for all of its registers.
const SCHEME: &str = "pkg/runtime/scheme.go:111";

/// Whether there is such a kind, or lists of one.
pub fn is_registered(group: &str, version: &str, kind: &str) -> bool {
    let is_it = |name: &str| kind == name || kind.strip_suffix("List") == Some(name);
    RESOURCES.iter().any(|row| {
        (&*row.group, &*row.version) == (group, version) && is_it(&row.kind)
            || row
                .subresources
                .iter()
                .any(|below| below.api_version(row) == (group, version) && below.kind == kind)
    })
}

/// What is said of a kind that is not known.
pub fn not_registered(group: &str, version: &str, kind: &str) -> String {
    format!("no kind {kind:?} is registered for version {:?} in scheme {SCHEME:?}", joined(group, version))
}

/// The type that stands for a kind in all its versions: `core.Pod`.
pub fn internal(group: &str, kind: &str) -> String {
    let package = match group {
        "" | "events.k8s.io" => "core",
        "internal.apiserver.k8s.io" => "apiserverinternal",
        group => group.split('.').next().unwrap_or_default(),
    };
    format!("{package}.{kind}")
}

/// What is said of an object of one kind where another is wanted.
pub fn not_convertible(version: &str, kind: &str, wanted: &Resource) -> String {
    format!(
        "converting ({version}.{kind}) to ({}): unknown conversion",
        internal(&wanted.group, &wanted.kind)
    )
}

/// `v1`, or `apps/v1` in a named group.
pub fn joined(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is() {
        let cases = [
            ("", "v1", "Pod", true),
            ("", "v1", "PodList", true),
            ("policy", "v1", "Eviction", true),
            ("autoscaling", "v1", "Scale", true),
            ("", "v1", "Podd", false),
            ("", "v2", "Pod", false),
            ("apps", "v1", "Pod", false),
        ];
        for (group, version, kind, expect) in cases {
            assert_eq!(is_registered(group, version, kind), expect, "{group}/{version} {kind}");
        }
        assert_eq!(internal("rbac.authorization.k8s.io", "Role"), "rbac.Role");
        assert_eq!(internal("events.k8s.io", "Event"), internal("", "Event"));
    }
}
