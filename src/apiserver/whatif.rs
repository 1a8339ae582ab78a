//! `POST /keelson/v1/plan`: what would happen if these requests were made. They run over a fork of State as the user
//! who asks, through everything that a request passes; then the controllers and the scheduler run over it until nothing
//! is left to do. Nothing is proposed.

use std::sync::Arc;

use api::Status;
use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base::env;
use base::shutdown::Shutdown;
use base::telemetry::Metrics;
use http::{Request, header};
use http_body_util::BodyExt;
use projection::whatif::{self, Consequences, Forked};
use projection::{Controller, Done, Intent, NotDone, Submit, World};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt;

use crate::backend::Backend;
use crate::backend::fork::Fork;
use crate::chain::admission::Settings;
use crate::errors::Failure;
use crate::limits::{PLAN_BODY_BYTES_MAX, PLAN_REQUESTS_MAX, REQUEST_TIMEOUT};
use crate::routes;
use crate::server::{Around, Context};
use crate::submit::Submitter;
use crate::user::{Peer, User};

/// What plans are made with.
#[derive(Clone)]
pub struct Planner {
    /// World as this master folds it.
    pub world: watch::Receiver<World>,
    /// Who follows.
    pub controllers: Vec<Controller>,
    /// The log that World follows.
    pub backend: Arc<dyn Backend>,
    /// What this master was told about admission.
    pub settings: Arc<Settings>,
}

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PlanRequest {
    /// The requests to imagine, in order.
    pub requests: Vec<Imagined>,
}

/// A request to imagine.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Imagined {
    /// `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Of the body.
    #[serde(default)]
    pub content_type: String,
    /// The body; text that is no JSON as a string.
    #[serde(default)]
    pub body: Value,
}

/// What would happen.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanAnswer {
    /// The revision of the State that was forked.
    pub revision: u64,
    /// What each request would be answered.
    pub answers: Vec<Answered>,
    /// What controllers would do, in order.
    pub steps: Vec<StepView>,
    /// Pods that would be there and are not now, or would get a node.
    pub pods: Vec<PodView>,
    /// What would be told.
    pub reasons: Vec<ReasonView>,
    /// Whether this is all: false if following it was given up.
    pub is_settled: bool,
}

/// The answer to an imagined request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// HTTP status code.
    pub code: u16,
    /// The object, or the Status that says why not.
    pub body: Value,
}

/// One thing that a controller would do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    /// Which controller.
    pub controller: &'static str,
    /// `create`, `update`, `delete` or `bind`.
    pub verb: &'static str,
    /// `apps/replicasets`.
    pub resource: String,
    /// Empty: in none.
    pub namespace: String,
    /// The object's name; generated ones would be others.
    pub name: String,
    /// What would be created or changed, or the node's name.
    pub what: Value,
    /// Why admission would refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Where a pod would land, or why nowhere.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodView {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its node; empty: none.
    pub node: String,
    /// Why it has none.
    pub why: String,
}

/// Something that would be told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReasonView {
    /// By which controller.
    pub controller: &'static str,
    /// `core/pods/default/web-0`.
    pub about: String,
    /// `Normal` or `Warning`.
    pub sort: &'static str,
    /// `FailedScheduling`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// A fork, and the way into it.
struct Imagination {
    fork: Arc<Fork>,
    submitter: Submitter,
}

#[async_trait::async_trait]
impl Submit for Imagination {
    async fn submit(&self, actor: &str, term: u64, intent: &Intent) -> Result<Done, NotDone> {
        self.submitter.submit(actor, term, intent).await
    }
}

impl Forked for Imagination {
    fn changes(&self) -> (state::State, Vec<state::Change>) {
        self.fork.changes()
    }
}

/// The route, to be put behind authentication.
pub fn routes(planner: Planner) -> Router {
    Router::new()
        .route("/keelson/v1/plan", post(handle))
        .layer(DefaultBodyLimit::max(PLAN_BODY_BYTES_MAX))
        .with_state(planner)
}

async fn handle(
    State(planner): State<Planner>,
    Extension(user): Extension<User>,
    body: bytes::Bytes,
) -> Response {
    match plan(planner, user, &body).await {
        Ok(answer) => Json(answer).into_response(),
        Err(failure) => failure.into_response(),
    }
}

