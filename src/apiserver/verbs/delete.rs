//! DELETE of one object.

use std::sync::Arc;

use api::Status;
use api::codec::DeleteOptions;
use api::deletion::{self, Deletion};
use api::status::Details;
use axum::response::Response;
use base::env;
use replica::Moment;
use state::{Guard, Write};

use super::Call;
use super::write::{self, Answer, Decision, Plan};
use crate::chain::admission::{self, Attempt, Operation};
use crate::errors::Failure;
use crate::server::Context;
use crate::services::{self, Companions};

/// Deletes the object, or marks it as going if something keeps it.
pub(super) async fn handle(context: Arc<Context>, mut call: Call) -> Result<Response, Failure> {
    call.form()?;
    let options = call.delete_options()?;
    run(&context, &call, &options).await
}

/// Deletes the object of the call's path.
pub(super) async fn run(
    context: &Context,
    call: &Call,
    options: &DeleteOptions,
) -> Result<Response, Failure> {
    write::run(&*context.backend, call, |moment| decide(call, options, moment)).await
}

pub(super) fn decide(call: &Call, options: &DeleteOptions, moment: &Moment) -> Result<Decision, Status> {
    let (row, key) = (&*call.row, call.key());
    let found = moment.state.get(key.as_str()).ok_or_else(|| call.not_found())?;
    check_preconditions(call, options, &found.meta.uid, found.revision)?;
    admission::delete(&Attempt {
        operation: Operation::Delete,
        resource: row,
        namespace: &call.path.namespace,
        name: &call.path.name,
        subresource: "",
        old: None,
        user: &call.user,
        state: &moment.state,
        settings: &call.settings,
    })?;
    let stored = row.stored();
    let mut object = call.read(found)?;
    let freed = services::unhold(&moment.state, stored, &mut object);
    let plan = |mut companions: Companions, write, answer| {
        companions.guards.push(Guard::AtRevision { key: key.clone(), revision: found.revision });
        companions.guards.extend(freed);
        companions.writes.push(write);
        let Companions { guards, writes } = companions;
        Ok(Decision::Propose(Plan { guards, writes, answer }))
    };
    let deletion = deletion::decide(&mut object, stored, options, env::wall_ms());
    let held = || services::release(&moment.state, stored, &object);
    match deletion {
        Deletion::Pending => Ok(Decision::Answer(Answer::Stored(found.bytes.to_bytes()))),
        Deletion::Remove if deletion::shows_object(row) => {
            plan(held(), Write::Delete { key: key.clone() }, Answer::Stored(found.bytes.to_bytes()))
        }
        Deletion::Remove => {
            let details = Details {
                name: call.path.name.clone(),
                group: row.group.clone(),
                kind: row.plural.clone(),
                uid: found.meta.uid.clone(),
                ..Details::default()
            };
            plan(held(), Write::Delete { key: key.clone() }, Answer::Done(Box::new(Status::success(details))))
        }
        Deletion::Mark => {
            let prepared = object.prepare(stored);
            if found.has_body(&prepared.body) {
                return Ok(Decision::Answer(Answer::Stored(found.bytes.to_bytes())));
            }
            // Who asked in the old way that nothing stays is told that the end is still to come.
            let code = if options.cascades { 202 } else { 200 };
            plan(
                Companions::default(),
                write::put(key.clone(), &prepared),
                Answer::Written(code, prepared, found.revision),
            )
        }
    }
}

/// Checks what a client states of the object that it wants to go.
pub(crate) fn check_preconditions(
    call: &Call,
    options: &DeleteOptions,
    uid: &str,
    revision: u64,
) -> Result<(), Status> {
    let conflict = |why: String| Err(Status::conflict(call.row.group_kind(), &call.path.name, &why));
    if let Some(given) = options.uid.as_deref().filter(|given| *given != uid) {
        return conflict(format!(
            "the UID in the precondition ({given}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        ));
    }
    if let Some(given) = options.resource_version.as_deref().filter(|given| *given != revision.to_string()) {
        return conflict(format!(
            "the ResourceVersion in the precondition ({given}) does not match the ResourceVersion in record ({revision}). The object might have been modified"
        ));
    }
    Ok(())
}
