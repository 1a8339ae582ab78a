//! `TokenRequest`: a token for a service account. Nobody here signs any yet: what can be said before that is said.

use std::sync::Arc;

use api::{FieldError, Object, Status};
use axum::response::Response;
use serde_json::Value;

use crate::errors::Failure;
use crate::server::Context;
use crate::verbs::Call;

/// How long a token must be good, in seconds.
const SECONDS_MIN: i64 = 600;

/// The longest time that a token may be good, in seconds.
const SECONDS_MAX: i64 = 1 << 32;

/// Refuses: for a reason that Kubernetes would give too, or because tokens are not known here.
pub(super) async fn run(context: Arc<Context>, call: Call, request: Object) -> Result<Response, Failure> {
    let name = &call.path.name;
    let wrong =
        |errors: &[FieldError], name: &str| Status::invalid(call.lens.shown.group_kind(), name, errors);
    if !matches!(&request.meta.name, given if given.is_empty() || given == name) {
        let why = "must match the service account name if specified";
        let error = FieldError::invalid("metadata.name", &*request.meta.name, why);
        return Err(wrong(&[error], name).into());
    }
    let moment = context.backend.linearizable().await?;
    moment.state.get(call.key().as_str()).ok_or_else(|| call.not_found())?;
    let errors: Vec<_> = expiration(&request).into_iter().collect();
    if !errors.is_empty() {
        return Err(wrong(&errors, "").into());
    }
    Err(Status::method_not_allowed(call.row.group_resource(), "create").into())
}

fn expiration(request: &Object) -> Option<FieldError> {
    let seconds = request.spec()?.get("expirationSeconds").and_then(Value::as_i64)?;
    let why = match seconds {
        ..SECONDS_MIN => "may not specify a duration less than 10 minutes",
        SECONDS_MIN..=SECONDS_MAX => return None,
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    Some(FieldError::invalid("spec.expirationSeconds", seconds, why))
}
