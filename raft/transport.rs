//! How masters talk to each other: a trait, with TLS over TCP and a simulated network behind it.

pub mod simulated;
pub mod tls;

use std::time::Duration;

use base::ids::NodeId;
use bytes::Bytes;

use crate::member::Member;

/// Kinds of traffic that never wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Heartbeats, votes, transfer notices: small and urgent.
    Heartbeat,
    /// Appends that carry entries.
    Bulk,
    /// Snapshot files.
    Snapshot,
    /// Read indexes and the calls of the layer above.
    Call,
}

impl Lane {
    /// All of them, in the order of their numbers on the wire.
    pub const ALL: [Self; 4] = [Self::Heartbeat, Self::Bulk, Self::Snapshot, Self::Call];
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection: nobody listens, or somebody whose identity is not the one expected. The request
    /// was certainly not served.
    #[error("cannot reach master {node} at {peer}: {reason}")]
    Unreachable {
        /// The master.
        node: NodeId,
        /// Its address.
        peer: String,
        /// What was refused.
        reason: String,
    },
    /// The connection ended before the answer. The request may have been served.
    #[error("the connection to master {node} ended before its answer: {reason}")]
    Broken {
        /// The master.
        node: NodeId,
        /// How it ended.
        reason: String,
    },
    /// No answer within the deadline. The request may have been served, or may still be.
    #[error("master {node} did not answer within {after_ms} ms")]
    Timeout {
        /// The master.
        node: NodeId,
        /// The deadline.
        after_ms: u64,
    },
    /// The frame is larger than [`crate::limits::FRAME_BYTES_MAX`] and was not sent.
    #[error("a frame of {size_bytes} bytes is above the limit between masters")]
    TooLarge {
        /// Its size.
        size_bytes: usize,
    },
    /// The master answered that it cannot serve the request.
    #[error("master {node} refused the request: {reason}")]
    Refused {
        /// The master.
        node: NodeId,
        /// Why, in its words.
        reason: String,
    },
}

impl TransportError {
    /// Whether the request was certainly not served.
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TooLarge { .. })
    }
}

/// Sends requests to other masters.
#[async_trait::async_trait]
pub trait Transport: Send + Sync + 'static {
    /// One request, one answer, on `lane`. Connects when needed. Cancel-safe: a dropped call's answer
    /// is discarded.
    ///
    /// # Errors
    /// See [`TransportError`]; returns within `deadline`.
    async fn call(
        &self,
        to: NodeId,
        member: &Member,
        lane: Lane,
        frame: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, TransportError>;

    /// Closes the connections to a master that left.
    fn forget(&self, node: NodeId);
}

/// Answers the requests of other masters: what a [`crate::Handle`] gives to a transport's server side.
#[async_trait::async_trait]
pub trait FrameService: Send + Sync + 'static {
    /// The answer to `frame`, or why there is none. `from` is proven by the transport.
    ///
    /// # Errors
    /// A sentence for the caller's log.
    async fn serve(&self, from: NodeId, lane: Lane, frame: Bytes) -> Result<Bytes, String>;
}

/// What the layer above serves to other masters. `kind` is its own; bodies are opaque.
#[async_trait::async_trait]
pub trait PeerService: Send + Sync + 'static {
    /// The answer to a request of `from`.
    async fn serve(&self, from: NodeId, kind: u8, body: Bytes) -> Bytes;
}

/// Serves nothing: for tests and tools.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoService;

#[async_trait::async_trait]
impl PeerService for NoService {
    async fn serve(&self, _from: NodeId, _kind: u8, _body: Bytes) -> Bytes {
        Bytes::new()
    }
}
