//! What a request passes on its way in, each stage a table of steps:
//! authenticate -> impersonate -> authorize, then for writes
//! decode + default -> mutate (default again after each step) -> prepare -> validate -> admit.
//!
//! A write whose guards failed through no fault of its client runs the second part again, from the new
//! object that stands in its way.

pub mod admission;
pub mod authenticate;
pub mod authorize;
pub mod impersonate;

use api::Status;
use http::HeaderMap;
use state::State;

use crate::request::Target;
use crate::tokens::Tokens;
use crate::user::{Peer, User};

/// What the steps of a request see.
pub struct Incoming<'r> {
    /// The identity that the connection proved.
    pub peer: &'r Peer,
    /// Headers.
    pub headers: &'r HeaderMap,
    /// What is asked for.
    pub target: &'r Target,
    /// Reads bearer tokens.
    pub tokens: &'r Tokens,
    /// The cluster as this attempt sees it.
    pub state: &'r State,
}

/// A refusal of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// What the client is told.
    pub status: Status,
    /// Whether something was missing that another master may know already: to be looked at once more in a newer
    /// state.
    pub may_change: bool,
}

impl From<Status> for Refused {
    /// A refusal that stays one.
    fn from(status: Status) -> Self {
        Self { status, may_change: false }
    }
}

/// A step of a request: from who it was from so far to who it is from now, or a refusal.
pub type RequestStep = fn(&Incoming<'_>, User) -> Result<User, Refused>;

/// Every request passes these, in this order.
pub static REQUEST_STEPS: &[(&str, RequestStep)] = &[
    ("authenticate", authenticate::step),
    ("impersonate", impersonate::step),
    ("authorize", authorize::step),
];

/// Runs the steps of a request. Returns on whose behalf it is.
///
/// # Errors
/// The first refusal.
pub fn admit_request(incoming: &Incoming<'_>) -> Result<User, Refused> {
    REQUEST_STEPS.iter().try_fold(User::anonymous(), |user, (_, step)| step(incoming, user))
}
