//! The stores of one master in RocksDB.
//!
//! ```text
//! DIR/log/            the Raft log (an instance with a synced journal)
//! DIR/log.synced      what must be in it, see `seal.rs`
//! DIR/state-N/        a version store (an instance without a journal)
//! DIR/state-N.synced  what must be in it
//! DIR/snapshots/N/    a snapshot: tables linked with the store's, and a manifest
//! DIR/incoming/N/     a snapshot being received
//! DIR/current         which state and snapshot count; everything else of them is a leftover
//! ```
//!
//! # Guarantees
//! - What was acknowledged is there after a crash, or opening fails with the damaged file's name.
//! - A crash at any moment leaves the store before or after each step, never between.

mod compact;
mod directory;
mod failure;
mod log;
mod merge;
mod options;
mod pointer;
mod reads;
mod seal;
mod snapshot;
mod stores;
mod torn;
mod versions;

pub use options::RocksOptions;
pub use stores::{IN_USE_MAX, RocksStores};
