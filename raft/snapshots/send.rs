//! The leader's side.

use std::sync::Arc;

use base::env;
use openraft::raft::SnapshotResponse;
use storage::{SnapshotFile, SnapshotReader, StorageError};

use crate::adapter::{Handover, RaftSnapshot, restored_of};
use crate::codec::rpc::{Answer, Request};
use crate::failure::chain;
use crate::limits::{SNAPSHOT_CHUNK_BYTES, SNAPSHOT_IDLE, SNAPSHOT_INSTALL};
use crate::network::Client;
use crate::transport::{Lane, TransportError};
use crate::types::{TypeConfig, Vote};

/// Sends a snapshot and waits until it is installed or refused. Cancelled by being dropped.
///
/// # Errors
/// When the master is not reached, makes no progress, or cannot use the snapshot. Where that is because of
/// damage on this side, it is reported as this master's failure: nobody else can send a better one before
/// it ends.
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
    match client.ask(Lane::Snapshot, &end, SNAPSHOT_INSTALL).await {
        Ok(Answer::SnapshotInstalled(answer)) => Ok(answer),
        Ok(_) => Err(client.refused("its answer does not belong to the end of a snapshot")),
        Err(refused @ TransportError::Refused { .. }) => {
            examine(client, files).await;
            Err(refused)
        }
        Err(error) => Err(error),
    }
}

/// Looks whether what was refused is damaged here.
async fn examine(client: &Client, files: Arc<dyn SnapshotReader>) {
    if let Err(error) = env::blocking(move || files.verify()).await {
        report(client, &error);
    }
}

/// Damage is this master's failure; anything else may pass.
fn report(client: &Client, error: &StorageError) {
    if error.is_corrupt() {
        client.failure.report(format!("a snapshot of this master cannot be used: {}", chain(error)));
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
        let bytes = read.map_err(|error| {
            report(client, &error);
            client.refused(format!("reading {} here failed: {error}", file.name))
        })?;
        if bytes.is_empty() {
            examine(client, Arc::clone(files)).await;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base::ids::NodeId;
    use bytes::Bytes;
    use futures::FutureExt;
    use openraft::RaftNetworkFactory;
    use openraft::storage::Snapshot;
    use storage::Manifest;

    use super::*;
    use crate::adapter::meta_of;
    use crate::failure::Failure;
    use crate::machine::Taken;
    use crate::member::Member;
    use crate::network::Network;
    use crate::races::taken;
    use crate::transport::Transport;
    use crate::types::LeaderId;

    /// Takes every piece of a snapshot, and refuses it at its end.
    struct Refusing;

    #[async_trait::async_trait]
    impl Transport for Refusing {
        async fn call(
            &self,
            node: NodeId,
            _member: &Member,
            _lane: Lane,
            frame: Bytes,
            _deadline: Duration,
        ) -> Result<Bytes, TransportError> {
            match Request::decode(frame) {
                Ok(Request::SnapshotEnd { .. }) => {
                    Err(TransportError::Refused { node, reason: "it cannot be opened".to_owned() })
                }
                _ => Ok(Answer::SnapshotReceived.encode()),
            }
        }

        fn forget(&self, _node: NodeId) {}
    }

    /// A snapshot whose files are as `found`.
    struct Examined {
        files: Arc<dyn SnapshotReader>,
        found: fn() -> storage::Result<()>,
    }

    impl SnapshotReader for Examined {
        fn manifest(&self) -> &Manifest {
            self.files.manifest()
        }

        fn read(&self, file: usize, offset: u64, size_max: usize) -> storage::Result<Bytes> {
            self.files.read(file, offset, size_max)
        }

        fn verify(&self) -> storage::Result<()> {
            (self.found)()
        }
    }

    /// What is reported when a snapshot is refused whose files are as `found`.
    fn reported(found: fn() -> storage::Result<()>) -> Option<String> {
        env::simulate(1, async move {
            let failure = Failure::new();
            let transport = Arc::new(Refusing);
            let append_deadline = Duration::from_secs(1);
            let mut network = Network { me: 1, transport, append_deadline, failure: failure.clone() };
            let client = network.new_snapshot_client(2, &Member::default()).await;
            let vote = Vote { leader_id: LeaderId { term: 1, node_id: 1 }, committed: true };
            let Taken { restored, files } = taken(5);
            let meta = meta_of(&restored).expect("a position");
            let files = Arc::new(Examined { files, found });
            let snapshot = Handover::Stored(Taken { restored, files });
            let sent = send(&client, vote, Snapshot { meta, snapshot }).await;
            assert!(matches!(sent, Err(TransportError::Refused { .. })), "{sent:?}");
            failure.reported().now_or_never()
        })
    }

    #[test]
    fn a_master_whose_snapshot_is_refused_for_damage_of_its_own_fails() {
        let damaged = || {
            let (file, what) = ("/data/000012.sst".into(), "block checksum mismatch".to_owned());
            Err(StorageError::Corrupt { file, what, remedy: storage::error::REPLACE_MASTER })
        };
        let told = reported(damaged).expect("a failure");
        assert!(told.contains("000012.sst") && told.contains(storage::error::REPLACE_MASTER), "{told}");
        assert_eq!(reported(|| Ok(())), None, "the receiver's own trouble");
        let unreadable = || Err(StorageError::Misuse("not read".to_owned()));
        assert_eq!(reported(unreadable), None, "not read is not damaged");
    }
}
