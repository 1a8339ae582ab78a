//! Resources that a CustomResourceDefinition makes: the same rows as those that Kubernetes brings, of a schema that is
//! read from the definition.

pub mod columns;
pub mod defaulting;
pub mod definition;
pub mod embedded;
pub mod formats;
pub mod json_path;
pub mod list_types;
pub mod naming;
pub mod pattern;
pub mod structural;
pub mod validation;

mod compile;
mod replicas;

use std::cmp::Reverse;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use self::json_path::JsonPath;
use self::replicas::ReplicaPaths;
use self::structural::{Additional, Structural};
use crate::conform::conform;
use crate::conversion::Storage;
use crate::field_error::FieldError;
use crate::object::Object;
use crate::resource::{Particular, Resource, Subresource};
use crate::view::View;

/// What a definition says of one version of its resource.
#[derive(Debug)]
pub struct CustomResource {
    /// The definition's name.
    pub definition: String,
    /// Its uid.
    pub uid: String,
    /// Its generation: what is here holds for this one only.
    pub generation: i64,
    /// The revision at which it was written. What was stored before may be of another form.
    pub revision: u64,
    /// Whether this version can be asked for.
    pub is_served: bool,
    /// Whether objects are stored in this version.
    pub is_stored: bool,
    /// Whether the definition is going, and nothing new is created.
    pub is_going: bool,
    /// All versions that can be asked for, where there is more than one: who owns fields knows them in one of these.
    pub versions: Vec<Arc<Resource>>,
    /// What clients of this version are warned of.
    pub warning: Option<String>,
    /// `FooList`.
    pub list_kind: String,
    /// The schema as it was given.
    pub props: Map<String, Value>,
    /// The schema.
    pub schema: Structural,
    /// Fields that selectors know, by their names.
    pub selectable: Vec<(String, JsonPath)>,
    replicas: Option<ReplicaPaths>,
    /// Whether the schema says something of kind, apiVersion or metadata.
    sees_meta: bool,
    kind: [String; 2],
    validates: bool,
}

/// Nothing is particular to objects of definitions.
static PARTICULAR: Particular = Particular::NONE;

/// What can be done with them, in the order in which discovery tells it.
const VERBS: &[&str] = &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

/// A row for each version of an established definition, which was written at `revision`.
pub fn rows(definition: &Object, revision: u64) -> Vec<Arc<Resource>> {
    if !naming::is_true(definition, "Established") {
        return Vec::new();
    }
    let versions = items(definition.fields.get("spec"), "versions");
    let Some(storage) = versions.iter().find(|version| is(version, "storage")) else { return Vec::new() };
    let made = |version: &Value| {
        let is_stored = std::ptr::eq(version, storage);
        // What is stored in the form of another version was validated in its own.
        let stored = row(definition, storage, revision, is_stored);
        let mut seen = row(definition, version, revision, true);
        let store = if is_stored { as_it_is } else { conversion };
        seen.storage = Some(Storage { row: Arc::new(stored), store, show: conversion });
        seen
    };
    let served: Vec<_> = versions.iter().filter(|version| is(version, "served")).collect();
    let others: Vec<_> = match &served[..] {
        [] | [_] => Vec::new(),
        served => served.iter().map(|version| Arc::new(made(version))).collect(),
    };
    let with_others = |mut row: Resource| {
        if let Some(custom) = row.custom.as_mut().and_then(Arc::get_mut) {
            custom.versions.clone_from(&others);
        }
        Arc::new(row)
    };
    versions.iter().map(made).map(with_others).collect()
}

fn as_it_is(object: Object, _: &Resource) -> Object {
    object
}

/// An object in the form of another version, or of the one that its schema has now: what that does not know goes, and
/// what it says is filled in.
fn conversion(mut object: Object, row: &Resource) -> Object {
    if let Ok((fields, _)) = conform(object.fields.into(), &row.schema) {
        object.fields = fields;
    } else {
        object.fields = Map::new();
    }
    object.default(row);
    object
}

