//! Resources whose objects are stored in the form of another: of another version, or of another group.

pub mod autoscaling;
pub mod events;

use std::sync::Arc;

use crate::object::Object;
use crate::resource::Resource;

/// Between the form in which a resource is seen and the one in which its objects are stored. Both ways lose nothing.
#[derive(Debug)]
pub struct Conversion {
    /// Group, version and plural of the resource that is seen.
    pub seen: [&'static str; 3],
    /// Those of the resource in whose form its objects are stored.
    pub stored: [&'static str; 3],
    /// From the form that is seen.
    pub store: Turn,
    /// Into the form that is seen.
    pub show: Turn,
}

/// Turns an object into one of the given resource.
pub type Turn = fn(Object, &Resource) -> Object;

/// Every one of them.
pub static CONVERSIONS: &[Conversion] = &[autoscaling::V1, events::V1];

/// Where the objects of a resource are, when they are not stored in its own form.
#[derive(Clone, Debug)]
pub struct Storage {
    /// The resource in whose form they are stored.
    pub row: Arc<Resource>,
    /// Into that form.
    pub store: Turn,
    /// Out of it.
    pub show: Turn,
}
