//! Snapshots between masters: a head, the files in pieces, an end; one request and answer each.
//!
//! # Guarantees
//! - Memory is bounded by one piece on each side.
//! - A transfer without progress for [`crate::limits::SNAPSHOT_IDLE`] is given up on both sides and
//!   leaves nothing behind; the leader then starts over.
//! - Raft learns of a snapshot only when it is checked, durable and opened.

pub(crate) mod receive;
pub(crate) mod send;
