//! The types that Kubernetes brings, read from their data when the first is asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;
use serde_json::Value;

use super::{Field, Instead, Item, Merge, PatchStrategy, Presence, Shape, Type};

static TYPES: LazyLock<BTreeMap<&'static str, Arc<Type>>> = LazyLock::new(|| {
    let rows: Vec<TypeRow> =
        serde_json::from_str(include_str!("types.json")).expect("the data is what the generator wrote");
    let named = |row: &TypeRow| {
        let of = Type::named(row.name);
        Arc::new(if row.atomic { of.atomic() } else { of })
    };
    let types: BTreeMap<_, _> = rows.iter().map(|row| (row.name, named(row))).collect();
    for row in rows {
        types[row.name].fill(row.fields.into_iter().map(|field| field.read(&types)).collect());
    }
    types
});

/// The type of this name in OpenAPI; `None` when there is none.
pub fn find(model: &str) -> Option<Arc<Type>> {
    TYPES.get(model).cloned()
}

/// All of them, by name.
pub fn types() -> impl Iterator<Item = &'static Type> {
    TYPES.values().map(Arc::as_ref)
}

/// The type of this name in OpenAPI, which must exist.
///
/// # Panics
/// When it does not.
pub fn builtin(model: &str) -> Arc<Type> {
    find(model).unwrap_or_else(|| panic!("no type {model}"))
}

#[derive(Deserialize)]
struct TypeRow {
    name: &'static str,
    #[serde(default)]
    atomic: bool,
    fields: Vec<FieldRow>,
}

/// As the generator writes it: what is not there is false, empty or none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FieldRow {
    name: &'static str,
    #[serde(default)]
    number: u32,
    #[serde(default)]
    inside: Vec<u32>,
    r#type: &'static str,
    #[serde(default)]
    go: &'static str,
    presence: Presence,
    #[serde(default)]
    null: bool,
    #[serde(default)]
    required: bool,
    default: Option<Value>,
    #[serde(default)]
    list: &'static str,
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    patch: &'static str,
    patch_key: Option<String>,
    #[serde(default)]
    r#enum: Vec<&'static str>,
}

impl FieldRow {
    fn read(self, types: &BTreeMap<&'static str, Arc<Type>>) -> Field {
        let shape = shape(self.r#type, types);
        Field {
            name: self.name.to_owned(),
            number: self.number,
            inside: self.inside.into(),
            merge: merge(self.list, self.keys, &shape),
            patch: PatchStrategy {
                merge_by: self.patch.contains("merge").then(|| self.patch_key.unwrap_or_default()),
                replace: self.patch == "replace",
                retain_keys: self.patch.contains("retainKeys"),
            },
            shape,
            go: self.go.to_owned(),
            presence: self.presence,
            null: self.null,
            required: self.required,
            default: self.default,
            words: self.r#enum.into(),
        }
    }
}

fn shape(word: &str, types: &BTreeMap<&'static str, Arc<Type>>) -> Shape {
    if let Some(item) = word.strip_prefix("[]") {
        return Shape::List(Item::of(shape(item, types)).into());
    }
    if let Some(item) = word.strip_prefix("map:") {
        return Shape::Map(Item::of(shape(item, types)).into());
    }
    let schema_or = |instead| Shape::SchemaOr(Arc::clone(&types[JSON_SCHEMA]), instead);
    match word {
        "bool" => Shape::Bool,
        "bytes" => Shape::Bytes,
        "duration" => Shape::Duration,
        "fields" => Shape::Fields,
        "float64" => Shape::Float,
        "int-or-string" => Shape::IntOrString,
        "int32" => Shape::Int32,
        "int64" => Shape::Int64,
        "json" => Shape::Any,
        "microtime" => Shape::MicroTime,
        "quantity" => Shape::Quantity,
        "raw" => Shape::Raw,
        "schema-or-array" => schema_or(Instead::List),
        "schema-or-bool" => schema_or(Instead::Bool),
        "schema-or-strings" => schema_or(Instead::Names),
        "string" => Shape::Text,
        "time" => Shape::Time,
        model => Shape::Struct(Arc::clone(types.get(model).unwrap_or_else(|| panic!("no type {model}")))),
    }
}

const JSON_SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// What is not said is atomic for a list, as its type says for a struct, and member by member for a map.
fn merge(word: &str, keys: Vec<String>, shape: &Shape) -> Merge {
    match (word, shape) {
        ("map", _) => Merge::ByKeys(keys.into()),
        ("set", _) => Merge::Set,
        ("atomic", _) | ("", Shape::List(_)) => Merge::Atomic,
        ("", Shape::Struct(of)) if of.is_atomic() => Merge::Atomic,
        ("" | "granular", _) => Merge::ByMember,
        (other, _) => panic!("no way to merge is called {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_whole() {
        assert!(TYPES.len() > 850, "{}", TYPES.len());
        for of in TYPES.values() {
            let mut names: Vec<_> = of.fields().iter().map(|field| field.name.as_str()).collect();
            for name in &names {
                assert_eq!(of.field(name).map(|field| field.name.as_str()), Some(*name), "{}", of.model);
            }
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{}: {names:?}", of.model);
            let mut numbers: Vec<_> = of.fields().iter().map(|field| (&field.inside, field.number)).collect();
            numbers.retain(|(_, number)| *number != 0);
            numbers.sort_unstable();
            assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{}: {numbers:?}", of.model);
        }
    }

    #[test]
    fn fields_as_the_documentation_has_them() {
        let container = builtin("io.k8s.api.core.v1.Container");
        assert_eq!((container.name(), container.qualified()), ("Container", "v1.Container"));
        let ports = container.field("ports").expect("ports");
        assert_eq!(ports.merge, Merge::ByKeys(["containerPort".to_owned(), "protocol".to_owned()].into()));
        assert_eq!(ports.patch.merge_by.as_deref(), Some("containerPort"));
        let Shape::List(item) = &ports.shape else { panic!("{ports:?}") };
        let Shape::Struct(port) = &item.shape else { panic!("{item:?}") };
        assert_eq!(port.field("protocol").and_then(|field| field.default.clone()), Some("TCP".into()));
        let volume = builtin("io.k8s.api.core.v1.Volume");
        let secret = volume.field("secret").expect("secret");
        assert_eq!((secret.number, &*secret.inside), (6, &[2][..]));
        let meta = builtin("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
        assert_eq!(meta.field("labels").map(|field| &field.merge), Some(&Merge::ByMember));
    }
}
