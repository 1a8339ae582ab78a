//! PATCH of one object: a change said in one of several ways, applied to whichever version there is.

use std::sync::Arc;

use api::codec::{self, FieldValidation};
use api::patch::{self, PatchError};
use api::{FieldError, GroupResource, Object, Status, decode};
use axum::response::Response;
use replica::Moment;
use serde_json::{Map, Value};

use super::managed::{self, Options};
use super::update::Before;
use super::{Call, apply, update, write};
use crate::errors::Failure;
use crate::server::Context;

/// Changes the tree of a stored object.
type Apply = fn(&mut Value, &Call) -> Result<(), PatchError>;

/// The kinds of patches by their media types.
static KINDS: &[(&str, Apply)] = &[
    ("application/json-patch+json", |tree, call| patch::json(tree, &call.body)),
    ("application/merge-patch+json", |tree, call| {
        patch::merge(tree, &body(call)?);
        Ok(())
    }),
    ("application/strategic-merge-patch+json", |tree, call| {
        let (Some(tree), Value::Object(changes)) = (tree.as_object_mut(), body(call)?) else {
            return Err(PatchError::Malformed("a strategic merge patch is an object".to_owned()));
        };
        patch::strategic(tree, changes, &call.lens.shown.schema)
    }),
];

/// Applies the patch.
pub(super) async fn handle(context: Arc<Context>, call: Call) -> Result<Response, Failure> {
    let media = call.content_type.split(';').next().unwrap_or_default().trim();
    if media == apply::MEDIA_TYPE {
        return apply::handle(context, call).await;
    }
    // Strategies are of types that Kubernetes brings.
    let is_known = |(kind, _): &&(&str, Apply)| call.row.custom.is_none() || !kind.contains("strategic");
    let Some((_, patch)) = KINDS.iter().filter(is_known).find(|(kind, _)| *kind == media) else {
        let known = KINDS.iter().filter(is_known).map(|(kind, _)| *kind);
        let kinds: Vec<_> = known.chain([apply::MEDIA_TYPE]).collect();
        return Err(Status::unsupported_media_type(&kinds).into());
    };
    managed::check(&call, Options::Patch)?;
    let validation = call.field_validation()?;
    let change = |before: &Before<'_>| patched(before, *patch, &call, validation);
    let decide = |moment: &Moment| update::decide(&call, moment, change);
    write::run(&*context.backend, &call, decide).await
}

fn patched(
    before: &Before<'_>,
    apply: Apply,
    call: &Call,
    validation: FieldValidation,
) -> Result<Object, Status> {
    let mut tree = decode::json(before.bytes).map_err(|error| Status::internal(&error.to_string()))?.value;
    apply(&mut tree, call).map_err(|error| refusal(&error))?;
    let (mut object, _) = codec::from_tree(tree, Vec::new(), &call.lens.shown, validation)
        .map_err(|refused| unusable(call, &refused.message))?;
    call.lens.default(&mut object);
    managed::track(call, Some(before.object), &mut object);
    Ok(object)
}

fn body(call: &Call) -> Result<Value, PatchError> {
    let decoded = decode::json(&call.body);
    decoded
        .map(|decoded| decoded.value)
        .map_err(|error| PatchError::Malformed(format!("error decoding patch: {error}")))
}

fn refusal(error: &PatchError) -> Status {
    match error {
        PatchError::Malformed(why) => Status::bad_request(why.clone()),
        PatchError::Mismatch(why) => Status::failure(422, api::Reason::Invalid, why.clone()),
        PatchError::TooLarge(why) => Status::too_large(why),
    }
}

/// What the patch made is no object of its kind.
fn unusable(call: &Call, why: &str) -> Status {
    let patch = serde_json::from_slice(&call.body).unwrap_or_else(|_| Value::Object(Map::new()));
    let error = FieldError::invalid("patch", patch, why);
    Status::invalid(GroupResource { group: "", resource: "" }, "", &[error])
}
