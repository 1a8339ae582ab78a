//! The formats of text that are checked, as Kubernetes checks them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;

use super::structural::Kind;
use crate::{duration, time};

/// Whether a text is of a format.
type Check = fn(&str) -> bool;

/// Formats by their names, dashes left out.
static FORMATS: &[(&str, Check)] = &[
    ("bsonobjectid", |text| text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit())),
    ("byte", |text| !text.is_empty() && STANDARD.decode(text).is_ok()),
    ("cidr", is_cidr),
    ("creditcard", is_credit_card),
    ("date", is_date),
    ("datetime", is_date_time),
    ("duration", is_duration),
    ("email", is_email),
    ("hexcolor", |text| HEX_COLOR.is_match(text)),
    ("hostname", is_hostname),
    ("ipv4", |text| text.contains('.') && ip(text).is_some()),
    ("ipv6", |text| text.contains(':') && text.parse::<Ipv6Addr>().is_ok()),
    ("isbn", |text| is_isbn10(text) || is_isbn13(text)),
    ("isbn10", is_isbn10),
    ("isbn13", is_isbn13),
    ("k8slongname", |text| text.len() <= 253 && text.split('.').all(is_name_part)),
    ("k8sshortname", |text| text.len() <= 63 && is_name_part(text)),
    ("mac", is_mac),
    ("password", |_| true),
    ("rgbcolor", |text| RGB_COLOR.is_match(text)),
    ("ssn", |text| text.len() == 11 && SSN.is_match(text)),
    ("uri", is_request_uri),
    ("uuid", |text| UUID.is_match(text)),
    ("uuid3", |text| UUID3.is_match(text)),
    ("uuid4", |text| UUID4.is_match(text)),
    ("uuid5", |text| UUID5.is_match(text)),
];

macro_rules! regexes {
    ($($name:ident = $pattern:expr;)*) => {
        $(static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($pattern).expect("a pattern"));)*
    };
}

regexes! {
    CREDIT_CARD = r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$";
    DURATION_PART = r"([0-9]+)[\t\n\f\r ]*([A-Za-z\x{b5}]+)";
    HEX_COLOR = r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$";
    HOSTNAME = r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9\-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$";
    RGB_COLOR = r"^rgb\([\t\n\f\r ]*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])[\t\n\f\r ]*,[\t\n\f\r ]*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])[\t\n\f\r ]*,[\t\n\f\r ]*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])[\t\n\f\r ]*\)$";
    SSN = r"^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$";
    TIME = r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$";
    UUID = r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$";
    UUID3 = r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$";
    UUID4 = r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$";
    UUID5 = r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$";
}

fn find(format: &str) -> Option<Check> {
    if format.is_empty() {
        return None;
    }
    let name = format.replace('-', "");
    FORMATS.iter().find(|(known, _)| *known == name).map(|(_, check)| *check)
}

/// All formats of text, dashes left out.
pub fn names() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|(name, _)| *name)
}

/// Whether a format is one of text that can be checked.
pub fn is_of_text(format: &str) -> bool {
    find(format).is_some()
}

/// Whether a text is of a format; any is of one that is not known.
pub fn holds(format: &str, text: &str) -> bool {
    find(format).is_none_or(|check| check(text))
}

/// Whether a format means anything for a kind of value.
pub fn is_known(format: &str, kind: Option<Kind>, is_int_or_string: bool) -> bool {
    match kind {
        None | Some(Kind::String) => is_of_text(format),
        Some(Kind::Integer) => matches!(format, "int32" | "int64"),
        Some(Kind::Number) => matches!(format, "float" | "double"),
        Some(_) => is_int_or_string && is_of_text(format),
    }
}

/// An address; numbers of four parts may begin with zeros.
fn ip(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let parts: Vec<&str> = text.split('.').collect();
    let number = |part: &&str| {
        let is_number = !part.is_empty() && part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse().ok()).flatten()
    };
    let numbers: Option<Vec<u8>> = parts.iter().map(number).collect();
    let four: [u8; 4] = numbers?.try_into().ok()?;
    Some(Ipv4Addr::from(four).into())
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let bits_max = match ip(address) {
        Some(IpAddr::V4(_)) => 32,
        Some(IpAddr::V6(_)) => 128,
        None => return false,
    };
    let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    is_number && length.parse::<u32>().is_ok_and(|bits| bits <= bits_max)
}

