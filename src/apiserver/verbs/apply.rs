//! PATCH with an object that somebody wants: merged into the one that is there, or created.

use std::sync::Arc;

use api::codec::{self, FieldValidation};
use api::{Object, Status, decode};
use axum::response::Response;
use replica::Moment;
use serde_json::Value;

use super::managed::{self, Options};
use super::update::Before;
use super::write::{self, Decision};
use super::{Call, create, update};
use crate::errors::Failure;
use crate::server::{Context, with_warnings};

/// The media type of what is applied.
pub(super) const MEDIA_TYPE: &str = "application/apply-patch+yaml";

/// Applies the body.
pub(super) async fn handle(context: Arc<Context>, call: Call) -> Result<Response, Failure> {
    managed::check(&call, Options::Apply)?;
    let validation = call.field_validation();
    let decoded = decode::yaml(&call.body).map_err(|error| {
        let why = error.to_string();
        let why = why.strip_prefix("error converting YAML to JSON: ").unwrap_or(&why);
        Status::bad_request(format!("error encoding patch: {why}"))
    })?;
    let wanted = decoded.value;
    let odd: Vec<_> = decoded.duplicates.iter().map(|path| format!("duplicate field {path:?}")).collect();
    if validation == FieldValidation::Strict && !odd.is_empty() {
        return Err(Status::bad_request(format!("error strict decoding patch: {}", odd.join(", "))).into());
    }
    let decide = |moment: &Moment| decide(&call, &wanted, moment);
    let response = write::run(&*context.backend, &call, decide).await?;
    let warnings = if validation == FieldValidation::Warn { odd } else { Vec::new() };
    Ok(with_warnings(response, &warnings))
}

fn decide(call: &Call, wanted: &Value, moment: &Moment) -> Result<Decision, Status> {
    if moment.state.get(call.key().as_str()).is_some() || !call.path.subresource.is_empty() {
        return update::decide(call, moment, |before| merged(call, before, wanted));
    }
    let (tree, owners) = managed::applied(call, &Value::Null, &[], wanted)?;
    let mut object = conformed(call, tree)?;
    object.meta.managed_fields = owners;
    if !object.meta.uid.is_empty() {
        let uid = &object.meta.uid;
        let why = format!(
            "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        );
        return Err(Status::conflict(call.row.group_resource(), &call.path.name, &why));
    }
    update::place(&mut object, call)?;
    create::place(&mut object, call)?;
    create::decide(call, object, moment, create::Owners::Known)
}

fn merged(call: &Call, before: &Before<'_>, wanted: &Value) -> Result<Object, Status> {
    let live = before.object.tree(&call.lens.shown);
    let (tree, owners) = managed::applied(call, &live, &before.object.meta.managed_fields, wanted)?;
    let mut object = conformed(call, tree)?;
    object.meta.managed_fields = owners;
    update::place(&mut object, call)?;
    Ok(object)
}

fn conformed(call: &Call, tree: Value) -> Result<Object, Status> {
    let made = codec::from_tree(tree, Vec::new(), &call.lens.shown, FieldValidation::Ignore);
    let (mut object, _) = made?;
    call.lens.default(&mut object);
    Ok(object)
}
