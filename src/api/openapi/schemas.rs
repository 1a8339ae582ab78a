//! Types as schemas.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Dialect, descriptions};
use crate::custom::CustomResource;
use crate::resource::{Resource, model};
use crate::schema::{self, Field, Instead, Merge, Presence, Shape, Type};

/// Types that operations name, with the verb of those that do; all do without one.
const COMMON: &[(&str, &str)] = &[
    ("APIResourceList", ""),
    ("DeleteOptions", "delete"),
    ("Patch", "patch"),
    ("Status", "delete"),
    ("WatchEvent", "watch"),
];

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const EXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";

/// The schemas of these resources, of what hangs below them, and of everything that they are made of.
pub(super) fn all(rows: &[&Resource], dialect: Dialect) -> Value {
    let mut schemas = Schemas { dialect, kinds: kinds(rows), found: BTreeMap::new() };
    for row in rows {
        match &row.custom {
            Some(custom) => schemas.add_custom(row, custom),
            None => schemas.add(&row.schema),
        }
        if row.verbs.iter().any(|verb| verb == "list") {
            schemas.add_list(row);
        }
        // Options of connections are in the query alone.
        for below in row.subresources.iter().filter(|below| !below.kind.ends_with("Options")) {
            let (group, version) = below.api_version(row);
            schema::find(&model(group, version, &below.kind)).iter().for_each(|of| schemas.add(of));
        }
    }
    let has = |verb: &str| rows.iter().any(|row| row.verbs.iter().any(|one| one == verb));
    for (name, _) in COMMON.iter().filter(|(_, verb)| verb.is_empty() || has(verb)) {
        match schema::find(&format!("{META}.{name}")) {
            Some(of) => schemas.add(&of),
            None => _ = schemas.simple(&format!("{META}.{name}"), json!({"type": "object"})),
        }
    }
    schemas.name_options(rows);
    schemas.found.into_iter().collect::<Map<_, _>>().into()
}

/// The types that say what they are, with group, version and kind.
fn kinds(rows: &[&Resource]) -> BTreeMap<String, (String, String, String)> {
    let mut kinds = BTreeMap::new();
    let mut add = |model: String, group: &str, version: &str, kind: &str| {
        kinds.insert(model, (group.to_owned(), version.to_owned(), kind.to_owned()));
    };
    for row in crate::RESOURCES.iter().map(|row| &**row).chain(rows.iter().copied()) {
        add(row.schema.model.clone(), &row.group, &row.version, &row.kind);
        add(format!("{}List", row.schema.model), &row.group, &row.version, &format!("{}List", row.kind));
        for below in &row.subresources {
            let (group, version) = below.api_version(row);
            add(model(group, version, &below.kind), group, version, &below.kind);
        }
    }
    for name in ["APIResourceList", "DeleteOptions", "Status"] {
        add(format!("{META}.{name}"), "", "v1", name);
    }
    kinds
}

/// Takes out of a schema what the second version of OpenAPI does not know.
fn drop_junctors(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    for name in ["anyOf", "not", "nullable", "oneOf"] {
        members.shift_remove(name);
    }
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        properties.values_mut().for_each(drop_junctors);
    }
    for name in ["additionalProperties", "items"] {
        members.get_mut(name).into_iter().for_each(drop_junctors);
    }
    members.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten().for_each(drop_junctors);
}

fn tag((group, version, kind): (&str, &str, &str)) -> Value {
    json!({"group": group, "kind": kind, "version": version})
}

struct Schemas {
    dialect: Dialect,
    kinds: BTreeMap<String, (String, String, String)>,
    found: BTreeMap<String, Value>,
}

impl Schemas {
    /// Adds a type, and every type that it uses.
    fn add(&mut self, of: &Type) {
        if self.found.contains_key(&of.model) {
            return;
        }
        self.found.insert(of.model.clone(), Value::Null);
        let mut properties = BTreeMap::new();
        for field in of.fields() {
            properties.insert(field.name.clone(), self.property(of, field));
        }
        let mut body = json!({"type": "object"});
        describe(&mut body, &of.model, "");
        let required: BTreeSet<&str> =
            of.fields().iter().filter(|field| field.required).map(|field| &*field.name).collect();
        if !required.is_empty() {
            body["required"] = json!(required);
        }
        if let Some((group, version, kind)) = self.kinds.get(&of.model) {
            self.name_kind(&mut properties);
            body["x-kubernetes-group-version-kind"] = json!([tag((group, version, kind))]);
        }
        if !properties.is_empty() {
            body["properties"] = json!(properties);
        }
        self.found.insert(of.model.clone(), body);
    }

