//! Where a pod may run: affinity, tolerations, spread over domains.

use crate::names;
use crate::validate::at::At;

const WEIGHT_RULE: &str = "must be in the range 1-100";
const NO_SELECTOR: &str = "must not be specified when labelSelector is not set";

/// Nodes and pods to be near to or away from.
pub(super) fn affinity(affinity: At<'_>) {
    node_affinity(affinity.field("nodeAffinity"));
    for pods in ["podAffinity", "podAntiAffinity"].map(|field| affinity.field(field)) {
        pods.field("requiredDuringSchedulingIgnoredDuringExecution").items().for_each(pod_term);
        for term in pods.field("preferredDuringSchedulingIgnoredDuringExecution").items() {
            weight(term.field("weight"));
            pod_term(term.field("podAffinityTerm"));
        }
    }
}

fn weight(weight: At<'_>) {
    if !(1..=100).contains(&weight.number()) {
        weight.invalid_value(weight.number(), WEIGHT_RULE);
    }
}

fn node_affinity(affinity: At<'_>) {
    let required = affinity.field("requiredDuringSchedulingIgnoredDuringExecution");
    if required.is_set() {
        node_selector(required);
    }
    for term in affinity.field("preferredDuringSchedulingIgnoredDuringExecution").items() {
        weight(term.field("weight"));
        node_term(term.field("preference"), true);
    }
}

/// Nodes by their labels and fields.
pub fn node_selector(selector: At<'_>) {
    let terms = selector.field("nodeSelectorTerms");
    if terms.count() == 0 {
        terms.required("must have at least one node selector term");
    }
    terms.items().for_each(|term| node_term(term, false));
}

/// What is only preferred may name values that no label has.
fn node_term(term: At<'_>, any_values: bool) {
    for expression in term.field("matchExpressions").items() {
        let (operator, values) = (expression.field("operator"), expression.field("values"));
        match (operator.text(), values.count()) {
            ("In" | "NotIn", 0) => values.required("must be specified when `operator` is 'In' or 'NotIn'"),
            ("Exists" | "DoesNotExist", 1..) => {
                values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            ("Gt" | "Lt", 0 | 2..) => {
                values.required("must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
            ("In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt", _) => {}
            _ => operator.invalid("not a valid selector operator"),
        }
        expression.field("key").label_key();
        if !any_values {
            values.items().for_each(|value| value.check(names::label_value));
        }
    }
    for field in term.field("matchFields").items() {
        let (operator, values, key) = (field.field("operator"), field.field("values"), field.field("key"));
        match operator.text() {
            "In" | "NotIn" if values.count() != 1 => {
                values.required(
                    "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
                );
            }
            "In" | "NotIn" => {}
            _ => operator.invalid("not a valid selector operator"),
        }
        if key.text() == "metadata.name" {
            values.items().for_each(|value| value.check_name(names::dns_subdomain));
        } else {
            key.invalid("not a valid field selector key");
        }
    }
}

fn pod_term(term: At<'_>) {
    term.field("labelSelector").label_selector();
    term.field("namespaceSelector").label_selector();
    for name in term.field("namespaces").items() {
        let place = term.field("namespace").with(name.value());
        place.check_name(names::dns_label);
    }
    label_keys(term);
    let topology = term.field("topologyKey");
    if topology.text().is_empty() {
        topology.required("can not be empty");
    }
    topology.label_key();
}

/// Keys of labels whose values in the pod select other pods; they are part of the selector by now.
fn label_keys(term: At<'_>) {
    let (wanted, unwanted, selector) =
        (term.field("matchLabelKeys"), term.field("mismatchLabelKeys"), term.field("labelSelector"));
    for keys in [wanted, unwanted].iter().filter(|keys| keys.count() > 0) {
        if selector.is_set() {
            keys.items().for_each(At::label_key);
        } else {
            keys.forbidden(NO_SELECTOR);
        }
    }
    let mut known: Vec<&str> = selector.field("matchLabels").entries().map(|(key, _)| key).collect();
    for key in selector.field("matchExpressions").items().map(|expression| expression.field("key").text()) {
        let place = wanted.items().enumerate().filter(|(_, wanted)| wanted.text() == key).last();
        if let (true, Some((at, _))) = (known.contains(&key), place) {
            term.index(at).invalid_value(key, "exists in both matchLabelKeys and labelSelector");
        }
        known.push(key);
    }
    for key in wanted.items().filter(|key| unwanted.items().any(|unwanted| unwanted.text() == key.text())) {
        key.invalid("exists in both matchLabelKeys and mismatchLabelKeys");
    }
}

/// Taints that do not keep the pod away.
pub fn tolerations(tolerations: At<'_>) {
    tolerations.items().for_each(toleration);
}

fn toleration(toleration: At<'_>) {
    let (key, operator, value, effect) = (
        toleration.field("key"),
        toleration.field("operator"),
        toleration.field("value"),
        toleration.field("effect"),
    );
    if !key.text().is_empty() {
        key.label_key();
    } else if operator.text() != "Exists" {
        operator.invalid_value(
            operator.text(),
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
        );
    }
    if toleration.field("tolerationSeconds").is_set() && effect.text() != "NoExecute" {
        effect.invalid_value(effect.text(), "effect must be 'NoExecute' when `tolerationSeconds` is set");
    }
    match operator.text() {
        "" | "Equal" => {
            let wrong = names::label_value(value.text());
            if !wrong.is_empty() {
                operator.invalid_value(value.text(), &wrong.join(";"));
            }
        }
        "Exists" => {
            if !value.text().is_empty() {
                operator.invalid_value(value.text(), "value must be empty when `operator` is 'Exists'");
            }
        }
        "Lt" | "Gt" => operator.not_supported(&["Equal", "Exists", "Lt", "Gt"]),
        _ => operator.not_supported(&["Equal", "Exists"]),
    }
    if !effect.text().is_empty() {
        effect.one_of(&["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    }
}

/// How evenly pods are spread.
pub(super) fn spread(constraints: At<'_>) {
    for (at, constraint) in constraints.items().enumerate() {
        let (topology, action) = (constraint.field("topologyKey"), constraint.field("whenUnsatisfiable"));
        constraint.field("maxSkew").positive();
        if topology.text().is_empty() {
            topology.required("can not be empty");
        }
        action.one_of(&["DoNotSchedule", "ScheduleAnyway"]);
        let same = |other: &At<'_>| {
            other.field("topologyKey").text() == topology.text()
                && other.field("whenUnsatisfiable").text() == action.text()
        };
        if constraints.items().skip(at + 1).any(|other| same(&other)) {
            let place = constraint.field("{topologyKey, whenUnsatisfiable}");
            place.duplicate_value(format!("{{{}, {}}}", topology.text(), action.text()));
        }
        min_domains(constraint.field("minDomains"), action.text());
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"].map(|field| constraint.field(field)) {
            if policy.is_set() {
                policy.one_of(&["Honor", "Ignore"]);
            }
        }
        label_keys(constraint);
        constraint.field("labelSelector").label_selector();
    }
}

fn min_domains(domains: At<'_>, action: &str) {
    if !domains.is_set() {
        return;
    }
    domains.positive();
    if action != "DoNotSchedule" {
        let rule = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
        domains.invalid(&rule);
    }
}
