//! The server side: frames of other masters, answered by Raft or by the layer above.

use std::sync::Arc;

use base::env;
use base::ids::NodeId;
use bytes::Bytes;
use openraft::ReadPolicy;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse};
use tokio::sync::RwLock;

use crate::adapter::RaftSnapshot;
use crate::codec::rpc::{Answer, ReadRefused, Request};
use crate::handle::{Heard, SpaceCheck};
use crate::snapshots::receive::Receiver;
use crate::transport::{FrameService, Lane, PeerService};
use crate::types::{Raft, TypeConfig, Vote};

/// Keeps snapshots from being installed beside appends, and snapshots of what the log holds from being
/// installed at all.
///
/// openraft forgets the log ids that a snapshot covers the moment it accepts one, while commands that came
/// before may still wait. openraft#2116 reports an apply among them that looks for a log id that is gone,
/// and a core that panics. No order of events that we could force or hunt for brings that about
/// (`races.rs`, `soak.rs`), but nothing rests on it: every append that carries entries has been answered, so
/// is on disk, before a snapshot is given to the core, and one snapshot is installed before the next.
/// Heartbeats pass: they leave nothing waiting.
///
/// Of a snapshot that ends before the log does, openraft takes back what it knows to be in the log: a debug
/// build ends by an assertion, and elsewhere what was committed behind the snapshot is applied only once
/// another entry comes. A log that holds the snapshot's last entry needs none of it.
#[derive(Clone, Default)]
pub(crate) struct Door {
    pub(crate) lock: Arc<RwLock<()>>,
    /// Left open by tests of what openraft does alone; counts the snapshots that come.
    #[cfg(test)]
    pub(crate) open: Option<Arc<std::sync::atomic::AtomicU64>>,
}

impl Door {
    /// Gives entries to the core. A task of its own, because a caller that gives up must not open the
    /// door before the core is done.
    async fn append(&self, raft: &Raft, append: Append) -> Result<AppendAnswer, String> {
        #[cfg(test)]
        if self.open.is_some() {
            return raft.append_entries(append).await.map_err(text);
        }
        let (open, raft) = (Arc::clone(&self.lock).read_owned().await, raft.clone());
        let appending = env::spawn(async move {
            let answer = raft.append_entries(append).await;
            drop(open);
            answer
        });
        appending.await.map_err(text)?.map_err(text)
    }

    /// Gives a snapshot to the core, alone, unless the log holds its last entry already.
    pub(crate) async fn install(
        &self,
        raft: &Raft,
        vote: Vote,
        snapshot: RaftSnapshot,
    ) -> Result<SnapshotResponse<TypeConfig>, String> {
        #[cfg(test)]
        if let Some(came) = &self.open {
            came.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            return raft.install_full_snapshot(vote, snapshot).await.map_err(text);
        }
        let (alone, raft) = (Arc::clone(&self.lock).write_owned().await, raft.clone());
        let installing = env::spawn(async move {
            let answer = install_what_is_lacking(&raft, vote, snapshot).await;
            drop(alone);
            answer
        });
        installing.await.map_err(text)?
    }
}

/// Asks with a heartbeat whether the log holds what the snapshot ends with, then installs it if not.
async fn install_what_is_lacking(
    raft: &Raft,
    vote: Vote,
    snapshot: RaftSnapshot,
) -> Result<SnapshotResponse<TypeConfig>, String> {
    let last = snapshot.meta.last_log_id;
    let heartbeat =
        AppendEntriesRequest { vote, prev_log_id: last, entries: Vec::new(), leader_commit: last };
    match raft.append_entries(heartbeat).await.map_err(text)? {
        AppendEntriesResponse::Conflict => raft.install_full_snapshot(vote, snapshot).await.map_err(text),
        AppendEntriesResponse::HigherVote(higher) => Ok(SnapshotResponse::new(higher)),
        AppendEntriesResponse::Success | AppendEntriesResponse::PartialSuccess(_) => {
            Ok(SnapshotResponse::new(vote))
        }
    }
}

type Append = AppendEntriesRequest<TypeConfig>;
type AppendAnswer = AppendEntriesResponse<TypeConfig>;

