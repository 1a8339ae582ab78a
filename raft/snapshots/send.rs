//! The leader's side.

use base::env;
use openraft::raft::SnapshotResponse;
use storage::{SnapshotFile, SnapshotReader};

use std::sync::Arc;

use crate::adapter::{Handover, RaftSnapshot, restored_of};
use crate::codec::rpc::{Answer, Request};
use crate::limits::{SNAPSHOT_CHUNK_BYTES, SNAPSHOT_IDLE, SNAPSHOT_INSTALL};
use crate::network::Client;
use crate::transport::{Lane, TransportError};
use crate::types::{TypeConfig, Vote};

/// Sends a snapshot and waits until it is installed or refused. Cancelled by being dropped.
///
/// # Errors
/// When the master is not reached, makes no progress, or cannot use the snapshot.
pub(crate) async fn send(
    client: &Client,
    vote: Vote,
    snapshot: RaftSnapshot,
) -> Result<SnapshotResponse<TypeConfig>, TransportError> {
    let restored = restored_of(&snapshot.meta);
    let files = match snapshot.snapshot {
        Handover::Stored(taken) => taken.files,
        Handover::Ready(prepared) => prepared.files(),
    };
    let transfer = env::random_u64();
    let manifest = files.manifest().clone();
    let pieces = manifest.files.clone();
    step(client, Request::SnapshotBegin { transfer, vote, restored, manifest }).await?;
    for (number, file) in pieces.iter().enumerate() {
        send_file(client, transfer, &files, number, file).await?;
    }
    let end = Request::SnapshotEnd { transfer };
    match client.ask(Lane::Snapshot, &end, SNAPSHOT_INSTALL).await? {
        Answer::SnapshotInstalled(answer) => Ok(answer),
        _ => Err(client.refused("its answer does not belong to the end of a snapshot")),
    }
}

async fn send_file(
    client: &Client,
    transfer: u64,
    files: &Arc<dyn SnapshotReader>,
    number: usize,
    file: &SnapshotFile,
) -> Result<(), TransportError> {
    let mut offset = 0;
    while offset < file.size_bytes {
        let reader = Arc::clone(files);
        let read = env::blocking(move || reader.read(number, offset, SNAPSHOT_CHUNK_BYTES)).await;
        let bytes =
            read.map_err(|error| client.refused(format!("reading {} here failed: {error}", file.name)))?;
        if bytes.is_empty() {
            return Err(client.refused(format!("{} is shorter here than its snapshot says", file.name)));
        }
        offset += bytes.len() as u64;
        step(client, Request::SnapshotChunk { transfer, file: number as u32, bytes }).await?;
    }
    Ok(())
}

async fn step(client: &Client, request: Request) -> Result<(), TransportError> {
    match client.ask(Lane::Snapshot, &request, SNAPSHOT_IDLE).await? {
        Answer::SnapshotReceived => Ok(()),
        _ => Err(client.refused("its answer does not belong to a piece of a snapshot")),
    }
}
