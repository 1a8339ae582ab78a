//! `storage.k8s.io/v1 CSIStorageCapacity`: how much of a class can still be made where.

use crate::names;
use crate::resource::{Particular, Strategy};
use crate::validate::at::Root;
use crate::validate::{IMMUTABLE, internal};

/// What is particular.
pub static KIND: Particular = Particular {
    group: "storage.k8s.io",
    kind: "CSIStorageCapacity",
    strategy: Strategy { validate: |new| validate(new, false), validate_update, ..Strategy::PLAIN },
    ..Particular::NONE
};

fn validate(new: Root<'_>, odd_values: bool) {
    new.field("nodeTopology").label_selector_unless(odd_values);
    new.field("storageClassName").check_name(names::dns_subdomain);
    new.field("capacity").quantity_non_negative();
}

fn validate_update(new: Root<'_>, old: Root<'_>) {
    validate(new, old.field("nodeTopology").has_odd_label_values());
    let topology = new.field("nodeTopology");
    if !new.keeps(old, "storage.v1.CSIStorageCapacity", "nodeTopology") {
        topology.invalid_value(internal::selector(topology), IMMUTABLE);
    }
    new.field("storageClassName").immutable(old.field("storageClassName"));
}
