//! Objects in another version than the one in which they are stored: as Kubernetes turns them, both ways.

mod common;

use api::Object;
use api::codec::Format;
use api::conversion::CONVERSIONS;
use api::resource::Resource;
use common::oracle::{Oracle, compare, sample, stored};
use serde_json::{Map, Value, json};

const OBJECTS: u64 = 300;

/// An object, from its tree.
fn object(tree: &Map<String, Value>, row: &Resource) -> Object {
    let mut tree = tree.clone();
    for member in ["kind", "apiVersion"] {
        tree.shift_remove(member);
    }
    Object::from_tree(tree.into(), row).expect("conforms").0
}

#[test]
fn versions_turn_into_each_other_as_in_kubernetes() {
    let Some(mut oracle) = Oracle::start() else { return };
    for conversion in CONVERSIONS {
        let row = |[group, version, plural]: [&str; 3]| Resource::builtin(group, version, plural);
        let (seen, kept) = (row(conversion.seen), row(conversion.stored));
        for (from, to, turn) in [(&seen, &kept, conversion.store), (&kept, &seen, conversion.show)] {
            for seed in 0..OBJECTS {
                let (_, tree) = sample(from, seed);
                let told =
                    oracle.ask(&json!({"operation": "convert", "object": tree, "text": to.api_version()}));
                assert_eq!(told.get("error"), None, "{} {seed}", from.kind);
                let mut turned = turn(object(&tree, from), to);
                turned.meta.creation_timestamp = "2026-01-01T00:00:00Z".to_owned();
                let ours = String::from_utf8(turned.prepare(to).body).map_err(|error| error.to_string());
                let theirs = stored(told["object"].to_string().as_bytes(), Format::Json, to);
                compare(to, seed, &ours, &theirs, &Value::Object(tree));
            }
        }
    }
}