fn is_credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let luhn = |(at, digit): (usize, u8)| {
        let value = u32::from(digit - b'0');
        match at % 2 {
            0 => value,
            _ if value > 4 => value * 2 - 9,
            _ => value * 2,
        }
    };
    CREDIT_CARD.is_match(&digits) && digits.bytes().rev().enumerate().map(luhn).sum::<u32>() % 10 == 0
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.is_ascii() && time::parse(&format!("{text}T00:00:00Z")).is_some()
}

fn is_date_time(text: &str) -> bool {
    let text = text.to_lowercase();
    let Some((date, rest)) = text.split_once('t') else { return false };
    let time = rest.split('t').next().unwrap_or_default();
    let Some(found) = TIME.captures(time) else { return false };
    is_date(date) && &found[1] <= "23" && &found[2] <= "59" && &found[3] <= "59"
}

/// A span in Go's words, or any text that holds one in others': `2 weeks`.
fn is_duration(text: &str) -> bool {
    /// Of each unit all spellings; the last is also the beginning of longer words.
    const UNITS: &[&[&str]] = &[
        &["ns", "nano"],
        &["us", "\u{b5}s", "micro"],
        &["ms", "milli"],
        &["s", "sec"],
        &["m", "min"],
        &["h", "hr", "hour"],
        &["d", "day"],
        &["w", "wk", "week"],
    ];
    let is_unit = |word: &str| {
        UNITS
            .iter()
            .any(|words| words.contains(&word) || words.last().is_some_and(|last| word.starts_with(last)))
    };
    duration::parse(text).is_some()
        || DURATION_PART
            .captures_iter(text)
            .any(|found| found[1].parse::<i64>().is_ok() && is_unit(&found[2].to_lowercase()))
}

/// `name@domain`, with a name to show before it or not.
fn is_email(text: &str) -> bool {
    let text = text.trim();
    let address = match text.rsplit_once('<') {
        Some((_, rest)) => match rest.strip_suffix('>') {
            Some(address) => address,
            None => return false,
        },
        None => text,
    };
    let is_atom = |text: &str| {
        let fits = |letter: char| {
            !letter.is_ascii() || letter.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(letter)
        };
        !text.is_empty() && text.chars().all(fits)
    };
    address
        .rsplit_once('@')
        .is_some_and(|(local, domain)| local.split('.').all(is_atom) && domain.split('.').all(is_atom))
}

fn is_hostname(text: &str) -> bool {
    HOSTNAME.is_match(text) && text.len() <= 255 && text.split('.').all(|part| part.len() <= 63)
}

