//! The rules of a Service.

use serde_json::json;

use super::{Spec, addresses};
use crate::kinds::shared;
use crate::names;
use crate::validate::at::{At, Root};
use crate::validate::common::IMMUTABLE;
use crate::validate::{network, text};

const BALANCER_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";

const AFFINITY_SECONDS_MAX: i64 = 86_400;

/// Those of a new one, and of a changed one.
pub(super) fn validate(new: Root<'_>, old: Option<Root<'_>>) {
    let (spec, fields) = (new.field("spec"), Spec::of(new.object));
    topology(new);
    kind(spec, fields);
    ports(spec, fields);
    spec.field("selector").labels();
    session_affinity(spec);
    addresses::validate(spec, old.map(|old| old.field("spec")));
    external_ips(spec, old);
    spec.field("type").require_one_of(&["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    source_ranges(new, fields, old);
    balancer(new, spec, fields);
    traffic(spec, fields);
}

/// Those of a change.
pub(super) fn validate_update(new: Root<'_>, old: Root<'_>) {
    let (spec, before) = (new.field("spec"), old.field("spec"));
    addresses::validate_update(spec, before);
    let (after, was) = (Spec::of(new.object), Spec::of(old.object));
    if was.is("LoadBalancer") && after.is("LoadBalancer") {
        let class = spec.field("loadBalancerClass");
        if after.get("loadBalancerClass") != was.get("loadBalancerClass") {
            class.invalid_value(class.value().cloned().unwrap_or_default(), "may not change once set");
        }
    }
    let health = spec.field("healthCheckNodePort");
    if was.has_health_check()
        && after.has_health_check()
        && !health.equals(before.field("healthCheckNodePort"))
    {
        health.forbidden(IMMUTABLE);
    }
    validate(new, Some(old));
}

/// Those of a change of its status.
pub(super) fn validate_status(new: Root<'_>, old: Root<'_>) {
    fn points(root: Root<'_>) -> At<'_> {
        root.field("status").field("loadBalancer").field("ingress")
    }
    if !Spec::of(new.object).is("LoadBalancer") && points(new).count() > 0 {
        return points(new).forbidden("may only be used when `spec.type` is 'LoadBalancer'");
    }
    let known: Vec<_> = points(old).items().map(|point| point.field("ip").text()).collect();
    for point in points(new).items() {
        let (ip, mode) = (point.field("ip"), point.field("ipMode"));
        point.balancer_point(&known);
        match (mode.is_set(), ip.is_empty()) {
            (false, false) => mode.required("must be specified when `ip` is set"),
            (true, true) => mode.forbidden("may not be specified when `ip` is not set"),
            (true, false) => mode.one_of(&["Proxy", "VIP"]),
            (false, true) => {}
        }
    }
}

fn topology(new: Root<'_>) {
    let annotations = &new.meta().annotations;
    if let (Some(mode), Some(hints)) = (annotations.get(TOPOLOGY_MODE), annotations.get(TOPOLOGY_HINTS))
        && mode != hints
    {
        let rule = format!("must match annotations[{TOPOLOGY_HINTS}] when both are specified");
        new.meta_field("annotations").key(TOPOLOGY_MODE).invalid_value(mode.as_str(), &rule);
    }
}

fn kind(spec: At<'_>, fields: Spec<'_>) {
    if spec.field("ports").count() == 0 && !fields.is_headless() && !fields.is("ExternalName") {
        spec.field("ports").required("");
    }
    if fields.has_node_ports() && fields.is_headless() {
        let rule = format!("may not be set to 'None' for {} services", fields.text("type"));
        spec.field("clusterIPs").index(0).invalid(&rule);
    }
    if !fields.is("ExternalName") {
        return;
    }
    for field in ["clusterIPs", "ipFamilies"].map(|field| spec.field(field)) {
        if field.count() > 0 {
            field.forbidden("may not be set for ExternalName services");
        }
    }
    if spec.field("ipFamilyPolicy").is_set() {
        spec.field("ipFamilyPolicy").forbidden("may not be set for ExternalName services");
    }
    let name = spec.field("externalName");
    // With a dot at the end it is fully qualified.
    match name.text().strip_suffix('.').unwrap_or(name.text()) {
        "" => name.required(""),
        host => names::dns_subdomain(host, false).iter().for_each(|wrong| name.invalid_value(host, wrong)),
    }
}

fn ports(spec: At<'_>, fields: Spec<'_>) {
    let (mut names, mut node_ports, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    let ports = spec.field("ports");
    for at in ports.items() {
        port(at, ports.count() > 1, &mut names);
        let (protocol, node_port) = (at.field("protocol").text(), at.field("nodePort"));
        if node_port.number() != 0 {
            if fields.is("ClusterIP") {
                node_port.forbidden("may not be used when `type` is 'ClusterIP'");
            }
            if node_ports.contains(&(protocol, node_port.number())) {
                node_port.duplicate();
            }
            node_ports.push((protocol, node_port.number()));
        }
        let number = at.field("port").number();
        if numbers.contains(&(protocol, number)) {
            // The parts that count, as Go writes a port that has no others.
            let shown = json!({
                "Name": "", "Protocol": protocol, "AppProtocol": null, "Port": number, "TargetPort": 0, "NodePort": 0,
            });
            at.duplicate_value(shown);
        }
        numbers.push((protocol, number));
    }
}

fn port<'a>(at: At<'a>, needs_name: bool, names: &mut Vec<&'a str>) {
    let name = at.field("name");
    shared::named_port(at, needs_name);
    if !name.is_empty() {
        if names.contains(&name.text()) {
            name.duplicate();
        }
        names.push(name.text());
    }
    at.field("port").port_number();
    at.field("targetPort").port_number_or_name();
}

fn session_affinity(spec: At<'_>) {
    let (affinity, config) = (spec.field("sessionAffinity"), spec.field("sessionAffinityConfig"));
    affinity.require_one_of(&["ClientIP", "None"]);
    match affinity.text() {
        "ClientIP" => {
            let (address, seconds) =
                (config.field("clientIP"), config.field("clientIP").field("timeoutSeconds"));
            if let Some(missing) = [config, address, seconds].into_iter().find(|at| !at.is_set()) {
                missing.required("when session affinity type is ClientIP");
            } else if !(1..=AFFINITY_SECONDS_MAX).contains(&seconds.number()) {
                seconds.invalid(&format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}"));
            }
        }
        "None" if config.is_set() => config.forbidden("must not be set when session affinity is None"),
        _ => {}
    }
}

fn external_ips(spec: At<'_>, old: Option<Root<'_>>) {
    let known = old.map(|old| old.field("spec").field("externalIPs").list()).unwrap_or_default();
    for ip in spec.field("externalIPs").items() {
        let wrong = if known.iter().any(|known| Some(known) == ip.value()) {
            Vec::new()
        } else {
            text::legacy_ip(ip.text())
        };
        let wrong = if wrong.is_empty() { network::endpoint_ip(ip.text()) } else { wrong };
        wrong.iter().for_each(|wrong| ip.invalid(wrong));
    }
}

/// The ranges that may use a load balancer: a field, once an annotation. Spaces around them have always been allowed.
fn source_ranges(new: Root<'_>, fields: Spec<'_>, old: Option<Root<'_>>) {
    let spec = new.field("spec");
    let ranges = spec.field("loadBalancerSourceRanges");
    let annotation = |root: Root<'_>| root.meta().annotations.get(SOURCE_RANGES).cloned();
    if ranges.count() > 0 {
        // Errors write its name in a way of their own.
        let place = spec.field("LoadBalancerSourceRanges");
        if !fields.is("LoadBalancer") {
            place.forbidden(BALANCER_ONLY);
        }
        let known =
            old.map(|old| old.field("spec").field("loadBalancerSourceRanges").list()).unwrap_or_default();
        for (at, range) in ranges.items().enumerate() {
            let range = range.text().trim();
            if known.iter().filter_map(|known| known.as_str()).all(|known| known.trim() != range) {
                text::legacy_cidr(range).iter().for_each(|wrong| place.index(at).invalid_value(range, wrong));
            }
        }
    } else if let Some(written) = annotation(new) {
        let place = new.meta_field("annotations").key(SOURCE_RANGES);
        if !fields.is("LoadBalancer") {
            place.forbidden(BALANCER_ONLY);
        }
        let is_known = old.and_then(annotation).is_some_and(|known| known == written);
        let ranges = written.trim().split(',').map(str::trim);
        for range in ranges.filter(|_| !is_known && !written.trim().is_empty()) {
            text::legacy_cidr(range).iter().for_each(|wrong| place.invalid_value(range, wrong));
        }
    }
}

fn balancer(new: Root<'_>, spec: At<'_>, fields: Spec<'_>) {
    let (allocate, class) = (spec.field("allocateLoadBalancerNodePorts"), spec.field("loadBalancerClass"));
    match (fields.is("LoadBalancer"), allocate.is_set()) {
        (false, true) => allocate.forbidden(BALANCER_ONLY),
        (true, false) => new.place("allocateLoadBalancerNodePorts").required(""),
        _ => {}
    }
    if class.is_set() {
        if fields.is("LoadBalancer") { class.check(names::qualified) } else { class.forbidden(BALANCER_ONLY) }
    }
}

fn traffic(spec: At<'_>, fields: Spec<'_>) {
    let external = spec.field("externalTrafficPolicy");
    if fields.is_external() {
        external.require_one_of(&["Cluster", "Local"]);
    } else if !external.is_empty() {
        external.invalid("may only be set for externally-accessible services");
    }
    let health = spec.field("healthCheckNodePort");
    match (fields.has_health_check(), health.number()) {
        (true, 0) => health.required(""),
        (true, _) => health.port_number(),
        (false, 0) => {}
        (false, _) => health
            .invalid("may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"),
    }
    let internal = spec.field("internalTrafficPolicy");
    if internal.is_set() {
        internal.one_of(&["Cluster", "Local"]);
    } else if fields.has_node_ports() || fields.is("ClusterIP") {
        internal.required("");
    }
    let distribution = spec.field("trafficDistribution");
    if distribution.is_set() {
        distribution.one_of(&["PreferClose", "PreferSameZone", "PreferSameNode"]);
    }
}
