//! `storage.k8s.io/v1 VolumeAttributesClass`: what of a volume can be changed later.

use super::storage_class::{parameters, provisioner};
use crate::resource::{Particular, Strategy};
use crate::validate::at::Root;

/// What is particular.
pub static KIND: Particular = Particular {
    group: "storage.k8s.io",
    kind: "VolumeAttributesClass",
    strategy: Strategy { validate, validate_update, ..Strategy::PLAIN },
    ..Particular::NONE
};

fn validate(new: Root<'_>) {
    provisioner(new.field("driverName"));
    parameters(new.field("parameters"));
    if new.field("parameters").count() == 0 {
        new.field("parameters").required("must contain at least one key/value pair");
    }
}

fn validate_update(new: Root<'_>, old: Root<'_>) {
    for field in ["driverName", "parameters"] {
        if !new.field(field).equals(old.field(field)) {
            new.field(field).forbidden(&format!("updates to {field} are forbidden."));
        }
    }
    validate(new);
}
