//! `admissionregistration.k8s.io`, `flowcontrol.apiserver.k8s.io`, `policy`.

use super::labels::as_go_prints;
use super::{Cell, Cells, Kinds, Row};
use Cell::{Age, Code, Count, Name, Number, Text, TextOr};

const ADMISSION: &str = "admissionregistration.k8s.io";
const FLOWS: &str = "flowcontrol.apiserver.k8s.io";

pub(super) static KINDS: Kinds = &[
    (ADMISSION, "MutatingAdmissionPolicy", &[Name, Count(&[&["spec", "mutations"]]), Code(param_kind), Age]),
    (ADMISSION, "MutatingAdmissionPolicyBinding", BINDING),
    (ADMISSION, "MutatingWebhookConfiguration", WEBHOOKS),
    (
        ADMISSION,
        "ValidatingAdmissionPolicy",
        &[Name, Count(&[&["spec", "validations"]]), Code(param_kind), Age],
    ),
    (ADMISSION, "ValidatingAdmissionPolicyBinding", BINDING),
    (ADMISSION, "ValidatingWebhookConfiguration", WEBHOOKS),
    (
        FLOWS,
        "FlowSchema",
        &[
            Name,
            Text(&["spec", "priorityLevelConfiguration", "name"]),
            Number(&["spec", "matchingPrecedence"]),
            TextOr(&["spec", "distinguisherMethod", "type"], NONE),
            Age,
            Code(dangling),
        ],
    ),
    (FLOWS, "PriorityLevelConfiguration", &[Name, Text(&["spec", "type"]), Code(limits), Age]),
    ("policy", "PodDisruptionBudget", &[Name, Code(budget), Number(&["status", "disruptionsAllowed"]), Age]),
];

const NONE: &str = "<none>";
const UNSET: &str = "<unset>";
const BINDING: &[Cell] = &[Name, Text(&["spec", "policyName"]), Code(param), Age];
const WEBHOOKS: &[Cell] = &[Name, Count(&[&["webhooks"]]), Age];

fn param_kind(row: Row<'_>, cells: &mut Cells<'_>) {
    let of = row.object.at(&["spec", "paramKind"]);
    let [version, kind] = of.pick(["apiVersion", "kind"]);
    cells.text(&match of.is_there() {
        true => format!("{}/{}", version.text(), kind.text()),
        false => UNSET.to_owned(),
    });
}

/// Which parameters a policy is bound with: one by name, or those that a selector selects.
fn param(row: Row<'_>, cells: &mut Cells<'_>) {
    let [namespace, name, selector] =
        row.object.at(&["spec", "paramRef"]).pick(["namespace", "name", "selector"]);
    cells.text(&match (&*namespace.text(), &*name.text()) {
        (_, "") if selector.is_there() => as_go_prints(selector),
        (_, "") => UNSET.to_owned(),
        ("", name) => format!("*/{name}"),
        (namespace, name) => format!("{namespace}/{name}"),
    });
}

fn dangling(row: Row<'_>, cells: &mut Cells<'_>) {
    let mut conditions = row.object.at(&["status", "conditions"]).items();
    match conditions.find(|one| one.get("type").is("Dangling")) {
        Some(found) => cells.same(found.get("status")),
        None => cells.text("?"),
    }
}

/// Shares, queues, size of a hand, length of a queue.
fn limits(row: Row<'_>, cells: &mut Cells<'_>) {
    let [shares, response] =
        row.object.at(&["spec", "limited"]).pick(["nominalConcurrencyShares", "limitResponse"]);
    let queuing = response.get("queuing");
    let [queues, hand, length] = queuing.pick(["queues", "handSize", "queueLengthLimit"]);
    let is_limited = row.object.at(&["spec", "limited"]).is_there();
    for (is_there, number) in [
        (is_limited, shares),
        (queuing.is_there(), queues),
        (queuing.is_there(), hand),
        (queuing.is_there(), length),
    ] {
        match is_there {
            true => cells.number(number.number().unwrap_or_default()),
            false => cells.text(NONE),
        }
    }
}

fn budget(row: Row<'_>, cells: &mut Cells<'_>) {
    for bound in row.object.get("spec").pick(["minAvailable", "maxUnavailable"]) {
        cells.text(&if bound.is_there() { bound.shown() } else { "N/A".into() });
    }
}
