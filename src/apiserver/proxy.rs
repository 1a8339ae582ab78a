//! What pods, Services and nodes serve themselves, seen through a master: `.../NAME/proxy/PATH`.
//!
//! # Flow
//! name -> [`destination`] -> the [`crate::dialer::Dialer`] -> one request on a connection of its own -> its answer,
//! in which links lead through here ([`links`], [`html`]). An upgrade goes through as bytes.
//!
//! # Guarantees
//! - The other end gets nothing that proves who the client is.
//! - Bodies stream: nothing is kept of them here but the beginning of a tag of HTML.
//! - Of a node only that is reached which its agent answers without an upgrade: what can be read.

mod destination;
mod headers;
mod html;
mod links;

use std::net::IpAddr;

use api::{Resource, Status};
use axum::body::Body;
use axum::response::Response;
use base::env;
use futures::{TryStreamExt, stream};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use self::html::Page;
use self::links::Links;
use crate::acts::streams::passed;
use crate::dialer::Place;
use crate::errors::Failure;
use crate::request::ResourcePath;
use crate::reshape::AsItIs;
use crate::server::Context;
use crate::verbs::Head;

/// The methods that are passed on.
const METHODS: &[Method] =
    &[Method::DELETE, Method::GET, Method::HEAD, Method::OPTIONS, Method::PATCH, Method::POST, Method::PUT];

/// What is proxied, and how many parts of the path lead to it.
const KINDS: &[(&str, usize)] = &[("nodes", 5), ("pods", 7), ("services", 7)];

/// A request as it came.
pub(crate) struct Asked {
    pub(crate) head: Head,
    pub(crate) body: Body,
    /// The connection, where the client wants to speak another protocol on it.
    pub(crate) upgrade: Option<OnUpgrade>,
    /// Where the client is.
    pub(crate) client: Option<IpAddr>,
}

/// Whether a path is what something serves itself.
pub(crate) fn is_one(path: &ResourcePath) -> bool {
    path.group.is_empty()
        && path.subresource == "proxy"
        && KINDS.iter().any(|(plural, _)| *plural == path.resource)
}

/// Passes a request on.
///
/// # Errors
/// 400 and 404 for what cannot be reached, 503 for what does not answer.
pub(crate) async fn run(
    context: &Context,
    row: &Resource,
    path: &ResourcePath,
    mut asked: Asked,
) -> Result<Response, Failure> {
    let parts = KINDS.iter().find(|(plural, _)| *plural == row.plural).map(|(_, parts)| *parts);
    let parts = parts.filter(|_| row.namespaced != path.namespace.is_empty());
    let parts = parts.ok_or_else(Status::no_such_path)?;
    if !METHODS.contains(&asked.head.method) {
        return Err(Status::no_such_method().into());
    }
    let moment = context.backend.linearizable().await?;
    let id = path.name.replace("%3A", ":").replace("%3a", ":");
    let place = destination::find(&moment.state, row, &path.namespace, &id, env::random_u64())?;
    let uri = asked.head.uri.clone();
    let (prefix, rest) = split(uri.path(), parts);
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let host = headers::host(&asked.head.headers, &uri);
    let is_upgrade = headers::is_upgrade(&asked.head.headers);
    headers::forward(&mut asked.head.headers, place, &host, &format!("{prefix}{rest}"), asked.client);
    let inside = if rest.is_empty() { "/" } else { rest };
    let inside: Uri = format!("{inside}{query}").parse().map_err(|_| Status::bad_request("invalid path"))?;
    if let (true, Place::Behind(..), Some(upgrade)) = (is_upgrade, place, asked.upgrade.take()) {
        return upgraded(context, place, inside, asked.head, upgrade).await;
    }
    let is_read = matches!(asked.head.method, Method::GET | Method::HEAD);
    if rest.is_empty() && is_read {
        return moved(&format!("{prefix}/{query}"));
    }
    let backend = match place {
        Place::Agent(agent) => agent.address(),
        Place::Behind(_, to, _) => to,
    };
    let links = Links { prefix: prefix.to_owned(), backend: backend.to_string(), host };
    let is_head = asked.head.method == Method::HEAD;
    let answer = exchange(context, place, inside, asked).await?;
    Ok(rewritten(answer, links, is_head))
}

