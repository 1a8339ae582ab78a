//! What addresses in fields may be.

use super::at::At;
use super::text::{self, Address};
use crate::names;

/// Where a loopback address stands among those of IPv6.
const V6_LOOPBACK: u128 = 1;

impl Address {
    /// The four numbers, of an address of IPv4 however it is written.
    fn octets(&self) -> Option<[u8; 4]> {
        let [.., a, b, c, d] = self.bits.to_be_bytes();
        (self.is_v4 || self.is_mapped).then_some([a, b, c, d])
    }
}

/// Whether a text is an address of IPv6.
pub fn is_v6(text: &str) -> bool {
    Address::parse(text).is_some_and(|address| address.octets().is_none())
}

/// Whether a text is an address of IPv4.
pub fn is_v4(text: &str) -> bool {
    Address::parse(text).is_some_and(|address| address.octets().is_some())
}

/// Whether a text is an address, however it is written.
pub fn is_address(text: &str) -> bool {
    Address::parse(text).is_some()
}

/// An address that something else can be reached at.
pub fn endpoint_ip(text: &str) -> Vec<String> {
    let Some(address) = Address::parse(text) else { return vec!["must be a valid IP address".into()] };
    let [high, low, ..] = address.bits.to_be_bytes();
    let octets = address.octets();
    let is = |v4: fn([u8; 4]) -> bool, v6: bool| octets.map_or(v6, v4);
    let unspecified = format!("may not be unspecified ({text})");
    let rules = [
        (is(|octets| octets == [0; 4], address.bits == 0), unspecified.as_str()),
        (
            is(|octets| octets[0] == 127, address.bits == V6_LOOPBACK),
            "may not be in the loopback range (127.0.0.0/8, ::1/128)",
        ),
        (
            is(|octets| octets[..2] == [169, 254], high == 0xfe && low & 0xc0 == 0x80),
            "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
        ),
        (
            is(|octets| octets[..3] == [224, 0, 0], high == 0xff && low & 0x0f == 2),
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
        ),
    ];
    rules.into_iter().filter(|(broken, _)| *broken).map(|(_, rule)| rule.to_owned()).collect()
}

impl At<'_> {
    /// An address; what `old` holds already may be written as it was once allowed.
    pub fn legacy_ip(self, old: At<'_>) {
        if !old.list().iter().any(|known| Some(known) == self.value()) {
            self.check(text::legacy_ip);
        }
    }
}

const WILDCARD_RULE: &str = r"a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

const HOST_BYTES_MAX: usize = 253;

/// `*.example.com`
pub fn wildcard_host(text: &str) -> Vec<String> {
    let long = format!("must be no more than {HOST_BYTES_MAX} characters");
    let is_wildcard = text.strip_prefix("*.").is_some_and(names::is_subdomain);
    [(text.len() > HOST_BYTES_MAX, long), (!is_wildcard, WILDCARD_RULE.to_owned())]
        .into_iter()
        .filter_map(|(broken, rule)| broken.then_some(rule))
        .collect()
}

/// A range: its first address, its length, and whether it is one of IPv6.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    bits: u128,
    length: u32,
    /// Whether it holds addresses of IPv6.
    pub is_v6: bool,
}

impl Range {
    /// Reads it kindly.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let address = Address::parse(address)?;
        let is_v6 = address.octets().is_none();
        let bits_count = if address.is_v4 { 32 } else { 128 };
        let length = length.parse().ok().filter(|length| *length <= bits_count)?;
        let free = bits_count - length;
        let bits = address.bits.checked_shr(free).map_or(0, |kept| kept << free);
        Some(Self { bits, length, is_v6 })
    }

    /// Whether all of `other` is within, and not all of this.
    pub fn holds(self, other: Self) -> bool {
        let free = (if self.is_v6 { 128 } else { 32 }) - self.length;
        let first = other.bits.checked_shr(free).unwrap_or_default();
        self.is_v6 == other.is_v6
            && self.length < other.length
            && first == self.bits.checked_shr(free).unwrap_or_default()
    }
}

/// A domain name of at least two parts, with a dot at the end or without.
pub fn full_host_name(at: At<'_>) {
    let name = at.text().strip_suffix('.').unwrap_or(at.text());
    let wrong = names::dns_subdomain(name, false);
    let long = name.split('.').find(|part| !names::dns_label(part, false).is_empty());
    match () {
        () if at.text().is_empty() => at.required(""),
        () if !wrong.is_empty() => at.invalid_value(name, &wrong.join(",")),
        () if !name.contains('.') => {
            at.invalid_value(name, "should be a domain with at least two segments separated by dots");
        }
        () => {
            if let Some(part) = long {
                at.invalid_value(part, &names::dns_label(part, false).join(","));
            }
        }
    }
}

const PATH_RULE: &str = r"Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')";

/// `example.com/path`
pub fn domain_prefixed_path(at: At<'_>) {
    if at.is_empty() {
        return at.required("");
    }
    let Some((host, path)) =
        at.text().split_once('/').filter(|(host, path)| !host.is_empty() && !path.is_empty())
    else {
        return at.invalid(r#"must be a domain-prefixed path (such as "acme.io/foo")"#);
    };
    names::dns_subdomain(host, false).iter().for_each(|wrong| at.invalid_value(host, wrong));
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte);
    if !path.bytes().all(is_path) {
        at.invalid_value(path, PATH_RULE);
    }
}

impl At<'_> {
    /// The name of a host, which may begin with `*.`
    pub fn host_or_wildcard(self) {
        if self.text().contains('*') {
            self.check(wildcard_host)
        } else {
            self.check_name(names::dns_subdomain)
        }
    }

    /// The addresses and names by which a load balancer can be reached.
    pub fn balancer_point(self, known: &[&str]) {
        let (ip, host) = (self.field("ip"), self.field("hostname"));
        if !ip.is_empty() && !known.contains(&ip.text()) {
            ip.check(text::legacy_ip);
        }
        if !host.is_empty() {
            host.check_name(names::dns_subdomain);
            if is_address(host.text()) {
                host.invalid("must be a DNS name, not an IP address");
            }
        }
    }
}
