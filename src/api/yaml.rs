//! JSON as YAML, for people who read it and programs of any age: what one version of YAML takes for a number, a date or
//! a truth and another for text is always quoted.

use serde_json::Value;

/// The same document in block style, members sorted by name; `None` when the bytes are no JSON.
pub fn from_json(json: &[u8]) -> Option<Vec<u8>> {
    let mut document: Value = serde_json::from_slice(json).ok()?;
    document.sort_all_objects();
    let mut out = String::with_capacity(json.len() + json.len() / 4);
    value(&mut out, &document, 0, true);
    Some(out.into_bytes())
}

/// Writes a value, with what ends its line. A map or list within a list's item begins on the line of its dash.
fn value(out: &mut String, given: &Value, depth: usize, is_at_start: bool) {
    match given {
        Value::Object(map) if !map.is_empty() => {
            begin(out, is_at_start);
            for (at, (name, member)) in map.iter().enumerate() {
                indent(out, if at == 0 && is_at_start { 0 } else { depth });
                text(out, name);
                out.push(':');
                // The dashes of a list stand below the name of the member that it is.
                let inner = if member.is_array() { depth } else { depth + 1 };
                value(out, member, inner, false);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            begin(out, is_at_start);
            for (at, item) in items.iter().enumerate() {
                indent(out, if at == 0 && is_at_start { 0 } else { depth });
                out.push_str("- ");
                value(out, item, depth + 1, true);
            }
        }
        scalar => {
            if !is_at_start {
                out.push(' ');
            }
            match scalar {
                Value::String(given) => text(out, given),
                // Empty ones, numbers and the rest are written as in JSON.
                other => out.push_str(&other.to_string()),
            }
            out.push('\n');
        }
    }
}

fn begin(out: &mut String, is_at_start: bool) {
    if !is_at_start {
        out.push('\n');
    }
}

fn indent(out: &mut String, depth: usize) {
    (0..depth).for_each(|_| out.push_str("  "));
}

/// Plain where nobody takes it for anything but text, else quoted as in JSON.
fn text(out: &mut String, given: &str) {
    if is_plain(given) {
        return out.push_str(given);
    }
    out.push('"');
    for letter in given.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            // Not printable, or the end of a line to some.
            '\0'..' '
            | '\x7f'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Words that are something else to some.
const WORDS: &[&str] = &["false", "inf", "n", "nan", "no", "null", "off", "on", "true", "y", "yes"];

fn is_plain(given: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic();
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    given.bytes().next().is_some_and(is_letter)
        && given.bytes().all(is_inner)
        && !WORDS.contains(&given.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn block_style() {
        let given = json!({
            "kind": "X", "apiVersion": "v1", "none": {}, "empty": [], "n": -1.5, "t": true, "z": null,
            "list": [{"b": "x y", "a": [[1, "2"], []]}, "1e3", {}], "labels": {"a.b/c": "yes", "k": {"x": ""}},
        });
        let expect = "apiVersion: v1\nempty: []\nkind: X\nlabels:\n  a.b/c: \"yes\"\n  k:\n    x: \"\"\nlist:\n\
            - a:\n  - - 1\n    - \"2\"\n  - []\n  b: \"x y\"\n- \"1e3\"\n- {}\n\"n\": -1.5\nnone: {}\nt: true\nz: null\n";
        let told = from_json(given.to_string().as_bytes()).expect("JSON");
        assert_eq!(String::from_utf8(told).expect("text"), expect);
        assert_eq!(from_json(b"{"), None);
    }
}
