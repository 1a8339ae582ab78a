//! What several controllers do alike.

pub(crate) mod backends;
pub(crate) mod conditions;
pub(crate) mod disruption;
pub(crate) mod owned;
pub(crate) mod service_range;
pub(crate) mod stored;
pub(crate) mod template;
