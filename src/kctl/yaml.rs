//! Values as YAML that old and new parsers read alike: what YAML 1.1 would take for something else than text is
//! quoted, as kubectl does it.

use serde_json::Value;

/// A value as a document, members in the order that they have.
pub fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(_) | Value::Array(_) if !is_empty(value) => block(value, 0, &mut out),
        value => out.push_str(&format!("{}\n", inline(value, 0))),
    }
    out
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(|members| members.is_empty())
        || value.as_array().is_some_and(|items| items.is_empty())
}

/// Members or items, one a line.
fn block(value: &Value, level: usize, out: &mut String) {
    let indent = "  ".repeat(level);
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                out.push_str(&format!("{indent}{}:", key(name)));
                member(value, level, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut inner = String::new();
                match item {
                    Value::Object(_) | Value::Array(_) if !is_empty(item) => {
                        block(item, level + 1, &mut inner)
                    }
                    item => inner = format!("{indent}  {}\n", inline(item, level)),
                }
                // The dash takes the place of the indent.
                out.push_str(&format!("{indent}- {}", &inner[indent.len() + 2..]));
            }
        }
        _ => {}
    }
}

fn member(value: &Value, level: usize, out: &mut String) {
    match value {
        value if is_empty(value) => out.push_str(&format!(" {}\n", inline(value, level))),
        Value::Object(_) => {
            out.push('\n');
            block(value, level + 1, out);
        }
        // Items stand as far left as the name of their list.
        Value::Array(_) => {
            out.push('\n');
            block(value, level, out);
        }
        value => out.push_str(&format!(" {}\n", inline(value, level))),
    }
}

fn inline(value: &Value, level: usize) -> String {
    match value {
        Value::String(value) => text(value, level),
        // Null, numbers, empty objects and lists are the same in JSON.
        other => other.to_string(),
    }
}

/// A name stays on its line.
fn key(name: &str) -> String {
    if name.contains('\n') { Value::from(name).to_string() } else { text(name, 0) }
}

fn text(value: &str, level: usize) -> String {
    let is_printable = !value.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
    if value.is_empty() || is_something_else(value) || !is_printable {
        return Value::from(value).to_string();
    }
    if value.contains('\n') {
        return literal(value, level);
    }
    if is_plain(value) { value.to_owned() } else { format!("'{}'", value.replace('\'', "''")) }
}

/// Lines as they are, under a sign that says how many line ends follow.
fn literal(value: &str, level: usize) -> String {
    if value.starts_with([' ', '\n']) || value.trim().is_empty() {
        return Value::from(value).to_string();
    }
    let body = value.trim_end_matches('\n');
    let sign = match value.len() - body.len() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    };
    let indent = "  ".repeat(level + 1);
    let lines = value.strip_suffix('\n').unwrap_or(value).split('\n');
    let lines = lines.map(|line| if line.is_empty() { String::new() } else { format!("{indent}{line}") });
    format!("{sign}\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// What YAML 1.1 reads as true, false or null.
const WORDS: &[&str] = &["", "~", "false", "n", "no", "null", "off", "on", "true", "y", "yes"];

/// Whether YAML 1.1 would read a number, a moment, true, false or null.
fn is_something_else(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let digits = value.trim_start_matches(['-', '+']).replace('_', "");
    let is_number =
        digits.parse::<f64>().is_ok() && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let has_base = ["0x", "0b", "0o"].iter().any(|base| digits.to_ascii_lowercase().starts_with(base));
    let is_time = |sign: char, parts: usize| {
        digits.split(sign).count() >= parts
            && digits.split(sign).take(parts).all(|part| part.starts_with(|c: char| c.is_ascii_digit()))
            && digits.chars().all(|c| c.is_ascii_digit() || ":-+.TtZz ".contains(c))
    };
    WORDS.contains(&lower.as_str())
        || matches!(lower.trim_start_matches(['-', '+']), ".inf" | ".nan")
        || is_number
        || has_base
        || is_time(':', 2)
        || is_time('-', 3)
}

/// Whether it can stand without quotes.
fn is_plain(value: &str) -> bool {
    let first = value.chars().next().unwrap_or(' ');
    let second = value.chars().nth(1).unwrap_or(' ');
    let begins_well = !("#,[]{}&*!|>'\"%@` \t".contains(first) || "-?:".contains(first) && second == ' ');
    begins_well
        && !value.contains(": ")
        && !value.contains(" #")
        && !value.contains('\t')
        && !value.ends_with([':', ' '])
        && !value.starts_with("---")
        && !value.starts_with("...")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn values_as_kubectl_writes_them() {
        let value = json!({
            "a": {"b": [1, "x", {"c": true, "d": ["e", []]}], "n": null, "o": {}},
            "texts": ["true", "1", "1.5", "2026-11-22T04:49:54Z", "12:30:45", "no", "", "i:1", "a: b", "a #b", "- a", "*a", "it's", "x:", "0x1f", "1Gi", "10.0.0.1", "-a", "v1", "é", "25%", "%a", "100m"],
            "many": "a\n  b\n\nc\n", "open": "a\nb", "more": "a\n\n", "odd": " a\nb", "tab": "a\tb", "bell": "\u{7}",
            "k: v": 1.5,
        });
        expect![[r#"
            a:
              b:
              - 1
              - x
              - c: true
                d:
                - e
                - []
              "n": null
              o: {}
            texts:
            - "true"
            - "1"
            - "1.5"
            - "2026-11-22T04:49:54Z"
            - "12:30:45"
            - "no"
            - ""
            - i:1
            - 'a: b'
            - 'a #b'
            - '- a'
            - '*a'
            - it's
            - 'x:'
            - "0x1f"
            - 1Gi
            - 10.0.0.1
            - -a
            - v1
            - é
            - 25%
            - '%a'
            - 100m
            many: |
              a
                b

              c
            open: |-
              a
              b
            more: |+
              a

            odd: " a\nb"
            tab: 'a	b'
            bell: "\u0007"
            'k: v': 1.5
        "#]]
        .assert_eq(&document(&value));
    }

    fn tree() -> impl Strategy<Value = Value> {
        let word = prop::sample::select(vec![
            "a", "no", "1", "a: b", "- a", "x\ny\n", " x\n", "\n", "#", "a\n\nb", "'", "\"", "~", "1e3",
            "0o7", "é\n", "---", "a\tb", "\t", "-", "?", "x\n y", "a\n\n",
        ]);
        let leaf = prop_oneof![
            word.clone().prop_map(Value::from),
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((word.clone(), inner), 0..4).prop_map(|members| {
                    members
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect::<Map<_, _>>()
                        .into()
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_reads_back_as_it_was(value in tree()) {
            let text = document(&value);
            let read = api::decode::yaml(text.as_bytes()).map(|decoded| decoded.value);
            prop_assert_eq!(read, Ok(value), "{}", text);
        }
    }
}
