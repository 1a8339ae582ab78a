//! Objects as a client wants to see them. The plain form copies stored bytes and parses nothing.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;

use api::columns::Row;
use api::lens::Lens;
use api::object::{self, ReadError};
use api::schema::Type;
use api::view::View;
use api::{Resource, Status, proto, schema, table};
use axum::body::Body;
use axum::response::Response;
use base::env;
use bytes::{BufMut, Bytes};
use futures::StreamExt;
use http::HeaderValue;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::{Map, Value, json};
use state::Object;

use crate::errors::{Failure, json};
use crate::limits::{LIST_CHUNK_BYTES, LIST_PART_BYTES, LIST_PARTS_AT_A_TIME};
use crate::negotiate::{PROTOBUF, Representation};

/// A response with one stored object.
///
/// # Errors
/// 500 for bytes that are no object of their resource.
pub fn object(code: u16, stored: &Bytes, lens: &Lens, form: Representation) -> Result<Response, Failure> {
    let seen = seen(stored, lens).map_err(|error| Status::internal(&error.to_string()))?;
    Ok(bytes(code, &seen, &lens.shown, form))
}

/// A response with one object of `resource`.
pub fn bytes(code: u16, object: &Bytes, resource: &Resource, form: Representation) -> Response {
    let mut response = json(code, encode_seen(object, resource, form, true));
    if form.is_protobuf() {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
    }
    response
}

/// Stored bytes in the form that the client sees.
fn seen(stored: &Bytes, lens: &Lens) -> Result<Bytes, ReadError> {
    Ok(lens.show(stored)?.map_or_else(|| stored.clone(), Bytes::from))
}

/// A response with a `Status`.
pub fn status(status: &Status) -> Response {
    json(status.code, status.to_json())
}

/// One stored object in the wanted form. A table repeats its columns only `with_columns`.
pub fn encode(stored: &Bytes, lens: &Lens, form: Representation, with_columns: bool) -> Bytes {
    // What is stored was written by this program, and can be read.
    let seen = seen(stored, lens).unwrap_or_else(|_| stored.clone());
    encode_seen(&seen, &lens.shown, form, with_columns)
}

fn encode_seen(stored: &Bytes, resource: &Resource, form: Representation, with_columns: bool) -> Bytes {
    let mut out = Vec::new();
    match form {
        Representation::Plain => return stored.clone(),
        Representation::Protobuf => {
            out = proto::seal(&resource.api_version(), &resource.kind, &message(stored, resource, form));
        }
        Representation::Partial => out = partial(stored),
        Representation::PartialProtobuf => {
            out = proto::seal("meta.k8s.io/v1", "PartialObjectMetadata", &message(stored, resource, form));
        }
        Representation::Table { include, version } => {
            let meta = match object::revision(stored) {
                0 => json!({}),
                revision => json!({"resourceVersion": revision.to_string()}),
            };
            table_head(&mut out, resource, version, &meta, with_columns);
            let (row, now_ms) = (Row::new(stored, ""), env::wall_ms());
            table::append_row(&mut out, row, resource, include, now_ms, &table::append_whole);
            out.extend_from_slice(b"]}");
        }
    }
    out.into()
}

/// A `Status` in the form of the objects beside it.
pub fn encode_status(status: &Status, form: Representation) -> Bytes {
    let json = status.to_json();
    if form.is_protobuf() { status_message(&json) } else { json.into() }
}

/// The protobuf form of a `Status` in JSON.
pub fn status_message(json: &[u8]) -> Bytes {
    let schema = schema::builtin("io.k8s.apimachinery.pkg.apis.meta.v1.Status");
    let mut tree: Map<String, Value> = serde_json::from_slice(json).unwrap_or_default();
    fill(&mut tree, &["message", "reason", "status"]);
    for (of, names) in [
        ("metadata", &["selfLink", "resourceVersion", "continue"][..]),
        ("details", &["name", "group", "kind", "uid"]),
    ] {
        if let Some(Value::Object(map)) = tree.get_mut(of) {
            fill(map, names);
        }
    }
    proto::seal("v1", "Status", &proto::message(json!(tree).to_string().as_bytes(), &schema)).into()
}

