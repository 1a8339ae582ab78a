//! The verbs: one table, one file each.

mod apply;
pub(crate) mod create;
pub(crate) mod delete;
mod delete_collection;
mod get;
mod given;
pub(crate) mod intent;
mod list;
mod list_options;
pub(crate) mod managed;
mod patch;
mod routing;
mod update;
mod watch;
pub(crate) mod write;

use std::sync::Arc;

use api::codec::{DeleteOptions, FieldValidation, Format, MEDIA_TYPES};
use api::lens::Lens;
use api::status::MODIFIED;
use api::strconv::parse_uint;
use api::{FieldError, Object, ObjectMeta, Resource, Status, parts};
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Method, Uri};
use hyper::upgrade::OnUpgrade;
use parking_lot::Mutex;
use replica::Moment;

use crate::acts::{self, streams};
use crate::backend::Backend;
use crate::chain::admission::Settings;
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
    /// What this master was told about admission.
    pub settings: Arc<Settings>,
    /// The request as it came.
    pub head: Arc<Head>,
    /// The connection, where the client wants to speak another protocol on it.
    pub upgrade: Upgrade,
}

/// What is kept of a request's head for those that pass it on.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// All headers.
    pub headers: HeaderMap,
}

/// A connection that can be taken once.
#[derive(Clone, Debug, Default)]
pub struct Upgrade(Arc<Mutex<Option<OnUpgrade>>>);

impl Upgrade {
    /// Of a request that may ask for one.
    pub(crate) fn of(upgrade: Option<OnUpgrade>) -> Self {
        Self(Arc::new(Mutex::new(upgrade)))
    }

    /// The connection, if there is one and nobody took it.
    pub(crate) fn take(&self) -> Option<OnUpgrade> {
        self.0.lock().take()
    }
}

/// Runs the verb.
///
/// # Errors
/// What [`routing::check`] refuses, and whatever the verb refuses.
pub async fn run(context: Arc<Context>, verb: &str, call: Call) -> Result<Response, Failure> {
    let is_going = call.row.custom.as_ref().is_some_and(|custom| custom.is_going);
    if is_going && verb == "create" && call.path.name.is_empty() {
        let why = "create not allowed while custom resource definition is terminating";
        return Err(Status::forbidden(call.row.group_resource(), "", why).into());
    }
    routing::check(verb, &call)?;
    if verb == "create" && acts::is_one(&call) {
        return acts::run(context, call).await;
    }
    let below = call.row.subresource(&call.path.subresource);
    // Of what hangs below, the scale and the parts of objects are written as objects are.
    let is_known = below.is_none_or(|below| {
        parts::find(&call.row, &below.name).is_some()
            || below.kind == call.lens.shown.kind && below.kind == "Scale"
    });
    match VERBS.iter().find(|(name, _)| *name == verb) {
        _ if streams::is_one(&call) => streams::run(context, call).await,
        Some((_, handler)) if is_known => handler(context, call).await,
        _ => Err(Status::no_such_method().into()),
    }
}

/// What is said of stored bytes that are not what they should be.
fn unreadable(error: impl std::error::Error) -> Status {
    Status::internal(&error.to_string())
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

    /// The object that was found where the path points, as it is stored.
    ///
    /// # Errors
    /// 500 for bytes that are none.
    pub(crate) fn read(&self, found: &state::Object) -> Result<Object, Status> {
        Object::read(&found.bytes.to_bytes(), self.row.stored()).map_err(unreadable)
    }

    pub(crate) fn format(&self) -> Result<Format, Status> {
        Format::of(&self.content_type).ok_or_else(|| Status::unsupported_media_type(MEDIA_TYPES))
    }

    /// What a write does about what is odd in its body; its options were checked before.
    pub(crate) fn field_validation(&self) -> FieldValidation {
        FieldValidation::parse(self.query.get("fieldValidation")).unwrap_or_default()
    }

    /// Whether to do everything but write; the options of the write were checked before.
    fn is_dry_run(&self) -> bool {
        self.query.has("dryRun")
    }

    /// What a delete asks for: in its body, or without one in its query. The call is of the same mind then.
    ///
    /// # Errors
    /// 400 and 422 for what cannot be understood.
    pub(crate) fn delete_options(&mut self) -> Result<DeleteOptions, Status> {
        let options = match &*self.body {
            [] => DeleteOptions::in_query(|name| self.query.values(name))?,
            body => DeleteOptions::read(body, self.format()?)?,
        };
        self.query.set("dryRun", if options.dry_run { &["All"] } else { &[] });
        Ok(options)
    }

    pub(crate) fn key(&self) -> api::Key {
        self.row.key(&self.path.namespace, &self.path.name)
    }

    pub(crate) fn not_found(&self) -> Status {
        Status::not_found(self.row.group_resource(), &self.path.name)
    }
}

/// Checks which version of an object a client means to change; 0 is any.
///
/// # Errors
/// 409 when another version is there now.
fn of_version(call: &Call, meta: &ObjectMeta, found: u64) -> Result<(), Status> {
    let text = &*meta.resource_version;
    let stated: u64 = match text {
        "" => 0,
        text => parse_uint(text).map_err(Status::unexplained)?,
    };
    if stated == 0 || stated == found {
        return Ok(());
    }
    Err(Status::conflict(call.row.group_resource(), &call.path.name, MODIFIED))
}

/// Checks what a client states of the object that it read before.
///
/// # Errors
/// 409 when another version, or another object, is there now.
pub(crate) fn stated(call: &Call, meta: &ObjectMeta, found: &state::Object) -> Result<(), Status> {
    let conflict = |why: &str| Err(Status::conflict(call.row.group_resource(), &call.path.name, why));
    let stated = revision(&meta.resource_version);
    let stated = stated.map_err(|error| Status::bad_request(error.to_string()))?;
    if stated.is_some_and(|stated| stated != found.revision) {
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

/// Reads a resourceVersion; 0 and none at all are different.
///
/// # Errors
/// What is wrong with text that is no number.
pub(crate) fn revision(text: &str) -> Result<Option<u64>, FieldError> {
    let read = (!text.is_empty()).then(|| parse_uint(text)).transpose();
    read.map_err(|why| FieldError::invalid("resourceVersion", text, &why))
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
