//! The texts of `/etc/hosts` and `/etc/resolv.conf` of a pod.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::pod::DesiredPod;

use super::NodeFacts;

/// The file of names, in the pod's folder.
pub const HOSTS: &str = "etc-hosts";

/// The file of name servers, in the pod's folder.
pub const RESOLV_CONF: &str = "resolv.conf";

/// The longest host name that the kernel takes, less the zero at its end.
const HOSTNAME_MAX: usize = 63;

/// Name servers that resolvers look at.
const NAMESERVERS_MAX: usize = 3;

/// Search paths that Kubernetes allows, and their length in all.
const SEARCHES_MAX: usize = 32;
/// See [`SEARCHES_MAX`].
const SEARCH_CHARS_MAX: usize = 2048;

/// The pod's name on its network, and the domain that it is in; empty for most.
pub fn hostname(desired: &DesiredPod, cluster_domain: &str) -> (String, String) {
    let spec = desired.spec();
    let cut = |name: &str| {
        let end = name.char_indices().nth(HOSTNAME_MAX).map_or(name.len(), |(end, _)| end);
        name[..end].trim_end_matches(['-', '.']).to_owned()
    };
    if let Some(name) = &spec.hostname_override {
        return (cut(name), String::new());
    }
    let named = spec.hostname.as_deref().filter(|name| !name.is_empty());
    let subdomain = spec.subdomain.as_deref().filter(|name| !name.is_empty());
    let domain = subdomain
        .map(|subdomain| format!("{subdomain}.{}.svc.{cluster_domain}", desired.key.namespace))
        .unwrap_or_default();
    (cut(named.unwrap_or(&desired.key.name)), domain)
}

/// `/etc/hosts`. A pod on the node's network has the node's file, `node_file`.
pub fn hosts(desired: &DesiredPod, node: &NodeFacts, ips: &[String], node_file: &str) -> String {
    let mut text = if desired.is_on_host_network() {
        format!("# Kubernetes-managed hosts file (host network).\n{node_file}")
    } else {
        let mut text = "# Kubernetes-managed hosts file.\n\
             127.0.0.1\tlocalhost\n\
             ::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\n\
             fe00::0\tip6-mcastprefix\n\
             fe00::1\tip6-allnodes\n\
             fe00::2\tip6-allrouters\n"
            .to_owned();
        let (name, domain) = hostname(desired, &node.cluster_domain);
        for ip in ips {
            let full = if domain.is_empty() { String::new() } else { format!("{name}.{domain}\t") };
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{ip}\t{full}{name}");
        }
        text
    };
    let aliases = desired.spec().host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        let _ = writeln!(text, "{}\t{names}", alias.ip);
    }
    text
}

/// What a resolver is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Dns {
    servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

impl Dns {
    /// Reads a `resolv.conf`.
    fn parse(text: &str) -> Self {
        let mut dns = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let key = words.next().unwrap_or_default();
            let values = words.map(str::to_owned);
            match key {
                "nameserver" => dns.servers.extend(values.take(1)),
                "search" => dns.searches = values.collect(),
                "options" => dns.options = values.collect(),
                _ => {}
            }
        }
        dns
    }
}

/// `/etc/resolv.conf` by the pod's `dnsPolicy` and `dnsConfig`; `node_file` is the node's.
pub fn resolv_conf(desired: &DesiredPod, node: &NodeFacts, node_file: &str) -> String {
    let spec = desired.spec();
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let is_cluster = match policy {
        "ClusterFirst" => !desired.is_on_host_network(),
        policy => policy == "ClusterFirstWithHostNet",
    };
    let mut dns = if policy == "None" { Dns::default() } else { Dns::parse(node_file) };
    // Without a DNS server of the cluster, the node's is better than none.
    if is_cluster && !node.cluster_dns.is_empty() {
        let (domain, namespace) = (&node.cluster_domain, &desired.key.namespace);
        let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
        searches.append(&mut dns.searches);
        dns = Dns { servers: node.cluster_dns.clone(), searches, options: vec!["ndots:5".to_owned()] };
    }
    if let Some(config) = &spec.dns_config {
        dns.servers.extend(config.nameservers.iter().flatten().cloned());
        dns.searches.extend(config.searches.iter().flatten().cloned());
        let more: Vec<(String, Option<String>)> = config
            .options
            .iter()
            .flatten()
            .filter_map(|option| Some((option.name.clone()?, option.value.clone())))
            .collect();
        dns.options = merged(dns.options, more);
    }
    render(dns)
}

/// A later option replaces an earlier one of its name.
fn merged(options: Vec<String>, more: Vec<(String, Option<String>)>) -> Vec<String> {
    let old = options.into_iter().map(|option| match option.split_once(':') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (option, None),
    });
    let all: BTreeMap<String, Option<String>> = old.chain(more).collect();
    let option = |(name, value): (String, Option<String>)| match value.filter(|value| !value.is_empty()) {
        Some(value) => format!("{name}:{value}"),
        None => name,
    };
    all.into_iter().map(option).collect()
}

fn render(dns: Dns) -> String {
    let mut text = String::new();
    for server in without_repeats(dns.servers).iter().take(NAMESERVERS_MAX) {
        let _ = writeln!(text, "nameserver {server}");
    }
    let mut searches = without_repeats(dns.searches);
    searches.truncate(SEARCHES_MAX);
    while searches.join(" ").len() > SEARCH_CHARS_MAX {
        searches.pop();
    }
    if !searches.is_empty() {
        let _ = writeln!(text, "search {}", searches.join(" "));
    }
    if !dns.options.is_empty() {
        let _ = writeln!(text, "options {}", dns.options.join(" "));
    }
    text
}

fn without_repeats(values: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for value in values {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept
}