fn isbn_digits(text: &str) -> Vec<u8> {
    text.bytes().filter(|byte| !matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ' | b'-')).collect()
}

fn is_isbn10(text: &str) -> bool {
    let digits = isbn_digits(text);
    let Some((last, first)) = digits.split_last() else { return false };
    if first.len() != 9 || !first.iter().all(u8::is_ascii_digit) || !(last.is_ascii_digit() || *last == b'X')
    {
        return false;
    }
    let sum: u32 = first.iter().zip(1..).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    let check = if *last == b'X' { 10 } else { u32::from(last - b'0') };
    (sum + check * 10).is_multiple_of(11)
}

fn is_isbn13(text: &str) -> bool {
    let digits = isbn_digits(text);
    let weights = [1, 3].into_iter().cycle();
    digits.len() == 13
        && digits.iter().all(u8::is_ascii_digit)
        && digits.iter().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum::<u32>()
            % 10
            == 0
}

fn is_name_part(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (first, last) = (text.bytes().next(), text.bytes().last());
    first.is_some_and(fits) && last.is_some_and(fits) && text.bytes().all(|byte| fits(byte) || byte == b'-')
}

/// Six, eight or twenty bytes, by colons, dashes, or two at a time by dots.
fn is_mac(text: &str) -> bool {
    let groups = |sign: char, digits: usize| {
        let parts: Vec<&str> = text.split(sign).collect();
        let is_group =
            |part: &&str| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bytes = parts.len() * digits / 2;
        parts.iter().all(is_group) && matches!(bytes, 6 | 8 | 20)
    };
    groups(':', 2) || groups('-', 2) || groups('.', 4)
}

/// An absolute URI, or a path from the root.
pub(super) fn is_request_uri(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return false;
    }
    if text == "*" || text.starts_with('/') {
        return has_good_escapes(text);
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let starts_well = scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if !starts_well || !scheme.bytes().all(is_scheme) {
        return false;
    }
    let Some(rest) = rest.strip_prefix("//") else { return true };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let port = match host.strip_prefix('[').map(|inner| inner.split_once(']')) {
        Some(Some((_, behind))) => behind,
        Some(None) => return false,
        None => host.rfind(':').map_or("", |at| &host[at..]),
    };
    let good_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    good_port && !host.contains([' ', '"', '<', '>', '\\', '^', '`', '{', '|', '}']) && has_good_escapes(rest)
}

fn has_good_escapes(text: &str) -> bool {
    let path = text.split('?').next().unwrap_or_default();
    let mut parts = path.split('%');
    parts.next();
    parts.all(|part| part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_knows_its_texts() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("byte", &["YQ==", "AAEC"], &["", "YQ", "?"]),
            ("bsonobjectid", &["507f1f77bcf86cd799439011"], &["507f"]),
            ("cidr", &["10.0.0.0/8", "::/0", "010.0.0.0/8"], &["10.0.0.0", "10.0.0.0/33", "x/8"]),
            ("creditcard", &["4111-1111-1111-1111"], &["4111-1111-1111-1112"]),
            ("date", &["2026-02-28"], &["2026-02-30", "2026-2-1", ""]),
            (
                "date-time",
                &["2026-01-01T00:00:00Z", "2026-01-01t00:00:00.5+01:00"],
                &["2026-01-01", "2026-01-01T24:00:00Z"],
            ),
            ("duration", &["1h30m", "22 ns", "2 weeks", "0"], &["", "x", "1"]),
            ("email", &["a@b", "A B <a.b@c.d>"], &["a", "a@", "@b", "<a@b"]),
            ("hexcolor", &["#fff", "ABCDEF"], &["#ffff"]),
            ("hostname", &["a", "a.example.com"], &["a..b", "-a", "a_b"]),
            ("ipv4", &["10.0.0.1", "010.0.0.1"], &["10.0.0", "::1", "256.0.0.1"]),
            ("ipv6", &["::1", "::ffff:1.2.3.4"], &["1.2.3.4", ":"]),
            ("isbn", &["0321751043", "978-0321751041"], &["0321751044"]),
            ("k8s-short-name", &["a-b"], &["a.b", "-a", "A"]),
            ("k8s-long-name", &["a-b.c"], &["a..b", ""]),
            ("mac", &["00:00:5e:00:53:01", "0000.5e00.5301"], &["00:00:5e", "00-00:5e:00:53:01"]),
            ("rgbcolor", &["rgb(0, 255,1)"], &["rgb(256,0,0)"]),
            ("ssn", &["111-22-3333"], &["111223333"]),
            ("uri", &["http://a/b?c", "/a", "x:y"], &["a", "", "http://a:b/"]),
            ("uuid4", &["00000000-0000-4000-8000-000000000000"], &["00000000-0000-3000-8000-000000000000"]),
            ("password", &[""], &[]),
        ];
        for (format, good, bad) in cases {
            assert!(is_of_text(format), "{format}");
            for text in *good {
                assert!(holds(format, text), "{format} {text}");
            }
            for text in *bad {
                assert!(!holds(format, text), "{format} {text}");
            }
        }
        assert!(!is_of_text("") && holds("unheard-of", "x"));
    }
}
