//! openraft's view of a [`Machine`].

use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine, Snapshot};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use parking_lot::Mutex;
use storage::SnapshotReader;

use crate::codec::membership;
use crate::failure::Failure;
use crate::limits::READ_BYTES_MAX;
use crate::machine::{Entry, Machine, MachineError, Payload, Prepared, Restored, Taken};
use crate::types::{LogId, RaftEntry, SnapshotMeta, StoredMembership, TypeConfig, log_id, position};

/// Entries given to the machine at a time, at most.
const APPLY_ENTRIES_MAX: usize = 1_024;

/// A snapshot on its way through openraft, which never looks inside.
pub(crate) enum Handover {
    /// Files of this master: to be sent, or to be installed at start.
    Stored(Taken),
    /// Received, checked and opened: installing it is one short step.
    Ready(Box<dyn Prepared>),
}

pub(crate) type RaftSnapshot = openraft::alias::SnapshotOf<TypeConfig, Handover>;

/// See the module.
pub(crate) struct Adapter {
    /// Never locked: the mutex makes a `Send` machine `Sync`, as openraft wants it.
    machine: Mutex<Box<dyn Machine>>,
    failure: Failure,
}

impl Adapter {
    pub(crate) fn new(machine: impl Machine, failure: Failure) -> Self {
        Self { machine: Mutex::new(Box::new(machine)), failure }
    }

    fn machine(&mut self) -> &mut dyn Machine {
        &mut **self.machine.get_mut()
    }

    fn failed(&self, error: &MachineError) -> io::Error {
        self.failure.report(error.to_string());
        io::Error::other(error.to_string())
    }

    /// Begins to prepare a received snapshot; the future does the work.
    pub(crate) fn prepare(
        &mut self,
        files: Arc<dyn SnapshotReader>,
    ) -> BoxFuture<'static, Result<Box<dyn Prepared>, MachineError>> {
        self.machine().prepare(files)
    }

    async fn apply_batch(&mut self, batch: &mut Batch) -> io::Result<()> {
        let Batch { entries, responders, .. } = std::mem::take(batch);
        if entries.is_empty() {
            return Ok(());
        }
        let applied = self.machine().apply(entries).await;
        applied.map_err(|error| self.failed(&error))?;
        responders.into_iter().for_each(|responder| responder.send(()));
        Ok(())
    }
}

/// A machine that panics takes its task along; openraft would notice when it next has something for that task.
impl Drop for Adapter {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.failure.report("the state machine panicked");
        }
    }
}

/// Entries gathered for one call of [`Machine::apply`].
#[derive(Default)]
struct Batch {
    entries: Vec<Entry>,
    responders: Vec<ApplyResponder<TypeConfig>>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, entry: RaftEntry, responder: Option<ApplyResponder<TypeConfig>>) {
        let entry = lower(entry);
        if let Payload::Normal(bytes) | Payload::Membership(bytes) = &entry.payload {
            self.bytes += bytes.len();
        }
        self.entries.push(entry);
        self.responders.extend(responder);
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= APPLY_ENTRIES_MAX || self.bytes >= READ_BYTES_MAX
    }
}

/// An entry as machines see it.
fn lower(entry: RaftEntry) -> Entry {
    let payload = match entry.payload {
        EntryPayload::Blank => Payload::Blank,
        EntryPayload::Normal(command) => Payload::Normal(command.payload),
        EntryPayload::Membership(members) => Payload::Membership(membership::encode(&members)),
    };
    Entry { position: position(&entry.log_id), payload }
}

/// What a machine knows, as openraft sees it.
pub(crate) fn raise(restored: &Restored) -> io::Result<(Option<LogId>, StoredMembership)> {
    let applied = restored.applied.map(log_id);
    let Some((at, bytes)) = &restored.membership else {
        return Ok((applied, StoredMembership::default()));
    };
    let members = membership::decode(bytes.clone()).map_err(io::Error::other)?;
    Ok((applied, StoredMembership::new(Some(log_id(*at)), members)))
}

/// What a snapshot stands for, as openraft sees it.
pub(crate) fn meta_of(restored: &Restored) -> io::Result<SnapshotMeta> {
    let (last_log_id, last_membership) = raise(restored)?;
    Ok(SnapshotMeta { last_log_id, last_membership })
}

/// The inverse of [`meta_of`].
pub(crate) fn restored_of(meta: &SnapshotMeta) -> Restored {
    let membership = meta.last_membership.log_id().as_ref().map(|at| {
        let bytes = membership::encode(meta.last_membership.membership());
        (position(at), bytes)
    });
    Restored { applied: meta.last_log_id.as_ref().map(position), membership }
}

fn snapshot_of(taken: Taken) -> io::Result<RaftSnapshot> {
    Ok(Snapshot { meta: meta_of(&taken.restored)?, snapshot: Handover::Stored(taken) })
}

impl RaftStateMachine<TypeConfig> for Adapter {
    type SnapshotData = Handover;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        raise(&self.machine().restored())
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut batch = Batch::default();
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            batch.push(entry, responder);
            if batch.is_full() {
                self.apply_batch(&mut batch).await?;
            }
        }
        self.apply_batch(&mut batch).await
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<Builder> {
        Some(self.get_snapshot_builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let taking = self.machine().snapshot();
        Builder { taking: Mutex::new(Some(taking)), failure: self.failure.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Handover) -> io::Result<()> {
        let prepared = match snapshot {
            Handover::Ready(prepared) => Ok(prepared),
            Handover::Stored(taken) => self.prepare(taken.files).await,
        };
        let prepared = prepared.map_err(|error| self.failed(&error))?;
        let installed = self.machine().install(prepared).await;
        installed.map_err(|error| self.failed(&error))?;
        tracing::info!(index = meta.last_log_id.map(|at| at.index), "installed a snapshot");
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<RaftSnapshot>> {
        let current = self.machine().current_snapshot().map_err(|error| self.failed(&error))?;
        current.map(snapshot_of).transpose()
    }
}

/// Takes one snapshot, beside later applies.
pub(crate) struct Builder {
    /// Never locked: see [`Adapter::machine`].
    taking: Mutex<Option<BoxFuture<'static, Result<Taken, MachineError>>>>,
    failure: Failure,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Handover;

    async fn build_snapshot(&mut self) -> io::Result<RaftSnapshot> {
        let Some(taking) = self.taking.get_mut().take() else {
            return Err(io::Error::other("a builder takes one snapshot"));
        };
        tracing::debug!("taking a snapshot");
        let taken = taking.await.map_err(|error| {
            self.failure.report(error.to_string());
            io::Error::other(error.to_string())
        })?;
        tracing::debug!(index = taken.restored.applied.map(|at| at.index), "took a snapshot");
        snapshot_of(taken)
    }
}
