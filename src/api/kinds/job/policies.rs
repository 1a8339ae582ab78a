//! What a Job makes of the ends of its pods.

use serde_json::Value;

use super::indexes;
use crate::FieldError;
use crate::names;
use crate::validate::at::At;
use crate::validate::internal;

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const CONDITIONS_MAX: usize = 20;
const INDEXES_BYTES_MAX: usize = 64 * 1024;

const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];
const STATUSES: &[&str] = &["False", "True", "Unknown"];

/// The policies of a spec.
pub(super) fn check(spec: At<'_>) {
    let (failure, success, replacement) =
        (spec.field("podFailurePolicy"), spec.field("successPolicy"), spec.field("podReplacementPolicy"));
    if failure.is_set() {
        failures(spec, failure.field("rules"));
    }
    if success.is_set() && spec.field("completionMode").text() != "Indexed" {
        success.invalid_value(internal::success_policy(success), "requires indexed completion mode");
    } else if success.is_set() {
        successes(spec, success.field("rules"));
    }
    if replacement.is_set() {
        let known: &[&str] = if failure.is_set() { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
        replacement.one_of(known);
    }
}

fn failures(spec: At<'_>, rules: At<'_>) {
    if rules.count() > RULES_MAX {
        rules.too_many(rules.count(), RULES_MAX);
    }
    for rule in rules.items() {
        let (action, codes, conditions) =
            (rule.field("action"), rule.field("onExitCodes"), rule.field("onPodConditions"));
        match action.text() {
            "" => required(action, ACTIONS),
            "FailIndex" if !spec.field("backoffLimitPerIndex").is_set() => {
                action.invalid("requires the backoffLimitPerIndex to be set");
            }
            _ => action.one_of(ACTIONS),
        }
        if codes.is_set() {
            exit_codes(spec, codes);
        }
        if conditions.count() > CONDITIONS_MAX {
            conditions.too_many(conditions.count(), CONDITIONS_MAX);
        }
        for condition in conditions.items() {
            condition.field("type").check(names::qualified);
            match condition.field("status").text() {
                "" => required(condition.field("status"), STATUSES),
                _ => condition.field("status").one_of(STATUSES),
            }
        }
        let text = match (codes.is_set(), conditions.count() > 0) {
            (true, true) => "specifying both OnExitCodes and OnPodConditions is not supported",
            (false, false) => "specifying one of OnExitCodes and OnPodConditions is required",
            _ => continue,
        };
        rule.report(|path| FieldError::invalid_omitted(path, text));
    }
}

fn required(field: At<'_>, values: &[&str]) {
    let quoted: Vec<_> = values.iter().map(|value| format!("{value:?}")).collect();
    field.required(&format!("valid values: [{}]", quoted.join(" ")));
}

fn exit_codes(spec: At<'_>, codes: At<'_>) {
    let (operator, container, values) =
        (codes.field("operator"), codes.field("containerName"), codes.field("values"));
    match operator.text() {
        "" => required(operator, &["In", "NotIn"]),
        _ => operator.one_of(&["In", "NotIn"]),
    }
    let pod = spec.field("template").field("spec");
    let mut names = ["containers", "initContainers"].into_iter().flat_map(|list| pod.field(list).items());
    if container.is_set() && !names.any(|known| known.field("name").text() == container.text()) {
        container.invalid("must be one of the container or initContainer names in the pod template");
    }
    match values.count() {
        0 => values
            .invalid_value(values.value().cloned().unwrap_or_default(), "at least one value is required"),
        count if count > EXIT_CODES_MAX => values.too_many(count, EXIT_CODES_MAX),
        _ => {}
    }
    let mut known: Vec<i64> = Vec::new();
    for value in values.items() {
        if operator.text() == "In" && value.number() == 0 {
            value.invalid("must not be 0 for the In operator");
        }
        if known.contains(&value.number()) {
            value.duplicate();
        }
        known.push(value.number());
    }
    if !known.is_sorted() {
        values.invalid_value(Value::from(values.list().to_vec()), "must be ordered");
    }
}

fn successes(spec: At<'_>, rules: At<'_>) {
    if rules.count() == 0 {
        rules.required("at least one rules must be specified when the successPolicy is specified");
    }
    if rules.count() > RULES_MAX {
        rules.too_many(rules.count(), RULES_MAX);
    }
    let completions = spec.field("completions").number();
    for rule in rules.items() {
        let (listed, count) = (rule.field("succeededIndexes"), rule.field("succeededCount"));
        if !listed.is_set() && !count.is_set() {
            rule.required("at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = 0;
        if listed.is_set() {
            if listed.text().len() > INDEXES_BYTES_MAX {
                listed.too_long(INDEXES_BYTES_MAX);
            }
            match indexes::total(listed.text(), completions) {
                Ok(number) => total = number,
                Err(error) => listed.invalid(&format!("error parsing succeededIndexes: {error}")),
            }
        }
        if !count.is_set() {
            continue;
        }
        count.non_negative();
        let at_most = |most: i64, what: &str| {
            if count.number() > most {
                count.invalid(&format!("must be less than or equal to {most} ({what})"));
            }
        };
        at_most(completions, "the number of specified completions");
        if listed.is_set() {
            at_most(total, "the number of indexes in the specified succeededIndexes field");
        }
    }
}
