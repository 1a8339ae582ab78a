//! What texts in fields may look like, and Kubernetes' words for those that do not.
//!
//! Each check returns what is wrong; nothing when all is well.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A check of a text.
pub type TextCheck = fn(&str) -> Vec<String>;

const ENV_NAME_RULE: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";
const HEADER_RULE: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
const PERCENT_RULE: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

const PORT_NAME_BYTES_MAX: usize = 15;

/// The text for a number outside its bounds.
pub fn range(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

fn told(broken: bool, rule: &str) -> Option<String> {
    broken.then(|| rule.to_owned())
}

/// The name of an environment variable.
pub fn env_name(text: &str) -> Vec<String> {
    let strange = |letter: char| !matches!(letter, ' '..='~') || letter == '=';
    let empty = told(text.is_empty(), "environment variable name must be non-empty");
    empty.into_iter().chain(told(text.contains(strange), ENV_NAME_RULE)).collect()
}

/// The name of an HTTP header.
pub fn header_name(text: &str) -> Vec<String> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    told(!fits, HEADER_RULE).into_iter().collect()
}

/// The text for what is no path of a URL.
pub const HTTP_PATH_RULE: &str =
    r"Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')";

/// Whether a text could be the path of a URL.
pub fn is_http_path(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte);
    !text.is_empty() && text.bytes().all(is_letter)
}

/// `25%`
pub fn percent(text: &str) -> Vec<String> {
    let digits = text.strip_suffix('%').unwrap_or_default();
    let fits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    told(!fits, PERCENT_RULE).into_iter().collect()
}

/// The name of a port: an IANA service name.
pub fn port_name(text: &str) -> Vec<String> {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let rules = [
        (text.len() > PORT_NAME_BYTES_MAX, "must be no more than 15 characters"),
        (
            text.is_empty() || !text.bytes().all(is_letter),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (!text.bytes().any(|byte| byte.is_ascii_lowercase()), "must contain at least one letter (a-z)"),
        (text.contains("--"), "must not contain consecutive hyphens"),
        (text.starts_with('-') || text.ends_with('-'), "must not begin or end with a hyphen"),
    ];
    rules.into_iter().filter_map(|(broken, rule)| told(broken, rule)).collect()
}

/// Whether a text is an IP address at all.
pub fn is_ip(text: &str) -> bool {
    Address::parse(text).is_some()
}

/// An IP address that must be written as it is canonical.
pub fn ip(text: &str) -> Vec<String> {
    let wrong = legacy_ip(text);
    if !wrong.is_empty() {
        return wrong;
    }
    match text.parse::<Ipv6Addr>() {
        Ok(address) if address.to_string() != text => {
            vec![format!("must be in canonical form (\"{address}\")")]
        }
        _ => Vec::new(),
    }
}

/// An IP address in a field that was there before there was one form to write it in.
pub fn legacy_ip(text: &str) -> Vec<String> {
    let Some(address) = Address::parse(text) else {
        return vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".into()];
    };
    let leading = told(address.leading_zeros, "must not have leading 0s");
    let mapped = told(address.is_mapped && !address.leading_zeros, "must not be an IPv4-mapped IPv6 address");
    leading.into_iter().chain(mapped).collect()
}

/// A range of addresses that must be written as it is canonical.
pub fn cidr(text: &str) -> Vec<String> {
    let wrong = legacy_cidr(text);
    if !wrong.is_empty() {
        return wrong;
    }
    let (address, length) = text.split_once('/').unwrap_or_default();
    match address.parse::<Ipv6Addr>() {
        Ok(canonical) if canonical.to_string() != address => {
            vec![format!("must be in canonical form (\"{canonical}/{length}\")")]
        }
        _ => Vec::new(),
    }
}

/// A range of addresses in a field that was there before there was one form to write it in.
pub fn legacy_cidr(text: &str) -> Vec<String> {
    let invalid = || vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".to_owned()];
    let Some((address, digits)) = text.split_once('/') else { return invalid() };
    let Some(address) = Address::parse(address) else { return invalid() };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let Some(length) =
        digits.parse::<u32>().ok().filter(|length| is_number && *length <= address.bits_count())
    else {
        return invalid();
    };
    let rule = match () {
        () if address.leading_zeros || (digits.len() > 1 && digits.starts_with('0')) => {
            "must not have leading 0s in IP or prefix length"
        }
        () if address.is_mapped => "must not have an IPv4-mapped IPv6 address",
        () if address.has_bits_beyond(length) => "must not have bits set beyond the prefix length",
        () => return Vec::new(),
    };
    vec![rule.to_owned()]
}

/// An address as it was read: kindly, with what was odd about it.
pub(super) struct Address {
    pub(super) bits: u128,
    pub(super) is_v4: bool,
    /// An IPv4 address written as one of IPv6.
    pub(super) is_mapped: bool,
    leading_zeros: bool,
}

impl Address {
    /// Numbers of an IPv4 address may begin with zeros, which some read as octal: told, not refused here.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let v6 = text.contains(':');
        let (before, dotted) = if v6 { text.split_at(text.rfind(':')? + 1) } else { ("", text) };
        let octets: Vec<_> = dotted.split('.').collect();
        let is_padded = |octet: &&str| octet.len() > 1 && octet.starts_with('0');
        let leading_zeros = octets.len() == 4 && octets.iter().any(is_padded);
        let plain = |octet: &&str| match octet.trim_start_matches('0') {
            "" if !octet.is_empty() => "0".to_owned(),
            digits => digits.to_owned(),
        };
        let text = match leading_zeros {
            true => format!("{before}{}", octets.iter().map(plain).collect::<Vec<_>>().join(".")),
            false => text.to_owned(),
        };
        if !v6 {
            let bits = text.parse::<Ipv4Addr>().ok()?.to_bits().into();
            return Some(Self { bits, is_v4: true, is_mapped: false, leading_zeros });
        }
        let address = text.parse::<Ipv6Addr>().ok()?;
        let is_mapped = address.to_ipv4_mapped().is_some();
        Some(Self { bits: address.to_bits(), is_v4: false, is_mapped, leading_zeros })
    }

    fn bits_count(&self) -> u32 {
        if self.is_v4 { 32 } else { 128 }
    }

    fn has_bits_beyond(&self, length: u32) -> bool {
        let free = self.bits_count() - length;
        self.bits & 1_u128.checked_shl(free).map_or(u128::MAX, |bit| bit - 1) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let cases: &[(TextCheck, &str, &str)] = &[
            (ip, "10.9.8.7", ""),
            (ip, "2001:db8::ffff", ""),
            (ip, "FE80::1", "must be in canonical form (\"fe80::1\")"),
            (legacy_ip, "FE80::1", ""),
            (ip, "10.09.8.7", "must not have leading 0s"),
            (ip, "::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
            (ip, "10.9.8", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
            (ip, "", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
            (cidr, "10.9.8.0/24", ""),
            (cidr, "0.0.0.0/0", ""),
            (cidr, "2001:db8::/64", ""),
            (cidr, "10.9.8.1/24", "must not have bits set beyond the prefix length"),
            (cidr, "10.9.8.0/024", "must not have leading 0s in IP or prefix length"),
            (cidr, "10.9.8.0/33", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
        ];
        for (check, text, wrong) in cases {
            assert_eq!(check(text).join("; "), *wrong, "{text}");
        }
    }
}
