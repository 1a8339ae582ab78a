//! One request, until a master has answered it.
//!
//! # Flow
//! The masters are asked one after another, the leader first, and again after a pause, until [`PATIENCE`] is over.
//!
//! # Guarantees
//! - A write goes to another master only when the one before certainly did not do it: there was no connection, or it
//!   said so (503, 429). Otherwise the caller hears that the outcome is not known, unless it says that doing it
//!   twice is as good as once.
//! - A read goes on to the next master whatever happens.

use std::collections::BTreeMap;
use std::time::Duration;

use base::backoff::Backoff;
use base::env;
use bytes::Bytes;
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};

use crate::Inner;
use crate::error::Error;
use crate::server::Server;
use crate::transport::{Body, SendError};

/// How long one master may take to the head of its answer. Above the masters' own bound.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);
/// How long masters are asked again that say that they cannot now. Far above an election.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// Pauses between rounds.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// See [`PAUSE_MIN`].
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The longest pause that a master may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);
/// Bytes of the largest answer that is kept in one piece.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// The address of the leader, in the head of any answer.
pub const LEADER_HEADER: &str = "keelson-leader";

/// When a write may be sent to another master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Only if it was certainly not done.
    Undone,
    /// Also if nobody knows whether it was done: doing it twice is as good as once.
    Unknown,
}

/// How an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// All of it, or it counts as none.
    Whole,
    /// As it comes: a watch.
    Stream,
}

/// An answer and who gave it.
pub(crate) struct Reply {
    pub(crate) server: Server,
    pub(crate) response: Response<Body>,
}

/// What asking one master came to.
enum Attempt {
    Answered(Response<Body>),
    /// It did nothing, and may have said so.
    Undone(String, Option<Response<Body>>),
    /// Nobody knows; a master may have said just that.
    Unknown(String, Option<Response<Body>>),
}

pub(crate) async fn send(
    inner: &Inner,
    request: Request<Bytes>,
    repeat: Repeat,
    shape: Shape,
) -> Result<Reply, Error> {
    let operation = format!("{} {}", request.method(), request.uri().path());
    let may_repeat = repeat == Repeat::Unknown || [Method::GET, Method::HEAD].contains(request.method());
    let deadline = env::monotonic() + PATIENCE;
    let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX);
    let mut tried = BTreeMap::new();
    let mut refusal = None;
    loop {
        let mut pause = backoff.next_delay();
        for server in inner.order() {
            let (why, response) = match attempt(inner, &server, &request, shape).await {
                Attempt::Answered(response) => return Ok(Reply { server, response }),
                Attempt::Undone(why, response) => (why, response),
                Attempt::Unknown(why, response) if may_repeat => (why, response),
                Attempt::Unknown(_, Some(response)) => return Ok(Reply { server, response }),
                Attempt::Unknown(reason, None) => {
                    return Err(Error::Unknown { operation, server: server.to_string(), reason });
                }
            };
            if let Some(response) = response {
                pause = pause.max(retry_after(response.headers()).min(RETRY_AFTER_MAX));
                refusal = Some(Reply { server: server.clone(), response });
            }
            tried.insert(server, why);
        }
        if env::monotonic() + pause > deadline {
            let tried = tried.iter().map(|(server, why)| format!("{server}: {why}")).collect();
            return refusal.ok_or(Error::Unavailable { operation, tried });
        }
        env::sleep(pause).await;
    }
}

async fn attempt(inner: &Inner, server: &Server, request: &Request<Bytes>, shape: Shape) -> Attempt {
    let mut request = request.clone();
    if let Some(token) = inner.token.lock().clone() {
        request.headers_mut().insert(AUTHORIZATION, token);
    }
    let exchange = async {
        let response = inner.transport.send(server, request).await?;
        if shape == Shape::Stream && response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| SendError::Lost(error.to_string()))?.to_bytes();
        Ok(Response::from_parts(parts, Full::new(body).map_err(|never| match never {}).boxed_unsync()))
    };
    let answer = env::timeout(ANSWER_TIMEOUT, exchange).await;
    let answer = answer
        .unwrap_or_else(|_| Err(SendError::Lost(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))));
    match answer {
        Ok(response) => judge(inner, server, response),
        Err(SendError::NotSent(why)) => {
            inner.failed(server);
            Attempt::Undone(why, None)
        }
        Err(SendError::Lost(why)) => {
            inner.failed(server);
            Attempt::Unknown(why, None)
        }
    }
}

/// What an answer means for the next step, and for what is known of its master.
fn judge(inner: &Inner, server: &Server, response: Response<Body>) -> Attempt {
    let status = response.status();
    let why = || format!("it answered {status}");
    match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            inner.failed(server);
            Attempt::Undone(why(), Some(response))
        }
        StatusCode::GATEWAY_TIMEOUT => {
            inner.failed(server);
            Attempt::Unknown(why(), Some(response))
        }
        _ => {
            let header = response.headers().get(LEADER_HEADER);
            let leader = header.and_then(|value| value.to_str().ok()?.parse().ok());
            inner.answered(server, leader.filter(|_| status.is_success()));
            Attempt::Answered(response)
        }
    }
}

fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}
