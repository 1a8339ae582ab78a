//! `/openapi/v2` and `/openapi/v3`.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use api::{RESOURCES, Resource, Status, openapi, openapi_proto};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, EXPIRES, LOCATION, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use crate::definitions::Definitions;
use crate::errors::Failure;
use crate::request::Query;
use crate::routes::tagged;

const JSON: &str = "application/json";

/// A document, and a tag that changes with its content.
struct Document {
    body: Bytes,
    tag: String,
}

impl Document {
    fn new(body: Vec<u8>) -> Self {
        Self { tag: tag(&body), body: body.into() }
    }
}

/// FNV-1a, 64 bits: enough to tell one version of a document from another.
fn tag(body: &[u8]) -> String {
    let hash = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016X}")
}

/// The documents of a set of resources. Each is made when it is first asked for.
struct Documents {
    rows: Vec<Arc<Resource>>,
    v2: OnceLock<Document>,
    v2_protobuf: OnceLock<Document>,
    v3: OnceLock<BTreeMap<String, Document>>,
    v3_root: OnceLock<Document>,
}

impl Documents {
    fn of(rows: Vec<Arc<Resource>>) -> Self {
        let (v2, v2_protobuf) = (OnceLock::new(), OnceLock::new());
        Self { rows, v2, v2_protobuf, v3: OnceLock::new(), v3_root: OnceLock::new() }
    }

    fn v2(&self) -> &Document {
        self.v2.get_or_init(|| Document::new(openapi::v2(&self.rows).to_string().into_bytes()))
    }

    fn v2_protobuf(&self) -> &Document {
        self.v2_protobuf.get_or_init(|| Document::new(openapi_proto::document(&openapi::v2(&self.rows))))
    }

    /// By the path below `/openapi/v3/`.
    fn v3(&self) -> &BTreeMap<String, Document> {
        self.v3.get_or_init(|| {
            let document = |path: String| {
                let body = openapi::v3(&self.rows, &path)?;
                Some((path, Document::new(body.to_string().into_bytes())))
            };
            openapi::group_versions(&self.rows).into_iter().filter_map(document).collect()
        })
    }

    fn v3_root(&self) -> &Document {
        self.v3_root.get_or_init(|| {
            let path = |(path, document): (&String, &Document)| {
                (path.clone(), json!({"serverRelativeURL": hashed_url(path, &document.tag)}))
            };
            let paths: serde_json::Map<_, _> = self.v3().iter().map(path).collect();
            Document::new(json!({"paths": paths}).to_string().into_bytes())
        })
    }
}

/// A URL whose document never changes.
fn hashed_url(path: &str, tag: &str) -> String {
    format!("/openapi/v3/{path}?hash={tag}")
}

static BUILTIN: LazyLock<Documents> = LazyLock::new(|| Documents::of(RESOURCES.clone()));

/// The documents of what definitions make beside what Kubernetes brings.
#[derive(Default)]
pub(crate) struct WithDefinitions(OnceLock<Documents>);

impl WithDefinitions {
    /// Those of these rows: as long as there are none, everybody shares one set of documents.
    fn of(&self, custom: Vec<Arc<Resource>>) -> &Documents {
        if custom.is_empty() {
            return &BUILTIN;
        }
        self.0.get_or_init(|| Documents::of(RESOURCES.iter().cloned().chain(custom).collect()))
    }
}

impl std::fmt::Debug for WithDefinitions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WithDefinitions")
    }
}

impl Definitions {
    fn documents(&self) -> &Documents {
        self.openapi.of(self.served().cloned().collect())
    }
}

/// Answers a path below `/openapi/`.
pub(crate) fn answer(
    definitions: &Definitions,
    path: &[&str],
    accept: &str,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let documents = definitions.documents();
    let mut response = match path {
        ["v2"] if accept.contains("proto-openapi.spec.v2") => {
            whole(headers, openapi_proto::MEDIA_TYPE, documents.v2_protobuf())
        }
        ["v2"] => whole(headers, JSON, documents.v2()),
        ["v3"] => whole(headers, JSON, documents.v3_root()),
        ["v3", rest @ ..] => {
            let path = rest.join("/");
            let document = documents.v3().get(&path).ok_or_else(Status::no_such_path)?;
            hashed(headers, &path, document, query.get("hash"))
        }
        _ => return Err(Status::no_such_path().into()),
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

fn whole(headers: &HeaderMap, kind: &'static str, document: &Document) -> Response {
    tagged(headers, kind, &document.tag, document.body.clone())
}

/// A document that a client may keep for ever if it named the hash; with another hash it is sent to this one's.
fn hashed(headers: &HeaderMap, path: &str, document: &Document, hash: &str) -> Response {
    if hash.is_empty() {
        let mut response = whole(headers, JSON, document);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        return response;
    }
    if hash != document.tag {
        let mut response = StatusCode::MOVED_PERMANENTLY.into_response();
        if let Ok(place) = HeaderValue::from_str(&hashed_url(path, &document.tag)) {
            response.headers_mut().insert(LOCATION, place);
        }
        return response;
    }
    let mut response = whole(headers, JSON, document);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
    // For clients that do not know the word: as far off as such a date may be.
    response.headers_mut().insert(EXPIRES, HeaderValue::from_static("Fri, 31 Dec 9999 23:59:59 GMT"));
    response
}
