//! What holds for everything that a client may send. Fuzzing and the committed corpus run the same checks.

#![allow(dead_code, reason = "each user runs some of these")]

use std::sync::Arc;

use api::codec::{self, FieldValidation, Format};
use api::custom::formats;
use api::custom::json_path::JsonPath;
use api::custom::pattern::{self, Pattern};
use api::field_selector::FieldSelector;
use api::lens::Lens;
use api::selector::Selector;
use api::token::ContinueToken;
use api::{
    Key, Object, RESOURCES, Resource, cron, decode, duration, names, patch, proto, quantity, time, validate,
    write,
};
use serde_json::{Value, json};

/// The first byte chooses a resource, the second a format; the rest is a body. It is refused, or becomes an object
/// that reads back as it was written, in every form.
pub fn check_objects(bytes: &[u8]) {
    let [kind, format, body @ ..] = bytes else { return };
    let row = resource(*kind);
    let format = [Format::Json, Format::Yaml, Format::Protobuf][usize::from(format % 3)];
    let strict = codec::object(body, format, &row, FieldValidation::Strict);
    let Ok((mut object, warnings)) = codec::object(body, format, &row, FieldValidation::Warn) else {
        assert!(strict.is_err(), "strict accepts what is refused otherwise");
        return;
    };
    assert_eq!(strict.is_ok(), warnings.is_empty(), "{warnings:?}");
    object.meta.creation_timestamp = "2026-01-01T00:00:00Z".to_owned();
    reads_back(&object, &row);
    object.default(&row);
    let mut again = object.clone();
    again.default(&row);
    assert_eq!(again, object, "defaults are filled in once");
    let mut new = object.clone();
    write::create(&mut new, &row);
    reads_back(&new, &row);
    let _ = validate::create(&new, &row);
    let _ = validate::update(&object, &new, &row);
    let stored = row.stored();
    let lens = Lens::of(&row, "");
    if let Ok(kept) = lens.store(new, None) {
        let shown = lens.show(&kept.bytes(stored)).expect("what is stored can be shown");
        assert_eq!(shown.is_none(), lens.is_plain());
    }
}

/// Canonical bytes are the same after reading them, and after going over the wire in protobuf.
fn reads_back(object: &Object, row: &Resource) {
    let bytes = object.bytes(row);
    let read = Object::read(&bytes, row).expect("what is written can be read");
    let mut tree = decode::json(&bytes).expect("what is written is JSON").value;
    if let Some(Value::Object(meta)) = tree.get_mut("metadata") {
        meta.shift_remove("managedFields");
    }
    assert_eq!(read.tree(row), tree);
    assert_eq!(text(&read.bytes(row)), text(&bytes));
    let message = proto::message(&bytes, &row.schema);
    let back = proto::tree(&message, &row.schema).expect("a message");
    let back = Object::from_tree(back, row).expect("conforms").0;
    assert_eq!(text(&back.bytes(row)), text(&bytes), "in protobuf");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn resource(byte: u8) -> Arc<Resource> {
    Arc::clone(&RESOURCES[usize::from(byte) % RESOURCES.len()])
}

/// The first byte chooses a resource; a line is an object of it, the rest a patch of every kind. A patch is refused,
/// or makes a tree that is refused or conforms.
pub fn check_patches(bytes: &[u8]) {
    let [kind, rest @ ..] = bytes else { return };
    let row = resource(*kind);
    let Some(at) = rest.iter().position(|byte| *byte == b'\n') else { return };
    let (object, change) = (&rest[..at], &rest[at + 1..]);
    let Ok((object, _)) = codec::object(object, Format::Json, &row, FieldValidation::Ignore) else { return };
    let tree: Value = serde_json::from_slice(&object.bytes(&row)).expect("JSON");
    let mut patched = tree.clone();
    if patch::json(&mut patched, change).is_ok() {
        let _ = Object::from_tree(patched, &row);
    }
    let Ok(change) = decode::json(change) else { return };
    let mut merged = tree.clone();
    patch::merge(&mut merged, &change.value);
    let once = merged.clone();
    patch::merge(&mut merged, &change.value);
    assert_eq!(merged, once, "merged twice is merged once");
    let _ = Object::from_tree(merged, &row);
    if let (Value::Object(mut tree), Value::Object(change)) = (tree, change.value)
        && patch::strategic(&mut tree, change, &row.schema).is_ok()
    {
        let _ = Object::from_tree(tree.into(), &row);
    }
}

/// Words of the API: selectors, quantities, times, names, tokens. Each is refused, or has one canonical form.
pub fn check_words(bytes: &[u8]) {
    let Ok(word) = std::str::from_utf8(bytes) else { return };
    if let Ok(selector) = Selector::parse(word) {
        let _ = selector.matches(|key| (key.len() > 3).then_some("value"));
        let _ = selector.matches(|_| None);
    }
    for row in RESOURCES.iter() {
        let _ = FieldSelector::parse(word, row);
    }
    if let Ok(canonical) = quantity::canonical(word) {
        assert_eq!(quantity::canonical(&canonical), Ok(canonical.clone()), "{word:?}");
    }
    if let Some(time) = time::parse_rfc3339(word) {
        assert_eq!(time::parse_rfc3339(&time::rfc3339(time)), Some(time / 1000 * 1000), "{word:?}");
    }
    if let Ok(token) = ContinueToken::decode(word) {
        assert_eq!(ContinueToken::decode(&token.encode()).as_ref(), Ok(&token), "{word:?}");
    }
    if let Ok(key) = Key::parse(word) {
        assert_eq!(key.as_str(), word);
        let _ = (key.collection(), key.parent(), key.namespace(), key.name());
    }
    if let Some(span) = duration::parse(word) {
        assert_eq!(duration::parse(&duration::text(span)), Some(span), "{word:?}");
    }
    for check in [names::dns_label, names::dns_subdomain] {
        let _ = (check(word, false), check(word, true));
    }
    let _ = (names::qualified(word), names::label_value(word), names::config_key(word));
    let _ = (cron::check(word), cron::is_time_zone(word));
    let matches = Pattern::new(word).matches("a pattern");
    assert!(!matches || pattern::error(word).is_none(), "{word:?}");
    for format in formats::names() {
        let _ = formats::holds(format, word);
    }
    let tree = json!({"a": [{"b": 1}, {"b": "x"}], "b": {"a": null}});
    let _ = JsonPath::parse(word).map(|path| path.find(&tree).map(|found| found.len()));
}
