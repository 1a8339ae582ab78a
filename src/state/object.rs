//! One stored object: its final bytes, and what was decided about it.

use std::sync::OnceLock;

use api::Key;
use bytes::Bytes;

/// The little of an object that apply decides on. Built together with the bytes by one constructor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.generation`; 0 when the kind has none.
    pub generation: i64,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Whether `metadata.finalizers` is not empty.
    pub finalizers: bool,
    /// What the object uses of each counter, in fixed integer units. Names are unique.
    pub charges: Vec<(String, i64)>,
}

/// One version of one object, as it is served.
#[derive(Debug)]
pub struct Object {
    /// Where it lives.
    pub key: Key,
    /// Canonical JSON with `metadata.resourceVersion` in place.
    pub bytes: Bytes,
    /// What apply decides on.
    pub meta: Meta,
    /// The write that made this version.
    pub revision: u64,
    /// The write that created the object.
    pub created: u64,
    /// The version before this one; 0 for none.
    pub previous: u64,
    /// When, by the log's clock. Milliseconds since the epoch.
    pub time_ms: u64,
    /// Who.
    pub actor: std::sync::Arc<str>,
    /// The attempt that wrote it.
    pub request: u128,
    /// Labels and the like, read from the bytes outside apply when first asked for. Not part of state.
    pub(crate) labels: OnceLock<Box<[(Box<str>, Box<str>)]>>,
}
