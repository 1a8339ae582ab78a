//! `rbac.authorization.k8s.io/v1 ClusterRoleBinding`: who may do what everywhere.

use super::role_binding::{binding, same_role};
use crate::names;
use crate::resource::{Particular, Strategy};

/// What is particular.
pub static KIND: Particular = Particular {
    group: "rbac.authorization.k8s.io",
    kind: "ClusterRoleBinding",
    declared: &[("subjects[].name", "Required value"), ("roleRef.name", "Required value")],
    strategy: Strategy {
        name: names::path_segment,
        validate: |new| binding(new, false),
        validate_update: |new, old| {
            binding(new, false);
            same_role(new, old);
        },
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};
