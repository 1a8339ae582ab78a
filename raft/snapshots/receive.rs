//! The follower's side.

use std::sync::Arc;

use base::env::{self, Instant};
use base::ids::NodeId;
use bytes::Bytes;
use openraft::raft::SnapshotResponse;
use openraft::storage::Snapshot;
use parking_lot::Mutex;
use storage::snapshot::Stores;
use storage::{Manifest, SnapshotReader, SnapshotWriter};

use crate::adapter::{Handover, RaftSnapshot, meta_of};
use crate::failure::chain;
use crate::limits::SNAPSHOT_IDLE;
use crate::machine::Restored;
use crate::peer::Door;
use crate::types::{Raft, TypeConfig, Vote};

/// Receives one snapshot at a time; a later one replaces it.
pub(crate) struct Receiver {
    stores: Arc<dyn Stores>,
    current: Mutex<Option<Incoming>>,
}

/// A transfer under way.
struct Incoming {
    from: NodeId,
    transfer: u64,
    vote: Vote,
    restored: Restored,
    /// Out while a piece is being written.
    writer: Option<Box<dyn SnapshotWriter>>,
    touched: Instant,
}

impl Receiver {
    pub(crate) fn new(stores: Arc<dyn Stores>) -> Self {
        Self { stores, current: Mutex::new(None) }
    }

    /// Begins a transfer; whatever was under way is dropped, and with it its files.
    pub(crate) async fn begin(
        &self,
        from: NodeId,
        transfer: u64,
        vote: Vote,
        restored: Restored,
        manifest: Manifest,
    ) -> Result<(), String> {
        tracing::debug!(from, "receiving a snapshot");
        let stores = Arc::clone(&self.stores);
        let writer = env::blocking(move || stores.receive(&manifest)).await;
        let writer =
            writer.map_err(|error| format!("beginning to receive a snapshot failed: {}", chain(&error)))?;
        let touched = env::monotonic();
        let incoming = Incoming { from, transfer, vote, restored, writer: Some(writer), touched };
        let replaced = self.current.lock().replace(incoming);
        drop(replaced);
        Ok(())
    }

    /// Writes one piece.
    pub(crate) async fn chunk(
        &self,
        from: NodeId,
        transfer: u64,
        file: u32,
        bytes: Bytes,
    ) -> Result<(), String> {
        let mut writer = self.take_writer(from, transfer)?;
        let (written, writer) = env::blocking(move || (writer.write(file as usize, &bytes), writer)).await;
        written.map_err(|error| format!("writing a received snapshot failed: {}", chain(&error)))?;
        let mut current = self.current.lock();
        let incoming = current.as_mut().filter(|incoming| incoming.is(from, transfer)).ok_or_else(gone)?;
        incoming.writer = Some(writer);
        incoming.touched = env::monotonic();
        Ok(())
    }

    /// Checks and opens what was received, and gives it to Raft.
    pub(crate) async fn end(
        &self,
        from: NodeId,
        transfer: u64,
        raft: &Raft,
        door: &Door,
    ) -> Result<SnapshotResponse<TypeConfig>, String> {
        let writer = self.take_writer(from, transfer)?;
        let incoming =
            self.current.lock().take_if(|incoming| incoming.is(from, transfer)).ok_or_else(gone)?;
        let finished = env::blocking(move || writer.finish()).await;
        let files =
            finished.map_err(|error| format!("checking a received snapshot failed: {}", chain(&error)))?;
        #[cfg(test)]
        if door.open.is_some() {
            let snapshot = unprepared(files.into(), incoming.restored)?;
            return door.install(raft, incoming.vote, snapshot).await;
        }
        let snapshot = prepare(raft, files.into(), &incoming.restored).await?;
        let installed = door.install(raft, incoming.vote, snapshot).await;
        installed.map_err(|error| format!("installing a snapshot failed: {error}"))
    }

    /// Drops a transfer that makes no progress. Runs until Raft's runtime ends.
    pub(crate) async fn drop_idle(self: Arc<Self>) {
        loop {
            env::sleep(SNAPSHOT_IDLE).await;
            let dropped = self.current.lock().take_if(|incoming| incoming.touched.elapsed() > SNAPSHOT_IDLE);
            if let Some(incoming) = dropped {
                tracing::warn!(from = incoming.from, "a snapshot transfer made no progress and was dropped");
            }
        }
    }

    fn take_writer(&self, from: NodeId, transfer: u64) -> Result<Box<dyn SnapshotWriter>, String> {
        let mut current = self.current.lock();
        let incoming = current.as_mut().filter(|incoming| incoming.is(from, transfer));
        incoming.and_then(|incoming| incoming.writer.take()).ok_or_else(gone)
    }
}

impl Incoming {
    fn is(&self, from: NodeId, transfer: u64) -> bool {
        (self.from, self.transfer) == (from, transfer)
    }
}

fn gone() -> String {
    "this snapshot transfer is not known here any more".to_owned()
}

/// Everything slow happens here, before Raft stops for the installation.
async fn prepare(
    raft: &Raft,
    files: Arc<dyn SnapshotReader>,
    restored: &Restored,
) -> Result<RaftSnapshot, String> {
    let preparing =
        raft.with_state_machine(|machine| Box::pin(std::future::ready(machine.prepare(files)))).await;
    let preparing = preparing.map_err(|fatal| format!("opening a snapshot failed: {fatal}"))?;
    let prepared = preparing.await.map_err(|error| format!("opening a snapshot failed: {error}"))?;
    let inside = prepared.restored();
    if inside != *restored {
        return Err("a received snapshot does not stand for the position it was announced with".to_owned());
    }
    let meta = meta_of(&inside).map_err(|error| error.to_string())?;
    Ok(Snapshot { meta, snapshot: Handover::Ready(prepared) })
}

/// A snapshot as it came: preparing it would wait for every apply that is under way.
#[cfg(test)]
fn unprepared(files: Arc<dyn SnapshotReader>, restored: Restored) -> Result<RaftSnapshot, String> {
    let meta = meta_of(&restored).map_err(|error| error.to_string())?;
    Ok(Snapshot { meta, snapshot: Handover::Stored(crate::machine::Taken { restored, files }) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use storage::memory::MemoryStores;

    use super::*;
    use crate::races::taken;
    use crate::types::LeaderId;

    #[test]
    fn a_silent_transfer_is_dropped_and_a_slow_one_goes_on() {
        const FROM: NodeId = 1;
        const TRANSFER: u64 = 7;
        env::simulate(1, async {
            let receiver = Arc::new(Receiver::new(Arc::new(MemoryStores::new())));
            env::spawn(Arc::clone(&receiver).drop_idle());
            let vote = Vote { leader_id: LeaderId { term: 1, node_id: FROM }, committed: true };
            let sent = taken(5);
            let manifest = sent.files.manifest().clone();
            receiver.begin(FROM, TRANSFER, vote, sent.restored, manifest).await.expect("begun");
            let piece = || receiver.chunk(FROM, TRANSFER, 0, Bytes::from_static(b"a piece"));
            for _ in 0..5 {
                env::sleep(SNAPSHOT_IDLE - Duration::from_secs(1)).await;
                piece().await.expect("slow is not silent");
            }
            // Looked at once in that time, so it takes up to two of them.
            env::sleep(2 * SNAPSHOT_IDLE + Duration::from_secs(1)).await;
            assert!(receiver.current.lock().is_none(), "its files are gone");
            assert_eq!(piece().await, Err(gone()));
        });
    }
}
