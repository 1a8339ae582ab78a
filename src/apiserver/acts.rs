//! Creates that store no object of the kind that is sent: they do something to another, or answer a question. One
//! table, one file each.

mod access;
pub(crate) mod binding;
mod eviction;
mod identity;
pub(crate) mod streams;
mod token;

use std::sync::Arc;

use api::{Object, Status, codec};
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::Value;
use state::State;

use crate::chain::admission::{Attempt, Operation, node_restriction};
use crate::errors::Failure;
use crate::present;
use crate::server::Context;
use crate::verbs::Call;
use crate::verbs::managed::{self, Options};

/// Runs one: the server, the call, and the object in its body.
type Act = fn(Arc<Context>, Call, Object) -> BoxFuture<'static, Result<Response, Failure>>;

/// All of them, by the resources and subresources that they are sent to.
static ACTS: &[(&str, &str, Act)] = &[
    ("", "bindings", |context, call, body| Box::pin(binding::run(context, call, body))),
    ("", "pods/binding", |context, call, body| Box::pin(binding::run(context, call, body))),
    ("", "pods/eviction", |context, call, body| Box::pin(eviction::run(context, call, body))),
    ("", "serviceaccounts/token", |context, call, body| Box::pin(token::run(context, call, body))),
    ("authentication.k8s.io", "selfsubjectreviews", |_, call, body| Box::pin(identity::of_self(call, body))),
    ("authentication.k8s.io", "tokenreviews", |context, call, body| {
        Box::pin(identity::of_token(context, call, body))
    }),
    ("authorization.k8s.io", "localsubjectaccessreviews", |context, call, body| {
        Box::pin(access::local(context, call, body))
    }),
    ("authorization.k8s.io", "selfsubjectaccessreviews", |context, call, body| {
        Box::pin(access::own(context, call, body))
    }),
    ("authorization.k8s.io", "selfsubjectrulesreviews", |_, call, body| Box::pin(access::rules(call, body))),
    ("authorization.k8s.io", "subjectaccessreviews", |context, call, body| {
        Box::pin(access::anybody(context, call, body))
    }),
];

fn find(call: &Call) -> Option<Act> {
    let path = &call.path;
    let is_it = |group: &str, name: &str| {
        let below = name.strip_prefix(&*path.resource).map(|rest| rest.trim_start_matches('/'));
        group == path.group && below == Some(&*path.subresource)
    };
    ACTS.iter().find(|(group, name, _)| is_it(group, name)).map(|(_, _, act)| *act)
}

/// Whether a create at this path is one of them.
pub(crate) fn is_one(call: &Call) -> bool {
    find(call).is_some()
}

/// Reads the body and does what it says.
///
/// # Errors
/// Whatever it refuses.
pub(crate) async fn run(context: Arc<Context>, call: Call) -> Result<Response, Failure> {
    let act = find(&call).ok_or_else(Status::no_such_path)?;
    // Nothing is done for a client that could not read the answer.
    call.form()?;
    let format = call.format()?;
    managed::check(&call, Options::Create)?;
    let (mut body, _) = codec::object(&call.body, format, &call.lens.shown, call.field_validation())?;
    if body.meta.namespace.is_empty() {
        body.meta.namespace.clone_from(&call.path.namespace);
    }
    if call.row.namespaced && body.meta.namespace != call.path.namespace {
        let text = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(text).into());
    }
    if call.user.node().is_some() {
        // The newest: a pod that was bound a moment ago may be known to its agent before it is here.
        check_node(&call, &body, &context.backend.linearizable().await?.state)?;
    }
    act(context, call, body).await
}

/// What the agents of nodes may not do.
fn check_node(call: &Call, body: &Object, state: &State) -> Result<(), Status> {
    let attempt = Attempt {
        operation: Operation::Create,
        resource: &call.row,
        namespace: &call.path.namespace,
        name: &call.path.name,
        subresource: &call.path.subresource,
        old: None,
        user: &call.user,
        state,
        settings: &call.settings,
    };
    node_restriction::check_act(&attempt, body)
}

/// The object that was sent, with this status.
fn answered(call: &Call, mut body: Object, status: Value) -> Result<Response, Failure> {
    body.fields.insert("status".to_owned(), status);
    let bytes = Bytes::from(body.bytes(&call.lens.shown));
    Ok(present::bytes(201, &bytes, &call.lens.shown, call.form()?))
}
