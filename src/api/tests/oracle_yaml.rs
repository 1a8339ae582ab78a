//! Objects in YAML: what clients read is what is stored.

mod common;

use api::{RESOURCES, yaml};
use common::oracle::{Oracle, sample};
use serde_json::{Value, json};

/// Text that some take for something else.
const WORDS: &[&str] = &[
    "",
    " ",
    "y",
    "N",
    "yes",
    "No",
    "on",
    "OFF",
    "true",
    "null",
    "~",
    "1",
    "-1",
    "+1",
    ".5",
    "1.0",
    "1e3",
    "0x1f",
    "0o7",
    "012",
    "0b1",
    "1_000",
    "1:30",
    ".inf",
    ".NaN",
    "nan",
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "=",
    "<<",
    "a: b",
    "a #b",
    "#c",
    "- d",
    "-",
    "--- ",
    "...",
    "?",
    "!t",
    "&a",
    "*a",
    "|",
    ">",
    "%d",
    "@e",
    "`f",
    "{",
    "[x]",
    "'q'",
    "\"q\"",
    "\\",
    " lead",
    "trail ",
    "two\nlines\n",
    "tab\t",
    "\u{7f}",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "\u{e4}\u{1f600}",
    "a,b",
];

fn check(oracle: &mut Oracle, given: &Value) {
    let text = yaml::from_json(given.to_string().as_bytes()).expect("JSON");
    let text = String::from_utf8(text).expect("text");
    let told = oracle.ask(&json!({"operation": "yaml", "text": text}));
    assert_eq!(told.get("error"), None, "{text}");
    assert_eq!(told["object"], *given, "{text}");
    let read = api::decode::yaml(text.as_bytes()).expect("our own is read").value;
    assert_eq!(read, *given, "{text}");
}

#[test]
fn yaml_says_what_the_json_does() {
    let Some(mut oracle) = Oracle::start() else { return };
    for word in WORDS {
        check(&mut oracle, &json!({"a": word, "b": [word, [word]], "c": [{"x": word}]}));
        check(&mut oracle, &json!({*word: {*word: [{*word: 1}]}}));
    }
    for row in RESOURCES.iter() {
        for seed in 0..10 {
            let (_, tree) = sample(row, seed);
            check(&mut oracle, &Value::Object(tree));
        }
    }
}

/// Documents in which keys are given again.
const REPEATED: &[&str] = &[
    "a: 1\na: 2\n",
    "a: 1\nb: 2\n",
    "a: 1\n\na:\n  b: {c: 1, c: 2}\n  # more\n  b: 3\na:\n- 1\n",
    "{\"a\": 1, \"a\": [{\"b\": 1, \"b\": 2}, {\"b\": 3}]}",
    "list:\n- name: x\n  name: |\n    long\n    text\n-\n  name: y\n  name:\n    y\n",
    "1: one\n\"1\": text\n1: two\n",
    "true: 1\ntrue: 2\n'true': 3\n",
    "\"a b\\n\": 1\n\"a b\\n\": 2\n\"\u{e4}\": 1\n\"\u{e4}\": 2\n",
    "a: &x {b: 1}\nb: &y 1\nb: 2\na: &z\n  - 1\n",
    "a: {}\na: {}\na: []\na: ''\na:",
    "a: &x\n  b: 1\nc: 2\nc: *x\nc:\n  *x\n\"\u{e4}\": &y 1\nd: {e: 1, e: *y}\nf: [*x, {g: *y, g: 1}]\n",
    "a: &x {b: 1, b: 2}\nc: *x\nc:\n  # more\n  *x\n",
];

/// Escapes, in a document in which they may stand on any line.
const ESCAPES: &[&str] = &[
    "a: \"ESC\"\n",
    "a:\n- \"x ESC y\"\n",
    "{\"a\": \"ESC\"}",
    "{\"a\": 1,\n \"b\": \"\\\\ESC\"}",
    "a: ESC\nb: 'ESC'\nc: |\n  ESC\n# ESC \"ESC\n",
    "a: \"\\\\/\"\nb: \"/\"\n",
];

#[test]
fn escapes_are_those_of_go() {
    let Some(mut oracle) = Oracle::start() else { return };
    // Go takes a single quote for an escape, too: that is not reproduced.
    let letters = (' '..='~').filter(|letter| *letter != '\'');
    for (letter, document) in letters.flat_map(|letter| ESCAPES.iter().map(move |of| (letter, of))) {
        let text = document.replace("ESC", &format!("\\{letter}"));
        let told = oracle.ask(&json!({"operation": "yaml", "text": text}));
        let ours = api::decode::yaml(text.as_bytes()).map(|decoded| decoded.value);
        match (ours, told.get("error").and_then(Value::as_str)) {
            (Ok(ours), None) => assert_eq!(ours, told["object"], "{text}"),
            (Err(ours), Some(theirs)) => {
                assert_eq!(ours.to_string(), format!("error converting YAML to JSON: {theirs}"), "{text}");
            }
            (ours, _) => panic!("{text}: {ours:?} / {told}"),
        }
    }
}

#[test]
fn keys_that_are_given_again_are_told_as_go_tells_them() {
    let Some(mut oracle) = Oracle::start() else { return };
    for text in REPEATED {
        let told = oracle.ask(&json!({"operation": "yaml-strict", "text": text}));
        let ours = api::decode::repeated(text.as_bytes());
        assert_eq!(ours.as_deref(), told.get("error").and_then(Value::as_str), "{text}");
    }
}
