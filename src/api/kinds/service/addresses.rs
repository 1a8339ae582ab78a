//! The addresses of a Service and their families: one of each at most, and the first for good.

use serde_json::Value;

use crate::validate::at::At;
use crate::validate::{network, text};

const SET_ONCE: &str = "may not change once set";

/// How many addresses there may be: one of each family.
const ADDRESSES_MAX: usize = 2;

fn is_external_name(spec: At<'_>) -> bool {
    spec.field("type").text() == "ExternalName"
}

fn is_headless(spec: At<'_>) -> bool {
    spec.field("clusterIPs").list() == ["None"]
}

/// Shows a list, which Go writes as null when it is not there.
fn invalid_list(at: At<'_>, list: At<'_>, detail: &str) {
    at.invalid_value(list.value().cloned().unwrap_or_default(), detail);
}

/// The rules of a new one, and of a changed one.
pub(super) fn validate(spec: At<'_>, old: Option<At<'_>>) {
    if is_external_name(spec) {
        return;
    }
    let (ip, ips, families) = (spec.field("clusterIP"), spec.field("clusterIPs"), spec.field("ipFamilies"));
    match (ip.text(), ips.list().first()) {
        ("", Some(_)) => invalid_list(ips, ips, "must be empty when `clusterIP` is not specified"),
        ("", None) => {}
        (_, None) => ips.required(""),
        (ip, Some(first)) if first != ip => invalid_list(ips, ips, "first value must match `clusterIP`"),
        _ => {}
    }
    for (at, family) in families.items().enumerate() {
        family.one_of(&["IPv4", "IPv6"]);
        if families.list()[..at].iter().any(|earlier| Some(earlier) == family.value()) {
            family.duplicate();
        }
    }
    if spec.field("ipFamilyPolicy").is_set() {
        spec.field("ipFamilyPolicy").one_of(&["PreferDualStack", "RequireDualStack", "SingleStack"]);
    }
    if are_well_formed(ips, old) {
        families_fit(ips, families);
    }
}

/// Whether each address is one. What follows would only confuse if not.
fn are_well_formed(ips: At<'_>, old: Option<At<'_>>) -> bool {
    let known = old.map(|old| old.field("clusterIPs").list()).unwrap_or_default();
    let mut all_fit = true;
    for (at, ip) in ips.items().enumerate() {
        if at == 0 && ip.text() == "None" {
            if ips.count() > 1 {
                all_fit = false;
                invalid_list(ips, ips, "'None' must be the first and only value");
            }
        } else if !known.iter().any(|known| Some(known) == ip.value()) {
            let wrong = text::legacy_ip(ip.text());
            all_fit &= wrong.is_empty();
            wrong.iter().for_each(|wrong| ip.invalid(wrong));
        }
    }
    if ips.count() > ADDRESSES_MAX {
        invalid_list(ips, ips, "may only hold up to 2 values");
    }
    all_fit
}

fn families_fit(ips: At<'_>, families: At<'_>) {
    let is_v6 = |ip: At<'_>| network::is_v6(ip.text());
    if ips.count() > 1 && ips.items().map(is_v6).all(|v6| v6 == is_v6(ips.index(0))) {
        invalid_list(ips, ips, "may specify no more than one IP for each IP family");
    }
    if ips.list() == ["None"] {
        return;
    }
    for (at, (ip, family)) in ips.items().zip(families.items()).enumerate() {
        if matches!((family.text(), is_v6(ip)), ("IPv4", true) | ("IPv6", false)) {
            ip.invalid(&format!("expected an {} value as indicated by `ipFamilies[{at}]`", family.text()));
        }
    }
}

/// The rules of a change: a second address and family may come and go, the first stays.
pub(super) fn validate_update(new: At<'_>, old: At<'_>) {
    if is_external_name(new) || is_external_name(old) {
        return;
    }
    let (was_headless, headless) = (is_headless(old), is_headless(new));
    if !(was_headless && headless) {
        let (ips, before) = (new.field("clusterIPs"), old.field("clusterIPs"));
        changed(new, ips, before, "primary clusterIP can not be unset", "clusterIP");
    }
    if !was_headless && !headless {
        let (families, before) = (new.field("ipFamilies"), old.field("ipFamilies"));
        changed(new, families, before, "primary ipFamily can not be unset", "ipFamily");
    }
}

fn changed(spec: At<'_>, list: At<'_>, before: At<'_>, unset: &str, what: &str) {
    let ips = spec.field("clusterIPs");
    let is_ips = what == "clusterIP";
    let first_differs = match (list.list().first(), before.list().first()) {
        (Some(now), Some(was)) => now != was,
        _ => false,
    };
    if list.count() == before.count() {
        for (at, _) in list.list().iter().zip(before.list()).enumerate().filter(|(_, (now, was))| now != was)
        {
            let place = if is_ips { list.index(at) } else { list.index(0) };
            invalid_list(place, list, SET_ONCE);
        }
        return;
    }
    // Of families, too, errors about the first look at the addresses.
    if list.count() < before.count() && ips.count() == 0 {
        invalid_list(list.index(0), list, unset);
    }
    if first_differs {
        invalid_list(list.index(0), ips, SET_ONCE);
    }
    let policy = spec.field("ipFamilyPolicy");
    if list.count() < before.count() && list.count() == 1 && policy.text() != "SingleStack" {
        let shown = policy.value().cloned().unwrap_or(Value::Null);
        policy.invalid_value(
            shown,
            &format!("must be set to 'SingleStack' when releasing the secondary {what}"),
        );
    }
}
