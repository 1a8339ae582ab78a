//! Random inputs, and what Kubernetes' own libraries make of them: the same.

mod common;

use api::codec::Format;
use api::{Object, RESOURCES, patch, proto, quantity};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::Dice;
use common::oracle::{Oracle, compare, sample, stored};
use serde_json::{Value, json};

#[test]
fn quantities_have_the_form_that_kubernetes_gives_them() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut dice = Dice::new(7);
    let signs = ["", "", "", "-", "+"];
    let digits = [
        "",
        "0",
        "1",
        "5",
        "05",
        "10",
        "100",
        "1000",
        "1024",
        "1536",
        "2047",
        "123456789",
        "999999999999",
        "9223372036854775807",
    ];
    let points = ["", "", "", ".", ".0", ".5", ".25", ".125", ".000000001", ".0000000001", ".500"];
    let units = [
        "", "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "E-3",
        "e0", "e9", "e4", "x", "K", "mi", "e",
    ];
    for _ in 0..20_000 {
        let mut one_of = |words: &[&'static str]| words[dice.below(words.len() as u64) as usize];
        let text = [one_of(&signs), one_of(&digits), one_of(&points), one_of(&units)].concat();
        // Above 999E it loses the suffix, and with it 18 digits; ours keeps them.
        if text.ends_with('E') {
            continue;
        }
        let told = oracle.ask(&json!({"operation": "quantity", "text": text}));
        let expect = match told["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(told["text"].as_str().unwrap_or_default().to_owned()),
        };
        assert_eq!(quantity::canonical(&text).map_err(|error| error.to_string()), expect, "{text:?}");
    }
}

#[test]
fn clients_read_and_write_what_is_stored() {
    let Some(mut oracle) = Oracle::start() else { return };
    for (row, seed) in RESOURCES.iter().flat_map(|row| (0..30).map(move |seed| (row, seed))) {
        let (text, tree) = sample(row, seed);
        let message =
            proto::seal(&row.api_version(), &row.kind, &proto::message(text.as_bytes(), &row.schema));
        let questions = [
            json!({"operation": "protobuf", "bytes": STANDARD.encode(message)}),
            json!({"operation": "json", "object": tree}),
        ];
        for question in questions {
            let told = oracle.ask(&question);
            assert_eq!(told.get("error"), None, "{} {seed}: {question}", row.kind);
            let json = told["object"].to_string();
            assert_eq!(stored(json.as_bytes(), Format::Json, row).as_ref(), Ok(&text), "{} {seed}", row.kind);
            let bytes = STANDARD.decode(told["bytes"].as_str().expect("bytes")).expect("base64");
            assert_eq!(stored(&bytes, Format::Protobuf, row).as_ref(), Ok(&text), "{} {seed}", row.kind);
        }
    }
}

/// Forgets when taints of devices were added: the one default that is the time of day.
fn undate(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(undate),
        Value::Object(members) => {
            members.shift_remove("timeAdded");
            members.values_mut().for_each(undate);
        }
        _ => {}
    }
}

#[test]
fn defaults_are_those_of_kubernetes() {
    let Some(mut oracle) = Oracle::start() else { return };
    for (row, seed) in RESOURCES.iter().flat_map(|row| (0..100).map(move |seed| (row, seed))) {
        let (_, mut tree) = sample(row, seed);
        common::speak(&mut tree, &mut Dice::new(seed));
        // What is written in two ways becomes one when it is read: there that is no default.
        tree.shift_remove("stringData");
        if let Some(spec) = tree.get_mut("spec").and_then(Value::as_object_mut) {
            spec.retain(|name, _| !matches!(&**name, "podCIDR" | "podCIDRs"));
        }
        let told = oracle.ask(&json!({"operation": "default", "object": tree}));
        assert_eq!(told.get("error"), None, "{} {seed}", row.kind);
        let read = Object::from_tree(Value::Object(tree.clone()), row);
        let (mut ours, _) = read.expect("what is stored conforms");
        ours.default(row);
        let ours = serde_json::from_slice(&ours.bytes(row)).expect("JSON");
        let [ours, theirs] = [ours, told["object"].clone()].map(|mut object: Value| {
            undate(&mut object);
            stored(object.to_string().as_bytes(), Format::Json, row)
        });
        compare(row, seed, &ours, &theirs, &Value::Object(tree));
    }
}

#[test]
fn strategic_merge_patches_come_out_as_those_of_kubernetes() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut merged_lists = 0;
    for (row, seed) in RESOURCES.iter().flat_map(|row| (0..60).map(move |seed| (row, seed))) {
        let (_, original) = sample(row, seed);
        let mut dice = Dice::new(seed + 1_000);
        let other = |seed| sample(row, seed).1;
        let modified = common::blend(&original, &other(seed + 100), &mut dice, &row.schema);
        let current = common::blend(&original, &other(seed + 200), &mut dice, &row.schema);
        let told = oracle.ask(&json!({
            "operation": "strategic", "object": original, "modified": modified, "current": current,
        }));
        // Lists whose keys repeat have no patch.
        let (None, Value::Object(changes)) = (told.get("error"), told["patch"].clone()) else {
            continue;
        };
        merged_lists += u32::from(told["patch"].to_string().contains("$setElementOrder"));
        let mut ours = current.clone();
        patch::strategic(&mut ours, changes.clone(), &row.schema).expect("a patch of kubectl fits");
        let ours = stored(Value::Object(ours).to_string().as_bytes(), Format::Json, row);
        let theirs = stored(told["object"].to_string().as_bytes(), Format::Json, row);
        let of = json!({"current": current, "patch": told["patch"]});
        compare(row, seed, &ours, &theirs, &of);
    }
    assert!(merged_lists > 100, "only {merged_lists} patches merged lists");
}