    /// Adds what a definition says, as it says it.
    fn add_custom(&mut self, row: &Resource, custom: &CustomResource) {
        let mut properties = BTreeMap::new();
        self.name_kind(&mut properties);
        let mut metadata = self.schema(&Shape::Struct(schema::builtin(&format!("{META}.ObjectMeta"))));
        if let Some(reference) = metadata.get("$ref").filter(|_| self.dialect == Dialect::V3) {
            metadata = json!({"allOf": [{"$ref": reference}]});
        }
        describe(&mut metadata, "io.k8s.api.core.v1.Pod", "metadata");
        properties.insert("metadata".to_owned(), metadata);
        let mut body = Value::Object(custom.props.clone());
        if self.dialect == Dialect::V2 {
            drop_junctors(&mut body);
        }
        for (name, value) in properties {
            body["properties"][name] = value;
        }
        body["x-kubernetes-group-version-kind"] = json!([tag((&row.group, &row.version, &row.kind))]);
        self.found.insert(row.schema.model.clone(), body);
    }

    /// What every object says of itself.
    fn name_kind(&self, properties: &mut BTreeMap<String, Value>) {
        for name in ["apiVersion", "kind"] {
            let mut body = json!({"type": "string"});
            describe(&mut body, "io.k8s.api.core.v1.Pod", name);
            properties.insert(name.to_owned(), body);
        }
    }

    /// Adds the list of a resource: built-in ones have a type, custom ones do not.
    fn add_list(&mut self, row: &Resource) {
        let name = format!("{}List", row.schema.model);
        if let Some(of) = schema::find(&name) {
            return self.add(&of);
        }
        let mut properties = BTreeMap::new();
        self.name_kind(&mut properties);
        let meta = self.schema(&Shape::Struct(schema::builtin(&format!("{META}.ListMeta"))));
        properties.insert("metadata".to_owned(), meta);
        let items = json!({"type": "array", "items": self.dialect.reference(&row.schema.model)});
        properties.insert("items".to_owned(), items);
        let kind = format!("{}List", row.kind);
        let body = json!({
            "type": "object", "properties": properties, "required": ["items"],
            "x-kubernetes-group-version-kind": [tag((&row.group, &row.version, &kind))],
        });
        self.found.insert(name, body);
    }

    /// Options and events have a place in every version of every group.
    fn name_options(&mut self, rows: &[&Resource]) {
        let versions: BTreeSet<(&str, &str)> =
            rows.iter().map(|row| (&*row.group, &*row.version)).chain([("", "v1")]).collect();
        for kind in ["DeleteOptions", "WatchEvent"] {
            let tags: Vec<Value> =
                versions.iter().map(|(group, version)| tag((group, version, kind))).collect();
            if let Some(body) = self.found.get_mut(&format!("{META}.{kind}")) {
                body["x-kubernetes-group-version-kind"] = tags.into();
            }
        }
    }

    fn property(&mut self, of: &Type, field: &Field) -> Value {
        let mut body = self.schema(&field.shape);
        if let Some(reference) = body.get("$ref").filter(|_| self.dialect == Dialect::V3) {
            // Beside a reference nothing else may stand.
            body = json!({"allOf": [{"$ref": reference}]});
        }
        describe(&mut body, &of.model, &field.name);
        let default = field.default.clone().or_else(|| implied_default(field));
        if let Some(default) = default.filter(|_| self.dialect == Dialect::V3) {
            body["default"] = default;
        }
        if self.dialect == Dialect::V3 {
            enumerate(&mut body, field);
        }
        merging(&mut body, field);
        body
    }

    fn schema(&mut self, shape: &Shape) -> Value {
        let simple = |name: &str| format!("{META}.{name}");
        match shape {
            Shape::Any | Shape::Opaque => self.simple(&format!("{EXTENSIONS}.JSON"), json!({})),
            Shape::Bool => json!({"type": "boolean"}),
            Shape::Bytes => json!({"type": "string", "format": "byte"}),
            Shape::Duration => self.simple(&simple("Duration"), json!({"type": "string"})),
            Shape::Fields => self.simple(&simple("FieldsV1"), json!({"type": "object"})),
            Shape::Float => json!({"type": "number", "format": "double"}),
            Shape::Int32 => json!({"type": "integer", "format": "int32"}),
            Shape::Int64 => json!({"type": "integer", "format": "int64"}),
            Shape::IntOrString => {
                let body = self.either(["integer", "string"], json!({"format": "int-or-string"}));
                self.simple("io.k8s.apimachinery.pkg.util.intstr.IntOrString", body)
            }
            Shape::List(of) => json!({"type": "array", "items": self.item(of)}),
            Shape::Map(of) => json!({"type": "object", "additionalProperties": self.item(of)}),
            Shape::MicroTime | Shape::Time => {
                let name = if matches!(shape, Shape::Time) { "Time" } else { "MicroTime" };
                self.simple(&simple(name), json!({"type": "string", "format": "date-time"}))
            }
            Shape::Quantity => {
                let body = self.either(["string", "number"], json!({}));
                self.simple("io.k8s.apimachinery.pkg.api.resource.Quantity", body)
            }
            Shape::Raw => {
                self.simple("io.k8s.apimachinery.pkg.runtime.RawExtension", json!({"type": "object"}))
            }
            Shape::SchemaOr(of, instead) => {
                self.add(of);
                let instead = match instead {
                    Instead::Bool => "Bool",
                    Instead::List => "Array",
                    Instead::Names => "StringArray",
                };
                self.simple(&format!("{EXTENSIONS}.JSONSchemaPropsOr{instead}"), json!({}))
            }
            Shape::Struct(of) => {
                self.add(of);
                self.dialect.reference(&of.model)
            }
            Shape::Text => json!({"type": "string"}),
        }
    }

