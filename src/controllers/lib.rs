//! Every controller: a folder each, and the table of them.
//!
//! A controller is a row of pure functions ([`projection::Controller`]): which keys a change is about, and what to do
//! about a key. Nothing here acts; [`projection::runner`] does.

mod replicaset;
mod shared;
#[cfg(test)]
mod testing;

use projection::Controller;

/// All of them, by name.
pub const CONTROLLERS: &[Controller] = &[replicaset::REPLICA_SET, replicaset::REPLICATION_CONTROLLER];
