//! Streams over one connection: SPDY/3.1 and WebSocket, for exec, attach, port-forward and logs.
//!
//! # Flow
//! A server asks `accept` of [`remote_command`], [`port_forward`] or [`logs`] with the head of a request.
//! It gets the answer to send, 101, and what to run once the connection is upgraded; or a [`Refusal`]. One
//! that only stands between hands the request to [`proxy_upgrade`]. Clients begin in [`client`].
//!
//! # Guarantees
//! - Whatever a peer sends, the memory it takes is bounded (`limits.rs`), and bytes that mean nothing are an
//!   [`Error`].
//! - What a handler wrote is sent before its outcome, and the outcome before the end.

pub use error::Error;
pub use pipe::{Pipe, PipeReader, PipeWriter};
pub use proxy::{Passage, Proxied, proxy_upgrade};
pub use upgrade::Refusal;

pub mod client;
mod driver;
mod error;
mod exchange;
pub mod limits;
pub mod logs;
mod pipe;
pub mod port_forward;
mod proxy;
pub mod remote_command;
mod spdy;
mod upgrade;
mod websocket;
