//! The resource model: keys, metadata, `Status`, the `RESOURCES` table, canonical bytes, and one file
//! per kind. Data only: no I/O, no async, no clock.

pub mod key;

pub use key::Key;
