//! `v1 Node`: a machine.

use serde_json::{Map, Value, json};

use crate::field_error::{FieldError, quoted};
use crate::names;
use crate::object::Object;
use crate::resource::{Particular, Selectable, Strategy};
use crate::validate::at::{At, Root};
use crate::validate::network::Range;
use crate::validate::pod::resources;
use crate::validate::text;
use crate::view::View;

/// What is particular.
pub static KIND: Particular = Particular {
    kind: "Node",
    creates_status: true,
    selectable: &[Selectable { path: "spec.unschedulable", value: unschedulable }],
    strategy: Strategy {
        default: one_range,
        prepare_create: |object| {
            drop_field(object, "spec", "configSource");
            drop_field(object, "spec", "podPreemptionPolicy");
            drop_field(object, "status", "config");
        },
        prepare_update: |new, old| drop_unused(new, old, "spec", &["configSource", "podPreemptionPolicy"]),
        prepare_status: |new, old| drop_unused(new, old, "status", &["config"]),
        validate,
        validate_update: |new, old| {
            validate(new);
            changes(new, old);
        },
        validate_status: changes,
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

const FEATURE_BYTES_MAX: usize = 253;
const POD_RANGES_FIXED: &str = "node updates may not change podCIDR except from \"\" to valid";

fn unschedulable(node: View<'_>) -> String {
    node.at(&["spec", "unschedulable"]).is_true().to_string()
}

/// The one range and the list begin with the same; the one wins.
fn one_range(object: &mut Object) {
    let Some(spec) = object.spec_mut() else { return };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let (one, first) = (text(spec.get("podCIDR")), text(spec.get("podCIDRs").and_then(|list| list.get(0))));
    if !one.is_empty() && one != first {
        spec.insert("podCIDRs".into(), json!([one]));
    } else if !first.is_empty() {
        spec.insert("podCIDR".into(), first.into());
    }
}

fn part_mut<'o>(object: &'o mut Object, part: &str) -> Option<&'o mut Map<String, Value>> {
    object.fields.get_mut(part).and_then(Value::as_object_mut)
}

fn drop_field(object: &mut Object, part: &str, field: &str) {
    if let Some(part) = part_mut(object, part) {
        part.shift_remove(field);
    }
}

/// Features that are gone, or not there yet: what is in use stays.
fn drop_unused(new: &mut Object, old: &Object, part: &str, fields: &[&str]) {
    for field in fields {
        if old.fields.get(part).and_then(|part| part.get(field)).is_none() {
            drop_field(new, part, field);
        }
    }
}

fn validate(new: Root<'_>) {
    let spec = new.field("spec");
    taints(new, spec.field("taints"));
    amounts(new);
    features(new.field("status").field("declaredFeatures"));
    let swap = new.field("status").field("nodeInfo").field("swap").field("capacity");
    if swap.is_set() {
        // Errors name a place that does not exist.
        new.meta_field("nodeSwapStatus").field("capacity").with(swap.value()).positive();
    }
    let ranges = spec.field("podCIDRs");
    ranges.items().for_each(|range| range.check(text::legacy_cidr));
    if ranges.count() > 1 {
        pod_ranges(ranges);
    }
}

/// One of each family, if more than one.
fn pod_ranges(ranges: At<'_>) {
    let families: Option<Vec<_>> = ranges.items().map(|range| Range::parse(range.text())).collect();
    let rule = "may specify no more than one CIDR for each IP family";
    match families {
        None => {
            let is_odd = |range: &At<'_>| Range::parse(range.text()).is_none();
            let odd = ranges.items().enumerate().find(|(_, range)| is_odd(range));
            let (at, text) = odd.map_or((0, ""), |(at, range)| (at, range.text()));
            let told = "invalid PodCIDRs. failed to check with dual stack with error:invalid";
            ranges.internal(&format!("{told} CIDR[{at}]: <nil> (invalid CIDR address: {text})"));
            ranges.invalid(rule);
        }
        Some(families) if families.len() > 2 || families[0].is_v6 == families[1].is_v6 => {
            ranges.invalid(rule)
        }
        Some(_) => {}
    }
}

