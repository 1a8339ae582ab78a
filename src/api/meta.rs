//! `metadata`: what every object has, whatever its kind.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use crate::apply::Entry;
use crate::encode::{self, Members, struct_items};
use crate::schema::{Type, builtin};

/// The type of `metadata`.
pub(crate) static OBJECT_META: LazyLock<Arc<Type>> =
    LazyLock::new(|| builtin("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"));

/// `metadata` of one object. Empty text and empty collections mean absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectMeta {
    /// Unique among the objects of a kind in a namespace.
    pub name: String,
    /// Start of a name that the server completes, if `name` is empty.
    pub generate_name: String,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    /// Unique in space and time.
    pub uid: String,
    /// The revision that wrote the object, as decimal text. Spliced in by the state machine, never by
    /// the codec.
    pub resource_version: String,
    /// Counts changes of the spec; 0 for kinds that do not count.
    pub generation: i64,
    /// RFC 3339.
    pub creation_timestamp: String,
    /// RFC 3339; set when the object waits for its finalizers.
    pub deletion_timestamp: Option<String>,
    /// How long a graceful deletion may take.
    pub deletion_grace_period_seconds: Option<i64>,
    /// What selectors select by.
    pub labels: BTreeMap<String, String>,
    /// What no selector looks at.
    pub annotations: BTreeMap<String, String>,
    /// Objects that this one goes with.
    pub owner_references: Vec<Value>,
    /// Who must agree before the object goes.
    pub finalizers: Vec<String>,
    /// Who set which field. One entry with nothing in it, as much as an empty list, asks to forget the owners.
    pub managed_fields: Vec<Entry>,
}

impl ObjectMeta {
    /// From a tree that conforms to its type; what does not conform is left out.
    pub fn from_map(mut map: Map<String, Value>) -> Self {
        Self {
            name: take_text(&mut map, "name"),
            generate_name: take_text(&mut map, "generateName"),
            namespace: take_text(&mut map, "namespace"),
            uid: take_text(&mut map, "uid"),
            resource_version: take_text(&mut map, "resourceVersion"),
            generation: map.get("generation").and_then(Value::as_i64).unwrap_or_default(),
            creation_timestamp: take_text(&mut map, "creationTimestamp"),
            deletion_timestamp: Some(take_text(&mut map, "deletionTimestamp"))
                .filter(|text| !text.is_empty()),
            deletion_grace_period_seconds: map.get("deletionGracePeriodSeconds").and_then(Value::as_i64),
            labels: take_text_map(&mut map, "labels"),
            annotations: take_text_map(&mut map, "annotations"),
            owner_references: take_list(&mut map, "ownerReferences"),
            finalizers: take_list(&mut map, "finalizers").into_iter().filter_map(into_text).collect(),
            managed_fields: take_managed_fields(&mut map),
        }
    }

    /// Whether the object waits for its finalizers.
    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// As a tree of what is there, but for the owners of fields.
    pub fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let mut add = |name: &str, value: Value| {
            let is_there = match &value {
                Value::Null => false,
                Value::String(text) => !text.is_empty(),
                Value::Array(items) => !items.is_empty(),
                Value::Object(map) => !map.is_empty(),
                Value::Bool(_) | Value::Number(_) => true,
            };
            if is_there {
                members.insert(name.to_owned(), value);
            }
        };
        let texts = |texts: &BTreeMap<String, String>| {
            texts.iter().map(|(key, text)| (key.clone(), Value::from(&**text))).collect::<Map<_, _>>().into()
        };
        add("name", (&*self.name).into());
        add("generateName", (&*self.generate_name).into());
        add("namespace", (&*self.namespace).into());
        add("uid", (&*self.uid).into());
        add("resourceVersion", (&*self.resource_version).into());
        add("generation", Some(self.generation).filter(|generation| *generation != 0).into());
        add("creationTimestamp", (&*self.creation_timestamp).into());
        add("deletionTimestamp", self.deletion_timestamp.as_deref().into());
        add("deletionGracePeriodSeconds", self.deletion_grace_period_seconds.into());
        add("labels", texts(&self.labels));
        add("annotations", texts(&self.annotations));
        add("ownerReferences", self.owner_references.clone().into());
        add("finalizers", self.finalizers.clone().into());
        members
    }

    /// As a tree, without the resourceVersion.
    pub fn tree(&self) -> Value {
        let mut json = Vec::new();
        self.encode(&mut json);
        serde_json::from_slice(&json).unwrap_or_default()
    }

    /// Writes `{...}` in Go's order, without the resourceVersion. Returns the offset in `out` at which
    /// the member behind it begins: that is where a resourceVersion belongs.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> usize {
        let mut members = Members::open(out);
        members.text("name", &self.name);
        members.text("generateName", &self.generate_name);
        members.text("namespace", &self.namespace);
        members.text("uid", &self.uid);
        let splice = members.next_offset();
        members.number("generation", Some(self.generation).filter(|generation| *generation != 0));
        members.text("creationTimestamp", &self.creation_timestamp);
        members.text("deletionTimestamp", self.deletion_timestamp.as_deref().unwrap_or_default());
        members.number("deletionGracePeriodSeconds", self.deletion_grace_period_seconds);
        members.text_map("labels", &self.labels);
        members.text_map("annotations", &self.annotations);
        struct_items(&mut members, &OBJECT_META, "ownerReferences", &self.owner_references);
        members.text_list("finalizers", &self.finalizers);
        if !self.managed_fields.is_empty() {
            encode::list(members.name("managedFields"), &self.managed_fields, |out, entry| entry.write(out));
        }
        members.close();
        splice
    }
}

fn into_text(value: Value) -> Option<String> {
    if let Value::String(text) = value { Some(text) } else { None }
}

fn take_text(map: &mut Map<String, Value>, name: &str) -> String {
    map.get_mut(name).map(Value::take).and_then(into_text).unwrap_or_default()
}

fn take_list(map: &mut Map<String, Value>, name: &str) -> Vec<Value> {
    match map.get_mut(name).map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn take_managed_fields(map: &mut Map<String, Value>) -> Vec<Entry> {
    match map.get_mut("managedFields").map(Value::take) {
        Some(Value::Array(items)) if items.is_empty() => vec![Entry::default()],
        Some(Value::Array(items)) => items.into_iter().map(Entry::from_tree).collect(),
        _ => Vec::new(),
    }
}

fn take_text_map(map: &mut Map<String, Value>, name: &str) -> BTreeMap<String, String> {
    match map.get_mut(name).map(Value::take) {
        Some(Value::Object(members)) => {
            members.into_iter().filter_map(|(key, value)| into_text(value).map(|text| (key, text))).collect()
        }
        _ => BTreeMap::new(),
    }
}
