//! `v1 Secret`: data that is kept from prying eyes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{DATA_BYTES_MAX, count, decoded_bytes, entries, immutable_errors, key_errors};
use crate::decode;
use crate::field_error::FieldError;
use crate::fields::SECRET;
use crate::object::Object;
use crate::resource::{ALL_VERBS, Column, Resource, Retention, Selectable, Strategy};

/// The row.
pub static RESOURCE: Resource = Resource {
    group: "",
    version: "v1",
    plural: "secrets",
    singular: "secret",
    kind: "Secret",
    short_names: &[],
    namespaced: true,
    verbs: ALL_VERBS,
    retention: Retention::Day,
    schema: &SECRET,
    columns: &[
        Column {
            name: "Type",
            kind: "string",
            description: "Used to facilitate programmatic handling of secret data.",
            cell: |object| object.text(&["type"]).into(),
        },
        Column {
            name: "Data",
            kind: "string",
            description: "Data contains the secret data. Each key must consist of alphanumeric characters, '-', '_' or '.'.",
            cell: |object| count(object, &["data"]),
        },
    ],
    selectable: &[Selectable { path: "type", value: |object| object.text(&["type"]).to_owned() }],
    strategy: Strategy { default, validate, validate_update, ..Strategy::PLAIN },
};

const SERVICE_ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

/// Which keys a type needs, each list with one that must be there, and whether its value is JSON.
struct Needs {
    kind: &'static str,
    /// All of these.
    keys: &'static [&'static str],
    /// One of `keys` is enough.
    any: bool,
    json: bool,
}

static NEEDS: &[Needs] = &[
    Needs { kind: "kubernetes.io/basic-auth", keys: &["username", "password"], any: true, json: false },
    Needs { kind: "kubernetes.io/dockercfg", keys: &[".dockercfg"], any: false, json: true },
    Needs { kind: "kubernetes.io/dockerconfigjson", keys: &[".dockerconfigjson"], any: false, json: true },
    Needs { kind: "kubernetes.io/ssh-auth", keys: &["ssh-privatekey"], any: false, json: false },
    Needs { kind: "kubernetes.io/tls", keys: &["tls.crt", "tls.key"], any: false, json: false },
];

/// `stringData` is written into `data` and goes; a Secret without type is `Opaque`.
fn default(object: &mut Object) {
    if object.text(&["type"]).is_empty() {
        object.fields.insert("type".into(), "Opaque".into());
    }
    let Some(Value::Object(texts)) = object.fields.shift_remove("stringData") else { return };
    let data = object.fields.entry("data").or_insert_with(|| Value::Object(Map::new()));
    let Some(data) = data.as_object_mut() else { return };
    for (key, text) in texts {
        data.insert(key, STANDARD.encode(text.as_str().unwrap_or_default()).into());
    }
}

fn validate(object: &Object) -> Vec<FieldError> {
    let mut errors = key_errors(object, "data");
    let sizes = entries(object, "data").filter_map(|(_, value)| value.as_str()).map(decoded_bytes);
    if sizes.sum::<usize>() > DATA_BYTES_MAX {
        errors.push(FieldError::too_long("data", DATA_BYTES_MAX));
    }
    let kind = object.text(&["type"]);
    if let Some(needs) = NEEDS.iter().find(|needs| needs.kind == kind) {
        errors.extend(unmet(object, needs));
    }
    let named = object.meta.annotations.get(SERVICE_ACCOUNT_NAME).is_some_and(|name| !name.is_empty());
    if kind == "kubernetes.io/service-account-token" && !named {
        errors.push(FieldError::required(&format!("metadata.annotations[{SERVICE_ACCOUNT_NAME}]"), ""));
    }
    errors
}

fn unmet(object: &Object, needs: &Needs) -> Vec<FieldError> {
    let value =
        |key: &str| entries(object, "data").find(|entry| entry.0 == key).and_then(|entry| entry.1.as_str());
    let missing: Vec<_> = needs.keys.iter().filter(|key| value(key).is_none()).collect();
    if !missing.is_empty() && (!needs.any || missing.len() == needs.keys.len()) {
        return missing.iter().map(|key| FieldError::required(&format!("data[{key}]"), "")).collect();
    }
    let is_json = |key: &&&str| {
        STANDARD.decode(value(key).unwrap_or_default()).is_ok_and(|bytes| decode::json(&bytes).is_ok())
    };
    let wrong = needs.keys.iter().filter(|_| needs.json).filter(|key| !is_json(key));
    // The value is a secret: the error does not repeat it.
    wrong
        .map(|key| FieldError::invalid(&format!("data[{key}]"), "<secret contents redacted>", "invalid JSON"))
        .collect()
}

fn validate_update(new: &Object, old: &Object) -> Vec<FieldError> {
    let mut errors = immutable_errors(new, old, &["data"]);
    if new.text(&["type"]) != old.text(&["type"]) {
        errors.push(FieldError::invalid("type", new.text(&["type"]), "field is immutable"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(tree: Value) -> Object {
        let mut object = Object::from_tree(tree, &RESOURCE).expect("conforms").0;
        default(&mut object);
        object
    }

    fn check(errors: &[FieldError], expect: &[&str]) {
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn string_data_wins_over_data_and_goes() {
        let given = object(json!({"data": {"a": "AA==", "b": "AA=="}, "stringData": {"a": "hi"}}));
        assert_eq!(
            Value::Object(given.fields),
            json!({"data": {"a": "aGk=", "b": "AA=="}, "type": "Opaque"})
        );
    }

    #[test]
    fn what_each_type_needs() {
        let of = |kind: &str, data: Value| validate(&object(json!({"type": kind, "stringData": data})));
        check(&of("Opaque", json!({})), &[]);
        check(&of("example.com/own", json!({})), &[]);
        check(&of("kubernetes.io/tls", json!({"tls.crt": "x"})), &["data[tls.key]: Required value"]);
        check(&of("kubernetes.io/basic-auth", json!({"username": "x"})), &[]);
        check(
            &of("kubernetes.io/basic-auth", json!({})),
            &["data[username]: Required value", "data[password]: Required value"],
        );
        check(&of("kubernetes.io/dockerconfigjson", json!({".dockerconfigjson": "{}"})), &[]);
        check(
            &of("kubernetes.io/dockerconfigjson", json!({".dockerconfigjson": "{"})),
            &[r#"data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": invalid JSON"#],
        );
        check(
            &of("kubernetes.io/service-account-token", json!({})),
            &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        );
    }

    #[test]
    fn the_type_stays() {
        let (new, old) = (object(json!({"type": "a"})), object(json!({})));
        check(&validate_update(&new, &old), &[r#"type: Invalid value: "a": field is immutable"#]);
    }
}