fn row(definition: &Object, version: &Value, revision: u64, validates: bool) -> Resource {
    let spec = definition.fields.get("spec").unwrap_or(&Value::Null);
    let names = definition
        .fields
        .get("status")
        .and_then(|status| status.get("acceptedNames"))
        .unwrap_or(&Value::Null);
    let (group, name, kind) = (text(spec, "group"), text(version, "name"), text(names, "kind"));
    let below = version.get("subresources").unwrap_or(&Value::Null);
    let is_going = naming::is_true(definition, "Terminating");
    let props =
        version.pointer("/schema/openAPIV3Schema").and_then(Value::as_object).cloned().unwrap_or_default();
    let schema = Structural::read(&props);
    let compiled = Arc::new(compile::root(&model(group, name, kind), &schema));
    let storage = items(Some(spec), "versions").iter().find(|version| is(version, "storage"));
    let verbs = VERBS.iter().filter(|verb| !(is_going && **verb == "create"));
    let replicas = below.get("scale").map(ReplicaPaths::read);
    let custom = CustomResource {
        definition: definition.meta.name.clone(),
        uid: definition.meta.uid.clone(),
        generation: definition.meta.generation,
        revision,
        is_served: is(version, "served"),
        is_stored: is(version, "storage"),
        is_going,
        versions: Vec::new(),
        warning: warning(version, items(Some(spec), "versions"), group, kind),
        list_kind: text(names, "listKind").to_owned(),
        selectable: items(Some(version), "selectableFields").iter().filter_map(selectable).collect(),
        sees_meta: sees_meta(&schema),
        kind: [format!("{group}/{name}"), kind.to_owned()],
        validates,
        props,
        schema,
        replicas,
    };
    Resource {
        group: group.to_owned(),
        version: name.to_owned(),
        plural: text(names, "plural").to_owned(),
        singular: text(names, "singular").to_owned(),
        kind: kind.to_owned(),
        short_names: texts(names, "shortNames"),
        categories: texts(names, "categories"),
        namespaced: text(spec, "scope") == "Namespaced",
        verbs: verbs.map(|verb| (*verb).to_owned()).collect(),
        subresources: subresources(below, kind),
        storage_hash: storage_hash(group, storage.map_or("", |version| text(version, "name")), kind),
        schema: compiled,
        storage: None,
        scale: custom.replicas.as_ref().map(ReplicaPaths::scale),
        particular: &PARTICULAR,
        columns: Arc::new(columns::of(items(Some(version), "additionalPrinterColumns"))),
        custom: Some(Arc::new(custom)),
    }
}

/// The name of a kind in OpenAPI: `com.example.v1.Foo`.
fn model(group: &str, version: &str, kind: &str) -> String {
    let parts: Vec<&str> = group.rsplit('.').chain([version, kind]).collect();
    parts.join(".")
}

/// As Kubernetes makes it of what is stored.
fn storage_hash(group: &str, version: &str, kind: &str) -> String {
    STANDARD.encode(&Sha256::digest(format!("{group}/{version}/{kind}"))[..8])
}

/// How much a version is to be preferred, as Kubernetes orders them: what stays before what is tried, then the newest.
pub fn preference(version: &str) -> (u8, u64, u64, Reverse<String>) {
    let last = (0, 0, 0, Reverse(version.to_owned()));
    let Some(rest) = version.strip_prefix('v') else { return last };
    let split = |text: &str| {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        text[..digits]
            .parse::<u64>()
            .ok()
            .filter(|_| !text.starts_with('0'))
            .map(|number| (number, text[digits..].to_owned()))
    };
    let Some((major, rest)) = split(rest) else { return last };
    let (class, minor) = match (rest.strip_prefix("alpha"), rest.strip_prefix("beta")) {
        (None, None) if rest.is_empty() => return (3, major, 0, Reverse(String::new())),
        (Some(minor), _) => (1, minor),
        (_, Some(minor)) => (2, minor),
        _ => return last,
    };
    match split(minor) {
        Some((minor, rest)) if rest.is_empty() => (class, major, minor, Reverse(String::new())),
        _ => last,
    }
}

fn warning(version: &Value, versions: &[Value], group: &str, kind: &str) -> Option<String> {
    let own = version.get("deprecationWarning").and_then(Value::as_str).map(str::to_owned);
    let name = text(version, "name");
    let better = versions
        .iter()
        .filter(|one| is(one, "served") && !is(one, "deprecated"))
        .map(|one| text(one, "name"));
    let better =
        better.filter(|other| preference(other) > preference(name)).max_by_key(|other| preference(other));
    let instead = better.map(|better| format!("; use {group}/{better} {kind}")).unwrap_or_default();
    let usual = || format!("{group}/{name} {kind} is deprecated{instead}");
    is(version, "deprecated").then(|| own.unwrap_or_else(usual))
}

fn selectable(field: &Value) -> Option<(String, JsonPath)> {
    let path = text(field, "jsonPath");
    Some((path.strip_prefix('.').unwrap_or(path).to_owned(), JsonPath::parse(path)?))
}

fn subresources(below: &Value, kind: &str) -> Vec<Subresource> {
    let verbs = || ["get", "patch", "update"].map(str::to_owned).to_vec();
    let status = || Subresource {
        name: "status".to_owned(),
        api_version: None,
        kind: kind.to_owned(),
        verbs: verbs(),
        form: None,
    };
    let scale = || Subresource {
        name: "scale".to_owned(),
        api_version: Some(("autoscaling".to_owned(), "v1".to_owned())),
        kind: "Scale".to_owned(),
        verbs: verbs(),
        form: Some(Resource::form("autoscaling", "v1", "Scale")),
    };
    let status = below.get("status").map(|_| status());
    status.into_iter().chain(below.get("scale").map(|_| scale())).collect()
}

