//! What is wrong with one field, in Kubernetes' words.

use std::fmt::{self, Write as _};

use serde_json::Value;

use crate::resource::Declared;
use crate::status::Cause;

/// The kinds of mistakes a field can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    Duplicate,
    Forbidden,
    Internal,
    Invalid,
    NotFound,
    NotSupported,
    Required,
    TooFew,
    TooLong,
    TooMany,
    TooShort,
    TypeInvalid,
}

impl Mistake {
    /// The cause's reason, and the first words of its message.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Duplicate => ("FieldValueDuplicate", "Duplicate value"),
            Self::Forbidden => ("FieldValueForbidden", "Forbidden"),
            Self::Internal => ("InternalError", "Internal error"),
            Self::Invalid => ("FieldValueInvalid", "Invalid value"),
            Self::NotFound => ("FieldValueNotFound", "Not found"),
            Self::NotSupported => ("FieldValueNotSupported", "Unsupported value"),
            Self::Required => ("FieldValueRequired", "Required value"),
            Self::TooFew => ("FieldValueTooFew", "Too few"),
            Self::TooLong => ("FieldValueTooLong", "Too long"),
            Self::TooMany => ("FieldValueTooMany", "Too many"),
            Self::TooShort => ("FieldValueTooShort", "Too short"),
            Self::TypeInvalid => ("FieldValueTypeInvalid", "Invalid value"),
        }
    }
}

/// One mistake, with the path of its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    field: String,
    mistake: Mistake,
    /// The value, where the text shows it.
    value: Option<String>,
    detail: String,
}

impl FieldError {
    fn new(field: &str, mistake: Mistake, value: Option<Value>, detail: &str) -> Self {
        Self { field: field.into(), mistake, value: value.as_ref().map(shown), detail: detail.into() }
    }

    /// Shows a value that has no type in Go as Go shows it: maps are sorted.
    pub(crate) fn showing(mut self, value: &Value) -> Self {
        if value.is_array() || value.is_object() {
            let mut json = Vec::new();
            crate::encode::any(&mut json, value);
            self.value = Some(escaped(&String::from_utf8_lossy(&json)));
        }
        self
    }

    /// The value stands elsewhere already.
    pub fn duplicate(field: &str, value: impl Into<Value>) -> Self {
        Self::new(field, Mistake::Duplicate, Some(value.into()), "")
    }

    /// A value is fine in itself and may not be set here or now.
    pub fn forbidden(field: &str, detail: &str) -> Self {
        Self::new(field, Mistake::Forbidden, None, detail)
    }

    /// A mistake that is not the client's.
    pub fn internal(field: &str, detail: &str) -> Self {
        Self::new(field, Mistake::Internal, None, detail)
    }

    /// The value breaks a rule.
    pub fn invalid(field: &str, value: impl Into<Value>, detail: &str) -> Self {
        Self::new(field, Mistake::Invalid, Some(value.into()), detail)
    }

    /// The same, where the text does not show the value.
    pub fn invalid_omitted(field: &str, detail: &str) -> Self {
        Self::new(field, Mistake::Invalid, None, detail)
    }

    /// The value names what is not there.
    pub fn not_found(field: &str, value: impl Into<Value>) -> Self {
        Self::new(field, Mistake::NotFound, Some(value.into()), "")
    }

    /// The value is none of those that exist.
    pub fn not_supported(field: &str, value: impl Into<Value>, supported: &[&str]) -> Self {
        let listed: Vec<String> = supported.iter().map(|value| quoted(value)).collect();
        let detail = if listed.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", listed.join(", "))
        };
        Self::new(field, Mistake::NotSupported, Some(value.into()), &detail)
    }

    /// A value must be there.
    pub fn required(field: &str, detail: &str) -> Self {
        Self::new(field, Mistake::Required, None, detail)
    }

    /// The list has fewer than `items_min` items.
    pub fn too_few(field: &str, actual: usize, items_min: usize) -> Self {
        let detail = format!("must have at least {items_min} item{}", plural(items_min));
        Self::new(field, Mistake::TooFew, Some(actual.into()), &detail)
    }

    /// The value has more than `bytes_max` bytes; the text does not repeat it.
    pub fn too_long(field: &str, bytes_max: usize) -> Self {
        let detail = format!("may not be more than {bytes_max} byte{}", plural(bytes_max));
        Self::new(field, Mistake::TooLong, None, &detail)
    }

    /// The value has more than `characters_max` characters; the text does not repeat it.
    pub fn too_long_characters(field: &str, characters_max: usize) -> Self {
        let detail = format!("may not be more than {characters_max} character{}", plural(characters_max));
        Self::new(field, Mistake::TooLong, None, &detail)
    }

    /// The list has more than `items_max` items.
    pub fn too_many(field: &str, actual: usize, items_max: usize) -> Self {
        let detail = format!("must have at most {items_max} item{}", plural(items_max));
        Self::new(field, Mistake::TooMany, Some(actual.into()), &detail)
    }

    /// The value has fewer than `characters_min` characters.
    pub fn too_short(field: &str, characters_min: usize) -> Self {
        let detail = format!("must be at least {characters_min} character{}", plural(characters_min));
        Self::new(field, Mistake::TooShort, None, &detail)
    }

    /// The value is of the wrong type.
    pub fn type_invalid(field: &str, value: impl Into<Value>, detail: &str) -> Self {
        Self::new(field, Mistake::TypeInvalid, Some(value.into()), detail)
    }

    /// The same of a value that stands within another, at `path`.
    #[must_use]
    pub fn within(mut self, path: &str) -> Self {
        if !path.is_empty() {
            self.field = format!("{path}.{}", self.field);
        }
        self
    }

    /// Says more about the mistake.
    #[must_use]
    pub fn with_detail(mut self, detail: &str) -> Self {
        detail.clone_into(&mut self.detail);
        self
    }

    /// Whether this is what a declared rule says.
    pub(crate) fn is_of(&self, (field, words): Declared) -> bool {
        let unnumbered =
            |part: &str| part.trim_start_matches(|letter: char| letter.is_ascii_digit()).to_owned();
        let mut parts = self.field.split('[');
        let first = parts.next().unwrap_or_default().to_owned();
        let place = parts.fold(first, |place, part| place + "[" + &unnumbered(part));
        place == field && self.body().contains(words)
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

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Text as Go quotes it, anything else as Go's JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Number(number) if number.is_f64() => go_float(number.as_f64().unwrap_or_default()),
        Value::Array(_) | Value::Object(_) => escaped(&value.to_string()),
        _ => value.to_string(),
    }
}

