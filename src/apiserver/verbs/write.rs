//! The one way in which verbs write: decide on a moment, propose, and decide anew when a guard failed.
//!
//! # Guarantees
//! - What a client stated (a resourceVersion, a uid) is checked by the decision, so a guard that fails
//!   only says that the moment was old: the next decision sees what stood in the way.
//! - What is answered without a proposal (a refusal, nothing to change, a dry run) is decided on a moment
//!   that a linearizable read gave: any refusal may come from an old object, not only a conflict.

use api::lens::Lens;
use api::{Key, Prepared, Status};
use axum::response::Response;
use base::ids::RequestId;
use bytes::Bytes;
use replica::Moment;
use state::{Guard, Meta, Outcome, Oversize, Stamp, Txn, Write};

use super::Call;
use crate::backend::Backend;
use crate::definitions;
use crate::errors::Failure;
use crate::limits::{ATTEMPTS_MAX, OBJECT_BYTES_MAX};
use crate::negotiate::Representation;
use crate::present;

/// What is to be done, seen from one moment.
pub(crate) enum Decision {
    /// Nothing needs to be written.
    Answer(Answer),
    /// This, if the guards hold; then that is the answer.
    Propose(Plan),
}

/// Writes with their conditions. What is answered is the last one's object.
pub(crate) struct Plan {
    pub(crate) guards: Vec<Guard>,
    pub(crate) writes: Vec<Write>,
    pub(crate) answer: Answer,
}

/// What the client is told.
pub(crate) enum Answer {
    /// An object that is stored already.
    Stored(Bytes),
    /// The object that was written, with this code; it was there at this revision before, or is new.
    Written(u16, Prepared, Option<u64>),
    /// Success without an object.
    Done(Box<Status>),
}

/// The write that stores a prepared object.
pub(crate) fn put(key: Key, prepared: &Prepared) -> Write {
    let meta = Meta {
        uid: prepared.uid.clone(),
        generation: prepared.generation,
        deleting: prepared.deleting,
        finalizers: prepared.finalizers,
        charges: Vec::new(),
    };
    Write::Put { key, body: prepared.body.clone().into(), splice: Some(prepared.splice), meta }
}

/// The write that stores what a user wants an object to be.
///
/// # Errors
/// 413 above what leaves the server room to mark the object as deleted; one that is marked may use that room.
pub(crate) fn put_wanted(key: Key, prepared: &Prepared) -> Result<Write, Status> {
    let limit = if prepared.deleting { state::limits::OBJECT_BYTES_MAX } else { OBJECT_BYTES_MAX };
    let size = prepared.body.len();
    if size > limit {
        let above = Oversize { what: "bytes of the object", size, limit };
        return Err(Status::too_large(&above.to_string()));
    }
    Ok(put(key, prepared))
}

/// Decides and proposes until there is an answer.
pub(crate) async fn run(
    backend: &dyn Backend,
    call: &Call,
    mut decide: impl FnMut(&Moment) -> Result<Decision, Status>,
) -> Result<Response, Failure> {
    let form = call.form()?;
    let dry_run = call.is_dry_run()?;
    // A dry run is all answer: no guard would notice that its moment was old.
    let (mut moment, mut is_fresh) =
        if dry_run { (backend.linearizable().await?, true) } else { (backend.moment(), false) };
    for _ in 0..ATTEMPTS_MAX {
        let plan = match decide(&moment) {
            Ok(Decision::Propose(plan)) => plan,
            Ok(Decision::Answer(answer)) if is_fresh => {
                return respond_unwritten(answer, &call.lens, form);
            }
            Err(refusal) if is_fresh => return Err(refusal.into()),
            Ok(Decision::Answer(_)) | Err(_) => {
                moment = backend.linearizable().await?;
                is_fresh = true;
                continue;
            }
        };
        if dry_run {
            return respond_unwritten(plan.answer, &call.lens, form);
        }
        let mut guards = plan.guards;
        guards.extend(definitions::guards(&call.row, call.is_create));
        let txn = transaction(&call.user.name, guards, plan.writes);
        let committed = backend.propose(txn).await?;
        match committed.outcome {
            Outcome::Committed { revision } => return respond(plan.answer, revision, &call.lens, form),
            Outcome::Refused(_) if !definitions::is_current(&call.row, &committed.moment.state) => break,
            Outcome::Refused(_) => (moment, is_fresh) = (committed.moment, true),
            Outcome::Invalid { reason } => return Err(Status::internal(&reason).into()),
        }
    }
    Err(Status::unavailable("others keep changing what this write depends on; try again")
        .with_retry_after(1)
        .into())
}

/// A transaction by `actor` under a fresh request id.
pub(crate) fn transaction(actor: &str, guards: Vec<Guard>, writes: Vec<Write>) -> Txn {
    Txn { stamp: Stamp { request: RequestId::fresh().0, actor: actor.to_owned() }, guards, writes }
}

/// The answer to a write at this revision.
fn respond(answer: Answer, revision: u64, lens: &Lens, form: Representation) -> Result<Response, Failure> {
    match answer {
        Answer::Written(code, prepared, _) => {
            present::object(code, &prepared.at_revision(revision).into(), lens, form)
        }
        other => respond_unwritten(other, lens, form),
    }
}

/// The answer when nothing was written: an object that would have been is shown at the revision that it has, if any.
fn respond_unwritten(answer: Answer, lens: &Lens, form: Representation) -> Result<Response, Failure> {
    match answer {
        Answer::Stored(bytes) => present::object(200, &bytes, lens, form),
        Answer::Written(code, prepared, previous) => {
            let body = match previous {
                Some(revision) => prepared.at_revision(revision),
                None => prepared.body,
            };
            present::object(code, &body.into(), lens, form)
        }
        Answer::Done(status) => Ok(present::status(&status)),
    }
}
