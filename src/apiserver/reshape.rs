//! Answers that were made in JSON, in the encoding that the client asked for.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt;

use crate::negotiate::{Encoding, PROTOBUF, YAML, encoding};
use crate::present;

/// In the extensions of an answer that was not made here: it is not touched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsItIs;

/// Writes the body anew where need be: all of it in YAML, failures in protobuf. Objects are in protobuf by now.
pub(crate) async fn reshape(response: Response, accept: &str) -> Response {
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    let is_failure = response.status() >= StatusCode::BAD_REQUEST;
    match encoding(accept) {
        _ if response.extensions().get::<AsItIs>().is_some() => response,
        Encoding::Yaml if is_json => rewrite(response, YAML, api::yaml::from_json).await,
        Encoding::Protobuf if is_json && is_failure => {
            rewrite(response, PROTOBUF, |json| Some(present::status_message(json).to_vec())).await
        }
        _ => response,
    }
}

async fn rewrite(
    response: Response,
    kind: &'static str,
    write: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Response {
    let (mut parts, body) = response.into_parts();
    // Bodies are made here, and never fail to be read.
    let json = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let Some(written) = write(&json) else { return Response::from_parts(parts, Body::from(json)) };
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Response::from_parts(parts, Body::from(written))
}
