//! Which families of addresses a Service has, and fields that say the same twice.

use api::FieldError;
use api::Status;
use api::kinds::service;
use serde_json::{Value, json};

use super::addresses::Ranges;
use super::{Holder, Spec, set_texts, text, texts};

/// Fills in what a client left out of a changed Service that it was given before.
pub(super) fn keep_given(new: &mut Spec, old: &Spec) {
    let is_external = |spec: &Spec| text(spec, "type") == "ExternalName";
    if !is_external(old) && !is_external(new) {
        for field in ["clusterIP", "clusterIPs"] {
            let is_absent = new.get(field).is_none_or(|value| *value == "" || *value == json!([]));
            if let Some(value) = old.get(field).filter(|_| is_absent) {
                new.insert(field.to_owned(), value.clone());
            }
        }
    }
    let has_ports = |spec: &Spec| matches!(text(spec, "type"), "NodePort" | "LoadBalancer");
    if has_ports(old) && has_ports(new) {
        keep_node_ports(new, old);
    }
    if needs_health_port(old)
        && needs_health_port(new)
        && !new.contains_key("healthCheckNodePort")
        && let Some(port) = old.get("healthCheckNodePort")
    {
        new.insert("healthCheckNodePort".to_owned(), port.clone());
    }
}

/// Whether a load balancer asks nodes for their health, at a port of its own.
pub(super) fn needs_health_port(spec: &Spec) -> bool {
    text(spec, "type") == "LoadBalancer" && text(spec, "externalTrafficPolicy") == "Local"
}

/// A port that is known by its name keeps its node port, unless another one has it now.
fn keep_node_ports(new: &mut Spec, old: &Spec) {
    let given = |port: &Value| port.get("nodePort").filter(|port| **port != 0).cloned();
    let ports = |spec: &Spec| spec.get("ports").and_then(Value::as_array).cloned().unwrap_or_default();
    let (before, after) = (ports(old), ports(new));
    let used: Vec<_> = after
        .iter()
        .filter_map(given)
        .filter(|port| before.iter().filter_map(given).any(|one| one == *port))
        .collect();
    for port in new.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let same = before
            .iter()
            .find(|one| one.get("name").unwrap_or(&Value::Null) == port.get("name").unwrap_or(&Value::Null));
        if let (None, Some(kept)) = (given(port), same.and_then(given))
            && !used.contains(&kept)
        {
            port["nodePort"] = kept;
        }
    }
}

/// Brings `clusterIP` and `clusterIPs` together, for clients that know only the first.
pub(super) fn normalize(new: &mut Spec, old: Option<&Spec>) {
    let first = text(new, "clusterIP").to_owned();
    let all = texts(new, "clusterIPs");
    let Some(old) = old else {
        if !first.is_empty() && all.is_empty() {
            set_texts(new, "clusterIPs", &[first]);
        }
        return;
    };
    let (first_before, before) = (text(old, "clusterIP"), texts(old, "clusterIPs"));
    if first == first_before {
        if all.is_empty() {
            set_texts(new, "clusterIPs", &before);
        }
    } else if all == before {
        let only = if first.is_empty() { Vec::new() } else { vec![first] };
        set_texts(new, "clusterIPs", &only);
    }
}

