//! Objects as a `meta.k8s.io/v1 Table`: what `kubectl get` asks for.

use serde_json::{Value, json};

use crate::columns::Row;
use crate::resource::Resource;
use crate::view::View;

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

/// The JSON list of a resource's column definitions.
pub fn column_definitions(resource: &Resource) -> Value {
    json!(resource.columns.definitions)
}

/// Appends a part of an object: whoever holds some of it elsewhere puts it in.
pub type AppendPart<'a> = &'a dyn Fn(&mut Vec<u8>, View<'_>);

/// Of an object that is all there.
pub fn append_whole(out: &mut Vec<u8>, part: View<'_>) {
    out.extend_from_slice(part.bytes());
}

/// Appends a row: `{"cells":[...],"object":...}`. `now_ms` is what ages count to.
pub fn append_row(
    out: &mut Vec<u8>,
    row: Row<'_>,
    resource: &Resource,
    include: Include,
    now_ms: u64,
    append: AppendPart<'_>,
) {
    out.extend_from_slice(br#"{"cells":"#);
    resource.columns.append(out, row, now_ms);
    out.extend_from_slice(br#","object":"#);
    match include {
        Include::Metadata => append_partial(out, row.metadata, append),
        Include::None => out.extend_from_slice(b"null"),
        Include::Object => append(out, row.object),
    }
    out.push(b'}');
}

/// Appends the metadata of a stored object, as a `PartialObjectMetadata`.
pub fn append_partial(out: &mut Vec<u8>, metadata: View<'_>, append: AppendPart<'_>) {
    out.extend_from_slice(br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":"#);
    append(out, if metadata.is_there() { metadata } else { View::new(b"{}") });
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(stored: &str, resource: &Resource, include: Include) -> String {
        let mut out = Vec::new();
        append_row(&mut out, Row::new(stored.as_bytes(), "x"), resource, include, 90_000, &append_whole);
        String::from_utf8(out).expect("JSON is text")
    }

    #[test]
    fn rows() {
        let meta = r#""metadata":{"name":"x","creationTimestamp":"1970-01-01T00:00:00Z"}"#;
        let partial = format!(r#"{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1",{meta}}}"#);
        let stored = format!(r#"{{{meta},"data":{{"a":"b"}},"binaryData":{{"c":""}}}}"#);
        assert_eq!(
            row(&stored, &Resource::builtin("", "v1", "configmaps"), Include::Metadata),
            format!(r#"{{"cells":["x",2,"90s"],"object":{partial}}}"#)
        );
        let stored = format!(r#"{{{meta},"type":"Opaque"}}"#);
        assert_eq!(
            row(&stored, &Resource::builtin("", "v1", "secrets"), Include::None),
            r#"{"cells":["x","Opaque",0,"90s"],"object":null}"#
        );
        let stored = format!(r#"{{{meta},"status":{{"phase":"Active"}}}}"#);
        assert_eq!(
            row(&stored, &Resource::builtin("", "v1", "namespaces"), Include::Object),
            format!(r#"{{"cells":["x","Active","90s"],"object":{stored}}}"#)
        );
        let stored = format!(r#"{{{meta}}}"#);
        assert_eq!(
            row(&stored, &Resource::builtin("", "v1", "limitranges"), Include::None),
            r#"{"cells":["x","1970-01-01T00:00:00Z"],"object":null}"#
        );
        assert_eq!(
            row(&stored, &Resource::builtin("storage.k8s.io", "v1", "storageclasses"), Include::None),
            r#"{"cells":["x (default)","","Delete","Immediate",false,"90s"],"object":null}"#
        );
        let stored = format!(r#"{{{meta},"status":{{"phase":"Failed"}}}}"#);
        let failed =
            r#"[{"type":"Completed","status":"True","reason":"Failed","message":"The pod failed."}]"#;
        let cells = r#"["x","0/0","Failed","0","90s","<none>","<none>","<none>","<none>"]"#;
        assert_eq!(
            row(&stored, &Resource::builtin("", "v1", "pods"), Include::None),
            format!(r#"{{"cells":{cells},"conditions":{failed},"object":null}}"#)
        );
    }
}
