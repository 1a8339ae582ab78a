//! `v1 ResourceQuota`: how much a namespace may use.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::resource::{Particular, Strategy};
use crate::validate::IMMUTABLE;
use crate::validate::at::{At, Root};
use crate::validate::pod::resources;

/// What is particular.
pub static KIND: Particular = Particular {
    kind: "ResourceQuota",
    strategy: Strategy {
        validate: |new| {
            spec(new.field("spec"));
            status(new);
        },
        validate_update,
        validate_status: |new, _| status(new),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

const COMPUTE: &[&str] =
    &["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory", "pods"];
const SCOPES: &[&str] = &[
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
const EXCLUSIVE: &[[&str; 2]] = &[["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];

/// Resources that are standard elsewhere and not in quotas.
const NOT_IN_QUOTAS: &[&str] = &["storage"];

fn amounts(list: At<'_>) {
    for (name, amount) in list.entries() {
        let is_name = resources::name(amount, name);
        let is_standard = resources::is_standard(name) && !NOT_IN_QUOTAS.contains(&name);
        if !name.contains('/') && !is_standard {
            amount.invalid_value(name, "must be a standard resource for quota");
        }
        let _ = is_name;
        resources::amount(amount, name);
    }
}

fn status(new: Root<'_>) {
    amounts(new.field("status").field("hard"));
    amounts(new.field("status").field("used"));
}

fn spec(spec: At<'_>) {
    let hard = spec.field("hard");
    amounts(hard);
    let scopes = spec.field("scopes");
    for scope in scopes.items() {
        if !SCOPES.contains(&scope.text()) {
            scopes.invalid("unsupported scope");
        }
        misfits(hard, scope.text()).for_each(|_| scopes.invalid("unsupported scope applied to resource"));
    }
    exclusive(scopes, scopes, &scopes.items().map(At::text).collect());
    let selector = spec.field("scopeSelector");
    if selector.is_set() {
        scope_selector(spec, selector);
    }
}

/// The limits that a scope cannot be about.
fn misfits<'a>(hard: At<'a>, scope: &str) -> impl Iterator<Item = &'a str> {
    let fits: fn(&str) -> bool = match scope {
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => |name| COMPUTE.contains(&name),
        "BestEffort" => |name| name == "pods",
        "VolumeAttributesClass" => |name| matches!(name, "persistentvolumeclaims" | "requests.storage"),
        _ => |_| true,
    };
    let is_standard = |name: &str| resources::is_standard(name) && !NOT_IN_QUOTAS.contains(&name);
    hard.entries().map(|(name, _)| name).filter(move |name| is_standard(name) && !fits(name))
}

/// Scopes that have nothing in common. Errors show the list of scopes, wherever they stand.
fn exclusive(place: At<'_>, scopes: At<'_>, named: &BTreeSet<&str>) {
    for _ in EXCLUSIVE.iter().filter(|pair| pair.iter().all(|scope| named.contains(scope))) {
        place.invalid_value(scopes.value().cloned().unwrap_or_default(), "conflicting scopes");
    }
}

fn scope_selector(spec: At<'_>, selector: At<'_>) {
    // Errors name the list, never one of its items.
    let place = selector.field("matchExpressions");
    for expression in place.items() {
        let [scope, operator, values] = ["scopeName", "operator", "values"]
            .map(|field| place.field(field).with(expression.field(field).value()));
        if !SCOPES.contains(&scope.text()) {
            scope.invalid("unsupported scope");
        }
        for _ in misfits(spec.field("hard"), scope.text()) {
            place.invalid_value(shown(selector), "unsupported scope applied to resource");
        }
        let only_exists = !matches!(scope.text(), "PriorityClass" | "VolumeAttributesClass");
        if only_exists && SCOPES.contains(&scope.text()) && operator.text() != "Exists" {
            operator.invalid("must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity");
        }
        match operator.text() {
            "In" | "NotIn" if values.count() == 0 => {
                values.required(
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
                );
            }
            "Exists" | "DoesNotExist" if values.count() > 0 => {
                values.invalid(
                    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
                );
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => operator.invalid("not a valid selector operator"),
        }
    }
    let named = place.items().map(|expression| expression.field("scopeName").text()).collect();
    exclusive(place, spec.field("scopes"), &named);
}

/// The selector as Go writes it.
fn shown(selector: At<'_>) -> Value {
    let expression = |expression: At<'_>| {
        serde_json::json!({
            "ScopeName": expression.field("scopeName").text(),
            "Operator": expression.field("operator").text(),
            "Values": expression.field("values").value(),
        })
    };
    let expressions: Vec<_> = selector.field("matchExpressions").items().map(expression).collect();
    serde_json::json!({ "MatchExpressions": expressions })
}

fn validate_update(new: Root<'_>, old: Root<'_>) {
    spec(new.field("spec"));
    fn scopes(root: Root<'_>) -> At<'_> {
        root.field("spec").field("scopes")
    }
    let set =
        |root: Root<'_>| scopes(root).items().map(|scope| scope.text().to_owned()).collect::<BTreeSet<_>>();
    if set(new) != set(old) {
        scopes(new).invalid_value(scopes(new).value().cloned().unwrap_or_default(), IMMUTABLE);
    }
}
