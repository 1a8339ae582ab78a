//! Servers that are asked about writes: their addresses, and what they are asked about.

use serde_json::Value;

use super::at::{At, Root};
use crate::names;

const FORM: &str = "; desired format: https://host[/path]";
const CONDITIONS_MAX: usize = 64;
const NO_SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun"];
const SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun", "Some", "Unknown"];
const REVIEW_VERSIONS: &[&str] = &["v1", "v1beta1"];

/// What was allowed once, and stays so where it stands.
#[derive(Clone, Copy)]
struct Asked {
    no_side_effects: bool,
    known_versions: bool,
    unique_names: bool,
    label_values: bool,
}

impl Asked {
    const ALL: Self =
        Self { no_side_effects: true, known_versions: true, unique_names: true, label_values: true };

    fn of(old: At<'_>) -> Self {
        let names: Vec<_> = old.items().map(|hook| hook.field("name").text()).collect();
        let is_harmless = |hook: At<'_>| NO_SIDE_EFFECTS.contains(&hook.field("sideEffects").text());
        let is_known = |hook: At<'_>| {
            let versions = hook.field("admissionReviewVersions");
            versions.count() == 0 || versions.items().any(|version| REVIEW_VERSIONS.contains(&version.text()))
        };
        let is_odd = |hook: At<'_>| {
            ["namespaceSelector", "objectSelector"]
                .iter()
                .any(|field| hook.field(field).has_odd_label_values())
        };
        Self {
            no_side_effects: old.items().all(is_harmless),
            known_versions: old.items().all(is_known),
            unique_names: (1..names.len()).all(|at| !names[..at].contains(&names[at])),
            label_values: !old.items().any(is_odd),
        }
    }
}

