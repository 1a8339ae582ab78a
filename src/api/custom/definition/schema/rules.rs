//! Rules of the Common Expression Language.

use serde_json::Value;

use super::steps::steps;
use super::walk::Walk;
use super::{Props, structure};
use crate::custom::text;
use crate::field_error::FieldError;

impl Walk<'_> {
    /// Rules are kept as they are; here only their form is looked at.
    pub(super) fn validations(&mut self, props: &Props, path: &str) {
        const REASONS: [&str; 4] =
            ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
        let rules = props.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
        for (at, rule) in rules.enumerate() {
            let path = format!("{path}.x-kubernetes-validations[{at}]");
            let (expression, message) = (text(rule, "rule"), text(rule, "message"));
            let has_newline = |text: &str| text.trim().contains(['\n', '\r']);
            if expression.trim().is_empty() {
                self.required(&format!("{path}.rule"), "rule is not specified");
            } else if !message.is_empty() && message.trim().is_empty() {
                self.invalid(&format!("{path}.message"), message, "must be non-empty if specified");
            } else if has_newline(message) {
                self.invalid(&format!("{path}.message"), message, "must not contain line breaks");
            } else if has_newline(expression) && message.is_empty() {
                self.required(
                    &format!("{path}.message"),
                    "message must be specified if rule contains line breaks",
                );
            }
            let expression = text(rule, "messageExpression");
            if !expression.is_empty() && expression.trim().is_empty() {
                self.required(
                    &format!("{path}.messageExpression"),
                    "messageExpression must be non-empty if specified",
                );
            }
            if let Some(reason) =
                rule.get("reason").and_then(Value::as_str).filter(|one| !REASONS.contains(one))
            {
                self.errors.push(FieldError::not_supported(&format!("{path}.reason"), reason, &REASONS));
            }
            let given = text(rule, "fieldPath");
            let field = format!("{path}.fieldPath");
            if !given.is_empty() && given.trim().is_empty() {
                self.invalid(&field, given, "must be non-empty if specified");
            }
            if given.contains(['\n', '\r']) {
                self.invalid(&field, given, "must not contain line breaks");
            }
            if !given.is_empty()
                && structure::unreadable(props).is_none()
                && steps(given, props, true).is_err()
            {
                self.invalid(&field, given, "must be a valid path");
            }
        }
    }
}
