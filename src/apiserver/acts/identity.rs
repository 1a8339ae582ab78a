//! Who is it? `SelfSubjectReview` tells who asks, `TokenReview` whose a token is.

use std::sync::Arc;

use api::{Object, Status, time};
use axum::response::Response;
use base::env;
use serde_json::{Value, json};

use crate::errors::Failure;
use crate::server::Context;
use crate::tokens::API_AUDIENCES;
use crate::user::User;
use crate::verbs::Call;

/// Tells who asks.
pub(super) async fn of_self(call: Call, mut body: Object) -> Result<Response, Failure> {
    body.meta = api::ObjectMeta { creation_timestamp: time::rfc3339(env::wall_ms()), ..Default::default() };
    super::answered(&call, body, json!({"userInfo": info(&call.user)}))
}

/// Tells whose a token is.
pub(super) async fn of_token(context: Arc<Context>, call: Call, body: Object) -> Result<Response, Failure> {
    let token = body.text(&["spec", "token"]).trim();
    if body.text(&["spec", "token"]).is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication").into());
    }
    let asked = body.spec().and_then(|spec| spec.get("audiences")).and_then(Value::as_array);
    let asked: Vec<&str> = asked.into_iter().flatten().filter_map(Value::as_str).collect();
    let audiences = if asked.is_empty() { API_AUDIENCES } else { &asked };
    // The newest: whoever asks believes the answer for a while.
    let moment = context.backend.linearizable().await?;
    let status = match context.tokens.identify(token, audiences, &moment.state, env::wall_ms()) {
        Ok(known) => json!({"authenticated": true, "user": info(&known.user), "audiences": known.audiences}),
        Err(error) => json!({"user": {}, "error": error.to_string()}),
    };
    super::answered(&call, body, status)
}

/// A user as reviews show it.
fn info(user: &User) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}
