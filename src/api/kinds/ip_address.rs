//! `networking.k8s.io/v1 IPAddress`: an address that is taken.

use crate::names;
use crate::resource::{Particular, Strategy};
use crate::validate::at::Root;
use crate::validate::text;

/// What is particular.
pub static KIND: Particular = Particular {
    group: "networking.k8s.io",
    kind: "IPAddress",
    declared: &[
        ("spec.parentRef", ""),
        ("spec.parentRef.resource", "Required value"),
        ("spec.parentRef.name", "Required value"),
    ],
    strategy: Strategy {
        name: |name, _| text::ip(name),
        validate,
        validate_update: |new, old| {
            validate(new);
            new.field("spec").field("parentRef").immutable_unshown(old.field("spec").field("parentRef"));
        },
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

fn validate(new: Root<'_>) {
    let parent = new.field("spec").field("parentRef");
    if !parent.is_set() {
        return parent.required("");
    }
    if !parent.field("group").is_empty() {
        parent.field("group").check_name(names::dns_subdomain);
    }
    parent.field("resource").require_path_segment();
    parent.field("name").require_path_segment();
    parent.field("namespace").check_name(names::path_segment);
}