/// JSON as Go writes it: without what HTML or JavaScript would read. These letters stand in strings alone.
pub fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        match letter {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    out
}

/// Text in quotes, as Go writes it.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        let written = match letter {
            '"' | '\\' => write!(out, "\\{letter}"),
            '\x07' => write!(out, "\\a"),
            '\x08' => write!(out, "\\b"),
            '\x0c' => write!(out, "\\f"),
            '\n' => write!(out, "\\n"),
            '\r' => write!(out, "\\r"),
            '\t' => write!(out, "\\t"),
            '\x0b' => write!(out, "\\v"),
            '\0'..='\x1f' | '\x7f' => write!(out, "\\x{:02x}", letter as u32),
            _ if is_printable(letter) => write!(out, "{letter}"),
            '\u{10000}'.. => write!(out, "\\U{:08x}", letter as u32),
            _ => write!(out, "\\u{:04x}", letter as u32),
        };
        written.expect("text grows in memory");
    }
    out.push('"');
    out
}

/// A number as Go's `%v` writes it.
pub(crate) fn go_float(number: f64) -> String {
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    match exponent {
        -4..6 => number.to_string(),
        _ => format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs()),
    }
}

fn is_printable(letter: char) -> bool {
    letter.is_ascii_graphic() || letter == ' ' || letter.escape_debug().count() == 1
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_and_reasons() {
        let cases = [
            (FieldError::duplicate("a", "b"), "FieldValueDuplicate", r#"a: Duplicate value: "b""#),
            (FieldError::forbidden("a", ""), "FieldValueForbidden", "a: Forbidden"),
            (FieldError::internal("a", "b"), "InternalError", "a: Internal error: b"),
            (FieldError::invalid("a", 1.5, "b"), "FieldValueInvalid", "a: Invalid value: 1.5: b"),
            (
                FieldError::invalid("a", "\u{1}\"\n", ""),
                "FieldValueInvalid",
                r#"a: Invalid value: "\x01\"\n""#,
            ),
            (
                FieldError::invalid("a", json!(["<"]), ""),
                "FieldValueInvalid",
                r#"a: Invalid value: ["\u003c"]"#,
            ),
            (FieldError::invalid("a", Value::Null, "b"), "FieldValueInvalid", "a: Invalid value: null: b"),
            (FieldError::not_found("a", "b"), "FieldValueNotFound", r#"a: Not found: "b""#),
            (
                FieldError::not_supported("a", "", &[]),
                "FieldValueNotSupported",
                r#"a: Unsupported value: """#,
            ),
            (
                FieldError::not_supported("a", "b", &["C", "D"]),
                "FieldValueNotSupported",
                r#"a: Unsupported value: "b": supported values: "C", "D""#,
            ),
            (FieldError::required("a", "b"), "FieldValueRequired", "a: Required value: b"),
            (FieldError::too_few("a", 0, 1), "FieldValueTooFew", "a: Too few: 0: must have at least 1 item"),
            (FieldError::too_long("a", 2), "FieldValueTooLong", "a: Too long: may not be more than 2 bytes"),
            (
                FieldError::too_long_characters("a", 1),
                "FieldValueTooLong",
                "a: Too long: may not be more than 1 character",
            ),
            (
                FieldError::too_many("a", 3, 2),
                "FieldValueTooMany",
                "a: Too many: 3: must have at most 2 items",
            ),
            (
                FieldError::too_short("a", 2),
                "FieldValueTooShort",
                "a: Too short: must be at least 2 characters",
            ),
            (FieldError::type_invalid("a", true, "b"), "FieldValueTypeInvalid", "a: Invalid value: true: b"),
        ];
        for (error, reason, text) in cases {
            assert_eq!((error.cause().reason, error.to_string().as_str()), (reason, text));
        }
    }
}
