//! Who is it? A client certificate says so; without one it is anonymous.

use api::Status;
use http::header::AUTHORIZATION;

use super::Incoming;
use crate::user::User;

/// Credentials that nobody here can check are refused, not ignored: their owner believes to be somebody.
pub(super) fn step(incoming: &Incoming<'_>, anonymous: User) -> Result<User, Status> {
    match &incoming.peer.0 {
        Some(user) => Ok(user.clone()),
        None if incoming.headers.contains_key(AUTHORIZATION) => Err(Status::unauthorized()),
        None => Ok(anonymous),
    }
}
