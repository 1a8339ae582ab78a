//! How others verify the tokens of service accounts: two documents of OpenID Connect.

use axum::response::Response;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::errors::{Failure, json as answer};
use crate::limits::KEY_SET_AGE_SECONDS;
use crate::server::Context;
use crate::tokens::jwt::ALGORITHM;
use crate::tokens::{ISSUER, keys};

/// `/.well-known/openid-configuration`: where the keys are.
pub(crate) fn configuration() -> Response {
    let document = json!({
        "issuer": ISSUER,
        "jwks_uri": format!("{ISSUER}/openid/v1/jwks"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    });
    cached(&document, "application/json")
}

/// `/openid/v1/jwks`: the keys.
pub(crate) async fn key_set(context: &Context) -> Result<Response, Failure> {
    let moment = context.backend.linearizable().await?;
    Ok(cached(&keys::set(&moment.state), "application/jwk-set+json"))
}

fn cached(document: &Value, kind: &'static str) -> Response {
    let mut response = answer(200, document.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let age = format!("public, max-age={KEY_SET_AGE_SECONDS}");
    if let Ok(age) = HeaderValue::from_str(&age) {
        response.headers_mut().insert(CACHE_CONTROL, age);
    }
    response
}
