//! The verbs: one table, one file each.

pub(crate) mod create;
pub(crate) mod delete;
mod get;
mod list;
mod patch;
mod update;
mod watch;
pub(crate) mod write;

use std::sync::Arc;

use api::codec::{FieldValidation, Format, MEDIA_TYPES};
use api::{Resource, Status};
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use replica::Moment;

use crate::backend::Backend;
use crate::errors::Failure;
use crate::negotiate::{self, Representation};
use crate::request::{Query, ResourcePath};
use crate::server::Context;
use crate::user::User;

/// What a verb is given: the server, and a call that passed the request's chain.
type Handler = fn(Arc<Context>, Call) -> BoxFuture<'static, Result<Response, Failure>>;

/// Every verb of resources.
pub static VERBS: &[(&str, Handler)] = &[
    ("create", |context, call| Box::pin(create::handle(context, call))),
    ("delete", |context, call| Box::pin(delete::handle(context, call))),
    ("get", |context, call| Box::pin(get::handle(context, call))),
    ("list", |context, call| Box::pin(list::handle(context, call))),
    ("patch", |context, call| Box::pin(patch::handle(context, call))),
    ("update", |context, call| Box::pin(update::handle(context, call))),
    ("watch", |context, call| Box::pin(watch::handle(context, call))),
];

/// One request for a resource, authorized.
pub struct Call {
    /// On whose behalf.
    pub user: User,
    /// The resource.
    pub row: &'static Resource,
    /// Which objects.
    pub path: ResourcePath,
    /// Options.
    pub query: Query,
    /// The Accept header.
    pub accept: String,
    /// The Content-Type header.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
}

/// Runs the verb.
///
/// # Errors
/// 405 for a verb that the resource does not have at this path, and whatever the verb refuses.
pub async fn run(context: Arc<Context>, verb: &str, call: Call) -> Result<Response, Failure> {
    let is_collection = call.path.name.is_empty();
    let fits = match verb {
        "create" => is_collection && call.is_placed(),
        "list" | "watch" => true,
        _ => !is_collection && call.is_placed(),
    };
    let handler = VERBS.iter().find(|(name, _)| *name == verb && fits && call.row.verbs.contains(name));
    match handler {
        Some((_, handler)) => handler(context, call).await,
        None => Err(Status::method_not_allowed(call.row.group_resource(), verb).into()),
    }
}

impl Call {
    /// Whether the path names a namespace exactly when the resource lives in one.
    fn is_placed(&self) -> bool {
        self.row.namespaced != self.path.namespace.is_empty()
    }

    fn form(&self) -> Result<Representation, Status> {
        negotiate::objects(&self.accept, &self.query)
    }

    fn format(&self) -> Result<Format, Status> {
        Format::of(&self.content_type).ok_or_else(|| Status::unsupported_media_type(MEDIA_TYPES))
    }

    fn field_validation(&self) -> Result<FieldValidation, Status> {
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

    fn key(&self) -> api::Key {
        self.row.key(&self.path.namespace, &self.path.name)
    }

    fn not_found(&self) -> Status {
        Status::not_found(self.row.group_resource(), &self.path.name)
    }
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
