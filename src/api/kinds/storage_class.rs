//! `storage.k8s.io/v1 StorageClass`: how volumes are made.

use std::collections::{BTreeMap, BTreeSet};

use crate::field_error::FieldError;
use crate::names;
use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};

/// What is particular.
pub static KIND: Particular = Particular {
    group: "storage.k8s.io",
    kind: "StorageClass",
    declared: &[
        ("provisioner", "Required value"),
        ("provisioner", "field is immutable"),
        ("parameters", "field is immutable"),
        ("reclaimPolicy", "field is immutable"),
        ("volumeBindingMode", "field is immutable"),
    ],
    strategy: Strategy {
        validate,
        validate_update: |new, old| {
            validate(new);
            for field in ["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"] {
                new.field(field).immutable_unshown(old.field(field));
            }
        },
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

const PARAMETERS_BYTES_MAX: usize = 256 * 1024;
const PARAMETERS_MAX: usize = 512;

fn validate(new: Root<'_>) {
    provisioner(new.field("provisioner"));
    parameters(new.field("parameters"));
    let (reclaim, mode) = (new.field("reclaimPolicy"), new.field("volumeBindingMode"));
    if !reclaim.is_empty() {
        reclaim.one_of(&["Delete", "Retain"]);
    }
    if mode.is_set() {
        mode.one_of(&["Immediate", "WaitForFirstConsumer"])
    } else {
        mode.required("")
    }
    topologies(new.field("allowedTopologies"));
}

/// The name of a driver.
pub(super) fn provisioner(name: At<'_>) {
    if name.require_text() {
        for wrong in names::qualified(&name.text().to_lowercase()) {
            name.invalid_value(name.text().to_lowercase(), &wrong);
        }
    }
}

/// What a driver is told.
pub(super) fn parameters(given: At<'_>) {
    if given.count() > PARAMETERS_MAX {
        return given.too_long(PARAMETERS_MAX);
    }
    let mut size = 0;
    for (key, value) in given.entries() {
        if key.is_empty() {
            given.invalid_value(key, "field can not be empty.");
        }
        size += key.len() + value.text().len();
    }
    if size > PARAMETERS_BYTES_MAX {
        given.too_long(PARAMETERS_BYTES_MAX);
    }
}

fn topologies(terms: At<'_>) {
    // A term without expressions equals the place that no term has taken yet.
    let mut known = vec![BTreeMap::new(); terms.count().min(1)];
    for term in terms.items() {
        let mut values_by_key: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for requirement in term.field("matchLabelExpressions").items() {
            let (key, values) = (requirement.field("key"), requirement.field("values"));
            if values.count() == 0 {
                values.required("");
            }
            let mut set = BTreeSet::new();
            for value in values.items() {
                if !set.insert(value.text()) {
                    value.duplicate();
                }
            }
            key.label_key();
            if values_by_key.insert(key.text(), set).is_some() {
                key.duplicate();
            }
        }
        for _ in known.iter().filter(|earlier| **earlier == values_by_key) {
            term.field("matchLabelExpressions").report(|path| FieldError::duplicate(path, ""));
        }
        known.push(values_by_key);
    }
}
