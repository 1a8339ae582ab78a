//! What names, label keys and label values may look like, and Kubernetes' words for those that do not.
//!
//! Each check returns what is wrong; nothing when all is well.

use std::borrow::Cow;

/// A check of a name. With `prefix`, of a `generateName` to which characters will be added.
pub type NameCheck = fn(name: &str, prefix: bool) -> Vec<String>;

const LABEL_BYTES_MAX: usize = 63;
const SUBDOMAIN_BYTES_MAX: usize = 253;

const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_RULE: &str = r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const UNDERSCORE_RULE: &str = r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";
const DNS_1035_RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY_RULE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// Most names: `[a-z0-9.-]`, parts begin and end with a letter or digit.
pub fn dns_subdomain(name: &str, prefix: bool) -> Vec<String> {
    let name = masked(name, prefix);
    let mut wrong = too_long(&name, SUBDOMAIN_BYTES_MAX);
    if !is_subdomain(&name) {
        wrong.push(SUBDOMAIN_RULE.into());
    }
    wrong
}

/// Names of namespaces: one part of a domain name.
pub fn dns_label(name: &str, prefix: bool) -> Vec<String> {
    let name = masked(name, prefix);
    let mut wrong = too_long(&name, LABEL_BYTES_MAX);
    match () {
        () if is_label(&name) => {}
        () if is_subdomain(&name) => wrong.push("must not contain dots".into()),
        () => wrong.push(LABEL_RULE.into()),
    }
    wrong
}

/// A domain to search in, whose parts may hold underscores.
pub fn dns_subdomain_with_underscore(name: &str) -> Vec<String> {
    let mut wrong = too_long(name, SUBDOMAIN_BYTES_MAX);
    let is_part = |part: &str| {
        let part = part.strip_prefix('_').unwrap_or(part);
        is_label(&part.replace('_', "-")) && !part.starts_with('_') && !part.ends_with('_')
    };
    if !name.split('.').all(is_part) {
        wrong.push(UNDERSCORE_RULE.into());
    }
    wrong
}

/// Names of Services: a label that begins with a letter.
pub fn dns_1035_label(name: &str, prefix: bool) -> Vec<String> {
    let name = masked(name, prefix);
    let mut wrong = too_long(&name, LABEL_BYTES_MAX);
    if !is_label(&name) || !name.starts_with(|letter: char| letter.is_ascii_lowercase()) {
        wrong.push(DNS_1035_RULE.into());
    }
    wrong
}

/// Names that stand as one part of a URL: almost anything.
pub fn path_segment(name: &str, prefix: bool) -> Vec<String> {
    let whole = matches!(name, "." | "..") && !prefix;
    let letters = ["/", "%"].into_iter().filter(|letter| name.contains(letter));
    let wrong: Vec<String> = letters.map(|letter| format!("may not contain '{letter}'")).collect();
    if whole { vec![format!("may not be '{name}'")] } else { wrong }
}

/// `name` or `example.com/name`: keys of labels and annotations, finalizers.
pub fn qualified(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut parts = name.split('/');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    if parts.next().is_some() {
        let rule = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
        return vec![format!("a valid label key {QUALIFIED_RULE} {rule}")];
    }
    if second.is_some() {
        if first.is_empty() {
            wrong.push("prefix part must be non-empty".into());
        } else {
            wrong.extend(domain(first).into_iter().map(|text| format!("prefix part {text}")));
        }
    }
    let part = second.unwrap_or(first);
    if part.is_empty() {
        wrong.push("name part must be non-empty".into());
    } else {
        wrong.extend(
            too_many_bytes(part, LABEL_BYTES_MAX).into_iter().map(|text| format!("name part {text}")),
        );
    }
    if !is_qualified_part(part) {
        wrong.push(format!("name part {QUALIFIED_RULE}"));
    }
    wrong
}

fn domain(name: &str) -> Vec<String> {
    let mut wrong = too_many_bytes(name, SUBDOMAIN_BYTES_MAX);
    if !is_subdomain(name) {
        wrong.push(SUBDOMAIN_RULE.into());
    }
    wrong
}

/// The value of a label: empty, or like the name part of its key.
pub fn label_value(value: &str) -> Vec<String> {
    let mut wrong = too_many_bytes(value, LABEL_BYTES_MAX);
    if !value.is_empty() && !is_qualified_part(value) {
        wrong.push(LABEL_VALUE_RULE.into());
    }
    wrong
}