    /// What lists and maps hold.
    fn item(&mut self, of: &Shape) -> Value {
        let body = self.schema(of);
        let default = zero(of).filter(|_| self.dialect == Dialect::V3);
        match (body.get("$ref"), default) {
            (Some(reference), Some(default)) => json!({"allOf": [{"$ref": reference}], "default": default}),
            (None, Some(default)) => {
                let mut body = body;
                body["default"] = default;
                body
            }
            (_, None) => body,
        }
    }

    /// Text, or something else that stands for the same.
    fn either(&self, kinds: [&str; 2], mut body: Value) -> Value {
        match self.dialect {
            Dialect::V2 => body["type"] = "string".into(),
            Dialect::V3 => body["oneOf"] = kinds.iter().map(|kind| json!({"type": kind})).collect(),
        }
        body
    }

    /// A type of one value, by reference.
    fn simple(&mut self, name: &str, mut body: Value) -> Value {
        describe(&mut body, name, "");
        self.found.entry(name.to_owned()).or_insert(body);
        self.dialect.reference(name)
    }
}

fn describe(body: &mut Value, model: &str, field: &str) {
    if let Some(text) = descriptions::of(model, field) {
        body["description"] = text.into();
    }
}

/// Says which words a field knows: once more in its description, for people.
fn enumerate(body: &mut Value, field: &Field) {
    if field.words.is_empty() {
        return;
    }
    let words = field.words.iter().map(|word| format!("\n - `{word:?}`"));
    let said = body["description"].as_str().unwrap_or_default().trim_end();
    body["description"] = format!("{said}\n\nPossible enum values:{}", words.collect::<String>()).into();
    let of = match field.shape {
        Shape::List(_) => &mut body["items"],
        Shape::Map(_) => &mut body["additionalProperties"],
        _ => body,
    };
    of["enum"] = json!(field.words);
}

/// What a field is that Go cannot leave empty.
fn implied_default(field: &Field) -> Option<Value> {
    (field.presence == Presence::Always).then(|| zero(&field.shape)).flatten()
}

fn zero(shape: &Shape) -> Option<Value> {
    match shape {
        Shape::Struct(_) => Some(json!({})),
        Shape::Bool => Some(false.into()),
        Shape::Int32 | Shape::Int64 => Some(0.into()),
        Shape::Text => Some("".into()),
        _ => None,
    }
}

/// How a field merges.
fn merging(body: &mut Value, field: &Field) {
    let list_type = match (&field.shape, &field.merge) {
        // What lists of objects hold is no field that anybody merges.
        (Shape::List(_), Merge::Atomic) => Some("atomic").filter(|_| field.name != "items"),
        (Shape::List(_), Merge::ByKeys(_)) => Some("map"),
        (Shape::List(_), Merge::Set) => Some("set"),
        _ => None,
    };
    if let Some(list_type) = list_type {
        body["x-kubernetes-list-type"] = list_type.into();
    } else if field.merge == Merge::Atomic {
        body["x-kubernetes-map-type"] = "atomic".into();
    }
    if let Merge::ByKeys(keys) = &field.merge {
        body["x-kubernetes-list-map-keys"] = keys.to_vec().into();
    }
    let strategies = [
        (field.patch.merge_by.is_some(), "merge"),
        (field.patch.replace, "replace"),
        (field.patch.retain_keys, "retainKeys"),
    ];
    let strategies: Vec<_> = strategies.iter().filter(|(used, _)| *used).map(|(_, word)| *word).collect();
    if !strategies.is_empty() {
        body["x-kubernetes-patch-strategy"] = strategies.join(",").into();
    }
    if let Some(key) = field.patch.merge_by.as_deref().filter(|key| !key.is_empty()) {
        body["x-kubernetes-patch-merge-key"] = key.into();
    }
}
