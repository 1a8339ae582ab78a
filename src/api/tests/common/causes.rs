//! Causes of refusals in a form that can be compared.

use serde_json::Value;

/// A cause: its field, its reason and its message.
pub type Cause = (String, String, String);

fn sorted(causes: impl IntoIterator<Item = Cause>) -> Vec<Cause> {
    let mut causes: Vec<_> = causes.into_iter().collect();
    causes.sort();
    causes
}

pub fn theirs(told: &Value) -> Vec<Cause> {
    let word = |cause: &Value, name: &str| cause[name].as_str().unwrap_or_default().to_owned();
    let causes = told["object"]["causes"].as_array().into_iter().flatten();
    sorted(causes.map(|cause| (word(cause, "field"), word(cause, "reason"), word(cause, "message"))))
}

pub fn ours(errors: &[api::FieldError]) -> Vec<Cause> {
    sorted(errors.iter().map(|error| {
        let cause = error.cause();
        (cause.field, cause.reason.to_owned(), cause.message)
    }))
}
