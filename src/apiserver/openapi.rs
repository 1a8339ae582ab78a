//! `/openapi/v2` and `/openapi/v3`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use api::{Status, openapi, openapi_proto};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::json;

use crate::errors::Failure;
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

static V2: LazyLock<Document> = LazyLock::new(|| Document::new(openapi::v2().to_string().into_bytes()));

static V2_PROTOBUF: LazyLock<Document> =
    LazyLock::new(|| Document::new(openapi_proto::document(&openapi::v2())));

static V3: LazyLock<BTreeMap<String, Document>> = LazyLock::new(|| {
    let documents = openapi::group_versions().into_iter().filter_map(|path| {
        let body = openapi::v3(&path)?;
        Some((path, Document::new(body.to_string().into_bytes())))
    });
    documents.collect()
});

static V3_ROOT: LazyLock<Document> = LazyLock::new(|| {
    let path = |(path, document): (&String, &Document)| {
        let url = format!("/openapi/v3/{path}?hash={}", document.tag);
        (path.clone(), json!({"serverRelativeURL": url}))
    };
    let paths: serde_json::Map<_, _> = V3.iter().map(path).collect();
    Document::new(json!({"paths": paths}).to_string().into_bytes())
});

/// Answers a path below `/openapi/`.
pub(crate) fn answer(path: &[&str], accept: &str, headers: &HeaderMap) -> Result<Response, Failure> {
    let group_version;
    let (document, kind) = match path {
        ["v2"] if accept.contains("proto-openapi.spec.v2") => (&*V2_PROTOBUF, openapi_proto::MEDIA_TYPE),
        ["v2"] => (&*V2, JSON),
        ["v3"] => (&*V3_ROOT, JSON),
        ["v3", rest @ ..] => {
            group_version = rest.join("/");
            (V3.get(&group_version).ok_or_else(Status::no_such_path)?, JSON)
        }
        _ => return Err(Status::no_such_path().into()),
    };
    Ok(tagged(headers, kind, &document.tag, document.body.clone()))
}