/// A key of a ConfigMap or Secret: it becomes a file name.
pub fn config_key(key: &str) -> Vec<String> {
    let mut wrong = too_long(key, SUBDOMAIN_BYTES_MAX);
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        wrong.push(CONFIG_KEY_RULE.into());
    }
    match key {
        "." => wrong.push("must not be '.'".into()),
        ".." => wrong.push("must not be '..'".into()),
        _ if key.starts_with("..") => wrong.push("must not start with '..'".into()),
        _ => {}
    }
    wrong
}

/// A generateName may end with a dash, because more will follow it: the last two letters then count as one `a`.
fn masked(name: &str, prefix: bool) -> Cow<'_, str> {
    match name.strip_suffix('-') {
        Some(start) if prefix && !start.is_empty() => {
            let kept = start.char_indices().next_back().map_or(0, |(at, _)| at);
            format!("{}a", &start[..kept]).into()
        }
        _ => name.into(),
    }
}

fn too_long(text: &str, bytes_max: usize) -> Vec<String> {
    if text.len() > bytes_max {
        vec![format!("must be no more than {bytes_max} characters")]
    } else {
        Vec::new()
    }
}

/// The same, for what is told to be counted in bytes; so is everything in truth.
fn too_many_bytes(text: &str, bytes_max: usize) -> Vec<String> {
    if text.len() > bytes_max { vec![format!("must be no more than {bytes_max} bytes")] } else { Vec::new() }
}

fn is_label(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}

/// Parts of a domain name, whatever their length.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_qualified_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// The name of an Event about an object of this name: its end grows with time, for whoever lists Events of one second in
/// order of their names, as kubectl does. Nanoseconds since the epoch in hex, as in Kubernetes, those below a millisecond
/// `drawn` at random.
pub fn of_event(about: &str, now_ms: u64, drawn: u64) -> String {
    let nanos = now_ms.saturating_mul(1_000_000).saturating_add(drawn % 1_000_000);
    format!("{about}.{nanos:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_events_grow_with_time() {
        let at = |now_ms, drawn| of_event("web", now_ms, drawn);
        assert_eq!(at(1, 7), "web.00000000000f4247");
        assert!(at(1_767_225_600_000, u64::MAX) < at(1_767_225_600_001, 0));
    }

    fn check(given: &[String], expect: &[&str]) {
        assert_eq!(given, expect);
    }

    #[test]
    fn names_of_objects() {
        let long = "a".repeat(254);
        check(&dns_subdomain("web-1.example", false), &[]);
        check(&dns_subdomain("", false), &[SUBDOMAIN_RULE]);
        check(&dns_subdomain("a..b", false), &[SUBDOMAIN_RULE]);
        check(&dns_subdomain("Web", false), &[SUBDOMAIN_RULE]);
        check(&dns_subdomain("web-", false), &[SUBDOMAIN_RULE]);
        check(&dns_subdomain("web-", true), &[]);
        check(&dns_subdomain(&long, false), &["must be no more than 253 characters"]);
        check(&dns_label("default", false), &[]);
        check(&dns_label("a.b", false), &["must not contain dots"]);
        check(&dns_label("-a", false), &[LABEL_RULE]);
    }

    #[test]
    fn keys_and_values_of_labels() {
        check(&qualified("app.kubernetes.io/name"), &[]);
        check(&qualified("App_1"), &[]);
        check(&qualified("/x"), &["prefix part must be non-empty"]);
        check(
            &qualified("a/b/c"),
            &[&format!(
                "a valid label key {QUALIFIED_RULE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )],
        );
        check(&qualified(""), &["name part must be non-empty", &format!("name part {QUALIFIED_RULE}")]);
        check(&label_value(""), &[]);
        check(&label_value("a b"), &[LABEL_VALUE_RULE]);
        check(&label_value(&"a".repeat(64)), &["must be no more than 63 bytes"]);
    }

    #[test]
    fn keys_of_config_maps() {
        check(&config_key("a.B-c_1"), &[]);
        check(&config_key(""), &[CONFIG_KEY_RULE]);
        check(&config_key("a b"), &[CONFIG_KEY_RULE]);
        check(&config_key(".."), &["must not be '..'"]);
        check(&config_key("..a"), &["must not start with '..'"]);
    }
}
