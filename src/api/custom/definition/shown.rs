//! Versions as texts show them: the way Go prints the form in which Kubernetes looks at a definition.

use serde_json::{Map, Value, json};

/// What a field shows of what is given, and of what is not.
type Show = fn(Option<&Value>) -> Value;

/// A field: as Go calls it, as it is written, and how it is shown.
type Field = (&'static str, &'static str, Show);

const TEXT: Show = |given| given.cloned().unwrap_or_else(|| "".into());
const FLAG: Show = |given| given.cloned().unwrap_or_else(|| false.into());
const NUMBER: Show = |given| given.cloned().unwrap_or_else(|| 0.into());
const POINTER: Show = |given| given.cloned().unwrap_or_default();
const SCHEMA: Show = |given| pointer(given, SCHEMA_FIELDS);
const SCHEMAS: Show = |given| list(given, SCHEMA_FIELDS);
const MAP: Show = |given| map(given, |of| struct_of(of, SCHEMA_FIELDS));
const SCHEMA_OR_BOOL: Show = |given| match given {
    None => Value::Null,
    Some(Value::Bool(allows)) => json!({"Allows": allows, "Schema": null}),
    Some(of) => json!({"Allows": true, "Schema": struct_of(of, SCHEMA_FIELDS)}),
};

static SCHEMA_FIELDS: &[Field] = &[
    ("ID", "id", TEXT),
    ("Schema", "$schema", TEXT),
    ("Ref", "$ref", POINTER),
    ("Description", "description", TEXT),
    ("Type", "type", TEXT),
    ("Nullable", "nullable", FLAG),
    ("Format", "format", TEXT),
    ("Title", "title", TEXT),
    ("Default", "default", POINTER),
    ("Maximum", "maximum", POINTER),
    ("ExclusiveMaximum", "exclusiveMaximum", FLAG),
    ("Minimum", "minimum", POINTER),
    ("ExclusiveMinimum", "exclusiveMinimum", FLAG),
    ("MaxLength", "maxLength", POINTER),
    ("MinLength", "minLength", POINTER),
    ("Pattern", "pattern", TEXT),
    ("MaxItems", "maxItems", POINTER),
    ("MinItems", "minItems", POINTER),
    ("UniqueItems", "uniqueItems", FLAG),
    ("MultipleOf", "multipleOf", POINTER),
    ("Enum", "enum", POINTER),
    ("MaxProperties", "maxProperties", POINTER),
    ("MinProperties", "minProperties", POINTER),
    ("Required", "required", POINTER),
    ("Items", "items", |given| match given {
        None => Value::Null,
        Some(Value::Array(_)) => json!({"Schema": null, "JSONSchemas": SCHEMAS(given)}),
        Some(_) => json!({"Schema": SCHEMA(given), "JSONSchemas": null}),
    }),
    ("AllOf", "allOf", SCHEMAS),
    ("OneOf", "oneOf", SCHEMAS),
    ("AnyOf", "anyOf", SCHEMAS),
    ("Not", "not", SCHEMA),
    ("Properties", "properties", MAP),
    ("AdditionalProperties", "additionalProperties", SCHEMA_OR_BOOL),
    ("PatternProperties", "patternProperties", MAP),
    ("Dependencies", "dependencies", |given| {
        map(given, |of| match of {
            Value::Array(_) => json!({"Schema": null, "Property": of}),
            _ => json!({"Schema": struct_of(of, SCHEMA_FIELDS), "Property": null}),
        })
    }),
    ("AdditionalItems", "additionalItems", SCHEMA_OR_BOOL),
    ("Definitions", "definitions", MAP),
    ("ExternalDocs", "externalDocs", |given| {
        pointer(given, &[("Description", "description", TEXT), ("URL", "url", TEXT)])
    }),
    ("Example", "example", POINTER),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields", POINTER),
    ("XEmbeddedResource", "x-kubernetes-embedded-resource", FLAG),
    ("XIntOrString", "x-kubernetes-int-or-string", FLAG),
    ("XListMapKeys", "x-kubernetes-list-map-keys", POINTER),
    ("XListType", "x-kubernetes-list-type", POINTER),
    ("XMapType", "x-kubernetes-map-type", POINTER),
    ("XValidations", "x-kubernetes-validations", |given| {
        list(
            given,
            &[
                ("Rule", "rule", TEXT),
                ("Message", "message", TEXT),
                ("MessageExpression", "messageExpression", TEXT),
                ("Reason", "reason", POINTER),
                ("FieldPath", "fieldPath", TEXT),
                ("OptionalOldSelf", "optionalOldSelf", POINTER),
            ],
        )
    }),
];

fn struct_of(of: &Value, fields: &[Field]) -> Value {
    let field =
        |(go, name, show): &Field| ((*go).to_owned(), show(of.get(name).filter(|given| !given.is_null())));
    fields.iter().map(field).collect::<Map<_, _>>().into()
}

fn pointer(given: Option<&Value>, fields: &[Field]) -> Value {
    given.map_or(Value::Null, |of| struct_of(of, fields))
}

fn list(given: Option<&Value>, fields: &[Field]) -> Value {
    let items = given.and_then(Value::as_array);
    items.map_or(Value::Null, |items| items.iter().map(|of| struct_of(of, fields)).collect())
}

/// Maps are shown by their keys.
fn map(given: Option<&Value>, show: fn(&Value) -> Value) -> Value {
    let Some(members) = given.and_then(Value::as_object) else { return Value::Null };
    let mut shown: Map<String, Value> = members.iter().map(|(key, of)| (key.clone(), show(of))).collect();
    shown.sort_keys();
    shown.into()
}

/// The schema of a version.
pub(super) fn schema(given: Option<&Value>) -> Value {
    pointer(given, &[("OpenAPIV3Schema", "openAPIV3Schema", SCHEMA)])
}

/// What hangs below its objects.
pub(super) fn subresources(given: Option<&Value>) -> Value {
    const SCALE: &[Field] = &[
        ("SpecReplicasPath", "specReplicasPath", TEXT),
        ("StatusReplicasPath", "statusReplicasPath", TEXT),
        ("LabelSelectorPath", "labelSelectorPath", POINTER),
    ];
    pointer(given, &[("Status", "status", POINTER), ("Scale", "scale", |given| pointer(given, SCALE))])
}

/// Its columns.
pub(super) fn columns(given: Option<&Value>) -> Value {
    let fields: &[Field] = &[
        ("Name", "name", TEXT),
        ("Type", "type", TEXT),
        ("Format", "format", TEXT),
        ("Description", "description", TEXT),
        ("Priority", "priority", NUMBER),
        ("JSONPath", "jsonPath", TEXT),
    ];
    list(given, fields)
}

/// Its fields that selectors know.
pub(super) fn selectable(given: Option<&Value>) -> Value {
    list(given, &[("JSONPath", "jsonPath", TEXT)])
}
