//! `v1 LimitRange`: how much one thing in a namespace may ask for.

use std::collections::BTreeSet;

use crate::names;
use crate::quantity::Quantity;
use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};
use crate::validate::pod::resources;

/// What is particular.
pub static KIND: Particular = Particular {
    kind: "LimitRange",
    strategy: Strategy { validate, validate_update: |new, _| validate(new), ..Strategy::PLAIN },
    ..Particular::NONE
};

/// Above this, thousandths are not looked at.
const MILLI_MAX: i128 = i64::MAX as i128 / 1000;

fn validate(new: Root<'_>) {
    let mut kinds = Vec::new();
    for limit in new.field("spec").field("limits").items() {
        let kind = limit.field("type");
        kind_name(kind);
        if kinds.contains(&kind.text()) {
            kind.duplicate();
        }
        kinds.push(kind.text());
        lists(limit, kind.text());
        let fields = if kind.text() == "Pod" {
            &["max", "min", "maxLimitRequestRatio"][..]
        } else {
            &["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"]
        };
        let named = fields.iter().flat_map(|field| limit.field(field).entries().map(|(name, _)| name));
        for name in named.collect::<BTreeSet<_>>() {
            amounts(limit, name, kind.text() == "Pod");
        }
    }
}

fn kind_name(kind: At<'_>) {
    let wrong = names::qualified(kind.text());
    wrong.iter().for_each(|wrong| kind.invalid_value(kind.text(), wrong));
    let is_known =
        kind.text().contains('/') || ["Pod", "Container", "PersistentVolumeClaim"].contains(&kind.text());
    if wrong.is_empty() && !is_known {
        kind.invalid("must be a standard limit type or fully qualified");
    }
}

fn lists(limit: At<'_>, kind: &str) {
    for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        let list = limit.field(field);
        if kind == "Pod" && matches!(field, "default" | "defaultRequest") {
            if list.count() > 0 {
                list.forbidden("may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        for (name, place) in list.entries() {
            if matches!(kind, "Pod" | "Container") {
                resources::container_resource(place, name);
            } else {
                resources::name(place, name);
            }
        }
    }
    let has_storage = ["max", "min"].iter().any(|field| limit.field(field).field("storage").is_set());
    if kind == "PersistentVolumeClaim" && !has_storage {
        let rule = "either minimum or maximum storage value is required, but neither was provided";
        limit.field("limits").required(rule);
    }
}

/// What must not be above what: fields, what a text calls them, and which of the two an error is about and shows.
struct Order {
    low: (&'static str, &'static str),
    high: (&'static str, &'static str),
    place: &'static str,
    shown: &'static str,
}

const fn order(
    low: (&'static str, &'static str),
    high: (&'static str, &'static str),
    place: &'static str,
    shown: &'static str,
) -> Order {
    Order { low, high, place, shown }
}

static ORDERS: &[Order] = &[
    order(("min", "min value"), ("max", "max value"), "min", "min"),
    order(
        ("min", "min value"),
        ("defaultRequest", "default request value"),
        "defaultRequest",
        "defaultRequest",
    ),
    order(
        ("defaultRequest", "default request value"),
        ("max", "max value"),
        "defaultRequest",
        "defaultRequest",
    ),
    order(
        ("defaultRequest", "default request value"),
        ("default", "default limit value"),
        "defaultRequest",
        "defaultRequest",
    ),
    order(("min", "min value"), ("default", "default value"), "default", "min"),
    order(("default", "default value"), ("max", "max value"), "default", "max"),
];

fn amounts(limit: At<'_>, name: &str, is_pod: bool) {
    let at = |field: &'static str| {
        let at = limit.field(field).key(name);
        if is_pod && matches!(field, "default" | "defaultRequest") { at.with(None) } else { at }
    };
    for order in ORDERS {
        let (low, high) = (at(order.low.0), at(order.high.0));
        if let (Some(low_amount), Some(high_amount)) = (low.quantity(), high.quantity())
            && low_amount > high_amount
        {
            let rule =
                format!("{} {} is greater than {} {}", order.low.1, low.text(), order.high.1, high.text());
            at(order.place).invalid_value(at(order.shown).text(), &rule);
        }
    }
    ratio(at("maxLimitRequestRatio"), at("min"), at("max"));
    let (default, request) = (at("default"), at("defaultRequest"));
    if let (Some(one), Some(other)) = (default.quantity(), request.quantity())
        && one != other
        && !resources::may_overcommit(name)
    {
        let rule = format!(
            "default value {} must equal to defaultRequest value {} in {name}",
            default.text(),
            request.text()
        );
        request.invalid(&rule);
    }
}

fn ratio(ratio: At<'_>, min: At<'_>, max: At<'_>) {
    let Some(given) = ratio.quantity() else { return };
    if Quantity::parse("1").is_ok_and(|one| given < one) {
        ratio.invalid(&format!("ratio {} is less than 1", ratio.text()));
    }
    let (Some(min), Some(max)) = (min.quantity(), max.quantity()) else { return };
    let is_small = [given, min, max].iter().all(|amount| amount.in_units(0) < MILLI_MAX);
    let scale = if is_small { -3 } else { 0 };
    #[expect(clippy::cast_precision_loss, reason = "so does Kubernetes")]
    let [given_units, min, max] = [given, min, max].map(|amount| amount.in_units(scale) as f64);
    let limit = max / min;
    if (if is_small { given_units / 1000.0 } else { given_units }) > limit {
        let shown = if limit.is_infinite() {
            if limit > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
        } else {
            format!("{limit:.6}")
        };
        ratio.invalid(&format!("ratio {} is greater than max/min = {shown}", ratio.text()));
    }
}
