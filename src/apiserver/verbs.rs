//! The verbs: one table, one file each.

mod apply;
pub(crate) mod create;
pub(crate) mod delete;
mod delete_collection;
mod get;
mod list;
mod managed;
mod patch;
mod update;
mod watch;
pub(crate) mod write;

use std::sync::Arc;

use api::codec::{FieldValidation, Format, MEDIA_TYPES};
use api::lens::Lens;
use api::status::MODIFIED;
use api::{ObjectMeta, Resource, Status, parts};
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use replica::Moment;

use crate::acts::{self, streams};
use crate::backend::Backend;
use crate::errors::Failure;
use crate::negotiate::{self, Offer, Representation};
use crate::request::{Query, ResourcePath};
use crate::server::Context;
use crate::user::User;

/// What a verb is given: the server, and a call that passed the request's chain.
type Handler = fn(Arc<Context>, Call) -> BoxFuture<'static, Result<Response, Failure>>;

/// Every verb of resources.
pub static VERBS: &[(&str, Handler)] = &[
    ("create", |context, call| Box::pin(create::handle(context, call))),
    ("delete", |context, call| Box::pin(delete::handle(context, call))),
    ("deletecollection", |context, call| Box::pin(delete_collection::handle(context, call))),
    ("get", |context, call| Box::pin(get::handle(context, call))),
    ("list", |context, call| Box::pin(list::handle(context, call))),
    ("patch", |context, call| Box::pin(patch::handle(context, call))),
    ("update", |context, call| Box::pin(update::handle(context, call))),
    ("watch", |context, call| Box::pin(watch::handle(context, call))),
];

/// One request for a resource, authorized.
#[derive(Clone)]
pub struct Call {
    /// On whose behalf.
    pub user: User,
    /// The resource.
    pub row: Arc<Resource>,
    /// How its objects are seen at this path.
    pub lens: Lens,
    /// Which objects.
    pub path: ResourcePath,
    /// Options.
    pub query: Query,
    /// The Accept header.
    pub accept: String,
    /// The Content-Type header.
    pub content_type: String,
    /// The User-Agent header.
    pub user_agent: String,
    /// The body.
    pub body: Bytes,
    /// Whether a new object is made.
    pub is_create: bool,
}

/// Runs the verb.
///
/// # Errors
/// 405 for a verb that the resource does not have at this path, and whatever the verb refuses.
pub async fn run(context: Arc<Context>, verb: &str, call: Call) -> Result<Response, Failure> {
    let is_collection = call.path.name.is_empty();
    if verb == "create" && call.is_placed() && acts::is_one(&call) {
        return acts::run(context, call).await;
    }
    let fits = match verb {
        "create" | "deletecollection" => is_collection && (call.is_placed() || verb == "deletecollection"),
        "list" | "watch" => true,
        _ => !is_collection && call.is_placed(),
    };
    let below = call.row.subresource(&call.path.subresource);
    if below.is_none() && !call.path.subresource.is_empty() {
        return Err(call.not_found().into());
    }
    let served = below.map_or(&call.row.verbs, |below| &below.verbs);
    // Of what hangs below, the scale and the parts of objects are written as objects are.
    let is_known = below.is_none_or(|below| {
        parts::find(&call.row, &below.name).is_some()
            || below.kind == call.lens.shown.kind && below.kind == "Scale"
    });
    let handler = VERBS
        .iter()
        .find(|(name, _)| *name == verb)
        .filter(|(name, _)| fits && is_known && served.iter().any(|served| served == name));
    let is_going = call.row.custom.as_ref().is_some_and(|custom| custom.is_going);
    match handler {
        None if streams::is_one(&call) && served.iter().any(|served| served == verb) => {
            streams::run(context, call).await
        }
        Some((_, handler)) => handler(context, call).await,
        None if is_going && verb == "create" => {
            let why = "create not allowed while custom resource definition is terminating";
            Err(Status::forbidden(call.row.group_resource(), "", why).into())
        }
        None => Err(Status::method_not_allowed(call.row.group_resource(), verb).into()),
    }
}

impl Call {
    /// Whether the path names a namespace exactly when the resource lives in one.
    fn is_placed(&self) -> bool {
        self.row.namespaced != self.path.namespace.is_empty()
    }

    pub(crate) fn form(&self) -> Result<Representation, Status> {
        // What nobody can get has no table either.
        let below = self.row.subresource(&self.path.subresource);
        let verbs = below.map_or(&self.row.verbs, |below| &below.verbs);
        let tables = verbs.iter().any(|verb| verb == "get");
        let messages = self.lens.shown.custom.is_none();
        negotiate::objects(&self.accept, &self.query, Offer { tables, messages })
    }

    pub(crate) fn format(&self) -> Result<Format, Status> {
        let has_messages = self.lens.shown.custom.is_none();
        let format =
            Format::of(&self.content_type).filter(|format| has_messages || *format != Format::Protobuf);
        let known = MEDIA_TYPES.iter().copied().filter(|kind| has_messages || *kind != negotiate::PROTOBUF);
        format.ok_or_else(|| Status::unsupported_media_type(&known.collect::<Vec<_>>()))
    }

    pub(crate) fn field_validation(&self) -> Result<FieldValidation, Status> {
        FieldValidation::parse(self.query.get("fieldValidation"))
    }

    /// Whether to do everything but write.
    fn is_dry_run(&self) -> Result<bool, Status> {
        match self.query.get("dryRun") {
            "" => Ok(false),
            "All" => Ok(true),
            other => {
                let error = api::FieldError::not_supported("dryRun", other, &["All"]);
                let kind = api::GroupResource { group: "meta.k8s.io", resource: "CreateOptions" };
                Err(Status::invalid(kind, "", &[error]))
            }
        }
    }

    pub(crate) fn key(&self) -> api::Key {
        self.row.key(&self.path.namespace, &self.path.name)
    }

    pub(crate) fn not_found(&self) -> Status {
        Status::not_found(self.row.group_resource(), &self.path.name)
    }
}

/// Checks what a client states of the object that it read before.
///
/// # Errors
/// 409 when another version, or another object, is there now.
pub(crate) fn stated(call: &Call, meta: &ObjectMeta, found: &state::Object) -> Result<(), Status> {
    let conflict = |why: &str| Err(Status::conflict(call.row.group_resource(), &call.path.name, why));
    if revision(&meta.resource_version)?.is_some_and(|stated| stated != found.revision) {
        return conflict(MODIFIED);
    }
    let (given, is) = (&meta.uid, &found.meta.uid);
    if !given.is_empty() && given != is {
        return conflict(&format!(
            "Precondition failed: UID in precondition: {given}, UID in object meta: {is}"
        ));
    }
    Ok(())
}

/// Reads a resourceVersion.
///
/// # Errors
/// 400 when it is no number.
fn revision(text: &str) -> Result<Option<u64>, Status> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            Status::bad_request(format!(
                "Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        }),
    }
}

/// The moment that a read with this resourceVersion may show: absent the newest of all masters, 0
/// whatever is here, else anything not older.
async fn moment_for(backend: &dyn Backend, revision: Option<u64>) -> Result<Arc<Moment>, Failure> {
    match revision {
        None => Ok(backend.linearizable().await?),
        Some(0) => Ok(backend.moment()),
        Some(revision) => Ok(backend.at_least(revision).await?),
    }
}
