//! YAML that is JSON, as most of what programs send: it is read in a quarter of the time.

use serde_json::Value;

use super::Walk;

/// How far behind the beginning of a name its colon may stand, less a little. A reader of YAML gives up after 1,024.
const NAME_BYTES_MAX: usize = 1_000;

/// The tree of a document. `None` where YAML may read it otherwise, or not at all: numbers that are not whole here may be
/// so there.
pub(super) fn read(bytes: &[u8]) -> Option<Value> {
    if !bytes.starts_with(b"{") || !has_only_common_characters(bytes) || !has_only_simple_names(bytes) {
        return None;
    }
    let mut walk = Walk::default();
    let value = walk.json(bytes).ok()?;
    (walk.odd.is_empty() && !walk.has_fractions).then_some(value)
}

/// Whether YAML takes each character for what JSON does: it has neither escapes of surrogates and slashes nor U+007F to
/// U+009F nor U+FFFE and U+FFFF, and ends a line at U+0085, U+2028 and U+2029.
fn has_only_common_characters(json: &[u8]) -> bool {
    !json.windows(3).any(|three| {
        matches!(
            three,
            [b'\\', b'u', b'd' | b'D']
                | [b'\\', b'/', _]
                | [0x7f, ..]
                | [0xc2, 0x80..=0x9f, _]
                | [0xe2, 0x80, 0xa8 | 0xa9]
                | [0xef, 0xbf, 0xbe | 0xbf]
        )
    })
}

/// Whether each name has its colon near it, on the same line.
fn has_only_simple_names(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(begin) = rest.iter().position(|byte| *byte == b'"') {
        let text = &rest[begin..];
        let behind = &text[length(text)..];
        let token = behind.trim_ascii_start();
        let gap = &behind[..behind.len() - token.len()];
        let is_near =
            text.len() - token.len() <= NAME_BYTES_MAX && !gap.contains(&b'\n') && !gap.contains(&b'\r');
        if token.starts_with(b":") && !is_near {
            return false;
        }
        rest = token;
    }
    true
}

/// How long a text in quotes is, with them.
fn length(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decode;

    #[test]
    fn what_yaml_reads_the_same_is_read() {
        let long = "x".repeat(2 * NAME_BYTES_MAX);
        let cases = [
            (
                r#"{"a": -1, "b": [1, true], "c": "\u00e4\"\\"}"#.to_owned(),
                json!({"a": -1, "b": [1, true], "c": "ä\"\\"}),
            ),
            ("{\"a\" : \"\u{e000}\u{1f600}\u{a0}\"}".to_owned(), json!({"a": "\u{e000}\u{1f600}\u{a0}"})),
            (format!(r#"{{"a": "{long}", "b": ["{long}"]}}"#), json!({"a": long, "b": [long]})),
        ];
        for (text, expect) in cases {
            assert_eq!(read(text.as_bytes()), Some(expect), "{text}");
        }
    }

    /// With what the reader of YAML makes of each: nothing where Go refuses it too.
    #[test]
    fn what_yaml_reads_otherwise_is_left_to_its_reader() {
        let name = "x".repeat(NAME_BYTES_MAX);
        let escapes = r"\u0061".repeat(NAME_BYTES_MAX / 5);
        let refused = [
            r#"{"a": "\ud83d\ude00"}"#.to_owned(),
            r#"{"a": "\uD83D\uDE00"}"#.to_owned(),
            r#"{"a": "\/"}"#.to_owned(),
            r#"{"a": "\\\/"}"#.to_owned(),
            "{\"a\": \"\u{7f}\"}".to_owned(),
            "{\"a\": \"\u{80}\"}".to_owned(),
            "{\"a\": \"\u{9f}\"}".to_owned(),
            "{\"a\": \"\u{fffe}\"}".to_owned(),
            "{\"a\": \"\u{ffff}\"}".to_owned(),
            "{\"a\"\n: 1}".to_owned(),
            format!(r#"{{"a": {{"{name}{name}": 1}}}}"#),
            format!(r#"{{"{escapes}": 1}}"#),
            format!(r#"{{"a"{}: 1}}"#, " ".repeat(2 * NAME_BYTES_MAX)),
        ];
        for text in refused {
            assert!(decode::json(text.as_bytes()).is_ok(), "{text}");
            assert_eq!(read(text.as_bytes()), None, "{text}");
            assert!(decode::yaml(text.as_bytes()).is_err(), "{text}");
        }
        let otherwise = [
            ("{\"a\": \"b\u{85}c\"}".to_owned(), json!({"a": "b c"})),
            (format!(r#"{{"{name}": 1}}"#), json!({name: 1})),
            (r#"{"a": "\\/"}"#.to_owned(), json!({"a": r"\/"})),
            (r#"{"a": 1, "a": 2}"#.to_owned(), json!({"a": 2})),
            (r#"{"a": -0, "b": 1.5}"#.to_owned(), json!({"a": 0, "b": 1.5})),
            ("[1]".to_owned(), json!([1])),
        ];
        for (text, expect) in otherwise {
            assert_eq!(read(text.as_bytes()), None, "{text}");
            assert_eq!(decode::yaml(text.as_bytes()).expect("YAML").value, expect, "{text}");
        }
    }
}
