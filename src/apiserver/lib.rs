//! The API of one master: HTTP in, transactions out.
//!
//! The walk of a request: [`server`] -> [`connection`] (TLS, who is it) -> [`routes`] -> [`chain`] (may they) ->
//! [`verbs`] (decide on a moment, propose) -> [`backend`].

pub mod acting;
mod acts;
pub mod backend;
pub mod bootstrap;
pub mod certificates;
pub mod chain;
mod connection;
pub mod definitions;
pub mod dialer;
pub mod errors;
mod filter;
mod health;
mod issuer;
mod leader;
pub mod limits;
mod metrics;
pub mod negotiate;
mod openapi;
pub mod presence;
mod present;
mod protection;
mod proxy;
pub mod request;
mod reshape;
mod routes;
pub mod server;
mod services;
pub mod standing;
mod streams;
pub mod submit;
pub mod tls;
pub mod tokens;
pub mod user;
pub mod verbs;
pub mod whatif;

#[cfg(test)]
mod tests;

pub use backend::Backend;
pub use server::{Options, Service};
pub use services::{Cidr, NodePorts};
pub use submit::Submitter;
pub use user::User;
