//! Server-side apply: objects of which several managers each own some fields.
//!
//! # Flow
//! A write becomes a set of fields: of what was applied, all of its fields ([`apply`]); of any other write, the fields
//! that differ from before ([`update`]). `metadata.managedFields` keeps a set for each manager, operation and
//! subresource. Whoever changes a field owns it; who applies a field of another owner is told, unless by force.
//!
//! # Guarantees
//! - All that depends on a type comes from its schema, so custom kinds and built-in ones are merged alike.
//! - The same writes give the same bytes: sets and managers are sorted as Kubernetes sorts them.

mod applied;
mod check;
mod compare;
mod conflict;
mod element;
mod entry;
mod fields;
mod fields_v1;
mod first;
mod last_applied;
mod managers;
mod merge;
mod remove;
mod reset;
mod scale;
mod set;
mod settled;
mod shape;
mod typed;
mod update;
mod versions;

pub use applied::{Applied, apply};
pub use element::Element;
pub use entry::Entry;
pub use fields_v1::{read, write};
pub use scale::{Mappings, of_parent, to_parent};
pub use set::{Node, Set};
pub use update::update;

/// Who writes, and when.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// The name of the manager; empty: unknown.
    pub manager: &'a str,
    /// Through which subresource; empty: the object itself.
    pub subresource: &'a str,
    /// Now, in RFC 3339.
    pub now: &'a str,
}
