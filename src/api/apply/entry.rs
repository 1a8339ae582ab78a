//! One item of `metadata.managedFields`: who set which fields, and how.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::encode::{self, Members};

/// The only form of sets that there is.
pub const FIELDS_TYPE: &str = "FieldsV1";

/// One item of `metadata.managedFields`. Empty text means absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Who.
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// The version in which the fields are named.
    pub api_version: String,
    /// When the manager last changed something: RFC 3339.
    pub time: Option<String>,
    /// [`FIELDS_TYPE`].
    pub fields_type: String,
    /// Which fields.
    pub fields: Option<Fields>,
    /// Through which subresource; empty for the object itself.
    pub subresource: String,
}

/// A set of fields, read or not.
#[derive(Clone, Debug, PartialEq)]
pub enum Fields {
    /// As it came with an object.
    Tree(Value),
    /// As it is written.
    Text(Vec<u8>),
}

impl Fields {
    /// The same as a tree.
    pub fn tree(&self) -> Value {
        match self {
            Self::Tree(tree) => tree.clone(),
            Self::Text(text) => serde_json::from_slice(text).unwrap_or_default(),
        }
    }
}

impl Fields {
    fn text(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Tree(tree) => {
                let mut out = Vec::new();
                write_tree(&mut out, tree);
                Cow::Owned(out)
            }
            Self::Text(text) => Cow::Borrowed(text),
        }
    }
}

impl Entry {
    /// From a tree that conforms to its type; what does not conform is left out.
    pub fn from_tree(tree: Value) -> Self {
        let Value::Object(mut map) = tree else { return Self::default() };
        let time = take(&mut map, "time");
        Self {
            manager: take(&mut map, "manager"),
            operation: take(&mut map, "operation"),
            api_version: take(&mut map, "apiVersion"),
            time: (!time.is_empty()).then_some(time),
            fields_type: take(&mut map, "fieldsType"),
            fields: map.get_mut("fieldsV1").map(|fields| Fields::Tree(fields.take())),
            subresource: take(&mut map, "subresource"),
        }
    }

    /// Whether it says the same, whenever it was written.
    pub fn is_as_of(&self, other: &Self) -> bool {
        let same_fields = match (&self.fields, &other.fields) {
            (Some(one), Some(other)) => one.text() == other.text(),
            (one, other) => one.is_none() && other.is_none(),
        };
        let texts = |entry: &Self| {
            let Self { manager, operation, api_version, fields_type, subresource, .. } = entry;
            [manager, operation, api_version, fields_type, subresource].map(String::clone)
        };
        same_fields && texts(self) == texts(other)
    }

    /// Writes it in Go's order.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut members = Members::open(out);
        members.text("manager", &self.manager);
        members.text("operation", &self.operation);
        members.text("apiVersion", &self.api_version);
        members.text("time", self.time.as_deref().unwrap_or_default());
        members.text("fieldsType", &self.fields_type);
        match &self.fields {
            Some(Fields::Tree(tree)) => write_tree(members.name("fieldsV1"), tree),
            Some(Fields::Text(text)) => members.name("fieldsV1").extend_from_slice(text),
            None => {}
        }
        members.text("subresource", &self.subresource);
        members.close();
    }
}

fn take(map: &mut Map<String, Value>, name: &str) -> String {
    match map.get_mut(name).map(Value::take) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

/// Writes a set as it came: its order is that of its elements, not of their names.
pub(crate) fn write_tree(out: &mut Vec<u8>, tree: &Value) {
    let Value::Object(map) = tree else { return encode::any(out, tree) };
    let mut members = Members::open(out);
    for (name, below) in map {
        write_tree(members.name(name), below);
    }
    members.close();
}