/// 503, as Kubernetes words it.
fn unreachable(why: &str) -> Status {
    Status::unavailable(format!("error trying to reach service: {why}"))
}

/// The path up to and with `proxy`, and what is behind it.
fn split(path: &str, parts: usize) -> (&str, &str) {
    let leading = path.len() - path.trim_start_matches('/').len();
    let mut slashes = path[leading..].match_indices('/');
    path.split_at(slashes.nth(parts - 1).map_or(path.len(), |(at, _)| leading + at))
}

/// So that relative links lead on from there.
fn moved(to: &str) -> Result<Response, Failure> {
    let to = HeaderValue::from_str(to).map_err(|error| Status::internal(&error.to_string()))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    response.headers_mut().insert(LOCATION, to);
    Ok(response)
}

/// Asks the other end on a connection of its own, which lasts as long as the answer is read.
async fn exchange(context: &Context, place: Place, inside: Uri, asked: Asked) -> Result<Response, Status> {
    let stream = context.dialer.open(place).await.map_err(|error| unreachable(error.reason()))?;
    let failed = |error: hyper::Error| unreachable(&error.to_string());
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(failed)?;
    env::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a proxied connection ended");
        }
    });
    let mut request = Request::new(asked.body);
    *request.method_mut() = asked.head.method;
    *request.uri_mut() = inside;
    *request.headers_mut() = asked.head.headers;
    headers::strip(request.headers_mut());
    let answer = sender.send_request(request).await.map_err(failed)?;
    Ok(answer.map(Body::new))
}

/// What the other end answers as the client is to see it.
fn rewritten(answer: Response, links: Links, is_head: bool) -> Response {
    let (mut head, body) = answer.into_parts();
    headers::strip_answer(&mut head.headers);
    head.extensions.clear();
    head.extensions.insert(AsItIs);
    if let Some(location) = head.headers.get(LOCATION) {
        let link = location.to_str().map(|link| links.rewrite(link));
        if let Some(Ok(link)) = link.ok().map(|link| HeaderValue::from_str(&link)) {
            head.headers.insert(LOCATION, link);
        }
        return Response::from_parts(head, body);
    }
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_page = kind.split(';').next().is_some_and(|kind| kind.trim() == "text/html");
    if !is_page || is_head || head.headers.contains_key(CONTENT_ENCODING) {
        return Response::from_parts(head, body);
    }
    head.headers.remove(CONTENT_LENGTH);
    let pieces =
        stream::try_unfold((body.into_data_stream(), Some(Page::new(links))), |(mut body, page)| async {
            let Some(mut page) = page else { return Ok::<_, axum::Error>(None) };
            match body.try_next().await? {
                Some(piece) => {
                    let told = page.push(&piece);
                    Ok(Some((told, (body, Some(page)))))
                }
                None => Ok(Some((page.finish(), (body, None)))),
            }
        });
    Response::from_parts(head, Body::from_stream(pieces))
}

/// Both sides switch protocols, and bytes go through.
async fn upgraded(
    context: &Context,
    place: Place,
    inside: Uri,
    head: Head,
    upgrade: OnUpgrade,
) -> Result<Response, Failure> {
    let unexplained = |error: String| Failure::from(Status::unexplained(error));
    let stream = context.dialer.open(place).await.map_err(|error| unexplained(error.to_string()))?;
    let (mut parts, ()) = Request::new(()).into_parts();
    (parts.method, parts.uri, parts.headers) = (head.method, inside, head.headers);
    let proxied = streams::proxy_upgrade(parts, upgrade, stream).await;
    let mut response = passed(proxied.map_err(|error| unexplained(error.to_string()))?);
    response.extensions_mut().insert(AsItIs);
    Ok(response)
}