/// Errors about taints name them in the metadata, where they once stood.
fn taints(new: Root<'_>, taints: At<'_>) {
    let mut known = Vec::new();
    for (at, taint) in taints.list().iter().enumerate() {
        let taint = new.meta_field("taints").index(at).with(Some(taint));
        let (key, value, effect) = (taint.field("key"), taint.field("value"), taint.field("effect"));
        key.label_key();
        let wrong = names::label_value(value.text());
        if !wrong.is_empty() {
            value.invalid(&wrong.join(";"));
        }
        effect.require_one_of(&["NoSchedule", "PreferNoSchedule", "NoExecute"]);
        if known.contains(&(key.text(), effect.text())) {
            // As Go writes it.
            let shown = json!({
                "Key": key.text(),
                "Value": value.text(),
                "Effect": effect.text(),
                "TimeAdded": taint.field("timeAdded").value(),
            });
            let rule = "taints must be unique by key and effect pair";
            taint.report(|path| FieldError::duplicate(path, shown).with_detail(rule));
        }
        known.push((key.text(), effect.text()));
    }
}

fn amounts(new: Root<'_>) {
    for list in ["capacity", "allocatable"] {
        for (name, amount) in new.field("status").field(list).entries() {
            let before = new.error_count();
            resources::amount(amount, name);
            if new.error_count() > before {
                // Errors write the name behind a dot.
                new.forget_errors_from(before);
                let place = FieldError::invalid;
                let path = format!("status.{list}.{name}");
                let shown = amount.text();
                if amount.quantity().is_some_and(|amount| amount.signum() < 0) {
                    new.report(place(&path, shown, crate::validate::common::NEGATIVE));
                }
                if resources::is_counted(name)
                    && amount.quantity().is_some_and(|amount| amount.in_units(-3) % 1000 != 0)
                {
                    new.report(place(&path, shown, "must be an integer"));
                }
            }
        }
    }
}

/// What the node's kubelet can do, sorted.
fn features(features: At<'_>) {
    for (at, feature) in features.items().enumerate() {
        let name = feature.text();
        if name.len() > FEATURE_BYTES_MAX {
            let rule = format!("invalid feature name {}: must be no more than 253 characters", quoted(name));
            feature.invalid(&rule);
        } else if !is_feature(name) {
            feature.invalid(&format!("invalid feature name {}: {FEATURE_RULE}", quoted(name)));
        }
        match at.checked_sub(1).map(|before| features.index(before).text()) {
            Some(before) if before == name => feature.duplicate(),
            Some(before) if before > name => feature.invalid("list must be sorted alphabetically"),
            _ => {}
        }
    }
}

const FEATURE_RULE: &str = "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes";

fn is_feature(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    name.split('/').all(is_part) && name.starts_with(|letter: char| letter.is_ascii_uppercase())
}

fn changes(new: Root<'_>, old: Root<'_>) {
    amounts(new);
    features(new.field("status").field("declaredFeatures"));
    let addresses = new.field("status").field("addresses");
    for (at, address) in addresses.items().enumerate() {
        if addresses.list()[..at].iter().any(|earlier| Some(earlier) == address.value()) {
            let shown =
                json!({"Type": address.field("type").text(), "Address": address.field("address").text()});
            address.duplicate_value(shown);
        }
    }
    let (spec, before) = (new.field("spec"), old.field("spec"));
    let (ranges, had) = (spec.field("podCIDRs"), before.field("podCIDRs"));
    if had.count() > 0 && ranges.list() != had.list() {
        ranges.forbidden(POD_RANGES_FIXED);
    }
    let (provider, was) = (spec.field("providerID"), before.field("providerID"));
    match (was.text(), provider.text()) {
        ("", _) => {}
        (_, "") => provider.invalid_value(Value::Null, "field cannot be cleared once set"),
        (was, now) if was != now => provider.invalid_value(Value::Null, "field cannot be modified once set"),
        _ => {}
    }
    taints(new, spec.field("taints"));
    if spec.field("externalID").text() != before.field("externalID").text() {
        spec.field("externalID").forbidden("may not be updated");
    }
}
