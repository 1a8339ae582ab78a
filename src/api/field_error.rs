//! What is wrong with one field, in Kubernetes' words.

use std::fmt;

use serde_json::Value;

use crate::status::Cause;

/// The kinds of mistakes a field can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    Forbidden,
    Invalid,
    NotSupported,
    Required,
    TooLong,
}

impl Mistake {
    /// The cause's reason, and the first words of its message.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Forbidden => ("FieldValueForbidden", "Forbidden"),
            Self::Invalid => ("FieldValueInvalid", "Invalid value"),
            Self::NotSupported => ("FieldValueNotSupported", "Unsupported value"),
            Self::Required => ("FieldValueRequired", "Required value"),
            Self::TooLong => ("FieldValueTooLong", "Too long"),
        }
    }
}

/// One mistake, with the path of its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    field: String,
    mistake: Mistake,
    /// JSON of the value, where the text shows it.
    value: Option<String>,
    detail: String,
}

impl FieldError {
    fn new(field: &str, mistake: Mistake, value: Option<Value>, detail: &str) -> Self {
        Self {
            field: field.into(),
            mistake,
            value: value.map(|value| value.to_string()),
            detail: detail.into(),
        }
    }

    /// The value breaks a rule.
    pub fn invalid(field: &str, value: impl Into<Value>, detail: &str) -> Self {
        Self::new(field, Mistake::Invalid, Some(value.into()), detail)
    }

    /// A value must be there.
    pub fn required(field: &str, detail: &str) -> Self {
        Self::new(field, Mistake::Required, None, detail)
    }

    /// A value is fine in itself and may not be set here or now.
    pub fn forbidden(field: &str, detail: &str) -> Self {
        Self::new(field, Mistake::Forbidden, None, detail)
    }

    /// The value is none of those that exist.
    pub fn not_supported(field: &str, value: &str, supported: &[&str]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
        let detail = format!("supported values: {}", quoted.join(", "));
        Self::new(field, Mistake::NotSupported, Some(value.into()), &detail)
    }

    /// The value has more than `bytes_max` bytes; the text does not repeat it.
    pub fn too_long(field: &str, bytes_max: usize) -> Self {
        Self::new(field, Mistake::TooLong, None, &format!("may not be more than {bytes_max} bytes"))
    }

    /// The same as the cause of a `Status`.
    pub fn cause(&self) -> Cause {
        Cause { reason: self.mistake.words().0, message: self.body(), field: self.field.clone() }
    }

    fn body(&self) -> String {
        let mut body = self.mistake.words().1.to_owned();
        for part in [self.value.as_deref().unwrap_or_default(), &self.detail] {
            if !part.is_empty() {
                body.push_str(": ");
                body.push_str(part);
            }
        }
        body
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}
