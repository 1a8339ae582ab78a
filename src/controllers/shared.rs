//! What several controllers do alike.

pub(crate) mod backends;
pub(crate) mod conditions;
pub(crate) mod owned;
pub(crate) mod stored;
pub(crate) mod template;