/// Whether it takes more than the fields of an object to validate it.
fn sees_meta(schema: &Structural) -> bool {
    const META: &[&str] = &["apiVersion", "kind", "metadata"];
    let is_seen = |name: &&&str| {
        let Some(of) = schema.properties.get(**name) else { return false };
        of.rules.is_some()
            || !of.properties.is_empty()
            || !matches!(of.kind.map(structural::Kind::word), Some("string" | "object"))
    };
    let by_rules = schema.rules.as_ref().is_some_and(|rules| {
        let counts = rules.max_properties.is_some() || rules.min_properties.is_some();
        let junctors = [&rules.all_of, &rules.any_of, &rules.one_of].iter().any(|list| !list.is_empty());
        let is_required = META.iter().any(|name| rules.required.iter().any(|required| required == name));
        counts || junctors || rules.not.is_some() || !rules.enumeration.is_empty() || is_required
    });
    by_rules
        || META.iter().any(|name| is_seen(&name))
        || matches!(schema.additional, Some(Additional::Any(false)))
}

impl CustomResource {
    /// Fills in what was left out.
    pub fn fill(&self, fields: &mut Map<String, Value>) {
        defaulting::fill(fields, &self.schema);
    }

    /// What is wrong with an object; of one that was there before (`old`) only what is new.
    pub fn errors(&self, object: &Object, old: Option<&Object>) -> Vec<FieldError> {
        if !self.validates {
            return Vec::new();
        }
        let mut errors = if self.sees_meta {
            validation::errors(&self.whole(object), &self.schema, "", old.map(|old| self.whole(old)).as_ref())
        } else {
            validation::object_errors(&object.fields, &self.schema, old.map(|old| &old.fields))
        };
        if let Some(replicas) = &self.replicas {
            errors.extend(replicas.wanted_errors(&object.fields));
            errors.extend(replicas.status_errors(&object.fields));
        }
        errors.extend(embedded::errors(&object.fields, &self.schema));
        errors.extend(self.list_errors(object, old));
        errors
    }

    /// What is wrong with a change of an object's status.
    pub fn status_errors(&self, object: &Object, old: &Object) -> Vec<FieldError> {
        if !self.validates {
            return Vec::new();
        }
        let mut errors = match (object.fields.get("status"), self.schema.properties.get("status")) {
            (Some(status), Some(schema)) => validation::errors(
                status,
                schema,
                "status",
                Some(old.fields.get("status").unwrap_or(&Value::Null)),
            ),
            _ => Vec::new(),
        };
        if let Some(replicas) = &self.replicas {
            errors.extend(replicas.status_errors(&object.fields));
        }
        errors.extend(self.list_errors(object, Some(old)));
        errors
    }

    /// Lists that hold something twice do so in peace when they always did.
    fn list_errors(&self, object: &Object, old: Option<&Object>) -> Vec<FieldError> {
        let errors = list_types::errors(&object.fields, &self.schema);
        let was_wrong = || old.is_some_and(|old| !list_types::errors(&old.fields, &self.schema).is_empty());
        if errors.is_empty() || was_wrong() { Vec::new() } else { errors }
    }

    /// An object with everything that stands in it.
    fn whole(&self, object: &Object) -> Value {
        let mut map = object.fields.clone();
        let [api_version, kind] = &self.kind;
        map.insert("apiVersion".into(), api_version.as_str().into());
        map.insert("kind".into(), kind.as_str().into());
        map.insert("metadata".into(), object.meta.tree());
        map.into()
    }

    /// The text of a field that selectors know; empty when it is not there. None of those is in the metadata.
    pub fn selected(object: View<'_>, path: &JsonPath) -> String {
        let is_on_the_way = |name: &str| path.first_field().is_none_or(|first| first == name);
        let fields = object.members().filter(|(name, _)| name != "metadata" && is_on_the_way(name));
        let tree: Value = fields.map(|(name, field)| (name.into_owned(), field.to_value())).collect();
        let found = path.find(&tree).unwrap_or_default();
        match found.first() {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }

    /// The definition's schema, as OpenAPI shows it: with kind, apiVersion and metadata.
    pub fn published(&self) -> Value {
        let mut props = self.props.clone();
        let properties = props.entry("properties").or_insert_with(|| json!({}));
        if let Value::Object(properties) = properties {
            for name in ["apiVersion", "kind"] {
                properties.insert(name.into(), json!({"type": "string"}));
            }
            properties.insert("metadata".into(), json!({"type": "object"}));
        }
        props.into()
    }
}

/// A member that is text; empty when it is none.
pub(crate) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a member is true.
pub(crate) fn is(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or_default()
}

/// The items of a member.
pub(crate) fn items<'v>(value: Option<&'v Value>, name: &str) -> &'v [Value] {
    value.and_then(|value| value.get(name)).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(crate) fn texts(value: &Value, name: &str) -> Vec<String> {
    items(Some(value), name).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
