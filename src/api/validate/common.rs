//! Rules that fields of many kinds share.

use serde_json::Value;

use crate::names::{self, NameCheck};
use crate::quantity::Quantity;
use crate::validate::at::At;
use crate::validate::internal;
use crate::validate::text::{self, TextCheck};

/// The text for numbers below zero.
pub const NEGATIVE: &str = "must be greater than or equal to 0";
/// The text for what may not change.
pub const IMMUTABLE: &str = "field is immutable";

const PORT_MAX: i64 = 65_535;

impl At<'_> {
    /// Tells what is wrong with the text.
    pub fn check(self, check: TextCheck) {
        for wrong in check(self.text()) {
            self.invalid_value(self.text(), &wrong);
        }
    }

    /// Tells what is wrong with the text as a name.
    pub fn check_name(self, check: NameCheck) {
        for wrong in check(self.text(), false) {
            self.invalid_value(self.text(), &wrong);
        }
    }

    /// A name that must be there.
    pub fn require_name(self, check: NameCheck) {
        if self.text().is_empty() { self.required("") } else { self.check_name(check) }
    }

    /// Text that must be there. Returns whether it is.
    pub fn require_text(self) -> bool {
        if self.text().is_empty() {
            self.required("");
        }
        !self.text().is_empty()
    }

    /// Text that must be one of these, and must be there.
    pub fn require_one_of(self, supported: &[&str]) {
        if self.require_text() {
            self.one_of(supported);
        }
    }

    /// Text that must be one of these.
    pub fn one_of(self, supported: &[&str]) {
        if !supported.contains(&self.text()) {
            self.report(|path| crate::FieldError::not_supported(path, self.text(), supported));
        }
    }

    /// A whole number that is not below zero; nothing counts as zero.
    pub fn non_negative(self) {
        if self.number() < 0 {
            self.invalid(NEGATIVE);
        }
    }

    /// A whole number above zero.
    pub fn positive(self) {
        if self.number() <= 0 {
            self.invalid_value(self.number(), "must be greater than zero");
        }
    }

    /// A whole number between two, both included.
    pub fn between(self, low: i64, high: i64) {
        if !(low..=high).contains(&self.number()) {
            self.invalid_value(self.number(), &text::range(low, high));
        }
    }

    /// The number of a port.
    pub fn port_number(self) {
        self.between(1, PORT_MAX);
    }

    /// The number of a port, or the name of one.
    pub fn port_number_or_name(self) {
        match self.int() {
            None if self.is_set() => self.check(text::port_name),
            _ => self.port_number(),
        }
    }

    /// An amount that is not below zero.
    pub fn quantity_non_negative(self) {
        if self.quantity().is_some_and(|quantity| quantity < Quantity::ZERO) {
            self.invalid(NEGATIVE);
        }
    }

    /// A whole number that is not below zero, or a percentage.
    pub fn count_or_percent(self) {
        match self.int() {
            None if self.is_set() => self.check(text::percent),
            _ => self.non_negative(),
        }
    }

    /// At most 100 percent, where it is a percentage.
    pub fn at_most_all(self) {
        if percent_of(self).is_some_and(|percent| percent > 100) {
            self.invalid("must not be greater than 100%");
        }
    }

    /// The selector must be that of the old object.
    pub fn immutable_selector(self, old: At<'_>) {
        let is_same = |field| self.field(field).equals(old.field(field));
        if self.is_set() != old.is_set() || !is_same("matchLabels") || !is_same("matchExpressions") {
            self.invalid_value(internal::selector(self), IMMUTABLE);
        }
    }

    /// The value must be that of the old object; it is shown as nothing where there is none.
    pub fn immutable_pointer(self, old: At<'_>) {
        if self.value() != old.value() {
            self.invalid_value(self.value().cloned().unwrap_or_default(), IMMUTABLE);
        }
    }

    /// The value must be that of the old object.
    pub fn immutable(self, old: At<'_>) {
        if !self.equals(old) {
            self.invalid(IMMUTABLE);
        }
    }

    /// The same, where the error does not show the value.
    pub fn immutable_unshown(self, old: At<'_>) {
        if !self.equals(old) {
            self.invalid_value(Value::Null, IMMUTABLE);
        }
    }

    /// Whether both places hold the same; empty is the same as nothing.
    pub fn equals(self, other: At<'_>) -> bool {
        self.value() == other.value() || (self.is_empty() && other.is_empty())
    }

    /// The key of a label, or of what is named like one.
    pub fn label_key(self) {
        self.check(names::qualified);
    }

    /// A map of labels.
    pub fn labels(self) {
        for (key, value) in self.entries() {
            for wrong in names::qualified(key) {
                self.invalid_value(key, &wrong);
            }
            for wrong in names::label_value(value.text()) {
                self.invalid_value(value.text(), &wrong);
            }
        }
    }

    /// A selector of labels: `matchLabels` and `matchExpressions`.
    pub fn label_selector(self) {
        self.field("matchLabels").labels();
        for expression in self.field("matchExpressions").items() {
            selector_requirement(expression);
            for value in expression.field("values").items() {
                value.check(names::label_value);
            }
        }
    }

    /// The same, where values that are no labels may stand for as long as they stand already.
    pub fn label_selector_with_any_values(self) {
        self.field("matchLabels").labels();
        self.field("matchExpressions").items().for_each(selector_requirement);
    }

    /// Whether a selector of labels selects everything.
    pub fn selects_all(self) -> bool {
        self.field("matchLabels").count() + self.field("matchExpressions").count() == 0
    }

    /// Whether a selector names values that no label has.
    pub fn has_odd_label_values(self) -> bool {
        let odd = |value: At<'_>| !names::label_value(value.text()).is_empty();
        self.field("matchExpressions").items().any(|expression| expression.field("values").items().any(odd))
    }
}

/// Whether a selector of labels matches `labels`; `None` where the selector is none.
pub fn selects(selector: At<'_>, labels: At<'_>) -> Option<bool> {
    if !selector.is_set() {
        return Some(false);
    }
    let is_label =
        |key: &str, value: &str| names::qualified(key).is_empty() && names::label_value(value).is_empty();
    let mut matches = true;
    for (key, value) in selector.field("matchLabels").entries() {
        if !is_label(key, value.text()) {
            return None;
        }
        matches &= labels.key(key).is_set() && labels.key(key).text() == value.text();
    }
    for expression in selector.field("matchExpressions").items() {
        let (key, values) = (expression.field("key").text(), expression.field("values"));
        let label = labels.map().and_then(|labels| labels.get(key)).and_then(serde_json::Value::as_str);
        let listed = label.is_some_and(|label| values.items().any(|value| value.text() == label));
        matches &= match (expression.field("operator").text(), values.count()) {
            ("In", 1..) => listed,
            ("NotIn", 1..) => !listed,
            ("Exists", 0) => label.is_some(),
            ("DoesNotExist", 0) => label.is_none(),
            _ => return None,
        };
        if !is_label(key, "") || values.items().any(|value| !is_label("a", value.text())) {
            return None;
        }
    }
    Some(matches)
}

fn selector_requirement(expression: At<'_>) {
    let (operator, values) = (expression.field("operator"), expression.field("values"));
    match operator.text() {
        "In" | "NotIn" if values.count() == 0 => {
            values.required("must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if values.count() > 0 => {
            values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ => operator.invalid("not a valid selector operator"),
    }
    expression.field("key").label_key();
}

/// The number of a percentage, if it is one.
pub fn percent_of(at: At<'_>) -> Option<i64> {
    let text = at.text();
    if text::percent(text).is_empty() { text.trim_end_matches('%').parse().ok() } else { None }
}
