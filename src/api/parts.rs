//! Parts of objects that are written under paths of their own: `status`, and those of some kinds.
//!
//! A write of a part leaves everything else as it is, and a write of the object leaves the parts as they are.

mod pod;

use serde_json::Value;

use crate::kinds::{certificate_signing_request, namespace};
use crate::meta::ObjectMeta;
use crate::object::Object;
use crate::resource::Resource;
use crate::validate::at::Root;

/// One part.
#[derive(Debug)]
pub struct Part {
    /// API group, kind and subresource.
    pub of: [&'static str; 3],
    /// Puts back in the new object what is not of the part.
    pub prepare: fn(new: &mut Object, old: &Object, resource: &Resource),
    /// The rules of the change: new, old.
    pub validate: fn(new: Root<'_>, old: Root<'_>, resource: &Resource),
}

/// `status`.
static STATUS: Part = Part {
    of: ["", "", "status"],
    prepare: |new, old, resource| {
        keep_all_but(new, old, &["status"]);
        if resource.custom.is_some() {
            new.meta = ObjectMeta {
                resource_version: std::mem::take(&mut new.meta.resource_version),
                managed_fields: std::mem::take(&mut new.meta.managed_fields),
                ..old.meta.clone()
            };
        }
        (resource.strategy().prepare_status)(new, old);
    },
    validate: |new, old, resource| (resource.strategy().validate_status)(new, old),
};

/// All others.
static PARTS: &[Part] = &[
    Part {
        of: ["", "Namespace", "finalize"],
        prepare: |new, old, _| keep_all_but(new, old, &["spec"]),
        validate: |new, _, _| namespace::validate_finalizers(new),
    },
    pod::EPHEMERAL_CONTAINERS,
    pod::RESIZE,
    Part {
        of: ["certificates.k8s.io", "CertificateSigningRequest", "approval"],
        prepare: |new, old, _| keep_all_but_status(new, old, &["conditions"]),
        validate: |new, old, _| certificate_signing_request::validate_approval(new, old),
    },
];

/// The part of a resource's objects that is written under this name, if it is one.
pub fn find(resource: &Resource, name: &str) -> Option<&'static Part> {
    resource.subresource(name)?;
    let own = PARTS.iter().find(|part| part.of == [&*resource.group, &*resource.kind, name]);
    own.or((name == "status").then_some(&STATUS))
}

/// Puts a field back as it was.
pub fn keep(new: &mut Object, old: &Object, field: &str) {
    match old.fields.get(field) {
        Some(value) => new.fields.insert(field.into(), value.clone()),
        None => new.fields.shift_remove(field),
    };
}

/// Puts back all fields but these.
fn keep_all_but(new: &mut Object, old: &Object, fields: &[&str]) {
    let given = std::mem::replace(&mut new.fields, old.fields.clone());
    for field in fields {
        match given.get(*field) {
            Some(value) => new.fields.insert((*field).to_owned(), value.clone()),
            None => new.fields.shift_remove(*field),
        };
    }
}

/// Puts back everything but these members of the status.
fn keep_all_but_status(new: &mut Object, old: &Object, members: &[&str]) {
    let given = new.fields.shift_remove("status").unwrap_or_default();
    new.fields.clone_from(&old.fields);
    let status = new.fields.entry("status").or_insert_with(|| Value::Object(serde_json::Map::new()));
    let Some(status) = status.as_object_mut() else { return };
    for member in members {
        match given.get(*member) {
            Some(value) => status.insert((*member).to_owned(), value.clone()),
            None => status.shift_remove(*member),
        };
    }
}