/// Answers frames.
pub(crate) struct Peer {
    pub(crate) raft: Raft,
    pub(crate) heard: Arc<Heard>,
    pub(crate) door: Door,
    pub(crate) service: Arc<dyn PeerService>,
    pub(crate) space_is_low: SpaceCheck,
    pub(crate) receiver: Arc<Receiver>,
    /// Where the layer above runs: its work must not hold up Raft's own runtime.
    pub(crate) outside: tokio::runtime::Handle,
}

#[async_trait::async_trait]
impl FrameService for Peer {
    async fn serve(&self, from: NodeId, _lane: Lane, frame: Bytes) -> Result<Bytes, String> {
        let request = Request::decode(frame).map_err(|error| error.to_string())?;
        Ok(self.answer(from, request).await?.encode())
    }
}

impl Peer {
    async fn answer(&self, from: NodeId, request: Request) -> Result<Answer, String> {
        let raft = &self.raft;
        match request {
            // Heartbeats, votes and what is committed already still pass.
            Request::Append(append) if !append.entries.is_empty() && (self.space_is_low)() => {
                Err("its disk is nearly full".to_owned())
            }
            Request::Append(append) => {
                let came = env::monotonic();
                let answer = match append.entries.is_empty() {
                    true => raft.append_entries(append).await.map_err(text)?,
                    false => self.door.append(raft, append).await?,
                };
                if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
                    self.heard.note(came);
                }
                Ok(Answer::Append(answer))
            }
            Request::Vote(vote) => {
                let answer = raft.vote(vote).await.map_err(text)?;
                if answer.vote_granted {
                    self.heard.forget();
                }
                Ok(Answer::Vote(answer))
            }
            Request::PreVote(vote) => raft.pre_vote(vote).await.map(Answer::Vote).map_err(text),
            Request::Transfer(transfer) => {
                self.heard.forget();
                raft.handle_transfer_leader(transfer).await.map(Answer::Transfer).map_err(text)
            }
            Request::ReadIndex => self.read_index().await,
            Request::Peer { kind, body } => self.call(from, kind, body).await,
            Request::SnapshotBegin { transfer, vote, restored, manifest } => {
                self.receiver.begin(from, transfer, vote, restored, manifest).await?;
                Ok(Answer::SnapshotReceived)
            }
            Request::SnapshotChunk { transfer, file, bytes } => {
                self.receiver.chunk(from, transfer, file, bytes).await?;
                Ok(Answer::SnapshotReceived)
            }
            Request::SnapshotEnd { transfer } => {
                self.receiver.end(from, transfer, raft, &self.door).await.map(Answer::SnapshotInstalled)
            }
        }
    }

    async fn read_index(&self) -> Result<Answer, String> {
        match confirm(&self.raft).await {
            Ok(index) => Ok(Answer::ReadIndex(Ok(index))),
            Err(Unconfirmed::Refused(refused)) => Ok(Answer::ReadIndex(Err(refused))),
            Err(Unconfirmed::Stopped) => Err("raft stopped".to_owned()),
        }
    }

    async fn call(&self, from: NodeId, kind: u8, body: Bytes) -> Result<Answer, String> {
        let service = Arc::clone(&self.service);
        let serving = self.outside.spawn(async move { service.serve(from, kind, body).await });
        serving.await.map(Answer::Peer).map_err(|failed| format!("serving request {kind} failed: {failed}"))
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Why this master gave no read index.
pub(crate) enum Unconfirmed {
    Refused(ReadRefused),
    Stopped,
}

/// A read index of this master, if a quorum confirms that it leads.
pub(crate) async fn confirm(raft: &Raft) -> Result<u64, Unconfirmed> {
    use LinearizableReadError::{ForwardToLeader, QuorumNotEnough};
    let refused = |error: RaftError<TypeConfig, LinearizableReadError<TypeConfig>>| match error {
        RaftError::APIError(ForwardToLeader(_)) => Unconfirmed::Refused(ReadRefused::NotLeader),
        RaftError::APIError(QuorumNotEnough(error)) => {
            let answered = error.got.len();
            let reason = format!("{answered} of the voting masters answered, which is no quorum");
            Unconfirmed::Refused(ReadRefused::NoQuorum(reason))
        }
        RaftError::Fatal(_) => Unconfirmed::Stopped,
    };
    let (read, _applied) = raft.get_read_log_id(ReadPolicy::ReadIndex).await.map_err(refused)?;
    Ok(read.index())
}
