//! From a request to its answer: the chain, then a verb or one of the documents.

use std::borrow::Cow;
use std::sync::Arc;

use api::Status;
use api::discovery::{self, Served};
use api::lens::Lens;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use base::env;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH, UPGRADE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::upgrade::OnUpgrade;
use replica::Moment;

use crate::chain::{Incoming, admit_request};
use crate::connection::ClientAddress;
use crate::errors::{Failure, json};
use crate::limits::{
    ATTEMPTS_MAX, BODY_BYTES_MAX, EXCESS_BYTES_MAX, EXCESS_TIMEOUT, PROXIED_MAX, PROXIED_TIMEOUT,
    REQUEST_TIMEOUT, REQUESTS_MAX,
};
use crate::proxy::{self, Asked};
use crate::request::{Query, Target};
use crate::reshape::reshape;
use crate::server::{Context, with_warnings};
use crate::user::{Peer, User};
use crate::verbs::{self, Call, Head, Upgrade};
use crate::{definitions, health, issuer, negotiate, openapi};

/// Names the API of the master that leads, in every answer: a client that prefers it needs not ask for it.
const LEADER: HeaderName = HeaderName::from_static("keelson-leader");

/// Everything that is served: the API, `guarded` (behind the same chain) and `open` (in front of it).
pub(crate) fn router(context: Arc<Context>, guarded: Router, open: Router) -> Router {
    let open = open.layer(middleware::from_fn_with_state(Arc::clone(&context), bound));
    Router::new()
        .fallback(serve)
        .with_state(Arc::clone(&context))
        .merge(guarded)
        .layer(middleware::from_fn_with_state(context, guard))
        .merge(open)
}

/// Bounds a request that nobody is authorized for.
async fn bound(State(context): State<Arc<Context>>, request: Request, next: Next) -> Response {
    bounded(&context, request, next).await
}

/// Runs a request as one of [`REQUESTS_MAX`], for at most [`REQUEST_TIMEOUT`].
async fn bounded(context: &Context, request: Request, next: Next) -> Response {
    match context.requests.try_acquire() {
        Ok(_place) => in_time(request, next).await,
        Err(_) => Failure::from(too_busy(REQUESTS_MAX)).into_response(),
    }
}

/// Runs a request that is passed on as one of [`PROXIED_MAX`], for at most [`PROXIED_TIMEOUT`].
async fn proxied(context: &Context, request: Request, next: Next) -> Response {
    let Ok(_place) = context.proxied.try_acquire() else {
        return Failure::from(too_busy(PROXIED_MAX)).into_response();
    };
    let timeout = env::timeout(PROXIED_TIMEOUT, next.run(request)).await;
    timeout.unwrap_or_else(|_| Failure::from(too_slow()).into_response())
}

async fn in_time(request: Request, next: Next) -> Response {
    let timeout = env::timeout(REQUEST_TIMEOUT, next.run(request)).await;
    timeout.unwrap_or_else(|_| Failure::from(too_slow()).into_response())
}

/// Runs the request's chain and counts the answer.
async fn guard(State(context): State<Arc<Context>>, mut request: Request, next: Next) -> Response {
    let started = env::monotonic();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let target = Target::of(request.method(), request.uri().path(), &query);
    let row = target.resource.as_ref().and_then(|path| context.row(path));
    let accept = header(request.headers(), ACCEPT);
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or(Peer(None));
    // The verb of a request is always one of ours.
    let verb = if let Cow::Borrowed(verb) = target.verb { verb } else { "" };
    let response = match admit(&context, &peer, request.headers(), &target).await {
        Ok(user) => {
            request.extensions_mut().insert(user);
            request.extensions_mut().insert(query);
            let is_resource = target.resource.is_some();
            let is_proxied = target.resource.as_ref().is_some_and(proxy::is_one);
            request.extensions_mut().insert(target);
            // What is no resource is small and asks for little: a busy master still tells how it is.
            match is_resource {
                true if is_proxied => proxied(&context, request, next).await,
                true => bounded(&context, request, next).await,
                false => in_time(request, next).await,
            }
        }
        Err(refusal) => refusal.into_response(),
    };
    let mut response = reshape(response, &accept).await;
    if let Some(leader) = (context.leader)() {
        response.headers_mut().insert(LEADER, leader);
    }
    let resource = row.as_ref().map_or("", |row| &row.plural);
    context.metrics.answered(verb, resource, response.status().as_u16(), env::monotonic() - started);
    response
}

