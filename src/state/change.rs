//! What one write did.

use std::sync::Arc;

use crate::object::Object;

/// One write, with what was there before. Every change has a revision of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The revision of the write.
    pub revision: u64,
    /// The object after it. For a delete: the last object, whose bytes carry the delete's revision.
    pub object: Arc<Object>,
    /// The object before it; `None` when the write created it.
    pub previous: Option<Arc<Object>>,
    /// Whether the write removed the object.
    pub deleted: bool,
}
