//! The agent that asked for a certificate may read the request, and no other: until it is signed an agent has
//! nothing else to ask with.

use api::Key;
use state::State;

use super::{CERTIFICATES, Denied};
use crate::request::Target;
use crate::user::{BOOTSTRAPPERS, User};

/// Decides about the reading of one request for a certificate; `None`: it is about something else.
pub(super) fn decide(user: &User, target: &Target, state: &State) -> Option<Result<(), Denied>> {
    let path = target.resource.as_ref()?;
    let is_request = (&*path.group, &*path.resource) == (CERTIFICATES, "certificatesigningrequests");
    let is_read = matches!(&*target.verb, "get" | "list" | "watch") && path.subresource.is_empty();
    let is_agent = user.node().is_some() || user.is_in(BOOTSTRAPPERS);
    if !is_agent || !is_request || !is_read || target.name().is_empty() {
        return None;
    }
    let found = state.get(Key::object(CERTIFICATES, &path.resource, "", target.name()).as_str());
    let Some(found) = found else { return Some(Err(Denied::missing(""))) };
    let is_own = found.view().at(&["spec", "username"]).is(&user.name);
    Some(if is_own { Ok(()) } else { Err(Denied::default()) })
}
