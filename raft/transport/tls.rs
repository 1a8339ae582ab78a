//! Masters over TCP and TLS 1.3, each proving with a certificate of the cluster's CA who it is.
//!
//! # Flow
//! A connection per master and lane, made when first needed. After the TLS handshake both sides send a
//! [`hello`]; then requests and answers are frames that carry a number, so that many requests share a
//! connection. A connection that answers nothing for [`SILENCE_MAX`] while answers are due is closed, and so is
//! one whose answers nobody takes for [`crate::limits::ANSWER_STALL_MAX`].
//!
//! # Guarantees
//! A request is only ever sent to, and served for, a master whose certificate names the id that is
//! expected, of the same cluster.

mod client;
mod frame;
mod hello;
mod identity;
mod server;

use std::time::Duration;

pub use self::client::TlsTransport;
pub use self::identity::{Identity, IdentityError, PEER_ORGANIZATION, peer_common_name};
pub use self::server::serve;

/// A connection that is silent for this long although an answer is due is closed: the way to the other
/// master may be gone without anybody having said so.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// A connection that nobody used for this long is closed by the server.
const IDLE_MAX: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
