//! Rules that kinds which make pods share.

use super::at::At;
use super::common::{percent_of, selects};
use super::internal;
use crate::field_error::FieldError;

const BEYOND_REPLICAS: &str = "cannot be greater than status.replicas";

/// Whether the amount is zero, written either way.
fn is_none(amount: At<'_>) -> bool {
    amount.int().or_else(|| percent_of(amount)).unwrap_or_else(|| amount.text().parse().unwrap_or_default())
        == 0
}

/// The amounts by which pods are replaced: how many may be missing, how many may be too many.
pub struct Rolling<'a> {
    /// How many may be missing.
    pub max_unavailable: At<'a>,
    /// How many may be too many.
    pub max_surge: At<'a>,
}

impl<'a> Rolling<'a> {
    /// Those of a rolling update. Checks each by itself.
    pub fn of(update: At<'a>) -> Self {
        let rolling =
            Self { max_unavailable: update.field("maxUnavailable"), max_surge: update.field("maxSurge") };
        rolling.max_unavailable.count_or_percent();
        rolling.max_surge.count_or_percent();
        rolling.max_unavailable.at_most_all();
        rolling
    }

    /// Whether pods may be missing.
    pub fn is_unavailable(&self) -> bool {
        !is_none(self.max_unavailable)
    }

    /// Whether there may be too many.
    pub fn is_surging(&self) -> bool {
        !is_none(self.max_surge)
    }
}

/// A way of replacing pods that is none of the known ones.
pub(crate) fn unknown_strategy(strategy: At<'_>, known: &[&str]) {
    strategy.report(|path| FieldError::not_supported(path, internal::strategy(strategy), known));
}

/// An amount of pods that is not nothing and not more than all.
pub fn some_of(amount: At<'_>) {
    if !amount.is_set() {
        return;
    }
    amount.count_or_percent();
    if is_none(amount) {
        amount.invalid("cannot be 0");
    }
    amount.at_most_all();
}

/// A selector that must be there, and must not select everything; `of` is the kind whose pods it selects.
pub fn required_selector(selector: At<'_>, of: &str) {
    if !selector.is_set() {
        return selector.required("");
    }
    selector.label_selector();
    if selector.selects_all() {
        selector.invalid_value(internal::selector(selector), &format!("empty selector is invalid for {of}"));
    }
}

/// The selector must select what the template makes. Returns whether it is a selector at all.
pub fn selects_template(selector: At<'_>, template: At<'_>) -> bool {
    let labels = template.field("metadata").field("labels");
    let selected = selects(selector, labels);
    if selected == Some(false) {
        labels.invalid_value(internal::labels(labels), "`selector` does not match template `labels`");
    }
    selected.is_some()
}

/// Counts of a status, none of which is negative.
pub fn counts(status: At<'_>, fields: &[&'static str]) {
    fields.iter().for_each(|field| status.field(field).non_negative());
}

/// Counts of a status that are parts of its replicas.
pub fn parts_of_replicas(status: At<'_>, fields: &[&'static str], ready: &str) {
    let count = |field: &'static str| status.field(field).number();
    for field in fields.iter().filter(|field| count(field) > count("replicas")) {
        status.field(field).invalid_value(count(field), BEYOND_REPLICAS);
    }
    if count("availableReplicas") > count("readyReplicas") {
        status.field("availableReplicas").invalid(&format!("cannot be greater than {ready}"));
    }
}

/// A count that only grows.
pub fn not_decremented(new: At<'_>, old: At<'_>) {
    if old.is_set() && new.int().is_none_or(|count| count < old.number()) {
        new.invalid_value(new.number(), "cannot be decremented");
    }
}
