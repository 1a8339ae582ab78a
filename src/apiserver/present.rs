//! Objects as a client wants to see them. The plain form copies stored bytes and parses nothing.

use std::convert::Infallible;
use std::sync::Arc;

use api::{Resource, Status, table};
use axum::body::Body;
use axum::response::Response;
use base::env;
use bytes::{BufMut, Bytes};
use http::HeaderValue;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::json;
use state::Object;

use crate::errors::json;
use crate::limits::LIST_CHUNK_BYTES;
use crate::negotiate::Representation;

/// A response with one stored object.
pub fn object(code: u16, stored: &Bytes, resource: &Resource, form: Representation) -> Response {
    json(code, encode(stored, resource, form, true))
}

/// A response with a `Status`.
pub fn status(status: &Status) -> Response {
    json(status.code, status.to_json())
}

/// One stored object in the wanted form. A table repeats its columns only `with_columns`.
pub fn encode(stored: &Bytes, resource: &Resource, form: Representation, with_columns: bool) -> Bytes {
    let mut out = Vec::new();
    match form {
        Representation::Plain => return stored.clone(),
        Representation::Partial => table::append_partial(&mut out, stored),
        Representation::Table { include, version } => {
            table_head(
                &mut out,
                resource,
                version,
                &json!({"resourceVersion": revision_of(stored)}),
                with_columns,
            );
            table::append_row(&mut out, stored, resource, include, env::wall_ms());
            out.extend_from_slice(b"]}");
        }
    }
    out.into()
}

/// The object of a bookmark: nothing but a revision, in the wanted form.
pub fn bookmark(revision: u64, initial_events_end: bool, resource: &Resource, form: Representation) -> Bytes {
    let mut meta = json!({"resourceVersion": revision.to_string()});
    if initial_events_end {
        meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let body = match form {
        Representation::Plain => {
            json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": meta})
        }
        Representation::Partial => {
            json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta})
        }
        Representation::Table { version, .. } => {
            let row = json!({"cells": [], "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}});
            json!({"kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": meta, "columnDefinitions": null, "rows": [row]})
        }
    };
    body.to_string().into()
}

/// `metadata` of a list.
#[derive(Clone, Debug, Default)]
pub struct ListMeta {
    /// The revision of the list.
    pub revision: u64,
    /// Where the next page begins; empty on the last one.
    pub continue_token: String,
    /// How many objects follow, where that is known and more than none.
    pub remaining: Option<u64>,
}

/// A response with a list of stored objects.
pub fn list(
    meta: &ListMeta,
    items: Vec<Arc<Object>>,
    resource: &'static Resource,
    form: Representation,
) -> Response {
    let mut head = Vec::new();
    let meta = list_meta(meta);
    match form {
        Representation::Plain => {
            list_head(&mut head, &format!("{}List", resource.kind), &resource.api_version(), &meta)
        }
        Representation::Partial => list_head(&mut head, "PartialObjectMetadataList", "meta.k8s.io/v1", &meta),
        Representation::Table { version, .. } => table_head(&mut head, resource, version, &meta, true),
    }
    let length = (form == Representation::Plain).then(|| {
        let commas = items.len().saturating_sub(1);
        head.len() + items.iter().map(|item| item.bytes.len()).sum::<usize>() + commas + TAIL.len()
    });
    let chunks = Chunks { head: Some(head), items: items.into_iter(), resource, form, is_first: true };
    let mut response =
        Response::new(Body::from_stream(futures::stream::iter(chunks.map(Ok::<_, Infallible>))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

const TAIL: &[u8] = b"]}\n";

fn list_meta(meta: &ListMeta) -> serde_json::Value {
    let mut body = json!({"resourceVersion": meta.revision.to_string()});
    if !meta.continue_token.is_empty() {
        body["continue"] = meta.continue_token.as_str().into();
    }
    if let Some(remaining) = meta.remaining {
        body["remainingItemCount"] = remaining.into();
    }
    body
}

fn list_head(out: &mut Vec<u8>, kind: &str, api_version: &str, meta: &serde_json::Value) {
    let head = format!(r#"{{"kind":"{kind}","apiVersion":"{api_version}","metadata":{meta},"items":["#);
    out.extend_from_slice(head.as_bytes());
}

fn table_head(
    out: &mut Vec<u8>,
    resource: &Resource,
    version: &str,
    meta: &serde_json::Value,
    with_columns: bool,
) {
    let columns = if with_columns { table::column_definitions(resource) } else { serde_json::Value::Null };
    let head = format!(
        r#"{{"kind":"Table","apiVersion":"meta.k8s.io/{version}","metadata":{meta},"columnDefinitions":{columns},"rows":["#
    );
    out.extend_from_slice(head.as_bytes());
}

/// The body of a list, made as fast as the client reads it.
struct Chunks {
    /// Taken by the first chunk; the last one takes what ends the body.
    head: Option<Vec<u8>>,
    items: std::vec::IntoIter<Arc<Object>>,
    resource: &'static Resource,
    form: Representation,
    is_first: bool,
}

impl Iterator for Chunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut chunk = if self.is_first { self.head.take()? } else { Vec::new() };
        if !self.is_first && self.items.len() == 0 {
            return None;
        }
        // The next item's size says about how large all are; a chunk of small ones takes less.
        let item_bytes = self.items.as_slice().first().map_or(0, |item| item.bytes.len() + 1);
        chunk.reserve(LIST_CHUNK_BYTES.min(item_bytes * self.items.len()) + item_bytes);
        while chunk.len() < LIST_CHUNK_BYTES {
            let Some(item) = self.items.next() else { break };
            if !self.is_first {
                chunk.put_u8(b',');
            }
            self.is_first = false;
            self.append(&mut chunk, &item);
        }
        self.is_first = false;
        if self.items.len() == 0 {
            chunk.extend_from_slice(TAIL);
        }
        Some(chunk.into())
    }
}

impl Chunks {
    fn append(&self, out: &mut Vec<u8>, item: &Object) {
        match self.form {
            Representation::Plain => out.extend_from_slice(&item.bytes),
            Representation::Partial => table::append_partial(out, &item.bytes),
            Representation::Table { include, .. } => {
                table::append_row(out, &item.bytes, self.resource, include, env::wall_ms());
            }
        }
    }
}

/// `metadata.resourceVersion` of stored bytes: what the state machine spliced in.
fn revision_of(stored: &[u8]) -> String {
    let marker = br#""resourceVersion":""#;
    let at = stored
        .windows(marker.len())
        .position(|window| window == marker)
        .map_or(stored.len(), |at| at + marker.len());
    stored[at..].iter().take_while(|byte| byte.is_ascii_digit()).map(|byte| *byte as char).collect()
}
