//! The way of one request to one master: a trait, so that masters can be faked on virtual time.

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;

use crate::credentials::Identity;
use crate::error::Error;
use crate::server::Server;

/// Why the body of an answer ended too early.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BodyError(pub String);

/// The body of an answer on its way.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The master never saw the request.
    #[error("{0}")]
    NotSent(String),
    /// The master may have done what was asked.
    #[error("{0}")]
    Lost(String),
}

/// Sends requests. Implemented by [`crate::channel::Channels`] for real, by the fake for tests.
pub trait Transport: Send + Sync + 'static {
    /// Sends a request, whose URI is a path and a query, and returns when the head of the answer is there.
    fn send(
        &self,
        server: &Server,
        request: Request<Bytes>,
    ) -> BoxFuture<'static, Result<Response<Body>, SendError>>;

    /// Shows another certificate from the next request on; what is open goes on.
    ///
    /// # Errors
    /// When it is no certificate with its key.
    fn set_identity(&self, identity: Option<&Identity>) -> Result<(), Error>;

    /// Forgets all servers but these.
    fn retain(&self, servers: &[Server]);
}
