//! `flowcontrol.apiserver.k8s.io/v1 FlowSchema`: which requests belong together.

use crate::names;
use crate::resource::{Particular, Strategy};
use crate::validate::at::{At, Root};

/// What is particular. The fixed values of the schemas that every cluster has are not compared.
pub static KIND: Particular = Particular {
    group: "flowcontrol.apiserver.k8s.io",
    kind: "FlowSchema",
    counted: Some("spec"),
    strategy: Strategy {
        validate,
        validate_update: |new, _| validate(new),
        validate_status: |new, _| conditions(new),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

const PRECEDENCE_MAX: i64 = 10_000;
const VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
const KINDS: [(&str, &str); 3] = [("User", "user"), ("Group", "group"), ("ServiceAccount", "serviceAccount")];

fn validate(new: Root<'_>) {
    let spec = new.field("spec");
    let (precedence, method) = (spec.field("matchingPrecedence"), spec.field("distinguisherMethod"));
    match precedence.number() {
        ..=0 => precedence.invalid_value(precedence.number(), "must be a positive value"),
        1 if new.meta().name != "exempt" => {
            precedence.invalid("only the schema named 'exempt' may have matchingPrecedence 1");
        }
        given if given > PRECEDENCE_MAX => {
            precedence.invalid(&format!("must not be greater than {PRECEDENCE_MAX}"));
        }
        _ => {}
    }
    if method.is_set() && !["ByNamespace", "ByUser"].contains(&method.field("type").text()) {
        // As Go writes the method.
        let shown = serde_json::json!({"Type": method.field("type").text()});
        let supported = &["ByNamespace", "ByUser"];
        method.field("type").report(|path| crate::FieldError::not_supported(path, shown, supported));
    }
    let level = spec.field("priorityLevelConfiguration").field("name");
    if level.is_empty() {
        level.required("must reference a priority level");
    } else {
        level.check_name(names::dns_subdomain);
    }
    spec.field("rules").items().for_each(rule);
    conditions(new);
}

/// The conditions of a status: one of each type.
pub(super) fn conditions(new: Root<'_>) {
    let mut known = Vec::new();
    for kind in new.field("status").field("conditions").items().map(|condition| condition.field("type")) {
        if known.contains(&kind.text()) {
            kind.duplicate();
        }
        known.push(kind.text());
        kind.require_text();
    }
}

fn rule(rule: At<'_>) {
    let subjects = rule.field("subjects");
    if subjects.count() == 0 {
        subjects.required("subjects must contain at least one value");
    }
    subjects.items().for_each(subject);
    let (resources, others) = (rule.field("resourceRules"), rule.field("nonResourceRules"));
    if resources.count() + others.count() == 0 {
        rule.required("at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    resources.items().for_each(resource_rule);
    others.items().for_each(other_rule);
}

fn subject(subject: At<'_>) {
    let kind = subject.field("kind");
    if !KINDS.iter().any(|(known, _)| *known == kind.text()) {
        return kind.one_of(&["Group", "ServiceAccount", "User"]);
    }
    for (known, field) in KINDS {
        let part = subject.field(field);
        match (known == kind.text(), part.is_set()) {
            (true, true) if known == "ServiceAccount" => service_account(part),
            (true, true) => drop(part.field("name").require_text()),
            (true, false) => part.required(&format!("{field} is required when subject kind is '{known}'")),
            (false, true) => {
                part.forbidden(&format!("{field} is forbidden when subject kind is not '{known}'"))
            }
            (false, false) => {}
        }
    }
}

fn service_account(account: At<'_>) {
    let (name, namespace) = (account.field("name"), account.field("namespace"));
    if name.text() != "*" {
        name.require_name(names::dns_subdomain);
    }
    if namespace.is_empty() {
        namespace.required("must specify namespace for service account");
    } else {
        namespace.check_name(names::dns_label);
    }
}

fn has_wildcard(list: At<'_>) -> bool {
    list.items().any(|item| item.text() == "*")
}

/// A list of which `*` stands alone.
fn wild_alone(list: At<'_>, missing: &str, what: &str) {
    if list.count() == 0 {
        list.required(missing);
    } else if list.count() > 1 && has_wildcard(list) {
        list.invalid(&format!("if '*' is present, must not specify other {what}"));
    }
}

fn verbs(verbs: At<'_>) {
    wild_alone(verbs, "verbs must contain at least one value", "verbs");
    if !has_wildcard(verbs) && !verbs.items().all(|verb| VERBS.contains(&verb.text())) {
        verbs.not_supported(VERBS);
    }
}

fn resource_rule(rule: At<'_>) {
    verbs(rule.field("verbs"));
    wild_alone(rule.field("apiGroups"), "resource rules must supply at least one api group", "api groups");
    wild_alone(rule.field("resources"), "resource rules must supply at least one resource", "resources");
    let namespaces = rule.field("namespaces");
    if namespaces.count() == 0 && !rule.field("clusterScope").is_true() {
        namespaces.required("resource rules that are not cluster scoped must supply at least one namespace");
    } else if has_wildcard(namespaces) {
        wild_alone(namespaces, "", "namespaces");
    } else {
        for namespace in namespaces.items() {
            for wrong in names::dns_label(namespace.text(), false) {
                let rule = "each member of this list must be '*' or a DNS-1123 label;";
                namespace.invalid(&format!("{rule} {wrong}"));
            }
        }
    }
}

fn other_rule(rule: At<'_>) {
    verbs(rule.field("verbs"));
    let urls = rule.field("nonResourceURLs");
    wild_alone(urls, "nonResourceURLs must contain at least one value", "non-resource URLs");
    if !has_wildcard(urls) {
        urls.items().for_each(url);
    }
}

fn url(url: At<'_>) {
    let text = url.text();
    let wildcards = text.matches('*').count();
    let rules = [
        (text.is_empty(), "must not be empty"),
        (!text.starts_with('/'), "must start with slash"),
        (text.contains(' '), "must not contain white-space"),
        (text.contains("//"), "must not contain double slash"),
        (wildcards > 1 || (wildcards == 1 && !text.ends_with("/*")), "wildcard can only do suffix matching"),
    ];
    if let Some((_, rule)) = rules.iter().find(|(broken, _)| *broken) {
        url.invalid(rule);
    }
}
