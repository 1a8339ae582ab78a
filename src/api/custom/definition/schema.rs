//! What a schema may say, node by node.

mod lists;
mod rules;
mod steps;
mod walk;

use serde_json::{Map, Value};

use self::lists::{key_errors, odd_set};
use self::steps::steps;
use self::walk::{Around, Walk};
use super::{Spec, defaults, structure};
use crate::custom::formats;
use crate::custom::structural::Kind;
use crate::custom::text;
use crate::field_error::FieldError;

/// `JSONSchemaProps`.
type Props = Map<String, Value>;

/// Mistakes that a definition made when it was not forbidden yet, and may go on to make.
#[derive(Clone, Debug, Default)]
pub(super) struct Lenience {
    pub(super) may_lack_schema: bool,
    is_unstructured: bool,
    has_odd_types: bool,
    has_unpruned_defaults: bool,
    has_odd_sets: bool,
    has_odd_keys: bool,
}

impl Lenience {
    /// Of what was there before.
    pub(super) fn of(spec: &Spec<'_>) -> Self {
        let any = |test: &dyn Fn(&Props) -> bool| spec.schemas().any(|props| has(props, test));
        let is_unstructured = |props: &Props| {
            structure::unreadable(props).is_some() || !structure::errors(props, "").is_empty()
        };
        Self {
            may_lack_schema: spec.schemas().count() < spec.versions.len(),
            is_unstructured: spec.schemas().any(is_unstructured),
            has_odd_types: any(&|props| {
                !matches!(word(props, "type"), "") && Kind::parse(word(props, "type")).is_none()
            }),
            has_unpruned_defaults: spec.schemas().any(defaults::are_unpruned),
            has_odd_sets: any(&|props| odd_set(props, "").is_some()),
            has_odd_keys: any(&|props| !key_errors(props, "").is_empty()),
        }
    }

    /// What a definition of now may do: what is new needs a structure.
    pub(super) fn for_spec(self, spec: &Spec<'_>, is_open: bool) -> Self {
        const NEW: &[&str] = &[
            "default",
            "x-kubernetes-embedded-resource",
            "x-kubernetes-preserve-unknown-fields",
            "x-kubernetes-int-or-string",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-list-type",
            "x-kubernetes-validations",
        ];
        let is_new = |props: &Props| NEW.iter().any(|name| props.contains_key(*name));
        let needs = !is_open || spec.schemas().any(|props| has(props, &is_new));
        Self { is_unstructured: self.is_unstructured && !needs, ..self }
    }
}

/// The schemas within a schema, each with its place behind that of the whole.
pub(super) fn below(props: &Props) -> Vec<(String, &Props)> {
    let mut found = Vec::new();
    for name in ["items", "not", "additionalProperties", "additionalItems"] {
        found.extend(props.get(name).and_then(Value::as_object).map(|below| (name.to_owned(), below)));
    }
    for name in ["items", "allOf", "oneOf", "anyOf"] {
        let list = props.get(name).and_then(Value::as_array).into_iter().flatten();
        let list = list.filter_map(Value::as_object).enumerate();
        found.extend(list.map(|(at, below)| (format!("{name}[{at}]"), below)));
    }
    for name in ["properties", "definitions", "patternProperties", "dependencies"] {
        let map = props.get(name).and_then(Value::as_object).into_iter().flatten();
        found.extend(map.filter_map(|(key, below)| Some((format!("{name}[{key}]"), below.as_object()?))));
    }
    found
}

/// Whether a schema or one within it passes a test.
pub(super) fn has(props: &Props, test: &dyn Fn(&Props) -> bool) -> bool {
    test(props) || below(props).into_iter().any(|(_, below)| has(below, test))
}

/// What clients are warned of: formats that mean nothing, and sets of what is no scalar.
pub fn warnings(spec: &Value) -> Vec<String> {
    let spec = Spec::of(spec);
    let mut found = Vec::new();
    let odd = |props: &Props, found: &mut Vec<String>| {
        let format = word(props, "format");
        let kind = Kind::parse(word(props, "type"));
        if !format.is_empty() && !formats::is_known(format, kind, false) {
            found.push(format!("unrecognized format {}", crate::field_error::quoted(format)));
        }
    };
    let mut sets = Vec::new();
    let schemas: Vec<_> = match spec.above(super::SCHEMA) {
        Some(_) => spec.schemas().take(1).collect(),
        None => spec.schemas().collect(),
    };
    for props in schemas {
        each(props, &mut |props| odd(props, &mut found));
        each(props, &mut |props| {
            let item = props.get("items").map(|items| text(items, "type")).unwrap_or_default();
            if word(props, "x-kubernetes-list-type") == "set" && matches!(item, "object" | "array") {
                sets.push(format!("x-kubernetes-list-type: set for items of type {item:?} is not supported by server-side apply or CEL validation rules"));
            }
        });
    }
    sets.sort();
    sets.dedup();
    found.extend(sets);
    found
}

