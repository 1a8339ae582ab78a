//! `rbac.authorization.k8s.io/v1 RoleBinding`: who may do what in a namespace.

use serde_json::json;

use crate::names;
use crate::resource::{Particular, Strategy};
use crate::validate::IMMUTABLE;
use crate::validate::at::{At, Root};

/// What is particular.
pub static KIND: Particular = Particular {
    group: GROUP,
    kind: "RoleBinding",
    declared: &[("subjects[].name", "Required value"), ("roleRef.name", "Required value")],
    strategy: Strategy {
        name: names::path_segment,
        validate: |new| binding(new, true),
        validate_update: |new, old| {
            binding(new, true);
            same_role(new, old);
        },
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

const GROUP: &str = "rbac.authorization.k8s.io";

/// The rules of a binding.
pub(super) fn binding(new: Root<'_>, namespaced: bool) {
    let role = new.field("roleRef");
    role.field("apiGroup").one_of(&[GROUP]);
    role.field("kind").one_of(if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] });
    role.field("name").require_path_segment();
    new.field("subjects").items().for_each(|each| subject(each, namespaced));
}

fn subject(subject: At<'_>, namespaced: bool) {
    let (name, group) = (subject.field("name"), subject.field("apiGroup"));
    name.require_text();
    match subject.field("kind").text() {
        "ServiceAccount" => {
            if !name.is_empty() {
                name.check_name(names::dns_subdomain);
            }
            group.one_of(&[""]);
            if !namespaced {
                subject.field("namespace").require_text();
            }
        }
        "User" | "Group" => group.one_of(&[GROUP]),
        _ => subject.field("kind").one_of(&["ServiceAccount", "User", "Group"]),
    }
}

/// The role of a binding stays: who changes a binding need not be allowed to give away another role.
pub(super) fn same_role(new: Root<'_>, old: Root<'_>) {
    let fields = ["apiGroup", "kind", "name"];
    let [group, kind, name] = fields.map(|field| new.field("roleRef").field(field).text());
    if [group, kind, name] != fields.map(|field| old.field("roleRef").field(field).text()) {
        // As Go writes it.
        let shown = json!({"APIGroup": group, "Kind": kind, "Name": name});
        new.field("roleRef").invalid_value(shown, IMMUTABLE);
    }
}
