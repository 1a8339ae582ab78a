//! Where Kubernetes keeps objects in its store: some of its refusals say that.

use crate::resource::Resource;

/// Resources that are kept in places of another name.
const PLACES: &[(&str, &str, &str)] = &[
    ("", "endpoints", "services/endpoints"),
    ("", "nodes", "minions"),
    ("", "replicationcontrollers", "controllers"),
    ("", "services", "services/specs"),
    ("networking.k8s.io", "ingresses", "ingress"),
];

/// Groups that do not belong to the main program, which puts resources of all groups into one place.
const OTHERS: &[&str] = &["apiextensions.k8s.io", "apiregistration.k8s.io"];

/// The key of an object.
pub fn key(row: &Resource, namespace: &str, name: &str) -> String {
    let (group, plural) = (&*row.group, &*row.plural);
    let place = PLACES.iter().find(|(in_group, of, _)| (*in_group, *of) == (group, plural));
    let place = match place {
        Some((.., place)) => (*place).to_owned(),
        None if row.custom.is_some() || OTHERS.contains(&group) => format!("{group}/{plural}"),
        None => plural.to_owned(),
    };
    let parts = ["/registry", &place, namespace, name];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let cases = [
            (("", "v1", "configmaps"), "a", "/registry/configmaps/a/x"),
            (("", "v1", "services"), "a", "/registry/services/specs/a/x"),
            (("apps", "v1", "deployments"), "a", "/registry/deployments/a/x"),
            (
                ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
                "",
                "/registry/apiextensions.k8s.io/customresourcedefinitions/x",
            ),
        ];
        for ((group, version, plural), namespace, expect) in cases {
            assert_eq!(key(&Resource::builtin(group, version, plural), namespace, "x"), expect);
        }
    }
}