/// Decides on `ipFamilyPolicy` and `ipFamilies`.
///
/// # Errors
/// 422 for families that the cluster does not have, and for policies that do not fit.
pub(super) fn choose(holder: &Holder<'_>, spec: &mut Spec, old: Option<&Spec>) -> Result<(), Status> {
    if text(spec, "type") == "ExternalName" || old.is_some_and(|old| stays_preferring(spec, old)) {
        return Ok(());
    }
    let ranges = Ranges::of(holder.state);
    let is_free = text(spec, "clusterIP") == "None" && !spec.get("selector").is_some_and(has_members);
    let policy = policy(spec, old, is_free).to_owned();
    spec.insert("ipFamilyPolicy".to_owned(), policy.as_str().into());
    // What follows may count on well formed addresses and families.
    let mut errors = service::address_errors(spec, old);
    if !errors.is_empty() {
        return Err(holder.invalid(&errors));
    }
    if let Some(old) = old {
        shrink(spec, old, &policy, &mut errors);
    }
    let (addresses, mut families) = (texts(spec, "clusterIPs"), texts(spec, "ipFamilies"));
    let of_policy = |why: &str| FieldError::invalid("spec.ipFamilyPolicy", policy.as_str(), why);
    if policy == "SingleStack" {
        let why = "must be 'RequireDualStack' or 'PreferDualStack' when multiple";
        if addresses.len() == 2 {
            errors.push(of_policy(&format!("{why} cluster IPs are specified")));
        }
        if families.len() == 2 {
            errors.push(of_policy(&format!("{why} IP families are specified")));
        }
    }
    for (at, address) in addresses.iter().enumerate().take_while(|(_, address)| *address != "None") {
        let Ok(parsed) = address.parse() else { continue };
        let family = super::ranges::family(parsed);
        if at < families.len() {
            continue;
        }
        if ranges.has_family(family) {
            families.push(family.to_owned());
        } else {
            let why = format!("{family} is not configured on this cluster");
            errors.push(FieldError::invalid(&format!("spec.clusterIPs[{at}]"), json!(addresses), &why));
        }
    }
    if !errors.is_empty() {
        return Err(holder.invalid(&errors));
    }
    if !is_free {
        if policy == "RequireDualStack" && !ranges.is_dual() {
            errors.push(of_policy("this cluster is not configured for dual-stack services"));
        }
        let unknown = families.iter().enumerate().filter(|(_, family)| !ranges.has_family(family));
        errors.extend(unknown.map(|(at, family)| {
            FieldError::invalid(
                &format!("spec.ipFamilies[{at}]"),
                family.as_str(),
                "not configured on this cluster",
            )
        }));
        if !errors.is_empty() {
            return Err(holder.invalid(&errors));
        }
    }
    if families.is_empty() {
        families.push(ranges.first_family().to_owned());
    }
    if families.len() == 1 && policy != "SingleStack" && (is_free || ranges.is_dual()) {
        families.push(if families[0] == "IPv4" { "IPv6" } else { "IPv4" }.to_owned());
    }
    set_texts(spec, "ipFamilies", &families);
    Ok(())
}

/// The policy that a Service names or had, else the one that fits it.
fn policy<'s>(spec: &'s Spec, old: Option<&'s Spec>, is_free: bool) -> &'s str {
    match (text(spec, "ipFamilyPolicy"), old.map(|old| text(old, "ipFamilyPolicy")).unwrap_or_default()) {
        ("", "") if is_free => "RequireDualStack",
        ("", "") => "SingleStack",
        ("", before) => before,
        (named, _) => named,
    }
}

fn has_members(map: &Value) -> bool {
    map.as_object().is_some_and(|map| !map.is_empty())
}

/// A Service that prefers both families is neither grown nor shrunk behind its owner's back.
fn stays_preferring(new: &Spec, old: &Spec) -> bool {
    let same = |field: &str| texts(new, field) == texts(old, field);
    let is_kind = text(new, "type") == text(old, "type") || text(old, "type") != "ExternalName";
    text(old, "ipFamilyPolicy") == "PreferDualStack"
        && text(new, "ipFamilyPolicy") == "PreferDualStack"
        && is_kind
        && same("clusterIPs")
        && same("ipFamilies")
}

/// A second family is given up by saying so.
fn shrink(spec: &mut Spec, old: &Spec, policy: &str, errors: &mut Vec<FieldError>) {
    for (field, what) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
        let (new, before) = (texts(spec, field), texts(old, field));
        if policy == "SingleStack" {
            if new == before && new.len() > 1 {
                set_texts(spec, field, &new[..1]);
            }
        } else if new.len() == 1 && before.len() == 2 && new[0] == before[0] {
            let why = format!("must be 'SingleStack' to release the secondary {what}");
            errors.push(FieldError::invalid("spec.ipFamilyPolicy", policy, &why));
        }
    }
}
