//! Objects as a `meta.k8s.io/v1 Table`: what `kubectl get` asks for.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::object::Object;
use crate::resource::Resource;
use crate::time;

/// How much of each object its row carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    /// Its metadata, as a `PartialObjectMetadata`.
    #[default]
    Metadata,
    /// Nothing.
    None,
    /// All of it.
    Object,
}

impl Include {
    /// From the query parameter `includeObject`; `None` for an unknown word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "" | "Metadata" => Some(Self::Metadata),
            "None" => Some(Self::None),
            "Object" => Some(Self::Object),
            _ => None,
        }
    }
}

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically.";
const AGE: &str =
    "CreationTimestamp is a timestamp representing the server time when this object was created.";

/// The JSON list of a resource's column definitions.
pub fn column_definitions(resource: &Resource) -> Value {
    let column = |name: &str, kind: &str, format: &str, description: &str| json!({"name": name, "type": kind, "format": format, "description": description, "priority": 0});
    let mut columns = vec![column("Name", "string", "name", NAME)];
    columns.extend(resource.columns.iter().map(|one| column(one.name, one.kind, "", one.description)));
    columns.push(column("Age", "string", "", AGE));
    columns.into()
}

/// Appends the row of a stored object: `{"cells":[...],"object":...}`. `now_ms` is what ages count to.
pub fn append_row(out: &mut Vec<u8>, stored: &[u8], resource: &Resource, include: Include, now_ms: u64) {
    let cells = Object::read(stored, resource).map_or(Value::Null, |object| cells(&object, resource, now_ms));
    out.extend_from_slice(br#"{"cells":"#);
    out.extend_from_slice(cells.to_string().as_bytes());
    out.extend_from_slice(br#","object":"#);
    match include {
        Include::Metadata => append_partial(out, stored),
        Include::None => out.extend_from_slice(b"null"),
        Include::Object => out.extend_from_slice(stored),
    }
    out.push(b'}');
}

fn cells(object: &Object, resource: &Resource, now_ms: u64) -> Value {
    let created = time::parse_rfc3339(&object.meta.creation_timestamp);
    let age =
        created.map_or_else(|| "<unknown>".to_owned(), |created| time::age(now_ms.saturating_sub(created)));
    let mut cells = vec![Value::from(object.meta.name.as_str())];
    cells.extend(resource.columns.iter().map(|column| (column.cell)(object)));
    cells.push(age.into());
    cells.into()
}

/// Appends a stored object's metadata, as a `PartialObjectMetadata`.
pub fn append_partial(out: &mut Vec<u8>, stored: &[u8]) {
    #[derive(Deserialize)]
    struct Partial<'b> {
        #[serde(borrow)]
        metadata: &'b RawValue,
    }
    let metadata =
        serde_json::from_slice::<Partial<'_>>(stored).map_or("{}", |partial| partial.metadata.get());
    out.extend_from_slice(br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":"#);
    out.extend_from_slice(metadata.as_bytes());
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::{config_map, namespace, secret};

    fn row(stored: &str, resource: &Resource, include: Include) -> String {
        let mut out = Vec::new();
        append_row(&mut out, stored.as_bytes(), resource, include, 90_000);
        String::from_utf8(out).expect("JSON is text")
    }

    #[test]
    fn rows() {
        let meta = r#""metadata":{"name":"x","creationTimestamp":"1970-01-01T00:00:00Z"}"#;
        assert_eq!(
            row(
                &format!(r#"{{{meta},"data":{{"a":"b"}},"binaryData":{{"c":""}}}}"#),
                &config_map::RESOURCE,
                Include::Metadata
            ),
            format!(
                r#"{{"cells":["x",2,"90s"],"object":{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1",{meta}}}}}"#
            )
        );
        assert_eq!(
            row(&format!(r#"{{{meta},"type":"Opaque"}}"#), &secret::RESOURCE, Include::None),
            r#"{"cells":["x","Opaque",0,"90s"],"object":null}"#
        );
        let stored = format!(r#"{{{meta},"status":{{"phase":"Active"}}}}"#);
        assert_eq!(
            row(&stored, &namespace::RESOURCE, Include::Object),
            format!(r#"{{"cells":["x","Active","90s"],"object":{stored}}}"#)
        );
    }

    #[test]
    fn a_cell_for_each_column() {
        for resource in crate::RESOURCES {
            let columns = column_definitions(resource).as_array().map_or(0, Vec::len);
            assert_eq!(columns, resource.columns.len() + 2);
        }
    }
}
