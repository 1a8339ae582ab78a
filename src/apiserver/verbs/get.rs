//! GET of one object.

use std::sync::Arc;

use axum::response::Response;

use super::{Call, moment_for, revision};
use crate::errors::Failure;
use crate::present;
use crate::server::Context;

/// Shows the object: the newest, unless a resourceVersion asks for less.
pub(super) async fn handle(context: Arc<Context>, call: Call) -> Result<Response, Failure> {
    let form = call.form()?;
    let moment = moment_for(&*context.backend, revision(call.query.get("resourceVersion"))?).await?;
    match moment.state.get(call.key().as_str()) {
        Some(found) => present::object(200, &found.bytes.to_bytes(), &call.lens, form),
        None => Err(call.not_found().into()),
    }
}
