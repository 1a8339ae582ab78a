//! What survives a crash: the Raft log, the MVCC store of object versions, and snapshots.
//!
//! Bytes and revisions only: this crate knows neither Raft nor Kubernetes. Each trait has two
//! implementations, RocksDB and a memory twin that models sync, crash and I/O errors, and one
//! conformance suite ([`conformance`]) that both pass.

pub mod conformance;
pub mod error;
mod files;
mod floors;
pub mod frame;
mod health;
pub mod latency;
pub mod log;
mod manifest;
pub mod memory;
pub mod mutant;
pub mod rocks;
pub mod snapshot;
pub mod space;
pub mod under_way;
pub mod versions;

pub use error::{Result, StorageError};
pub use log::{LogRecord, LogState, LogStore};
pub use snapshot::{Manifest, SnapshotFile, SnapshotReader, SnapshotWriter};
pub use space::SpaceState;
pub use versions::{Image, Retention, Version, VersionBatch, VersionStore};
