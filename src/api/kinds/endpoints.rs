//! `v1 Endpoints`: the addresses behind a Service, all in one object.

use super::shared;
use crate::names;
use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};
use crate::validate::{network, text};

/// What is particular.
pub static KIND: Particular = Particular {
    kind: "Endpoints",
    strategy: Strategy { validate, validate_update, ..Strategy::PLAIN },
    ..Particular::NONE
};

fn validate(new: Root<'_>) {
    new.field("subsets").items().for_each(subset);
}

/// Subsets that do not change were allowed once.
fn validate_update(new: Root<'_>, old: Root<'_>) {
    if !new.keeps(old, "core.v1.Endpoints", "subsets") {
        validate(new);
    }
}

fn subset(subset: At<'_>) {
    let (ready, unready) = (subset.field("addresses"), subset.field("notReadyAddresses"));
    if ready.count() + unready.count() == 0 {
        subset.required("must specify `addresses` or `notReadyAddresses`");
    }
    ready.items().chain(unready.items()).for_each(address);
    let ports = subset.field("ports");
    for port in ports.items() {
        shared::named_port(port, ports.count() > 1);
        port.field("port").port_number();
    }
}

fn address(address: At<'_>) {
    let (ip, host, node) = (address.field("ip"), address.field("hostname"), address.field("nodeName"));
    ip.check(text::legacy_ip);
    ip.check(network::endpoint_ip);
    if !host.is_empty() {
        host.check_name(names::dns_label);
    }
    if node.is_set() {
        node.check_name(names::dns_subdomain);
    }
}
