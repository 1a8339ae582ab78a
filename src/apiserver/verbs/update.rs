//! PUT of one object.

use std::sync::Arc;

use api::status::MODIFIED;
use api::{Object, Status, codec};
use axum::response::Response;
use replica::Moment;
use state::{Guard, Write};

use super::write::{self, Answer, Decision, Plan};
use super::{Call, revision};
use crate::chain::admission::{self, Attempt, Operation};
use crate::errors::Failure;
use crate::server::{Context, with_warnings};

/// Replaces the object: the version that the body names, or whichever there is.
pub(super) async fn handle(context: Arc<Context>, call: Call) -> Result<Response, Failure> {
    let (mut object, warnings) =
        codec::object(&call.body, call.format()?, call.row, call.field_validation()?)?;
    place(&mut object, &call)?;
    let stated = revision(&object.meta.resource_version)?;
    let decide = |moment: &Moment| decide(&call, moment, stated, |_| Ok(object.clone()));
    let response = write::run(&*context.backend, &call, decide).await?;
    Ok(with_warnings(response, &warnings))
}

/// The body must be about the object of the path.
fn place(object: &mut Object, call: &Call) -> Result<(), Status> {
    let meta = &mut object.meta;
    if meta.name.is_empty() {
        meta.name.clone_from(&call.path.name);
    }
    if meta.namespace.is_empty() {
        meta.namespace.clone_from(&call.path.namespace);
    }
    let (name, within) = (&call.path.name, &call.path.namespace);
    if meta.name != *name {
        let text =
            format!("the name of the object ({}) does not match the name on the URL ({name})", meta.name);
        return Err(Status::bad_request(text));
    }
    if meta.namespace != *within {
        let text = format!(
            "the namespace of the object ({}) does not match the namespace on the request ({within})",
            meta.namespace
        );
        return Err(Status::bad_request(text));
    }
    Ok(())
}

/// Decides what becomes of the object found at this moment; `change` makes the new one from it.
pub(super) fn decide(
    call: &Call,
    moment: &Moment,
    stated: Option<u64>,
    change: impl FnOnce(&[u8]) -> Result<Object, Status>,
) -> Result<Decision, Status> {
    let (row, key) = (call.row, call.key());
    let found = moment.state.get(key.as_str()).ok_or_else(|| call.not_found())?;
    let conflict = |why: &str| Status::conflict(row.group_resource(), &call.path.name, why);
    if stated.is_some_and(|stated| stated != found.revision) {
        return Err(conflict(MODIFIED));
    }
    let mut new = change(&found.bytes)?;
    if !new.meta.uid.is_empty() && new.meta.uid != found.meta.uid {
        let (given, is) = (&new.meta.uid, &found.meta.uid);
        return Err(conflict(&format!(
            "Precondition failed: UID in precondition: {given}, UID in object meta: {is}"
        )));
    }
    let old = Object::read(&found.bytes, row).map_err(|error| Status::internal(&error.to_string()))?;
    let attempt = Attempt {
        operation: Operation::Update,
        resource: row,
        namespace: &call.path.namespace,
        name: &call.path.name,
        user: &call.user,
        state: &moment.state,
    };
    admission::update(&attempt, &mut new, &old)?;
    let prepared = new.prepare(row);
    if found.has_body(&prepared.body) {
        return Ok(Decision::Answer(Answer::Stored(found.bytes.clone())));
    }
    let guards = vec![Guard::AtRevision { key: key.clone(), revision: found.revision }];
    // The last finalizer is gone: nothing keeps an object that was deleted.
    let is_released = prepared.deleting && !prepared.finalizers && !(row.strategy.is_held)(&new);
    let write = if is_released { Write::Delete { key } } else { write::put_wanted(key, &prepared)? };
    Ok(Decision::Propose(Plan { guards, write, answer: Answer::Written(200, prepared) }))
}
