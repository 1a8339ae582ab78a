//! GET of one object.

use std::sync::Arc;

use api::Status;
use axum::response::Response;

use super::{Call, moment_for, revision, unreadable};
use crate::errors::Failure;
use crate::present;
use crate::server::Context;

/// Shows the object: the newest, unless a resourceVersion asks for less.
pub(super) async fn handle(context: Arc<Context>, call: Call) -> Result<Response, Failure> {
    let form = call.form()?;
    let revision = revision(call.query.get("resourceVersion"));
    let revision = revision.map_err(|error| Status::unexplained(error.to_string()))?;
    let moment = moment_for(&*context.backend, revision).await?;
    match moment.state.get(call.key().as_str()) {
        Some(found) => {
            let stored = found.bytes.to_bytes();
            match call.lens.lacks_scale(&stored).map_err(unreadable)? {
                Some(why) => Err(Status::internal(&why).into()),
                None => present::object(200, &stored, &call.lens, form),
            }
        }
        None => Err(call.not_found().into()),
    }
}
