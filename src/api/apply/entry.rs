//! One item of `metadata.managedFields`: who set which fields, and how.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::encode::Members;

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
    /// Which fields, in JSON: see [`super::read()`].
    pub fields: Option<String>,
    /// Through which subresource; empty for the object itself.
    pub subresource: String,
}

/// An item as it is stored.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Stored<'b> {
    #[serde(borrow)]
    manager: Cow<'b, str>,
    #[serde(borrow)]
    operation: Cow<'b, str>,
    #[serde(borrow)]
    api_version: Cow<'b, str>,
    #[serde(borrow)]
    time: Option<Cow<'b, str>>,
    #[serde(borrow)]
    fields_type: Cow<'b, str>,
    #[serde(borrow)]
    fields_v1: Option<&'b RawValue>,
    #[serde(borrow)]
    subresource: Cow<'b, str>,
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
            fields: map.get("fieldsV1").map(set_text),
            subresource: take(&mut map, "subresource"),
        }
    }

    /// All items of a stored list; `None`: it is not as it was written.
    pub(crate) fn all_of(list: &[u8]) -> Option<Vec<Self>> {
        let stored: Vec<Stored<'_>> = serde_json::from_slice(list).ok()?;
        Some(stored.into_iter().map(Self::from).collect())
    }

    /// Whether it says the same, whenever it was written.
    pub fn is_as_of(&self, other: &Self) -> bool {
        let texts = |entry: &Self| {
            let Self { manager, operation, api_version, fields_type, subresource, .. } = entry;
            [manager, operation, api_version, fields_type, subresource].map(String::clone)
        };
        self.fields == other.fields && texts(self) == texts(other)
    }

    /// Writes it in Go's order.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut members = Members::open(out);
        members.text("manager", &self.manager);
        members.text("operation", &self.operation);
        members.text("apiVersion", &self.api_version);
        members.text("time", self.time.as_deref().unwrap_or_default());
        members.text("fieldsType", &self.fields_type);
        if let Some(fields) = &self.fields {
            members.name("fieldsV1").extend_from_slice(fields.as_bytes());
        }
        members.text("subresource", &self.subresource);
        members.close();
    }
}

impl From<Stored<'_>> for Entry {
    fn from(stored: Stored<'_>) -> Self {
        Self {
            manager: stored.manager.into_owned(),
            operation: stored.operation.into_owned(),
            api_version: stored.api_version.into_owned(),
            time: stored.time.map(Cow::into_owned),
            fields_type: stored.fields_type.into_owned(),
            fields: stored.fields_v1.map(|fields| fields.get().to_owned()),
            subresource: stored.subresource.into_owned(),
        }
    }
}

fn take(map: &mut Map<String, Value>, name: &str) -> String {
    match map.get_mut(name).map(Value::take) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

/// A set as it came: its order is that of its elements, not of their names.
fn set_text(tree: &Value) -> String {
    serde_json::to_string(tree).unwrap_or_default()
}
