//! Numbers as Go reads them, and what it says about text that is none.

use crate::field_error::quoted;

/// A whole number.
///
/// # Errors
/// Go's words for text that is none, or that is too large.
pub fn parse_int(text: &str) -> Result<i64, String> {
    text.parse().map_err(|error| refusal("ParseInt", text, &error))
}

/// A whole number that has no sign.
///
/// # Errors
/// Go's words for text that is none, or that is too large.
pub fn parse_uint(text: &str) -> Result<u64, String> {
    // Rust takes a plus, Go does not.
    let digits = if text.starts_with('+') { "" } else { text };
    digits.parse().map_err(|error| refusal("ParseUint", text, &error))
}

fn refusal(function: &str, text: &str, error: &std::num::ParseIntError) -> String {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let why = match error.kind() {
        NegOverflow | PosOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.{function}: parsing {}: {why}", quoted(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_number() {
        assert_eq!((parse_int("-5"), parse_int("+5"), parse_uint("5")), (Ok(-5), Ok(5), Ok(5)));
        let cases = [
            (parse_int("").err(), r#"strconv.ParseInt: parsing "": invalid syntax"#),
            (parse_int("a\"b").err(), r#"strconv.ParseInt: parsing "a\"b": invalid syntax"#),
            (parse_int("1e3").err(), r#"strconv.ParseInt: parsing "1e3": invalid syntax"#),
            (
                parse_int("9223372036854775808").err(),
                r#"strconv.ParseInt: parsing "9223372036854775808": value out of range"#,
            ),
            (parse_uint("-1").err(), r#"strconv.ParseUint: parsing "-1": invalid syntax"#),
            (parse_uint("+1").err(), r#"strconv.ParseUint: parsing "+1": invalid syntax"#),
        ];
        for (refused, expect) in cases {
            assert_eq!(refused.as_deref(), Some(expect));
        }
    }
}
