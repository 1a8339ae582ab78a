//! `networking.k8s.io`, `discovery.k8s.io`, and what belongs to networks in the legacy group.

use std::collections::BTreeSet;

use super::{Cell, Cells, Kinds, Row, few, joined};
use crate::view::View;
use Cell::{Age, Code, Joined, Labels, Name, Selector, Text, TextOr};

const GROUP: &str = "networking.k8s.io";

pub(super) static KINDS: Kinds = &[
    ("", "Endpoints", &[Name, Code(endpoints), Age]),
    (
        "",
        "Service",
        &[
            Name,
            Text(&["spec", "type"]),
            Code(cluster_ip),
            Code(external_ip),
            Code(ports),
            Age,
            Labels(&["spec", "selector"]),
        ],
    ),
    (
        "discovery.k8s.io",
        "EndpointSlice",
        &[Name, Text(&["addressType"]), Code(slice_ports), Code(slice_addresses), Age],
    ),
    (GROUP, "IPAddress", &[Name, Code(parent), Age]),
    (
        GROUP,
        "Ingress",
        &[
            Name,
            TextOr(&["spec", "ingressClassName"], NONE),
            Code(hosts),
            Code(ingress_addresses),
            Code(ingress_ports),
            Age,
        ],
    ),
    (GROUP, "IngressClass", &[Code(class_name), Text(&["spec", "controller"]), Code(class_parameters), Age]),
    (GROUP, "NetworkPolicy", &[Name, Selector(&["spec", "podSelector"]), Age]),
    (GROUP, "ServiceCIDR", &[Name, Joined(&["spec", "cidrs"]), Age]),
];

const NONE: &str = "<none>";

/// How many of several a cell shows.
const SHOWN: usize = 3;

fn cluster_ip(row: Row<'_>, cells: &mut Cells<'_>) {
    match row.object.at(&["spec", "clusterIPs"]).items().next() {
        Some(first) => cells.same(first),
        None => cells.text(NONE),
    }
}

fn external_ip(row: Row<'_>, cells: &mut Cells<'_>) {
    let [kind, external, name] = row.object.get("spec").pick(["type", "externalIPs", "externalName"]);
    let external: Vec<_> = external.items().map(|ip| ip.text().into_owned()).collect();
    let shown = match &*kind.text() {
        "ExternalName" => return cells.same(name),
        "LoadBalancer" => match [balancer_addresses(row), external].concat() {
            all if all.is_empty() => "<pending>".to_owned(),
            all => all.join(","),
        },
        "ClusterIP" | "NodePort" if external.is_empty() => NONE.to_owned(),
        "ClusterIP" | "NodePort" => external.join(","),
        _ => "<unknown>".to_owned(),
    };
    cells.text(&shown);
}

/// Addresses that a load balancer gave, sorted.
fn balancer_addresses(row: Row<'_>) -> Vec<String> {
    let address = |ingress: View<'_>| {
        let [ip, host] = ingress.pick(["ip", "hostname"]);
        if ip.text().is_empty() { host.text().into_owned() } else { ip.text().into_owned() }
    };
    let all: BTreeSet<String> = row
        .object
        .at(&["status", "loadBalancer", "ingress"])
        .items()
        .map(address)
        .filter(|text| !text.is_empty())
        .collect();
    all.into_iter().collect()
}

fn ports(row: Row<'_>, cells: &mut Cells<'_>) {
    let port = |one: View<'_>| {
        let [port, node_port, protocol] = one.pick(["port", "nodePort", "protocol"]);
        let (port, protocol) = (port.number().unwrap_or_default(), protocol.text());
        match node_port.number() {
            Some(node_port @ 1..) => format!("{port}:{node_port}/{protocol}"),
            _ => format!("{port}/{protocol}"),
        }
    };
    let ports = joined(row.object.at(&["spec", "ports"]).items().map(port), ",");
    cells.text(if ports.is_empty() { NONE } else { &ports });
}