fn each(props: &Props, visit: &mut impl FnMut(&Props)) {
    visit(props);
    for (_, below) in below(props) {
        each(below, visit);
    }
}

fn word<'p>(props: &'p Props, name: &str) -> &'p str {
    props.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn flag(props: &Props, name: &str) -> bool {
    props.get(name).and_then(Value::as_bool).unwrap_or_default()
}

/// What is wrong with the schema of versions, at `path`.
pub(super) fn errors(
    given: &Value,
    path: &str,
    has_status: bool,
    lenience: &Lenience,
    errors: &mut Vec<FieldError>,
) {
    let Some(props) = given.get("openAPIV3Schema").and_then(Value::as_object) else { return };
    let path = format!("{path}.openAPIV3Schema");
    let before = errors.len();
    if has_status {
        root_errors(props, &path, errors);
    }
    if flag(props, "nullable") {
        errors
            .push(FieldError::forbidden(&format!("{path}.nullable"), "nullable cannot be true at the root"));
    }
    let mut unreadable = None;
    if !lenience.is_unstructured {
        unreadable = structure::unreadable(props);
        if unreadable.is_none() {
            let found = structure::errors(props, &path);
            let found = if found.is_empty() {
                defaults::errors(props, &path, !lenience.has_unpruned_defaults)
            } else {
                found
            };
            errors.extend(found);
        }
    }
    let mut walk = Walk { lenience, errors };
    walk.node(props, &path, &Around { is_root: true, ..Around::default() });
    if let Some(why) = unreadable.filter(|_| errors.len() == before) {
        errors.push(FieldError::invalid(&path, "", &why));
    }
}

/// With a status of its own, the root says nothing that would be lost when the status is looked at alone.
fn root_errors(props: &Props, path: &str, errors: &mut Vec<FieldError>) {
    const ALLOWED: &[(&str, &str)] = &[
        ("Description", "description"),
        ("Type", "type"),
        ("Format", "format"),
        ("Title", "title"),
        ("Maximum", "maximum"),
        ("ExclusiveMaximum", "exclusiveMaximum"),
        ("Minimum", "minimum"),
        ("ExclusiveMinimum", "exclusiveMinimum"),
        ("MaxLength", "maxLength"),
        ("MinLength", "minLength"),
        ("Pattern", "pattern"),
        ("MaxItems", "maxItems"),
        ("MinItems", "minItems"),
        ("UniqueItems", "uniqueItems"),
        ("MultipleOf", "multipleOf"),
        ("Required", "required"),
        ("Items", "items"),
        ("Properties", "properties"),
        ("ExternalDocs", "externalDocs"),
        ("Example", "example"),
        ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields"),
        ("XValidations", "x-kubernetes-validations"),
    ];
    let kind = word(props, "type");
    if !kind.is_empty() && kind != "object" {
        let why = r#"only "object" is allowed as the type at the root of the schema if the status subresource is enabled"#;
        return errors.push(FieldError::invalid(&format!("{path}.type"), kind, why));
    }
    let is_zero =
        |name: &str, value: &Value| *value == false && !name.starts_with("additional") || *value == "";
    let is_odd = |(name, value): &(&String, &Value)| {
        !is_zero(name, value) && !ALLOWED.iter().any(|(_, allowed)| allowed == name)
    };
    if props.iter().any(|one| is_odd(&one)) {
        let words: Vec<_> = ALLOWED.iter().map(|(word, _)| *word).collect();
        let why = format!(
            "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
            words.join(" ")
        );
        errors.push(FieldError::invalid(path, props.clone(), &why));
    }
}

/// The schema at a path of members.
pub(super) fn at_path<'p>(path: &str, props: &'p Props) -> Result<&'p Props, String> {
    steps(path, props, false)
}