/// Runs the steps of a request, and again in a newer state what may only be missing here.
async fn admit(
    context: &Context,
    peer: &Peer,
    headers: &HeaderMap,
    target: &Target,
) -> Result<User, Failure> {
    let tokens = &context.tokens;
    let at =
        |moment: &Moment| admit_request(&Incoming { peer, headers, target, tokens, state: &moment.state });
    let admitted = match at(&context.backend.moment()) {
        Err(refused) if refused.may_change => at(&*context.backend.linearizable().await?),
        admitted => admitted,
    };
    admitted.map_err(|refused| refused.status.into())
}

fn too_busy(max: usize) -> Status {
    let why = format!("{max} requests are in work on this master, as many as it takes; try again");
    Status::too_many_requests(&why, 1)
}

fn too_slow() -> Status {
    Status::timeout("request did not complete within the allotted time", 0)
}

async fn serve(State(context): State<Arc<Context>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let answer = match parts.extensions.get::<Target>().map(|target| target.resource.is_some()) {
        Some(true) => resource(context, parts, body).await,
        _ => document(&context, &parts).await,
    };
    answer.unwrap_or_else(IntoResponse::into_response)
}

/// A verb on a resource.
async fn resource(context: Arc<Context>, parts: Parts, body: Body) -> Result<Response, Failure> {
    let mut extensions = parts.extensions;
    let target = extensions.remove::<Target>().ok_or_else(Status::no_such_path)?;
    let path = target.resource.ok_or_else(Status::no_such_path)?;
    let row = match context.row(&path) {
        Some(row) => row,
        // Another master may have made it a moment ago.
        None => {
            let moment = context.backend.linearizable().await?;
            match context.definitions.row(&path, &moment.state) {
                Some(row) => row,
                None => return Ok(unknown(parts.uri.path())),
            }
        }
    };
    if proxy::is_one(&path) {
        let client = extensions.remove::<ClientAddress>().map(|ClientAddress(client)| client);
        let upgrade = extensions.remove::<OnUpgrade>();
        let head = Head { method: parts.method, uri: parts.uri, headers: parts.headers };
        return proxy::run(&context, &row, &path, Asked { head, body, upgrade, client }).await;
    }
    let mut call = Call {
        user: extensions.remove::<User>().unwrap_or_else(User::anonymous),
        lens: Lens::of(&row, &path.subresource),
        row,
        path,
        is_create: target.verb == "create",
        query: extensions.remove::<Query>().unwrap_or_default(),
        accept: header(&parts.headers, ACCEPT),
        content_type: header(&parts.headers, CONTENT_TYPE),
        user_agent: header(&parts.headers, USER_AGENT),
        body: read(body).await?,
        settings: Arc::clone(&context.settings),
        // What is not asked for is not there: hyper offers it with every request.
        upgrade: Upgrade::of(extensions.remove().filter(|_| parts.headers.contains_key(UPGRADE))),
        head: Arc::new(Head { method: parts.method, uri: parts.uri, headers: parts.headers }),
    };
    for _ in 0..ATTEMPTS_MAX {
        let warning = call.row.deprecation().map(str::to_owned);
        let again = call.row.custom.is_some().then(|| call.clone());
        let answer = verbs::run(Arc::clone(&context), &target.verb, call).await;
        let moment = context.backend.moment();
        // What has no outcome may have one yet.
        let is_final = answer.is_ok() || answer.as_ref().is_err_and(|Failure(status)| status.code == 504);
        let stale = again.filter(|again| !is_final && !definitions::is_current(&again.row, &moment.state));
        let Some(mut again) = stale else {
            // Who is refused is warned as well.
            let response = answer.unwrap_or_else(IntoResponse::into_response);
            return Ok(with_warnings(response, warning.as_slice()));
        };
        let row = context.definitions.row(&again.path, &moment.state).ok_or_else(Status::no_such_path)?;
        (again.lens, again.row) = (Lens::of(&row, &again.path.subresource), row);
        call = again;
    }
    Err(Status::unavailable("the definition of the resource keeps changing; try again")
        .with_retry_after(1)
        .into())
}

async fn read(mut body: Body) -> Result<Bytes, Failure> {
    match Limited::new(&mut body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            // A client that still sends when the connection closes never sees the answer.
            let _ = env::timeout(EXCESS_TIMEOUT, Limited::new(body, EXCESS_BYTES_MAX).collect()).await;
            Err(Status::too_large(&format!("limit is {BODY_BYTES_MAX}")).into())
        }
        Err(error) => {
            Err(Status::bad_request(format!("the body of the request could not be read: {error}")).into())
        }
    }
}

