//! SPDY/3.1, as Kubernetes still speaks it over an upgraded HTTP/1.1 connection.
//!
//! # Assumptions
//! Go's implementation, in every kubectl, takes no part in flow control: it neither sends window updates
//! nor heeds them, and drops data of a stream before its reply. So a window binds only towards a peer that
//! showed that it keeps windows, a stream that overflows stops the reading of its connection, and nobody
//! is given a stream before it was replied to.

pub(crate) use connection::{Incoming, Opener, client, server};
pub use headers::Headers;

mod connection;
mod dictionary;
mod frame;
mod headers;
