//! `discovery.k8s.io/v1 EndpointSlice`: some of the addresses behind a Service.

use serde_json::Value;

use super::shared;
use crate::names;
use crate::object::Object;
use crate::resource::{EVERYTHING, Particular, Strategy};
use crate::same;
use crate::validate::at::{At, Root};
use crate::validate::{network, text};

/// What is particular.
pub static KIND: Particular = Particular {
    group: "discovery.k8s.io",
    kind: "EndpointSlice",
    counted: Some(EVERYTHING),
    declared: &[
        ("addressType", ""),
        ("endpoints[].addresses", "Required value"),
        ("endpoints[].addresses", "must have at most"),
    ],
    strategy: Strategy {
        prepare_create: |object| {
            drop_topology(object);
        },
        prepare_update,
        validate,
        validate_update,
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

const ADDRESSES_MAX: usize = 100;
const ENDPOINTS_MAX: usize = 1_000;
const HINTS_MAX: usize = 8;
const PORTS_MAX: usize = 20_000;

/// What an older version called topology has fields of its own now. Returns whether there was any.
fn drop_topology(object: &mut Object) -> bool {
    let endpoints = object.fields.get_mut("endpoints").and_then(Value::as_array_mut);
    let endpoints = endpoints.into_iter().flatten().filter_map(Value::as_object_mut);
    endpoints.filter_map(|endpoint| endpoint.shift_remove("deprecatedTopology")).count() > 0
}

fn prepare_update(new: &mut Object, old: &Object) {
    let is_changed = |new: &Object| {
        let fields = ["addressType", "endpoints", "ports"];
        new.meta.labels != old.meta.labels || !fields.into_iter().all(|field| is_same(new, old, field))
    };
    // It counts as a change, though nothing of it is kept.
    if is_changed(new) && drop_topology(new) && !is_changed(new) {
        new.meta.generation += 1;
    }
}

fn is_same(new: &Object, old: &Object, field: &str) -> bool {
    same::field_of("discovery.v1.EndpointSlice", field, new.fields.get(field), old.fields.get(field))
}

fn validate(new: Root<'_>) {
    common(new);
    endpoints(new);
}

/// Endpoints that do not change were allowed once.
fn validate_update(new: Root<'_>, old: Root<'_>) {
    common(new);
    if !new.keeps(old, "discovery.v1.EndpointSlice", "endpoints") {
        endpoints(new);
    }
    new.field("addressType").immutable_unshown(old.field("addressType"));
}

fn common(new: Root<'_>) {
    new.field("addressType").require_one_of(&["FQDN", "IPv4", "IPv6"]);
    let ports = new.field("ports");
    if ports.count() > PORTS_MAX {
        return ports.too_many(ports.count(), PORTS_MAX);
    }
    let mut names = Vec::new();
    for port in ports.items() {
        shared::port_name(port, false);
        if port.field("protocol").is_set() {
            port.field("protocol").one_of(shared::PROTOCOLS);
        } else {
            port.field("protocol").required("");
        }
        unique(port.field("name"), &mut names);
    }
}

fn unique<'a>(name: At<'a>, known: &mut Vec<&'a str>) {
    if known.contains(&name.text()) {
        name.duplicate();
    }
    known.push(name.text());
}

fn endpoints(new: Root<'_>) {
    let endpoints = new.field("endpoints");
    if endpoints.count() > ENDPOINTS_MAX {
        return endpoints.too_many(endpoints.count(), ENDPOINTS_MAX);
    }
    for endpoint in endpoints.items() {
        let (addresses, node, host) =
            (endpoint.field("addresses"), endpoint.field("nodeName"), endpoint.field("hostname"));
        match addresses.count() {
            0 => addresses.required(""),
            count if count > ADDRESSES_MAX => addresses.too_many(count, ADDRESSES_MAX),
            _ => {}
        }
        let kind = new.field("addressType").text();
        addresses.items().for_each(|each| address(each, addresses, kind));
        if node.is_set() {
            node.check_name(names::dns_subdomain);
        }
        if host.is_set() {
            host.check_name(names::dns_label);
        }
        hints(endpoint.field("hints"));
    }
}

fn address(at: At<'_>, all: At<'_>, kind: &str) {
    let (wrong, fits) = match kind {
        "IPv4" => (text::legacy_ip(at.text()), network::is_v4(at.text())),
        "IPv6" => (text::ip(at.text()), network::is_v6(at.text())),
        "FQDN" => return network::full_host_name(at),
        _ => return,
    };
    if wrong.is_empty() {
        if !fits {
            all.invalid_value(at.text(), &format!("must be an {kind} address"));
        }
        at.check(network::endpoint_ip);
    }
    wrong.iter().for_each(|wrong| at.invalid(wrong));
}

fn hints(hints: At<'_>) {
    for (field, check) in [
        ("forZones", (|name, _| names::label_value(name)) as names::NameCheck),
        ("forNodes", names::dns_subdomain),
    ] {
        let list = hints.field(field);
        if list.count() > HINTS_MAX {
            return list.too_many(list.count(), HINTS_MAX);
        }
        let mut known = Vec::new();
        for name in list.items().map(|hint| hint.field("name")) {
            unique(name, &mut known);
            name.check_name(check);
        }
    }
}
