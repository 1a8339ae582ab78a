//! PATCH with an object that somebody wants: merged into the one that is there, or created.

use std::sync::Arc;

use api::apply::Entry;
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
    let is_told = !decoded.duplicates.is_empty() && validation != FieldValidation::Ignore;
    let repeated = is_told.then(|| decode::repeated(&call.body)).flatten();
    let warnings = repeated.as_deref().map(decode::warnings).unwrap_or_default();
    let is_strict = validation == FieldValidation::Strict;
    let wanted = Wanted { tree: decoded.value, refusal: repeated.filter(|_| is_strict) };
    let decide = |moment: &Moment| decide(&call, &wanted, moment);
    let response = write::run(&*context.backend, &call, decide).await?;
    Ok(with_warnings(response, &warnings))
}

/// What somebody wants to be so.
struct Wanted {
    tree: Value,
    /// What is wrong with its text: told after what is wrong with applying it.
    refusal: Option<String>,
}

impl Wanted {
    /// What comes of applying it to what is there, as an object of its kind.
    fn applied(&self, call: &Call, live: &Value, known: &[Entry]) -> Result<Object, Status> {
        let (tree, owners) = managed::applied(call, live, known, &self.tree)?;
        if let Some(why) = &self.refusal {
            let text = format!("error strict decoding patch: error converting YAML to JSON: {why}");
            return Err(Status::bad_request(text));
        }
        let mut object = conformed(call, tree)?;
        object.meta.managed_fields = owners;
        Ok(object)
    }
}

fn decide(call: &Call, wanted: &Wanted, moment: &Moment) -> Result<Decision, Status> {
    if moment.state.get(call.key().as_str()).is_some() || !call.path.subresource.is_empty() {
        return update::decide(call, moment, |before| merged(call, before, wanted));
    }
    let mut object = wanted.applied(call, &Value::Null, &[])?;
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

fn merged(call: &Call, before: &Before<'_>, wanted: &Wanted) -> Result<Object, Status> {
    let live = before.object.tree(&call.lens.shown);
    let mut object = wanted.applied(call, &live, &before.object.meta.managed_fields)?;
    update::place(&mut object, call)?;
    Ok(object)
}

fn conformed(call: &Call, tree: Value) -> Result<Object, Status> {
    let made = codec::from_tree(tree, Vec::new(), &call.lens.shown, FieldValidation::Ignore);
    let (mut object, _) = made?;
    call.lens.default(&mut object);
    Ok(object)
}
