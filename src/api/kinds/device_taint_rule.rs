//! `resource.k8s.io/v1 DeviceTaintRule`: a taint of all devices that it selects.

use crate::names;
use crate::object::{Object, member};
use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};
use crate::validate::meta;
use crate::validate::pod::volumes::csi_driver;

/// What is particular.
pub static KIND: Particular = Particular {
    group: "resource.k8s.io",
    kind: "DeviceTaintRule",
    counted: Some("spec"),
    declared: &[("spec.taint.effect", "")],
    strategy: Strategy {
        prepare_create: |object| {
            let now = object.meta.creation_timestamp.clone();
            add_time(object, &now);
        },
        stamp,
        validate: |new| validate(new, None),
        validate_update: |new, old| validate(new, Some(old)),
        validate_status: |new, _| conditions(new.field("status").field("conditions")),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

const CONDITIONS_MAX: usize = 8;
const EFFECTS: &[&str] = &["NoExecute", "NoSchedule", "None"];
const POOL_BYTES_MAX: usize = 253;
const SINCE: &str = "timeAdded";

fn add_time(object: &mut Object, now: &str) {
    let taint = member(member(&mut object.fields, "spec"), "taint");
    if taint.get(SINCE).is_none_or(serde_json::Value::is_null) {
        taint.insert(SINCE.to_owned(), now.into());
    }
}

/// A taint of another effect is new, unless somebody says since when it is there.
fn stamp(new: &mut Object, old: &Object, now: &str) {
    let before = old.fields.get("spec").and_then(|spec| spec.get("taint"));
    let before = |field: &str| before.and_then(|taint| taint.get(field));
    let taint = member(member(&mut new.fields, "spec"), "taint");
    if taint.get("effect") != before("effect") && taint.get(SINCE) == before(SINCE) {
        taint.shift_remove(SINCE);
    }
    add_time(new, now);
}

fn validate(new: Root<'_>, old: Option<Root<'_>>) {
    let spec = new.field("spec");
    let [driver, pool, device] =
        ["driver", "pool", "device"].map(|field| spec.field("deviceSelector").field(field));
    if driver.is_set() {
        csi_driver(driver);
    }
    if pool.is_set() && pool.require_text() {
        if pool.text().len() > POOL_BYTES_MAX {
            pool.too_long(POOL_BYTES_MAX);
        }
        for part in pool.text().split('/') {
            names::dns_subdomain(part, false).iter().for_each(|wrong| pool.invalid_value(part, wrong));
        }
    }
    if device.is_set() {
        device.check_name(names::dns_label);
    }
    let taint = spec.field("taint");
    let (value, effect) = (taint.field("value"), taint.field("effect"));
    taint.field("key").label_key();
    if !value.is_empty() {
        value.check(names::label_value);
    }
    let before = old.map(|old| old.field("spec").field("taint").field("effect").text());
    if before != Some(effect.text()) {
        effect.require_one_of(EFFECTS);
    }
}

fn conditions(conditions: At<'_>) {
    meta::conditions(conditions);
    if conditions.count() > CONDITIONS_MAX {
        conditions.too_many(conditions.count(), CONDITIONS_MAX);
    }
}
