//! Whether a path takes a request at all, before any verb looks at it: which verbs there are at the path, what may come
//! with them, and what is accepted back.

use api::{Reason, Status};

use super::Call;
use crate::negotiate;

/// Verbs of a collection, in the namespace that its objects live in or without one.
const OF_COLLECTIONS: &[&str] = &["create", "deletecollection", "list", "watch"];

/// Verbs of a collection over all namespaces.
const OF_ALL_NAMESPACES: &[&str] = &["list", "watch"];

/// Verbs of one object.
const OF_OBJECTS: &[&str] = &["delete", "get", "patch", "update", "watch"];

/// Verbs of what hangs below an object.
const OF_PARTS: &[&str] = &["create", "delete", "get", "patch", "update"];

/// In what patches may be written.
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// Checks all that.
///
/// # Errors
/// 404 for a path without verbs, 405, 415 and 406.
pub(super) fn check(verb: &str, call: &Call) -> Result<(), Status> {
    let row = &call.row;
    let is_custom = row.custom.is_some();
    let below = row.subresource(&call.path.subresource);
    let is_below = !call.path.subresource.is_empty();
    if is_custom && is_below && below.is_none() {
        return Err(call.not_found());
    }
    let known = match (call.path.name.is_empty(), call.is_placed()) {
        (true, true) => OF_COLLECTIONS,
        (true, false) if row.namespaced => OF_ALL_NAMESPACES,
        (false, true) if is_below => OF_PARTS,
        (false, true) => OF_OBJECTS,
        (_, false) => &[],
    };
    let verbs = if is_below { below.map_or(&[][..], |below| &below.verbs) } else { &row.verbs };
    if !verbs.iter().any(|verb| known.contains(&&**verb)) {
        return Err(Status::no_such_path());
    }
    let is_served = known.contains(&verb) && verbs.iter().any(|served| served == verb);
    match (is_served, is_custom) {
        (true, true) => Ok(()),
        (true, false) => check_media(verb, call),
        (false, true) => Err(Status::method_not_allowed(row.group_resource(), verb)),
        (false, false) => Err(Status::no_such_method()),
    }
}

/// What comes with a request, and what is accepted back.
fn check_media(verb: &str, call: &Call) -> Result<(), Status> {
    let kinds = call.content_type.split(',');
    let mut kinds = kinds.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    if verb == "patch" && !kinds.any(|kind| PATCHES.contains(&kind)) {
        let text = "415: Unsupported Media Type";
        return Err(Status::failure(415, Reason::UnsupportedMediaType, text).with_details());
    }
    negotiate::route(&call.accept, matches!(verb, "list" | "watch"))
}
