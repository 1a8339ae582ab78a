//! How a pod finds others by name, and is found.

use crate::names;
use crate::validate::at::At;
use crate::validate::text;

const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARACTERS_MAX: usize = 2_048;
const HOSTNAME_BYTES_MAX: usize = 64;

/// Name servers and where they search.
pub(super) fn config(spec: At<'_>) {
    let config = spec.field("dnsConfig");
    let (servers, searches) = (config.field("nameservers"), config.field("searches"));
    if spec.field("dnsPolicy").text() == "None" {
        if !config.is_set() {
            return config.required("must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if servers.count() == 0 {
            return servers.required("must provide at least one DNS nameserver when `dnsPolicy` is None");
        }
    }
    if servers.count() > NAMESERVERS_MAX {
        servers.invalid(&format!("must not have more than {NAMESERVERS_MAX} nameservers"));
    }
    servers.items().for_each(|server| server.check(text::legacy_ip));
    if searches.count() > SEARCHES_MAX {
        searches.invalid(&format!("must not have more than {SEARCHES_MAX} search paths"));
    }
    let characters: usize = searches.items().map(|search| search.text().len() + 1).sum();
    if characters > SEARCH_CHARACTERS_MAX + 1 {
        let rule = format!(
            "must not have more than {SEARCH_CHARACTERS_MAX} characters (including spaces) in the search list"
        );
        searches.invalid(&rule);
    }
    for search in searches.items().filter(|search| search.text() != ".") {
        let domain = search.text().strip_suffix('.').unwrap_or(search.text());
        names::dns_subdomain_with_underscore(domain)
            .iter()
            .for_each(|wrong| search.invalid_value(domain, wrong));
    }
    for option in config.field("options").items().filter(|option| option.field("name").is_empty()) {
        option.required("must not be empty");
    }
}

/// The pod's own names.
pub(super) fn host_names(spec: At<'_>) {
    for name in ["hostname", "subdomain"].map(|field| spec.field(field)) {
        if !name.text().is_empty() {
            name.check_name(names::dns_label);
        }
    }
    let name = spec.field("hostnameOverride");
    if !name.is_set() {
        return;
    }
    if spec.field("setHostnameAsFQDN").is_true() {
        name.forbidden("may not be specified when setHostnameAsFQDN is true");
    }
    if spec.field("hostNetwork").is_true() {
        name.forbidden("may not be specified when hostNetwork is true");
    }
    if name.text().len() > HOSTNAME_BYTES_MAX {
        name.too_long(HOSTNAME_BYTES_MAX);
    }
    name.check_name(names::dns_subdomain);
}

/// Names that the pod knows beside those of the DNS.
pub(super) fn host_aliases(aliases: At<'_>) {
    for alias in aliases.items() {
        alias.field("ip").check(text::legacy_ip);
        alias.field("hostnames").items().for_each(|name| name.check_name(names::dns_subdomain));
    }
}
