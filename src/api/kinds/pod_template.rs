//! `v1 PodTemplate`: a template for pods by itself.

use super::{prepare_template, prepare_template_update};
use crate::names;
use crate::resource::{Particular, Strategy};
use crate::validate::pod::template::template;

/// What is particular.
pub static KIND: Particular = Particular {
    kind: "PodTemplate",
    counted: Some("template"),
    strategy: Strategy {
        name: names::dns_subdomain,
        prepare_create: |object| prepare_template(object, &["template"]),
        prepare_update: |new, old| prepare_template_update(new, old, &["template"]),
        validate: |root| template(root.field("template"), None),
        validate_update: |new, old| template(new.field("template"), Some(old.field("template"))),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};
