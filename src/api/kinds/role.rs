//! `rbac.authorization.k8s.io/v1 Role`: what may be done in a namespace.

use crate::names;
use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};

/// What is particular.
pub static KIND: Particular = Particular {
    group: "rbac.authorization.k8s.io",
    kind: "Role",
    declared: &[("rules[].verbs", "Required value")],
    strategy: Strategy {
        name: names::path_segment,
        validate: |new| rules(new, true),
        validate_update: |new, _| rules(new, true),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

/// The rules of a role.
pub(super) fn rules(new: Root<'_>, namespaced: bool) {
    new.field("rules").items().for_each(|rule| policy_rule(rule, namespaced));
}

fn policy_rule(rule: At<'_>, namespaced: bool) {
    let (verbs, urls) = (rule.field("verbs"), rule.field("nonResourceURLs"));
    let parts = ["apiGroups", "resources", "resourceNames"].map(|field| rule.field(field));
    if verbs.count() == 0 {
        verbs.required("");
    }
    if urls.count() > 0 {
        if namespaced {
            urls.invalid("namespaced rules cannot apply to non-resource URLs");
        }
        if parts.iter().any(|part| part.count() > 0) {
            urls.invalid("rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    let [groups, resources, _] = parts;
    if groups.count() == 0 {
        groups.required("resource rules must supply at least one api group");
    }
    if resources.count() == 0 {
        resources.required("resource rules must supply at least one resource");
    }
}
