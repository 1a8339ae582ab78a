//! Why a streaming connection ended, or did not begin.

use std::io;

use http::StatusCode;

/// What ends a streaming connection before its time.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The peer broke SPDY, WebSocket or a protocol above them.
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    /// The connection failed below.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The HTTP exchange before the upgrade failed.
    #[error("the upgrade failed")]
    Http(#[from] hyper::Error),
    /// The peer ended the connection while something was still to come.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer reset a stream, or refused to open it.
    #[error("the peer refused a stream")]
    StreamRefused,
    /// Something that was to come within a named time did not.
    #[error("timed out {0}")]
    TimedOut(&'static str),
    /// A request cannot be made.
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
    /// A backend answered an upgrade with neither an upgrade nor an error.
    #[error("invalid upgrade response: status code {}", .0.as_u16())]
    NotSwitched(StatusCode),
    /// The server answered an upgrade with something else.
    #[error("unable to upgrade streaming request: {status}: {body}")]
    Refused {
        /// The answer's status.
        status: StatusCode,
        /// The beginning of its body.
        body: String,
    },
}

impl From<tokio_tungstenite::tungstenite::Error> for Error {
    fn from(error: tokio_tungstenite::tungstenite::Error) -> Self {
        match error {
            tokio_tungstenite::tungstenite::Error::Io(error) => Self::Io(error),
            other => Self::Protocol(other.to_string()),
        }
    }
}
