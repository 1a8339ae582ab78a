//! What the log drives: the trait that the replica implements.

use std::sync::Arc;

use base::ids::NodeId;
use bytes::Bytes;
use storage::SnapshotReader;

/// A position in the log, with the leader that wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The leader's term.
    pub term: u64,
    /// The leader.
    pub leader: NodeId,
    /// The index, from 0 (the first membership entry).
    pub index: u64,
}

/// A committed entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// What it holds.
    pub payload: Payload,
}

/// What an entry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: a new leader's first entry.
    Blank,
    /// What was given to [`crate::Handle::append`].
    Normal(Bytes),
    /// A change of members, encoded by this crate; the machine keeps it as it is.
    Membership(Bytes),
}

/// What a machine knows after it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// The last entry it has applied.
    pub applied: Option<Position>,
    /// The membership entry applied last, and where it stood.
    pub membership: Option<(Position, Bytes)>,
}

/// Why a machine cannot go on. Every one of them ends the process.
#[derive(Debug, thiserror::Error)]
#[error("the replicated machine cannot go on: {0}")]
pub struct MachineError(pub String);

/// A state machine behind the log. All calls come from one task, in order.
#[async_trait::async_trait]
pub trait Machine: Send + 'static {
    /// Where it stands; asked at start and after an install.
    fn restored(&self) -> Restored;

    /// Applies committed entries, in order, without a gap. Total: whatever an entry holds, this
    /// returns `Ok` unless the machine itself is broken. May wait (bounded write-behind).
    async fn apply(&mut self, entries: Vec<Entry>) -> Result<(), MachineError>;

    /// Makes a snapshot at the last applied entry or a little before it, durable when this resolves.
    /// The position and membership it was taken at come with it. Runs beside later `apply` calls.
    fn snapshot(&mut self) -> futures::future::BoxFuture<'static, Result<Taken, MachineError>>;

    /// The snapshot taken or installed last.
    fn current_snapshot(&self) -> Result<Option<Taken>, MachineError>;

    /// Prepares a received snapshot: everything slow (open, read, verify, build State).
    fn prepare(
        &self,
        snapshot: Arc<dyn SnapshotReader>,
    ) -> futures::future::BoxFuture<'static, Result<Box<dyn Prepared>, MachineError>>;

    /// Swaps everything for a prepared snapshot, in one short step.
    async fn install(&mut self, prepared: Box<dyn Prepared>) -> Result<(), MachineError>;
}

/// A snapshot and the position it stands for.
#[derive(Clone)]
pub struct Taken {
    /// The last entry it covers, and its membership.
    pub restored: Restored,
    /// Its files.
    pub files: Arc<dyn SnapshotReader>,
}

/// A snapshot ready to be installed. The machine that made it knows what is inside.
pub trait Prepared: Send + Sync + std::any::Any {
    /// The position it stands for.
    fn restored(&self) -> Restored;
    /// Its files, to be sent on to others.
    fn files(&self) -> Arc<dyn SnapshotReader>;
}
