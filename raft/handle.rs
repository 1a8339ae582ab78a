//! The one way to use Raft from outside: [`start`] it, then talk to its [`Handle`].

mod append;
mod errors;
mod members;
mod observe;
mod options;
mod pace;
mod read;
mod shutdown;
mod start;
mod trim;

use std::sync::Arc;
use std::time::Duration;

use base::ids::NodeId;
use bytes::Bytes;
use openraft::RaftMetrics;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::{Semaphore, watch};

pub(crate) use self::pace::Heard;

pub use self::errors::{
    AppendError, CallError, ChangeError, InitializeError, ReadError, StartError, TransferError,
};
pub use self::observe::{Leadership, MemberStatus, Role};
pub use self::options::{Options, SpaceCheck, Timing};
pub use self::start::start;

use self::read::Reads;
use self::start::RaftRuntime;
use crate::codec::membership;
use crate::codec::rpc::{Answer, Request};
use crate::failure::Failure;
use crate::log::Log;
use crate::member::{Member, Membership};
use crate::transport::{FrameService, Lane, Transport, TransportError};
use crate::types::{Raft, TypeConfig};
use crate::watchdog::Watchdog;

/// This master's Raft. Cheap to clone; usable from any runtime.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    options: Options,
    raft: Raft,
    log: Log,
    transport: Arc<dyn Transport>,
    frames: Arc<dyn FrameService>,
    leadership: watch::Receiver<Leadership>,
    failure: Failure,
    in_flight: Arc<Semaphore>,
    reads: Reads,
    runtime: RaftRuntime,
    /// Ends with the handle.
    #[expect(dead_code, reason = "held for its drop")]
    watchdog: Watchdog,
}

impl Handle {
    /// This master's id.
    pub fn node(&self) -> NodeId {
        self.0.options.node
    }

    /// Who leads, as this master knows it.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.leadership.clone()
    }

    /// The members, as far as this master knows them: the newest membership in its log, committed or
    /// not.
    pub fn membership(&self) -> Membership {
        self.look(|metrics| membership::summary(metrics.membership_config.membership()))
    }

    /// The highest index in this master's log, committed or not, on disk or not; `None` before the first.
    pub fn last(&self) -> Option<u64> {
        self.look(|metrics| metrics.last_log_index)
    }

    /// The highest index known to be committed here; `None` before the first.
    pub fn committed(&self) -> Option<u64> {
        self.look(|metrics| metrics.local_committed.map(|log_id| log_id.index))
    }

    /// The highest index applied here; `None` before the first.
    pub fn applied(&self) -> Option<u64> {
        self.look(|metrics| metrics.last_applied.map(|log_id| log_id.index))
    }

    /// The highest index known to be on this master's disk, 0 also before the first. Nothing beyond it
    /// may be persisted by whoever applies: after a power cut the log would end before the image.
    pub fn synced(&self) -> watch::Receiver<u64> {
        self.0.log.synced()
    }

    /// Answers frames of other masters; to be given to a transport's server side, on [`Self::runtime`].
    pub fn frames(&self) -> Arc<dyn FrameService> {
        Arc::clone(&self.0.frames)
    }

    /// The runtime Raft has to itself, where its sockets belong; the caller's in a simulation.
    pub fn runtime(&self) -> tokio::runtime::Handle {
        self.0.runtime.handle()
    }

    /// Resolves with the reason once the core, the flusher, the disk or the machine failed. The process
    /// must end then.
    pub async fn failed(&self) -> String {
        self.0.failure.reported().await
    }

    /// A request to the layer above on another master; itself included.
    ///
    /// # Errors
    /// See [`CallError`]; returns within `deadline`.
    pub async fn call(
        &self,
        to: NodeId,
        kind: u8,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, CallError> {
        let answer = self.ask(to, &Request::Peer { kind, body }, deadline).await?;
        Ok(called(to, answer)?)
    }

    /// One request on the lane for calls.
    async fn ask(&self, to: NodeId, request: &Request, deadline: Duration) -> Result<Answer, CallError> {
        let member = self.member(to).ok_or(CallError::NotMember(to))?;
        if to == self.node() {
            let served = self.0.frames.serve(to, Lane::Call, request.encode()).await;
            let answer = served.map_err(|reason| TransportError::Refused { node: to, reason })?;
            return Ok(decoded(to, answer)?);
        }
        Ok(ask(&*self.0.transport, to, &member, request, deadline).await?)
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        self.look(|metrics| metrics.membership_config.membership().get_node(&node).cloned())
    }

    /// How many snapshots came through a door that was left open.
    #[cfg(test)]
    pub(crate) fn snapshots_come(&self) -> u64 {
        let open = self.0.options.open_door.as_ref();
        open.map_or(0, |came| came.load(std::sync::atomic::Ordering::SeqCst))
    }

    /// openraft itself, for tests that drive it by hand.
    #[cfg(test)]
    pub(crate) fn raw(&self) -> &Raft {
        &self.0.raft
    }

    /// Looks at openraft's metrics. They are locked meanwhile, and the core waits for them: be quick.
    fn look<T>(&self, ask: impl FnOnce(&RaftMetrics<TypeConfig>) -> T) -> T {
        ask(&self.0.raft.metrics().borrow_watched())
    }

    /// A copy, for whoever is not quick.
    pub(crate) fn metrics(&self) -> RaftMetrics<TypeConfig> {
        self.look(RaftMetrics::clone)
    }
}

/// A request to the layer above on a master, from a process that is none but holds a master's
/// certificate: [`Handle::call`] from outside.
///
/// # Errors
/// See [`TransportError`]; returns within `deadline`.
pub async fn call(
    transport: &dyn Transport,
    to: NodeId,
    member: &Member,
    kind: u8,
    body: Bytes,
    deadline: Duration,
) -> Result<Bytes, TransportError> {
    called(to, ask(transport, to, member, &Request::Peer { kind, body }, deadline).await?)
}

async fn ask(
    transport: &dyn Transport,
    to: NodeId,
    member: &Member,
    request: &Request,
    deadline: Duration,
) -> Result<Answer, TransportError> {
    decoded(to, transport.call(to, member, Lane::Call, request.encode(), deadline).await?)
}

fn decoded(from: NodeId, answer: Bytes) -> Result<Answer, TransportError> {
    let decoded = Answer::decode(answer);
    decoded.map_err(|error| TransportError::Refused { node: from, reason: error.to_string() })
}

fn called(from: NodeId, answer: Answer) -> Result<Bytes, TransportError> {
    match answer {
        Answer::Peer(body) => Ok(body),
        _ => Err(mismatch(from)),
    }
}

fn mismatch(node: NodeId) -> TransportError {
    TransportError::Refused { node, reason: "its answer does not belong to the question".to_owned() }
}
