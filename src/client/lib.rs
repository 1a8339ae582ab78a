//! The API as agents use it: several masters, watches that resume.
//!
//! # Flow
//! [`Client`] sends a request to one master at a time (`send.rs`), in the order of `roster.rs`, over one HTTP/2
//! connection to each (`channel.rs`). [`Client::watch`] keeps a local picture of a collection up to date
//! (`watch.rs`), [`Client::renew`] a lease; for everything else there is [`Client::kube`], with which `kube::Api`
//! has the same masters behind it.
//!
//! # What the masters tell
//! Every answer may carry `Keelson-Leader: https://HOST:PORT`, the API of the master that leads. `GET
//! /keelson/v1/masters`, for everybody who is authenticated, gives `{"masters": ["https://HOST:PORT", ...], "leader":
//! "https://HOST:PORT"}`, the leader being `null` while there is none. Where neither is served, the masters are
//! asked in the order in which the options name them.
//!
//! # Caveats
//! A client must be made, and is at work, inside a tokio runtime.

mod channel;
mod credentials;
mod error;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod frame;
mod kind;
mod lease;
mod list;
mod refresh;
mod roster;
mod send;
mod server;
mod service;
#[cfg(test)]
mod tests;
mod transport;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::env;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch as published};

pub use channel::{PING_INTERVAL, PING_TIMEOUT};
pub use credentials::Identity;
pub use error::Error;
pub use kind::{Kind, Selection};
pub use lease::Lease;
pub use send::{ANSWER_TIMEOUT, LEADER_HEADER, PATIENCE, Repeat};
pub use server::{Server, ServerError};
pub use transport::{Body, BodyError, SendError, Transport};
pub use watch::{DRIFT, EVENTS_AHEAD_MAX, Event, Watch};

/// How a patch is meant: the media type of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// RFC 7386: lists are replaced.
    Merge,
    /// Lists of Kubernetes' kinds are merged by their keys.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl Patch {
    fn media(self) -> &'static str {
        match self {
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

/// What a client needs.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Some masters, or an address that leads to one. The others are learned from them.
    pub servers: Vec<Server>,
    /// Whom to believe: certificates of authorities, PEM.
    pub authority: String,
    /// What to show in the TLS handshake.
    pub identity: Option<Identity>,
    /// What to send with each request: a bearer token.
    pub token: Option<String>,
}

/// The API of a cluster. Cheap to clone; all clones share connections and what is known of the masters.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

/// What the clones of a client share.
struct Inner {
    transport: Box<dyn Transport>,
    roster: Mutex<roster::Roster>,
    token: Mutex<Option<HeaderValue>>,
    /// Who leads, for streams that would rather be there.
    leader: published::Sender<Option<Server>>,
    /// Wakes whoever asks the masters who they are.
    doubt: Notify,
    /// Whether the last try to reach a master failed.
    is_cut_off: AtomicBool,
    /// Counts how often a master answered after that.
    back: published::Sender<u64>,
}

impl Client {
    /// Prepares to talk to the masters; connections are opened when they are needed.
    ///
    /// # Errors
    /// When the options name no server, or their credentials cannot be read.
    pub fn new(options: Options) -> Result<Self, Error> {
        let channels = channel::Channels::new(options.authority, options.identity.as_ref())?;
        let client = Self::over(Box::new(channels), options.servers)?;
        client.set_token(options.token)?;
        Ok(client)
    }

    /// Talks to `servers` through a transport of the caller's.
    ///
    /// # Errors
    /// When there are no servers.
    pub fn over(transport: Box<dyn Transport>, servers: Vec<Server>) -> Result<Self, Error> {
        if servers.is_empty() {
            return Err(Error::NoServers);
        }
        let inner = Arc::new(Inner {
            transport,
            roster: Mutex::new(roster::Roster::new(servers)),
            token: Mutex::default(),
            leader: published::Sender::new(None),
            doubt: Notify::new(),
            is_cut_off: AtomicBool::new(false),
            back: published::Sender::new(0),
        });
        env::spawn(refresh::run(Arc::downgrade(&inner)));
        Ok(Self(inner))
    }

    /// Shows another certificate from now on, in new connections. Streams that are open go on.
    ///
    /// # Errors
    /// When it cannot be read: the old one stays.
    pub fn set_identity(&self, identity: Option<&Identity>) -> Result<(), Error> {
        self.0.transport.set_identity(identity)
    }