/// The webhooks of a configuration, and what each needs beside.
pub fn hooks(new: Root<'_>, old: Option<Root<'_>>, more: fn(At<'_>)) {
    let asked = old.map_or(Asked::ALL, |old| Asked::of(old.field("webhooks")));
    let mut known = Vec::new();
    for hook in new.field("webhooks").items() {
        let name = hook.field("name");
        full_name(name);
        if asked.unique_names && !name.is_empty() {
            if known.contains(&name.text()) {
                name.duplicate();
            }
            known.push(name.text());
        }
        policies(hook, asked);
        hook.field("rules").items().for_each(rule);
        for selector in ["namespaceSelector", "objectSelector"].map(|field| hook.field(field)) {
            selector.label_selector_unless(!asked.label_values);
        }
        client(hook.field("clientConfig"));
        conditions(hook.field("matchConditions"));
        versions(hook.field("admissionReviewVersions"), asked.known_versions);
        more(hook);
    }
}

/// A name of at least three parts.
fn full_name(name: At<'_>) {
    let wrong = names::dns_subdomain(name.text(), false);
    if !name.require_text() {
    } else if !wrong.is_empty() {
        name.invalid(&wrong.join(","));
    } else if name.text().split('.').count() < 3 {
        name.invalid("should be a domain with at least three segments separated by dots");
    }
}

fn policies(hook: At<'_>, asked: Asked) {
    for (field, supported) in
        [("failurePolicy", ["Fail", "Ignore"]), ("matchPolicy", ["Equivalent", "Exact"])]
    {
        if hook.field(field).is_set() {
            hook.field(field).one_of(&supported);
        }
    }
    let (effects, timeout) = (hook.field("sideEffects"), hook.field("timeoutSeconds"));
    let allowed = if asked.no_side_effects { NO_SIDE_EFFECTS } else { SIDE_EFFECTS };
    if effects.is_set() {
        effects.one_of(allowed);
    } else {
        effects.required(&format!("must specify one of {}", allowed.join(", ")));
    }
    if timeout.int().is_some_and(|seconds| !(1..=30).contains(&seconds)) {
        timeout.invalid("the timeout value must be between 1 and 30 seconds");
    }
}

fn has_wildcard(list: At<'_>) -> bool {
    list.items().any(|item| item.text() == "*")
}

fn rule(rule: At<'_>) {
    const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    let [operations, groups, versions] =
        ["operations", "apiGroups", "apiVersions"].map(|field| rule.field(field));
    for (list, what) in [(operations, "operations"), (groups, "API groups"), (versions, "API versions")] {
        if list.count() == 0 {
            list.required("");
        } else if list.count() > 1 && has_wildcard(list) {
            list.invalid(&format!("if '*' is present, must not specify other {what}"));
        }
    }
    operations.items().for_each(|operation| operation.one_of(OPERATIONS));
    for version in versions.items().filter(|version| version.is_empty()) {
        version.required("");
    }
    resources(rule.field("resources"));
    if rule.field("scope").is_set() {
        rule.field("scope").one_of(&["*", "Cluster", "Namespaced"]);
    }
}

/// Resources and what hangs below them: `pods`, `pods/*`, `*/scale`, `*`.
fn resources(list: At<'_>) {
    if list.count() == 0 {
        list.required("");
    }
    let (mut all_below, mut below_all) = (Vec::new(), Vec::new());
    let mut last_is_plain = false;
    for resource in list.items() {
        let text = resource.text();
        let Some((name, below)) = text.split_once('/') else {
            if text.is_empty() {
                resource.required("");
            } else {
                last_is_plain = text != "*";
            }
            continue;
        };
        if all_below.contains(&name) {
            resource.invalid(&format!("if '{name}/*' is present, must not specify {text}"));
        }
        if below_all.contains(&below) {
            resource.invalid(&format!("if '*/{below}' is present, must not specify {text}"));
        }
        all_below.extend((below == "*").then_some(name));
        below_all.extend((name == "*").then_some(below));
    }
    if list.count() > 1 && list.items().any(|resource| resource.text() == "*/*") {
        list.invalid("if '*/*' is present, must not specify other resources");
    }
    if last_is_plain && has_wildcard(list) {
        list.invalid("if '*' is present, must not specify other resources without subresources");
    }
}

fn client(config: At<'_>) {
    let (address, service) = (config.field("url"), config.field("service"));
    match (address.is_set(), service.is_set()) {
        (true, false) => url(address),
        (false, true) => of_service(service),
        _ => config.required("exactly one of url or service is required"),
    }
}

fn url(at: At<'_>) {
    let (rest, fragment) = at.text().split_once('#').unwrap_or((at.text(), ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    if let Some(wrong) = unreadable(at.text(), rest) {
        let text = crate::field_error::quoted(at.text());
        return at.required(&format!("url must be a valid URL: parse {text}: {wrong}{FORM}"));
    }
    let (scheme, rest) = rest.split_once(':').filter(|(scheme, _)| is_scheme(scheme)).unwrap_or(("", rest));
    let authority = rest.strip_prefix("//").map_or("", |rest| rest.split('/').next().unwrap_or_default());
    let (user, host) =
        authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let scheme = scheme.to_lowercase();
    if scheme != "https" {
        at.invalid_value(scheme, &format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if host.is_empty() {
        at.invalid_value(host, &format!("host must be specified{FORM}"));
    }
    if let Some(user) = user {
        at.invalid_value(user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        at.invalid_value(fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        at.invalid_value(query, "query parameters are not permitted in the URL");
    }
}

/// Why Go cannot read a URL, of which `rest` is what stands before a query.
fn unreadable(text: &str, rest: &str) -> Option<String> {
    let (scheme, path) = rest.split_once(':').filter(|(scheme, _)| is_scheme(scheme)).unwrap_or(("", rest));
    let first = path.split('/').next().unwrap_or_default();
    let escape = path.match_indices('%').map(|(at, _)| &path[at..]).find(|escape| {
        let digits = escape.as_bytes().get(1..3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    match () {
        () if text.starts_with(':') => Some("missing protocol scheme".into()),
        () if scheme.is_empty() && first.contains(':') => {
            Some("first path segment in URL cannot contain colon".into())
        }
        () => escape.map(|escape| {
            let shown: String = escape.chars().take(3).collect();
            format!("invalid URL escape {}", crate::field_error::quoted(&shown))
        }),
    }
}

fn is_scheme(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.starts_with(|letter: char| letter.is_ascii_alphabetic()) && text.bytes().all(is_letter)
}

/// Errors mix up the name and the namespace: so does Kubernetes.
fn of_service(service: At<'_>) {
    for (field, told) in [("namespace", "name"), ("name", "namespace")] {
        if service.field(field).is_empty() {
            service.field(told).required("");
        }
    }
    port(service.field("port"));
    path(service.field("path"));
}

/// The port of a service that is asked.
pub fn port(port: At<'_>) {
    if !(1..=65_535).contains(&port.number()) {
        port.invalid_value(port.number(), "port is not valid: must be between 1 and 65535, inclusive");
    }
}

fn path(path: At<'_>) {
    let text = path.text();
    match text {
        "" | "/" => return,
        "//" => return path.invalid("segment[0] may not be empty"),
        _ => {}
    }
    if !text.starts_with('/') {
        path.invalid("must start with a '/'");
    }
    let mut letters = text.chars();
    letters.next();
    let steps = letters.as_str();
    for (at, step) in steps.strip_suffix('/').unwrap_or(steps).split('/').enumerate() {
        if step.is_empty() {
            path.invalid(&format!("segment[{at}] may not be empty"));
        } else {
            for wrong in names::dns_subdomain(step, false) {
                path.invalid(&format!("segment[{at}]: {wrong}"));
            }
        }
    }
}

/// Names and expressions. Whether an expression can be compiled is not looked at.
fn conditions(conditions: At<'_>) {
    if conditions.count() > CONDITIONS_MAX {
        conditions.too_many(conditions.count(), CONDITIONS_MAX);
    }
    let mut known = Vec::new();
    for condition in conditions.items() {
        let (name, expression) = (condition.field("name"), condition.field("expression"));
        if expression.text().trim().is_empty() {
            expression.required("");
        }
        if name.require_text() {
            name.check(names::qualified);
            if known.contains(&name.text()) {
                name.duplicate();
            }
            known.push(name.text());
        }
    }
}

fn versions(versions: At<'_>, known: bool) {
    let accepted = REVIEW_VERSIONS.join(", ");
    if versions.count() == 0 {
        return versions.required(&format!("must specify one of {accepted}"));
    }
    let mut seen = Vec::new();
    for version in versions.items() {
        if seen.contains(&version.text()) {
            version.invalid("duplicate version");
        } else {
            seen.push(version.text());
            version.check_name(names::dns_1035_label);
        }
    }
    if known && !seen.iter().any(|version| REVIEW_VERSIONS.contains(version)) {
        let shown = versions.value().cloned().unwrap_or(Value::Null);
        versions.invalid_value(shown, &format!("must include at least one of {accepted}"));
    }
}
