//! PUT of one object.

use std::sync::Arc;

use api::{FieldError, GroupResource, Object, ObjectMeta, Status, decode, etcd, object, parts, updates};
use axum::response::Response;
use replica::Moment;
use serde_json::Value;
use state::{Guard, Write};

use super::given::Given;
use super::managed::{self, Options};
use super::write::{self, Answer, Decision, Plan};
use super::{Call, create, of_version, unreadable};
use crate::chain::admission::{self, Attempt, Operation};
use crate::errors::Failure;
use crate::server::{Context, with_warnings};
use crate::services::{self, Companions};

/// Replaces the object: the version that the body names, or whichever there is.
pub(super) async fn handle(context: Arc<Context>, call: Call) -> Result<Response, Failure> {
    call.form()?;
    managed::check(&call, Options::Update)?;
    let (mut given, warnings) = Given::read(&call, place)?;
    let decide = |moment: &Moment| {
        let mut object = given.take()?;
        let is_there = moment.state.get(call.key().as_str()).is_some();
        if !is_there && updates::creates(&call.row) && object.meta.resource_version.is_empty() {
            return create::decide(&call, object, moment, create::Owners::Unknown);
        }
        decide(&call, moment, |before| {
            of_object(&call, &object.meta, before.object)?;
            call.lens.default(&mut object);
            managed::track(&call, Some(before.object), &mut object);
            Ok(object)
        })
    };
    let response = write::run(&*context.backend, &call, decide).await?;
    Ok(with_warnings(response, &warnings))
}

/// The body must be about the object of the path.
pub(super) fn place(object: &mut Object, call: &Call) -> Result<(), Status> {
    within(object, call)?;
    let (meta, name) = (&object.meta, &call.path.name);
    if meta.name.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )));
    }
    if meta.name != *name {
        let text =
            format!("the name of the object ({}) does not match the name on the URL ({name})", meta.name);
        return Err(Status::bad_request(text));
    }
    Ok(())
}

/// Puts an object into the namespace of the path, or into none.
///
/// # Errors
/// 400 when it says that it is in another one.
pub(super) fn within(object: &mut Object, call: &Call) -> Result<(), Status> {
    let (namespace, wanted) = (&mut object.meta.namespace, &call.path.namespace);
    if namespace.is_empty() || !call.row.namespaced {
        namespace.clone_from(wanted);
    }
    if namespace != wanted {
        let text = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(text));
    }
    Ok(())
}

/// Whoever sends a whole object means the one that it names.
///
/// # Errors
/// 409 when that is another one.
fn of_object(call: &Call, given: &ObjectMeta, found: &Object) -> Result<(), Status> {
    let (given, is) = (&given.uid, &found.meta.uid);
    if given.is_empty() || given == is {
        return Ok(());
    }
    let failed = format!("Precondition failed: UID in precondition: {given}, UID in object meta: {is}");
    let (row, path) = (&call.row, &call.path);
    if call.lens.is_scale() {
        let resource = format!("{}/scale", row.plural);
        let scale = GroupResource { group: &row.group, resource: &resource };
        return Err(Status::conflict(scale, &path.name, &failed));
    }
    let key = etcd::key(row, &path.namespace, &path.name);
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {failed}"
    );
    Err(Status::conflict(row.group_resource(), &path.name, &why))
}

/// The object before a change, as it is shown.
pub(super) struct Before<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) object: &'a Object,
}

impl Before<'_> {
    /// As a tree, with the owners of its fields.
    pub(super) fn whole_tree(&self) -> Result<Value, Status> {
        Ok(decode::json(self.bytes).map_err(unreadable)?.value)
    }
}

/// Decides what becomes of the object found at this moment; `change` makes the new one from it, as it is shown, filled
/// in, with the owners of its fields.
pub(super) fn decide(
    call: &Call,
    moment: &Moment,
    change: impl FnOnce(&Before<'_>) -> Result<Object, Status>,
) -> Result<Decision, Status> {
    let (row, key) = (&*call.row, call.key());
    let found = moment.state.get(key.as_str()).ok_or_else(|| call.not_found())?;
    let bytes = found.bytes.to_bytes();
    let old = Object::read(&bytes, row.stored()).map_err(unreadable)?;
    let given = match call.lens.show(&bytes).map_err(unreadable)? {
        Some(seen) => {
            let mut object = Object::read(&seen, &call.lens.shown).map_err(unreadable)?;
            if call.lens.is_scale() {
                object.meta.managed_fields = managed::of_scale(call, &old);
            }
            change(&Before { bytes: &seen, object: &object })?
        }
        None => change(&Before { bytes: &bytes, object: &old })?,
    };
    let scale_owners =
        call.lens.is_scale().then(|| managed::of_scaled(call, &old, &given.meta.managed_fields));
    let of = if call.lens.is_scale() { &*call.lens.shown } else { row.stored() };
    let wrong = |errors: Vec<_>| Status::invalid(of.group_kind(), &call.path.name, &errors);
    let mut new = call.lens.store(given, Some(&old)).map_err(wrong)?;
    if let Some(owners) = scale_owners {
        new.meta.managed_fields = owners;
    }
    // Another version than this one may only be stated by the client: it has seen an older object, or another.
    if new.meta.resource_version.is_empty() && updates::needs_version(row) {
        let error = FieldError::invalid("metadata.resourceVersion", 0, "must be specified for an update");
        return Err(Status::invalid(row.group_resource(), &call.path.name, &[error]));
    }
    of_version(call, &new.meta, found.revision)?;
    let attempt = Attempt {
        operation: Operation::Update,
        resource: row.stored(),
        namespace: &call.path.namespace,
        name: &call.path.name,
        subresource: &call.path.subresource,
        old: Some(&old),
        user: &call.user,
        state: &moment.state,
        settings: &call.settings,
    };
    let mut companions = match parts::find(row, &call.path.subresource) {
        Some(part) => {
            admission::update_part(&attempt, part, &mut new, &old)?;
            Companions::default()
        }
        None => admission::update(&attempt, &mut new, &old)?,
    };
    let mut prepared = write::prepare(call, &mut new, row.stored());
    let is_quiet = object::differ_in_owners_alone(&bytes, &prepared.at_revision(found.revision));
    if is_quiet && managed::keep_times(&old, &mut new) {
        prepared = new.prepare(row.stored());
    }
    if found.has_body(&prepared.body) {
        return Ok(Decision::Answer(Answer::Stored(bytes)));
    }
    // The last finalizer is gone: nothing keeps an object that was deleted, but the time that it has to end by itself.
    let has_time = old.meta.deletion_grace_period_seconds.unwrap_or(0) > 0;
    let is_released =
        prepared.deleting && !prepared.finalizers && !has_time && !(row.stored().strategy().is_held)(&new);
    if is_released {
        companions = services::release(&moment.state, row.stored(), &old);
    }
    let Companions { mut guards, mut writes } = companions;
    guards.push(Guard::AtRevision { key: key.clone(), revision: found.revision });
    writes.push(if is_released { Write::Delete { key } } else { write::put_wanted(key, &prepared)? });
    Ok(Decision::Propose(Plan { guards, writes, answer: Answer::Written(200, prepared, found.revision) }))
}