/// Every address with every port beside it.
fn endpoints(row: Row<'_>, cells: &mut Cells<'_>) {
    let subsets = row.object.get("subsets");
    let of_subset = |subset: View<'_>| {
        let [addresses, ports] = subset.pick(["addresses", "ports"]);
        let ips: Vec<_> = addresses.items().map(|one| one.get("ip").text().into_owned()).collect();
        let ports: Vec<_> = ports.items().map(|one| one.get("port").number().unwrap_or_default()).collect();
        match ports.is_empty() {
            true => ips,
            false => ports.iter().flat_map(|port| ips.iter().map(move |ip| host_port(ip, *port))).collect(),
        }
    };
    cells.text(&match subsets.is_there() {
        true => few(subsets.items().flat_map(of_subset), SHOWN, ","),
        false => NONE.to_owned(),
    });
}

fn host_port(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

fn slice_ports(row: Row<'_>, cells: &mut Cells<'_>) {
    let port = |one: View<'_>| {
        let [port, name] = one.pick(["port", "name"]);
        if port.is_there() || name.is_there() {
            if port.is_there() { port.shown().into_owned() } else { name.text().into_owned() }
        } else {
            "*".to_owned()
        }
    };
    cells.text(&or_unset(few(row.object.get("ports").items().map(port), SHOWN, ",")));
}

fn slice_addresses(row: Row<'_>, cells: &mut Cells<'_>) {
    let addresses = row.object.get("endpoints").items().flat_map(|one| one.get("addresses").items());
    cells.text(&or_unset(few(addresses.map(View::text), SHOWN, ",")));
}

fn or_unset(text: String) -> String {
    if text.is_empty() { "<unset>".to_owned() } else { text }
}

fn parent(row: Row<'_>, cells: &mut Cells<'_>) {
    let parent = row.object.at(&["spec", "parentRef"]);
    if !parent.is_there() {
        return cells.text(NONE);
    }
    let [group, resource, namespace, name] = parent.pick(["group", "resource", "namespace", "name"]);
    let of = crate::GroupResource { group: &group.text(), resource: &resource.text() };
    let namespace = namespace.text();
    let within = if namespace.is_empty() { String::new() } else { format!("/{namespace}") };
    cells.text(&format!("{}{within}/{}", of.to_string().to_lowercase(), name.text()));
}

/// The hosts of the first rules; of a rule without one nothing is shown, unless all are.
fn hosts(row: Row<'_>, cells: &mut Cells<'_>) {
    let rules = row.object.at(&["spec", "rules"]);
    let hosts: Vec<_> = rules.items().map(|rule| rule.get("host").text()).collect();
    let named = |hosts: &[std::borrow::Cow<'_, str>]| hosts.iter().filter(|host| !host.is_empty()).count();
    // Cut where a rule follows the last host that there is room for, whether or not that rule names one.
    let full = (0..hosts.len()).find(|end| named(&hosts[..*end]) == SHOWN);
    let shown = joined(hosts.iter().filter(|host| !host.is_empty()).take(SHOWN), ",");
    cells.text(&match full {
        _ if shown.is_empty() => "*".to_owned(),
        Some(_) => format!("{shown} + {} more...", hosts.len() - SHOWN),
        None => shown,
    });
}

fn ingress_addresses(row: Row<'_>, cells: &mut Cells<'_>) {
    cells.text(&balancer_addresses(row).join(","));
}

fn ingress_ports(row: Row<'_>, cells: &mut Cells<'_>) {
    let has_tls = row.object.at(&["spec", "tls"]).count() > 0;
    cells.text(if has_tls { "80, 443" } else { "80" });
}

fn class_name(row: Row<'_>, cells: &mut Cells<'_>) {
    let name = row.metadata.get("name");
    match row.annotation("ingressclass.kubernetes.io/is-default-class").is("true") {
        true => cells.text(&format!("{} (default)", name.text())),
        false => cells.same(name),
    }
}

fn class_parameters(row: Row<'_>, cells: &mut Cells<'_>) {
    let parameters = row.object.at(&["spec", "parameters"]);
    if !parameters.is_there() {
        return cells.text(NONE);
    }
    let [group, kind, name] = parameters.pick(["apiGroup", "kind", "name"]);
    let group = if group.is_there() { format!(".{}", group.text()) } else { String::new() };
    cells.text(&format!("{}{group}/{}", kind.text(), name.text()));
}
