//! Patches that lead from one state of an object to another.

mod three_way;

use std::sync::Arc;

use api::Resource;
use serde_json::{Map, Value};

use crate::catalog::Kind;

/// A patch and how the server is to read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// Its media type.
    pub media: &'static str,
    /// The patch.
    pub body: Value,
}

impl Patch {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.body.as_object().is_some_and(Map::is_empty)
    }
}

/// Strategic merge.
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// Merge.
pub const MERGE: &str = "application/merge-patch+json";
/// JSON patch.
pub const JSON: &str = "application/json-patch+json";

/// The built-in kind behind a kind of the server's: its lists have keys, and its patches are strategic.
pub fn builtin(kind: &Kind) -> Option<Arc<Resource>> {
    Resource::find(&kind.group, &kind.version, &kind.plural).filter(|resource| resource.kind == kind.kind)
}

/// The patch that makes `current` hold what `modified` says and not what only `original` said.
pub fn three_way(kind: &Kind, original: &Value, modified: &Value, current: &Value) -> Patch {
    let of = builtin(kind);
    let media = if of.is_some() { STRATEGIC } else { MERGE };
    let empty = Map::new();
    let members = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (original, modified) = (members(original), members(modified));
    let current = current.as_object().unwrap_or(&empty);
    let body = three_way::object(
        &original,
        &modified,
        current,
        three_way::Place::of(of.as_deref().map(|of| &*of.schema)),
    );
    Patch { media, body: body.into() }
}