async fn plan(planner: Planner, user: User, body: &[u8]) -> Result<PlanAnswer, Failure> {
    let asked: PlanRequest = serde_json::from_slice(body)
        .map_err(|error| Status::bad_request(format!("the body is no plan request: {error}")))?;
    if asked.requests.len() > PLAN_REQUESTS_MAX {
        let why = format!("a plan takes {PLAN_REQUESTS_MAX} requests at most, not {}", asked.requests.len());
        return Err(Status::bad_request(why).into());
    }
    let world = world(&planner).await?;
    let before = world.clone();
    let fork = Arc::new(Fork::of(world.state.clone()));
    let answers = imagine(&fork, &planner.settings, &user, asked.requests).await?;
    let backend: Arc<dyn Backend> = Arc::clone(&fork) as _;
    let imagination = Imagination { fork, submitter: Submitter::new(backend, planner.settings) };
    let found = whatif::follow(world, &planner.controllers, &imagination).await;
    Ok(told(&before, answers, found))
}

/// World at a State that reflects every write acknowledged before.
async fn world(planner: &Planner) -> Result<World, Failure> {
    let wanted = planner.backend.linearizable().await?.revision();
    let mut worlds = planner.world.clone();
    let reached = worlds.wait_for(|world| world.state.revision() >= wanted);
    match env::timeout(REQUEST_TIMEOUT / 2, reached).await {
        Ok(Ok(world)) => Ok(world.clone()),
        _ => Err(Status::unavailable("this master's controllers have not caught up; try again").into()),
    }
}

/// Makes the requests over the fork.
async fn imagine(
    fork: &Arc<Fork>,
    settings: &Arc<Settings>,
    user: &User,
    requests: Vec<Imagined>,
) -> Result<Vec<Answered>, Failure> {
    let (_trigger, shutdown): (_, Shutdown) = base::shutdown::channel();
    let around = Around { settings: Arc::clone(settings), ..Around::nothing() };
    let context = Context::new(Arc::clone(fork) as _, Metrics::new(), shutdown, around);
    let router = routes::router(context, Router::new(), Router::new());
    let mut answers = Vec::with_capacity(requests.len());
    for imagined in requests {
        let body = match imagined.body {
            Value::Null => Body::empty(),
            Value::String(text) => Body::from(text),
            tree => Body::from(tree.to_string()),
        };
        let request = Request::builder()
            .method(&*imagined.method)
            .uri(&*imagined.path)
            .header(header::CONTENT_TYPE, imagined.content_type)
            .header(header::USER_AGENT, "kctl")
            .extension(Peer(Some(user.clone())))
            .body(body)
            .map_err(|error| Status::bad_request(format!("no such request: {error}")))?;
        let response = router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await;
        let bytes = bytes.map_err(|error| Status::internal(&error.to_string()))?.to_bytes();
        answers.push(Answered { code, body: serde_json::from_slice(&bytes).unwrap_or_default() });
    }
    Ok(answers)
}

fn told(before: &World, answers: Vec<Answered>, found: Consequences) -> PlanAnswer {
    let resource = |key: &api::Key| key.collection().trim_end_matches('/').to_owned();
    let steps = found.steps.iter().map(|step| StepView {
        controller: step.controller,
        verb: step.verb,
        resource: resource(&step.key),
        namespace: step.key.namespace().to_owned(),
        name: step.key.name().to_owned(),
        what: step.what.clone(),
        refused: step.refused.clone(),
    });
    let reasons = found.reasons.iter().map(|(controller, reason)| ReasonView {
        controller,
        about: reason.about.to_string(),
        sort: if reason.is_warning { "Warning" } else { "Normal" },
        reason: reason.reason,
        message: reason.message.clone(),
    });
    let is_new = |pod: &&Arc<projection::pods::Pod>| {
        before.pods.get(pod.key().as_str()).is_none_or(|known| known.node != pod.node)
    };
    let pods = found.world.pods.iter().filter(is_new).map(|pod| PodView {
        namespace: pod.key().namespace().to_owned(),
        name: pod.key().name().to_owned(),
        node: pod.node.to_string(),
        why: unscheduled(pod),
    });
    PlanAnswer {
        revision: before.state.revision(),
        answers,
        steps: steps.collect(),
        pods: pods.collect(),
        reasons: reasons.collect(),
        is_settled: found.is_settled,
    }
}

/// What a pod's `PodScheduled` condition says, while it has no node.
fn unscheduled(pod: &projection::pods::Pod) -> String {
    if !pod.node.is_empty() {
        return String::new();
    }
    let conditions = pod.object.view().at(&["status", "conditions"]);
    let scheduled = conditions.items().find(|condition| condition.get("type").is("PodScheduled"));
    scheduled.map_or_else(String::new, |condition| condition.get("message").text().into_owned())
}
