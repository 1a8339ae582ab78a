//! `v1 Secret`: data that is kept from prying eyes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{DATA_BYTES_MAX, decoded_bytes, file_keys, stays_immutable};
use crate::go_json;
use crate::object::Object;
use crate::resource::{Particular, Strategy, selectable};
use crate::validate::at::{At, Root};

/// What is particular.
pub static KIND: Particular = Particular {
    kind: "Secret",
    selectable: &[selectable!("type", "type")],
    strategy: Strategy { default, validate, validate_update, ..Strategy::PLAIN },
    ..Particular::NONE
};

const SERVICE_ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

/// What a type demands of its keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Demand {
    /// All are there.
    All,
    /// One at least is there.
    Any,
    /// All are there, and hold something.
    Filled,
    /// All are there, and hold JSON.
    Json,
}

static DEMANDS: &[(&str, Demand, &[&str])] = &[
    ("kubernetes.io/basic-auth", Demand::Any, &["username", "password"]),
    ("kubernetes.io/dockercfg", Demand::Json, &[".dockercfg"]),
    ("kubernetes.io/dockerconfigjson", Demand::Json, &[".dockerconfigjson"]),
    ("kubernetes.io/ssh-auth", Demand::Filled, &["ssh-privatekey"]),
    ("kubernetes.io/tls", Demand::All, &["tls.crt", "tls.key"]),
];

/// `stringData` is written into `data` and goes.
fn default(object: &mut Object) {
    let Some(Value::Object(texts)) = object.fields.shift_remove("stringData") else { return };
    let data = object.fields.entry("data").or_insert_with(|| Value::Object(Map::new()));
    let Some(data) = data.as_object_mut() else { return };
    for (key, text) in texts {
        data.insert(key, STANDARD.encode(text.as_str().unwrap_or_default()).into());
    }
}

fn validate(root: Root<'_>) {
    let data = root.field("data");
    file_keys(data);
    if data.entries().map(|(_, value)| decoded_bytes(value.text())).sum::<usize>() > DATA_BYTES_MAX {
        data.too_long(DATA_BYTES_MAX);
    }
    let kind = root.field("type").text();
    if let Some((_, demand, keys)) = DEMANDS.iter().find(|(of, ..)| *of == kind) {
        meets(data, *demand, keys);
    }
    let named = root.meta().annotations.get(SERVICE_ACCOUNT_NAME).is_some_and(|name| !name.is_empty());
    if kind == "kubernetes.io/service-account-token" && !named {
        root.meta_field("annotations").key(SERVICE_ACCOUNT_NAME).required("");
    }
}

fn meets(data: At<'_>, demand: Demand, keys: &[&str]) {
    let is_missing =
        |value: &At<'_>| !value.is_set() || (demand == Demand::Filled && value.text().is_empty());
    let missing = keys.iter().map(|key| data.key(key)).filter(is_missing);
    let missing: Vec<_> = missing.collect();
    if demand != Demand::Any || missing.len() == keys.len() {
        missing.iter().for_each(|value| value.required(""));
    }
    let values =
        keys.iter().map(|key| data.key(key)).filter(|value| demand == Demand::Json && value.is_set());
    for value in values {
        let bytes = STANDARD.decode(value.text()).unwrap_or_default();
        if let Some(wrong) = go_json::map_error(&bytes) {
            // The value is a secret: the error does not repeat it.
            value.invalid_value("<secret contents redacted>", &wrong);
        }
    }
}

fn validate_update(new: Root<'_>, old: Root<'_>) {
    stays_immutable(new, old, &["data"]);
    new.field("type").immutable(old.field("type"));
    validate(new);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::validate::at::{errors_of, errors_of_change};
    use crate::{FieldError, Resource};

    fn object(tree: Value) -> Object {
        let mut object =
            Object::from_tree(tree, &Resource::builtin("", "v1", "secrets")).expect("conforms").0;
        object.default(&Resource::builtin("", "v1", "secrets"));
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
        let of =
            |kind: &str, data: Value| errors_of(&object(json!({"type": kind, "stringData": data})), validate);
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
            &[
                r#"data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": unexpected end of JSON input"#,
            ],
        );
        check(
            &of("kubernetes.io/service-account-token", json!({})),
            &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        );
    }

    #[test]
    fn the_type_stays() {
        let (new, old) = (object(json!({"type": "a"})), object(json!({})));
        check(
            &errors_of_change(&new, &old, validate_update),
            &[r#"type: Invalid value: "a": field is immutable"#],
        );
    }
}