fn header(headers: &HeaderMap, name: http::HeaderName) -> String {
    let values: Vec<_> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

/// A path that is no resource.
async fn document(context: &Context, request: &Parts) -> Result<Response, Failure> {
    match found(context, request).await? {
        None => Ok(unknown(request.uri.path())),
        Some(_) if !matches!(request.method, Method::GET | Method::HEAD) => {
            Err(Status::no_such_method().into())
        }
        Some(document) => Ok(document),
    }
}

async fn found(context: &Context, request: &Parts) -> Result<Option<Response>, Failure> {
    let path = request.uri.path();
    let query = Query::parse(request.uri.query().unwrap_or_default());
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let accept = header(&request.headers, ACCEPT);
    Ok(match parts.as_slice() {
        ["healthz" | "livez" | "readyz"] => {
            Some(health::answer(context, &format!("/{}", parts[0]), &query).await)
        }
        ["metrics"] => Some(metrics(context)),
        ["api"] if negotiate::discovery(&accept).is_none() => {
            Some(json(200, discovery::legacy_versions(&host(request)).to_string()))
        }
        ["api" | "apis", rest @ ..] if rest.len() < 3 => discovered(context, &parts, &accept).await?,
        ["openapi", rest @ ..] => {
            let definitions = context.definitions.at(&context.backend.moment().state);
            Some(openapi::answer(&definitions, rest, &accept, &query, &request.headers)?)
        }
        [".well-known", "openid-configuration"] => Some(issuer::configuration()),
        ["openid", "v1", "jwks"] => Some(issuer::key_set(context).await?),
        ["version"] => Some(json(200, format!("{:#}", discovery::version()))),
        _ => None,
    })
}

/// Of a path that nobody serves. Below what Kubernetes brings itself that is told as a failure of the API is; of all
/// else nothing is known.
fn unknown(path: &str) -> Response {
    let of_group = |rest: &str| rest.split('/').next().is_some_and(discovery::is_builtin);
    if path.starts_with("/api/") || path.strip_prefix("/apis/").is_some_and(of_group) {
        return Failure::from(Status::no_such_path()).into_response();
    }
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

/// What the client calls this server.
fn host(request: &Parts) -> String {
    let authority = request.uri.authority().map(|authority| authority.as_str().to_owned());
    authority.unwrap_or_else(|| header(&request.headers, HOST))
}

fn metrics(context: &Context) -> Response {
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(CONTENT_TYPE, kind)], context.telemetry.text()).into_response()
}

/// What is served, as this master knows it; what it does not know, as all do.
async fn discovered(context: &Context, parts: &[&str], accept: &str) -> Result<Option<Response>, Failure> {
    let mut moment = context.backend.moment();
    for is_last in [false, true] {
        let definitions = context.definitions.at(&moment.state);
        let served = Served::with(definitions.served().map(AsRef::as_ref));
        let found = match parts {
            ["api"] => return Ok(Some(groups(&served, true, accept))),
            ["apis"] => return Ok(Some(groups(&served, false, accept))),
            ["api", version] => served.resources("", version),
            ["apis", group] => served.group(group),
            ["apis", group, version] => served.resources(group, version),
            _ => None,
        };
        if let Some(body) = found {
            return Ok(Some(json(200, body.to_string())));
        }
        if !is_last {
            moment = context.backend.linearizable().await?;
        }
    }
    Ok(None)
}

fn groups(served: &Served<'_>, legacy: bool, accept: &str) -> Response {
    let Some(form) = negotiate::discovery(accept) else {
        return json(200, served.groups().to_string());
    };
    let mut response = json(200, served.aggregated(legacy, form).to_string());
    let kind =
        format!("application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList", form.version());
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}

/// A document that clients cache: with its tag, or 304 when they have it.
pub(crate) fn tagged(headers: &HeaderMap, kind: &'static str, tag: &str, body: Bytes) -> Response {
    let quoted = format!("\"{tag}\"");
    let has_it = header(headers, IF_NONE_MATCH).split(',').any(|known| known.trim() == quoted);
    let mut response = if has_it { StatusCode::NOT_MODIFIED.into_response() } else { json(200, body) };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(tag) = HeaderValue::from_str(&quoted) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}
