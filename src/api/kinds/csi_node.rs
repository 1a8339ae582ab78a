//! `storage.k8s.io/v1 CSINode`: the storage drivers of a node.

use serde_json::{Value, json};

use crate::names;
use crate::object::Object;
use crate::resource::{Particular, Strategy};
use crate::validate::IMMUTABLE;
use crate::validate::at::{At, Root};
use crate::validate::pod::volumes::csi_driver;

/// What is particular.
pub static KIND: Particular = Particular {
    group: "storage.k8s.io",
    kind: "CSINode",
    strategy: Strategy {
        prepare_update: drop_health,
        prepare_status: drop_health,
        validate,
        validate_update,
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

const NODE_ID_BYTES_MAX: usize = 256;

/// The health of storage is a feature that is off.
fn drop_health(new: &mut Object, old: &Object) {
    let was_used = old.fields.get("status").is_some_and(|status| status.get("storageHealth").is_some());
    if let Some(Value::Object(status)) = new.fields.get_mut("status").filter(|_| !was_used) {
        status.shift_remove("storageHealth");
    }
}

fn drivers(root: Root<'_>) -> At<'_> {
    root.field("spec").field("drivers")
}

fn validate(new: Root<'_>) {
    let mut known = Vec::new();
    for driver in drivers(new).items() {
        let (name, id) = (driver.field("name"), driver.field("nodeID"));
        csi_driver(name);
        id.require_text();
        if id.text().len() > NODE_ID_BYTES_MAX {
            id.invalid(&format!("must be {NODE_ID_BYTES_MAX} characters or less"));
        }
        driver.field("allocatable").field("count").non_negative();
        if known.contains(&name.text()) {
            name.duplicate();
        }
        known.push(name.text());
        topology(driver);
    }
}

/// Errors name the driver, not the key.
fn topology(driver: At<'_>) {
    let mut known = Vec::new();
    for key in driver.field("topologyKeys").items().map(At::text) {
        if key.is_empty() {
            driver.required("");
        }
        if known.contains(&key) {
            driver.duplicate_value(key);
        }
        known.push(key);
        names::qualified(key).iter().for_each(|wrong| driver.invalid_value(key, wrong));
    }
}

fn validate_update(new: Root<'_>, old: Root<'_>) {
    validate(new);
    for before in drivers(old).items() {
        for now in drivers(new).items().filter(|now| now.field("name").text() == before.field("name").text())
        {
            let is_same =
                ["nodeID", "topologyKeys"].iter().all(|field| now.field(field).equals(before.field(field)));
            if !is_same {
                drivers(new).invalid_value(shown(now), IMMUTABLE);
            }
        }
    }
}

/// A driver as Go writes it, without what may change.
fn shown(driver: At<'_>) -> Value {
    json!({
        "Name": driver.field("name").text(),
        "NodeID": driver.field("nodeID").text(),
        "TopologyKeys": driver.field("topologyKeys").value(),
        "Allocatable": null,
    })
}
