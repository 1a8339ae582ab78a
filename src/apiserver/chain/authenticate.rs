//! Who is it? A client certificate says so, or else a bearer token; without either it is anonymous.

use api::Status;
use base::env;
use http::HeaderValue;
use http::header::AUTHORIZATION;

use super::{Incoming, Refused};
use crate::tokens::API_AUDIENCES;
use crate::user::User;

/// Credentials that nobody here can check are refused, not ignored: their owner believes to be somebody.
pub(super) fn step(incoming: &Incoming<'_>, anonymous: User) -> Result<User, Refused> {
    if let Some(user) = &incoming.peer.0 {
        return Ok(user.clone());
    }
    let Some(value) = incoming.headers.get(AUTHORIZATION) else { return Ok(anonymous) };
    let token = bearer(value).ok_or_else(Status::unauthorized)?;
    match incoming.tokens.identify(token, API_AUDIENCES, incoming.state, env::wall_ms()) {
        Ok(identified) => Ok(identified.user),
        Err(error) => {
            // The client is not told, as in Kubernetes: whoever runs the cluster may want to know.
            tracing::debug!(%error, "a bearer token was refused");
            Err(Refused { status: Status::unauthorized(), may_change: error.may_change })
        }
    }
}

/// The token of `Bearer TOKEN`.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
