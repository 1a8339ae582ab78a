//! DELETE of one object.

use std::sync::Arc;

use api::codec::{self, DeleteOptions};
use api::status::Details;
use api::{Object, Status, time};
use axum::response::Response;
use base::env;
use replica::Moment;
use state::{Guard, Write};

use super::Call;
use super::write::{self, Answer, Decision, Plan};
use crate::chain::admission::{self, Attempt, Operation};
use crate::errors::Failure;
use crate::server::Context;

/// Deletes the object, or marks it as going if something keeps it.
pub(super) async fn handle(context: Arc<Context>, mut call: Call) -> Result<Response, Failure> {
    let options = codec::delete_options(&call.body, call.format()?)?;
    if options.dry_run {
        call.query.set("dryRun", "All");
    }
    write::run(&*context.backend, &call, |moment| decide(&call, &options, moment)).await
}

fn decide(call: &Call, options: &DeleteOptions, moment: &Moment) -> Result<Decision, Status> {
    let (row, key) = (call.row, call.key());
    let found = moment.state.get(key.as_str()).ok_or_else(|| call.not_found())?;
    check_preconditions(call, options, &found.meta.uid, found.revision)?;
    admission::delete(&Attempt {
        operation: Operation::Delete,
        resource: row,
        namespace: &call.path.namespace,
        name: &call.path.name,
        user: &call.user,
        state: &moment.state,
    })?;
    let mut object = Object::read(&found.bytes, row).map_err(|error| Status::internal(&error.to_string()))?;
    let guards = vec![Guard::AtRevision { key: key.clone(), revision: found.revision }];
    if object.meta.finalizers.is_empty() && !(row.strategy.is_held)(&object) {
        let details = Details {
            name: call.path.name.clone(),
            group: row.group.into(),
            kind: row.plural.into(),
            uid: found.meta.uid.clone(),
            ..Details::default()
        };
        let answer = Answer::Done(Box::new(Status::success(details)));
        return Ok(Decision::Propose(Plan { guards, write: Write::Delete { key }, answer }));
    }
    if object.meta.is_deleting() {
        return Ok(Decision::Answer(Answer::Stored(found.bytes.clone())));
    }
    mark(&mut object, row, env::wall_ms());
    let prepared = object.prepare(row);
    Ok(Decision::Propose(Plan {
        guards,
        write: write::put(key, &prepared),
        answer: Answer::Written(200, prepared),
    }))
}

/// Marks an object as going since `now_ms`.
pub(crate) fn mark(object: &mut Object, row: &api::Resource, now_ms: u64) {
    object.meta.deletion_timestamp = Some(time::rfc3339(now_ms));
    object.meta.deletion_grace_period_seconds = Some(0);
    (row.strategy.prepare_delete)(object);
}

fn check_preconditions(call: &Call, options: &DeleteOptions, uid: &str, revision: u64) -> Result<(), Status> {
    let conflict = |why: String| Err(Status::conflict(call.row.group_resource(), &call.path.name, &why));
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
