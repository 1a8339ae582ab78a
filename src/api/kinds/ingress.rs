//! `networking.k8s.io/v1 Ingress`: how requests from outside find Services.

use crate::field_error::FieldError;
use crate::names;
use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};
use crate::validate::{network, text};

/// What is particular.
pub static KIND: Particular = Particular {
    group: "networking.k8s.io",
    kind: "Ingress",
    counted: Some("spec"),
    strategy: Strategy { validate, validate_update, validate_status, ..Strategy::PLAIN },
    ..Particular::NONE
};

const CLASS: &str = "kubernetes.io/ingress.class";

/// What no path may contain, and how none may end: they would lead elsewhere.
const PATH_PARTS: &[&str] = &["//", "/./", "/../", "%2f", "%2F"];
const PATH_ENDS: &[&str] = &["/..", "/."];

/// What was allowed once, and stays so where it stands.
#[derive(Clone, Copy, Default)]
struct Tolerated {
    secret_names: bool,
    rules_of_wildcards: bool,
}

fn validate(new: Root<'_>) {
    rules(new, Tolerated::default());
    let named = new.field("spec").field("ingressClassName");
    let annotated = new.meta().annotations.get(CLASS);
    if let Some(annotated) = annotated.filter(|annotated| named.is_set() && *annotated != named.text()) {
        let rule = "must match `ingressClassName` when both are specified";
        let error = FieldError::invalid(&format!("annotations.{CLASS}"), annotated.as_str(), rule);
        new.report(error);
    }
}

fn validate_update(new: Root<'_>, old: Root<'_>) {
    let spec = old.field("spec");
    let is_odd = |tls: At<'_>| {
        let name = tls.field("secretName");
        !name.is_empty() && !names::dns_subdomain(name.text(), false).is_empty()
    };
    let is_wild = |rule: &At<'_>| rule.field("host").text().contains('*');
    let tolerated = Tolerated {
        secret_names: spec.field("tls").items().any(is_odd),
        rules_of_wildcards: spec.field("rules").items().filter(is_wild).any(|rule| !is_in_order(old, rule)),
    };
    rules(new, tolerated);
}

/// Whether a rule that stands already would be allowed today.
fn is_in_order(old: Root<'_>, rule: At<'_>) -> bool {
    let before = old.error_count();
    rule_value(rule);
    let is_fine = old.error_count() == before;
    old.forget_errors_from(before);
    is_fine
}

fn validate_status(new: Root<'_>, old: Root<'_>) {
    fn points(root: Root<'_>) -> At<'_> {
        root.field("status").field("loadBalancer").field("ingress")
    }
    let known: Vec<_> = points(old).items().map(|point| point.field("ip").text()).collect();
    points(new).items().for_each(|point| point.balancer_point(&known));
}

fn rules(new: Root<'_>, tolerated: Tolerated) {
    let spec = new.field("spec");
    let (rules, default, class) =
        (spec.field("rules"), spec.field("defaultBackend"), spec.field("ingressClassName"));
    if rules.count() == 0 && !default.is_set() {
        let shown = rules.value().cloned().unwrap_or_default();
        spec.invalid_value(shown, "either `defaultBackend` or `rules` must be specified");
    }
    if default.is_set() {
        backend(default);
    }
    for rule in rules.items() {
        let host = rule.field("host");
        if !host.is_empty() {
            if network::is_address(host.text()) {
                host.invalid("must be a DNS name, not an IP address");
            }
            host.host_or_wildcard();
        }
        if !(tolerated.rules_of_wildcards && host.text().contains('*')) {
            rule_value(rule);
        }
    }
    for tls in spec.field("tls").items() {
        tls.field("hosts").items().for_each(At::host_or_wildcard);
        if !tolerated.secret_names && !tls.field("secretName").is_empty() {
            tls.field("secretName").check_name(names::dns_subdomain);
        }
    }
    if class.is_set() {
        class.check_name(names::dns_subdomain);
    }
}

fn rule_value(rule: At<'_>) {
    let http = rule.field("http");
    if http.is_set() && http.field("paths").count() == 0 {
        http.field("paths").required("");
    }
    http.field("paths").items().for_each(path);
}

fn path(at: At<'_>) {
    let (kind, path) = (at.field("pathType"), at.field("path"));
    if !kind.is_set() {
        return kind.required("pathType must be specified");
    }
    let is_absolute = path.text().starts_with('/');
    match kind.text() {
        "Exact" | "Prefix" => {
            if !is_absolute {
                path.invalid("must be an absolute path");
            }
            for part in PATH_PARTS.iter().filter(|part| path.text().contains(**part)) {
                path.invalid(&format!("must not contain '{part}'"));
            }
            for end in PATH_ENDS.iter().filter(|end| path.text().ends_with(**end)) {
                path.invalid(&format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" if !is_absolute && !path.is_empty() => {
            path.invalid("must be an absolute path");
        }
        _ => kind.one_of(&["Exact", "ImplementationSpecific", "Prefix"]),
    }
    backend(at.field("backend"));
}

fn backend(at: At<'_>) {
    let (resource, service) = (at.field("resource"), at.field("service"));
    match (resource.is_set(), service.is_set()) {
        (true, true) => at.invalid_value("", "cannot set both resource and service backends"),
        (true, false) => resource.local_reference(),
        (false, true) => {
            service.field("name").require_name(names::dns_label);
            service_port(at, service.field("port"));
        }
        (false, false) => at.invalid_value("", "resource or service backend is required"),
    }
}

fn service_port(backend: At<'_>, port: At<'_>) {
    let (name, number) = (port.field("name"), port.field("number"));
    match (name.is_empty(), number.is_empty()) {
        (false, false) => backend.invalid_value("", "cannot set both port name & port number"),
        (false, true) => name.check(text::port_name),
        (true, false) => number.port_number(),
        (true, true) => backend.required("port name or number is required"),
    }
}
