//! The ways to say a change instead of the whole object.

mod json;
mod merge;
mod strategic;

use serde_json::{Map, Value};

pub use json::json;
pub use merge::merge;

use crate::schema::Type;

/// Why a patch cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// It is no patch of its kind.
    #[error("{0}")]
    Malformed(String),
    /// It asks for more than one patch may.
    #[error("{0}")]
    TooLarge(String),
    /// It is one, and does not fit the object.
    #[error("{0}")]
    Mismatch(String),
}

/// Applies a strategic merge patch (Kubernetes' own): objects merge member by member, lists as `of` says.
///
/// # Errors
/// Says what about the patch does not fit; then `target` is half changed.
pub fn strategic(
    target: &mut Map<String, Value>,
    patch: Map<String, Value>,
    of: &Type,
) -> Result<(), PatchError> {
    strategic::object(target, patch, Some(of))
}
