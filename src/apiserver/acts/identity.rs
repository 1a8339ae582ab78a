//! Who is it? `SelfSubjectReview` tells who asks, `TokenReview` whose a token is.

use api::{Object, Status, time};
use axum::response::Response;
use base::env;
use serde_json::json;

use crate::errors::Failure;
use crate::verbs::Call;

/// Under this name it is told what proved who asks.
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

/// Tells who asks.
pub(super) async fn of_self(call: Call, mut body: Object) -> Result<Response, Failure> {
    let mut user = json!({"username": call.user.name, "groups": call.user.groups});
    if let Some(credential) = &call.user.credential {
        user["extra"] = json!({CREDENTIAL: [credential]});
    }
    body.meta = api::ObjectMeta { creation_timestamp: time::rfc3339(env::wall_ms()), ..Default::default() };
    super::answered(&call, body, json!({"userInfo": user}))
}

/// Tells whose a token is: nobody's, as long as there are none.
pub(super) async fn of_token(call: Call, body: Object) -> Result<Response, Failure> {
    if body.text(&["spec", "token"]).is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication").into());
    }
    super::answered(&call, body, json!({"user": {}}))
}