    /// Sends another token from now on, or none.
    ///
    /// # Errors
    /// When it cannot stand in a header.
    pub fn set_token(&self, token: Option<String>) -> Result<(), Error> {
        let header = token.map(|token| {
            let mut header = HeaderValue::from_str(&format!("Bearer {token}"));
            if let Ok(header) = &mut header {
                header.set_sensitive(true);
            }
            header
        });
        let header = header
            .transpose()
            .map_err(|error| Error::Credentials { reason: format!("the token: {error}") })?;
        *self.0.token.lock() = header;
        Ok(())
    }

    /// For `kube::Api`. Requests with a query for a stream (`watch`, `follow`) are not repeated once it has begun.
    pub fn kube(&self, repeat: Repeat) -> kube::Client {
        kube::Client::new(service::Service::new(self.clone(), repeat), "default")
    }

    /// Sends `body` (JSON, or empty) to a path with its query, and gives back the answer's body.
    ///
    /// # Errors
    /// When the masters refuse it, cannot be reached, or may have done it without saying so.
    pub async fn request(
        &self,
        method: Method,
        path_and_query: &str,
        media: &'static str,
        body: Bytes,
        repeat: Repeat,
    ) -> Result<Bytes, Error> {
        let operation = format!("{method} {path_and_query}");
        let request = Request::builder()
            .method(method)
            .uri(path_and_query)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, media)
            .body(body)
            .map_err(|error| Error::Malformed { operation: operation.clone(), reason: error.to_string() })?;
        let reply = send::send(&self.0, request, repeat, send::Shape::Whole).await?;
        whole(&operation, reply.response).await
    }

    /// Reads an object or a list, as JSON.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn get(&self, path_and_query: &str) -> Result<Bytes, Error> {
        self.request(Method::GET, path_and_query, "application/json", Bytes::new(), Repeat::Unknown).await
    }

    /// Patches an object, or what hangs below it.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn patch(
        &self,
        path_and_query: &str,
        kind: Patch,
        body: impl Into<Bytes>,
        repeat: Repeat,
    ) -> Result<Bytes, Error> {
        self.request(Method::PATCH, path_and_query, kind.media(), body.into(), repeat).await
    }

    /// Creates an object in the collection of a path.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn create(&self, path_and_query: &str, body: impl Into<Bytes>) -> Result<Bytes, Error> {
        let body = body.into();
        self.request(Method::POST, path_and_query, "application/json", body, Repeat::Undone).await
    }

    /// Deletes an object; `options` are `DeleteOptions` as JSON. With a uid as precondition it may be repeated.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn delete(
        &self,
        path_and_query: &str,
        options: impl Into<Bytes>,
        repeat: Repeat,
    ) -> Result<Bytes, Error> {
        self.request(Method::DELETE, path_and_query, "application/json", options.into(), repeat).await
    }

    /// Who leads, as far as the masters said.
    pub fn leader(&self) -> Option<Server> {
        self.0.roster.lock().leader().cloned()
    }
}

/// The body of an answer, if it is none that says no.
async fn whole(operation: &str, response: Response<Body>) -> Result<Bytes, Error> {
    let malformed = |reason: String| Error::Malformed { operation: operation.to_owned(), reason };
    let code = response.status();
    let body = response.into_body().collect().await.map_err(|error| malformed(error.to_string()))?.to_bytes();
    if code.is_success() {
        return Ok(body);
    }
    let status = serde_json::from_slice(&body).unwrap_or_else(|_| kube::core::Status {
        code: code.as_u16(),
        message: String::from_utf8_lossy(&body).trim().to_owned(),
        ..kube::core::Status::default()
    });
    Err(Error::Refused { operation: operation.to_owned(), status: Box::new(status) })
}

impl Inner {
    fn order(&self) -> Vec<Server> {
        self.roster.lock().order(env::monotonic())
    }

    fn is_avoided(&self, server: &Server) -> bool {
        self.roster.lock().is_avoided(server, env::monotonic())
    }

    fn answered(&self, server: &Server, leader: Option<Server>) {
        if self.is_cut_off.swap(false, Ordering::AcqRel) {
            self.back.send_modify(|count| *count += 1);
        }
        let is_unknown = self.roster.lock().answered(server, leader);
        if is_unknown {
            self.doubt.notify_one();
        }
        self.publish();
    }

    fn failed(&self, server: &Server) {
        self.roster.lock().failed(server, env::monotonic());
        self.is_cut_off.store(true, Ordering::Release);
        self.doubt.notify_one();
    }

    fn replace(&self, members: Vec<Server>, leader: Option<Server>) {
        let all = {
            let mut roster = self.roster.lock();
            roster.replace(members, leader);
            roster.all()
        };
        self.transport.retain(&all);
        self.publish();
    }

    fn publish(&self) {
        let leader = self.roster.lock().leader().cloned();
        self.leader.send_if_modified(|known| {
            let is_news = *known != leader;
            *known = leader;
            is_news
        });
    }
}