/// Gives texts that are not there as empty ones, as Go's messages have them.
fn fill(map: &mut Map<String, Value>, names: &[&str]) {
    for name in names {
        map.entry(*name).or_insert_with(|| "".into());
    }
}

/// The message of an object, or of its metadata alone.
fn message(stored: &[u8], resource: &Resource, form: Representation) -> Vec<u8> {
    if form != Representation::PartialProtobuf {
        return proto::message(stored, &resource.schema);
    }
    proto::message(&partial(stored), &schema::builtin(PARTIAL))
}

/// An object's metadata alone.
fn partial(stored: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    table::append_partial(&mut out, View::new(stored).get("metadata"), &table::append_whole);
    out
}

/// What an object's metadata alone is.
const PARTIAL: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata";

/// The object of a bookmark: nothing but a revision, in the wanted form.
pub fn bookmark(revision: u64, initial_events_end: bool, resource: &Resource, form: Representation) -> Bytes {
    let mut meta = json!({"resourceVersion": revision.to_string()});
    if initial_events_end {
        meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let body = match form {
        Representation::Plain | Representation::Protobuf | Representation::PartialProtobuf => {
            let body = json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": meta});
            if form.is_protobuf() {
                return encode_seen(&body.to_string().into(), resource, form, false);
            }
            body
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
pub async fn list(meta: &ListMeta, items: Vec<Arc<Object>>, lens: Lens, form: Representation) -> Response {
    if form.is_protobuf() {
        return protobuf_list(meta, items, lens, form).await;
    }
    let resource = &lens.shown;
    let mut head = Vec::new();
    let meta = list_meta(meta);
    match form {
        Representation::Plain | Representation::Protobuf | Representation::PartialProtobuf => {
            list_head(&mut head, &format!("{}List", resource.kind), &resource.api_version(), &meta)
        }
        Representation::Partial => list_head(&mut head, "PartialObjectMetadataList", "meta.k8s.io/v1", &meta),
        Representation::Table { version, .. } => table_head(&mut head, resource, version, &meta, true),
    }
    let common = Common::of(resource);
    let length = (form == Representation::Plain && lens.is_plain()).then(|| {
        let commas = items.len().saturating_sub(1);
        let items = items.iter().map(|item| item.bytes.len() - common.saved_bytes(item.bytes.own()));
        head.len() + items.sum::<usize>() + commas + TAIL.len()
    });
    let marked = match form {
        Representation::Table { .. } => resource.columns.marked(items.iter().map(|item| item.bytes.own())),
        _ => String::new(),
    };
    let items = items.into_iter();
    let now_ms = env::wall_ms();
    let chunks = Chunks { head: Some(head), items, lens, form, common, marked, now_ms, is_first: true };
    let mut response =
        Response::new(Body::from_stream(futures::stream::iter(chunks.map(Ok::<_, Infallible>))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// In protobuf a list says its length first, so it is made as a whole.
async fn protobuf_list(
    meta: &ListMeta,
    items: Vec<Arc<Object>>,
    lens: Lens,
    form: Representation,
) -> Response {
    let is_partial = form == Representation::PartialProtobuf;
    let (version, kind) = match is_partial {
        true => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadata"),
        false => (lens.shown.api_version(), &*lens.shown.kind),
    };
    let list = proto::ListMeta {
        resource_version: &meta.revision.to_string(),
        continue_token: &meta.continue_token,
        remaining: meta.remaining,
    };
    let pieces = messages(items, &lens, is_partial).await;
    let items_bytes = pieces.iter().map(Vec::len).sum();
    let head = proto::list_head(&version, &format!("{kind}List"), list, items_bytes);
    let length = head.len() + items_bytes;
    let pieces = std::iter::once(head).chain(pieces).map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
    let mut response = Response::new(Body::from_stream(futures::stream::iter(pieces)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// The items of a list as messages. Those of a long list are made beside the threads that serve, several parts at a
/// time.
async fn messages(items: Vec<Arc<Object>>, lens: &Lens, is_partial: bool) -> Vec<Vec<u8>> {
    let schema = if is_partial { schema::builtin(PARTIAL) } else { Arc::clone(&lens.shown.schema) };
    if items.iter().map(|item| item.bytes.len()).sum::<usize>() <= LIST_CHUNK_BYTES {
        return vec![messages_of(&items, lens, &schema, is_partial)];
    }
    let making = parts(items).into_iter().map(|part| {
        let (lens, schema) = (lens.clone(), Arc::clone(&schema));
        env::blocking(move || messages_of(&part, &lens, &schema, is_partial))
    });
    futures::stream::iter(making).buffered(LIST_PARTS_AT_A_TIME).collect().await
}

fn messages_of(items: &[Arc<Object>], lens: &Lens, schema: &Type, is_partial: bool) -> Vec<u8> {
    // No message is longer than its JSON, as a rule.
    let whole_bytes = items.iter().map(|item| item.bytes.len()).sum();
    let mut messages = Vec::with_capacity(if is_partial { 0 } else { whole_bytes });
    for item in items {
        let item = shown(item, lens);
        let own = if is_partial { Cow::Owned(partial(item.own())) } else { Cow::Borrowed(item.own()) };
        proto::append_item(&mut messages, &own, item.shared(), schema);
    }
    messages
}

/// Items in parts of at least [`LIST_PART_BYTES`] each, but for the last one.
fn parts(items: Vec<Arc<Object>>) -> Vec<Vec<Arc<Object>>> {
    let mut parts = vec![Vec::new()];
    let mut part_bytes = 0;
    for item in items {
        if part_bytes >= LIST_PART_BYTES {
            parts.push(Vec::new());
            part_bytes = 0;
        }
        part_bytes += item.bytes.len();
        parts.last_mut().expect("there is a part").push(item);
    }
    parts
}

/// What a list says for all of its items: the kind and apiVersion of what Kubernetes brings. Items begin with it as
/// they are stored, and are shown without it.
struct Common(Vec<u8>);

impl Common {
    fn of(resource: &Resource) -> Self {
        if resource.custom.is_some() {
            return Self(Vec::new());
        }
        let (kind, version) = (&resource.kind, resource.api_version());
        Self(format!(r#"{{"kind":"{kind}","apiVersion":"{version}","#).into_bytes())
    }

    /// How much shorter an item is without it.
    fn saved_bytes(&self, item: &[u8]) -> usize {
        if item.starts_with(&self.0) { self.0.len().saturating_sub(1) } else { 0 }
    }

    /// Appends an item without it, in pieces as it is held.
    fn append<'i>(&self, out: &mut Vec<u8>, mut item: impl Iterator<Item = &'i [u8]>) {
        let first = item.next().unwrap_or_default();
        match self.saved_bytes(first) {
            0 => out.extend_from_slice(first),
            saved => {
                out.push(b'{');
                out.extend_from_slice(&first[saved + 1..]);
            }
        }
        item.for_each(|piece| out.extend_from_slice(piece));
    }
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
    lens: Lens,
    form: Representation,
    common: Common,
    /// The object that a table marks.
    marked: String,
    /// What ages count to.
    now_ms: u64,
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
        let item = &*shown(item, &self.lens);
        let object = View::new(item.own());
        let append = |out: &mut Vec<u8>, part: View<'_>| item.append_part(out, part.bytes());
        match self.form {
            Representation::Plain | Representation::Protobuf | Representation::PartialProtobuf => {
                self.common.append(out, item.pieces());
            }
            Representation::Partial => table::append_partial(out, object.get("metadata"), &append),
            Representation::Table { include, .. } => {
                let row = Row::new(item.own(), &self.marked);
                table::append_row(out, row, &self.lens.shown, include, self.now_ms, &append);
            }
        }
    }
}

/// A stored object in the form that the client sees.
fn shown<'o>(object: &'o Object, lens: &Lens) -> Cow<'o, state::Body> {
    if lens.is_plain() {
        return Cow::Borrowed(&object.bytes);
    }
    let stored = object.bytes.to_bytes();
    // What is stored was written by this program, and can be read.
    Cow::Owned(state::Body::whole(seen(&stored, lens).unwrap_or(stored)))
}
