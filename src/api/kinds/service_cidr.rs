//! `networking.k8s.io/v1 ServiceCIDR`: the addresses that Services may have.

use serde_json::json;

use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};
use crate::validate::network::Range;
use crate::validate::{IMMUTABLE, text};

/// What is particular.
pub static KIND: Particular = Particular {
    group: "networking.k8s.io",
    kind: "ServiceCIDR",
    strategy: Strategy {
        validate: |new| ranges(new.field("spec").field("cidrs")),
        validate_update,
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

/// One of each family.
const RANGES_MAX: usize = 2;

fn ranges(ranges: At<'_>) {
    match ranges.count() {
        0 => return ranges.required("at least one CIDR required"),
        count if count > RANGES_MAX => {
            // As Go writes the spec.
            let shown = json!({ "CIDRs": ranges.value() });
            return ranges.invalid_value(shown, "may only hold up to 2 values");
        }
        _ => {}
    }
    ranges.items().for_each(|range| range.check(text::cidr));
    let families: Vec<_> = ranges.items().filter_map(|range| Range::parse(range.text())).collect();
    if let [one, other] = families.as_slice()
        && one.is_v6 == other.is_v6
    {
        ranges.invalid(
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        );
    }
}

/// Ranges stay. A second may be added.
fn validate_update(new: Root<'_>, old: Root<'_>) {
    let (now, before) = (new.field("spec").field("cidrs"), old.field("spec").field("cidrs"));
    let is_added = (before.count(), now.count()) == (1, RANGES_MAX);
    if now.count() != before.count() && !is_added {
        let shown = now.value().cloned().unwrap_or_default();
        return now.invalid_value(shown, IMMUTABLE);
    }
    for (range, was) in now.items().zip(before.items()) {
        range.immutable(was);
    }
    if is_added {
        ranges(now);
    }
}
