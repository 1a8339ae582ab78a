//! Linearizable reads.

use std::sync::Arc;

use base::env;
use base::ids::NodeId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{CallError, Handle, ReadError, mismatch};
use crate::codec::rpc::{Answer, ReadRefused, Request};
use crate::limits::{READ_INDEX_DEADLINE, READS_GATHERED_MAX, READS_WAITING_MAX};
use crate::peer::{Unconfirmed, confirm};

/// Waiting for the next shared answer. One whose reader gave up waits all the same, so it keeps its place.
pub(super) struct Waiting {
    answer: oneshot::Sender<Result<u64, ReadError>>,
    _place: OwnedSemaphorePermit,
}

/// Callers share one outstanding request to the leader, which may be this master. Whoever arrives while one
/// is on its way waits for the next: the answer under way may be older than a write that was acknowledged
/// before this call.
pub(super) struct Reads {
    /// Holds no more than there are places.
    queue: mpsc::UnboundedSender<Waiting>,
    /// Of all that wait, [`READS_WAITING_MAX`], on a leader too.
    places: Arc<Semaphore>,
}

impl Reads {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Waiting>) {
        let (queue, receiver) = mpsc::unbounded_channel();
        (Self { queue, places: Arc::new(Semaphore::new(READS_WAITING_MAX)) }, receiver)
    }
}

impl Handle {
    /// An index such that any state applied at or after it reflects every write acknowledged, by any
    /// master, before this call. The caller waits until it applied that index. Resolves within
    /// [`READ_INDEX_DEADLINE`] and what a request before it takes.
    ///
    /// # Errors
    /// See [`ReadError`]: never an index that is not confirmed by a quorum.
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        let reads = &self.0.reads;
        let place = Arc::clone(&reads.places).try_acquire_owned().map_err(|_| ReadError::Busy)?;
        let (told, answer) = oneshot::channel();
        let waiting = Waiting { answer: told, _place: place };
        reads.queue.send(waiting).map_err(|_| ReadError::Stopped)?;
        answer.await.unwrap_or(Err(ReadError::Stopped))
    }

    async fn confirm_here(&self) -> Result<u64, ReadError> {
        match env::timeout(READ_INDEX_DEADLINE, confirm(&self.0.raft)).await {
            Ok(Ok(index)) => Ok(index),
            Ok(Err(Unconfirmed::Refused(refused))) => Err(refused.into()),
            Ok(Err(Unconfirmed::Stopped)) => Err(ReadError::Stopped),
            Err(_elapsed) => Err(ReadError::NoQuorum("no quorum answered in time".to_owned())),
        }
    }

    async fn ask_leader(&self) -> Result<u64, ReadError> {
        let leader = self.0.leadership.borrow().leader.ok_or(ReadError::NoLeader)?;
        if leader == self.node() {
            return self.confirm_here().await;
        }
        self.ask_read_index(leader).await
    }

    async fn ask_read_index(&self, leader: NodeId) -> Result<u64, ReadError> {
        match self.ask(leader, &Request::ReadIndex, READ_INDEX_DEADLINE).await {
            Ok(Answer::ReadIndex(answer)) => answer.map_err(ReadError::from),
            Ok(_) => Err(mismatch(leader).into()),
            Err(CallError::NotMember(_)) => Err(ReadError::NoLeader),
            Err(CallError::Transport(error)) => Err(error.into()),
        }
    }

    /// Answers readers, a group at a time. Runs until the handle's last clone is gone.
    pub(super) async fn serve_reads(
        weak: std::sync::Weak<super::Inner>,
        mut queue: mpsc::UnboundedReceiver<Waiting>,
    ) {
        while let Some(first) = queue.recv().await {
            let mut group = vec![first];
            // A round of heartbeats costs as much as the reads of several clients. Those whose requests are here
            // already join it: it goes out once this thread has nothing else to do.
            loop {
                let known = group.len();
                tokio::task::yield_now().await;
                while let Ok(next) = queue.try_recv() {
                    group.push(next);
                }
                if group.len() == known || group.len() >= READS_GATHERED_MAX {
                    break;
                }
            }
            let Some(inner) = weak.upgrade() else { return };
            let answer = Self(inner).ask_leader().await;
            for waiting in group {
                // A closed receiver is a reader that gave up.
                let _ = waiting.answer.send(answer.clone());
            }
        }
    }
}

impl From<ReadRefused> for ReadError {
    fn from(refused: ReadRefused) -> Self {
        match refused {
            ReadRefused::NotLeader => Self::NoLeader,
            ReadRefused::NoQuorum(reason) => Self::NoQuorum(reason),
        }
    }
}
