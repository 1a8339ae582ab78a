//! Putting a replica together, and the handle that others use.
//!
//! Three steps, because Raft drives the machine and the proposals drive Raft: [`open`] what is on disk,
//! start Raft with the machine, [`Opened::attach`] the rest to it.

use std::sync::{Arc, OnceLock};

use base::env;
use base::ids::NodeId;
use futures::FutureExt;
use raft::{Handle, PeerService};
use state::Levels;
use storage::VersionStore;
use storage::snapshot::Stores;
use tokio::sync::watch;

use crate::appender::{InFlight, run_appender, run_forwarder};
use crate::exact::{View, ViewError};
use crate::feed::{Feeds, Watch, WatchEnd};
use crate::lane::{Lane, LaneEnd, lane};
use crate::limits::FORWARD_TIMEOUT;
use crate::machine::ReplicaMachine;
use crate::moment::Moments;
use crate::peer::{self, PeerStatus, Service};
use crate::persist::{self, Persister};
use crate::restore::restore;
use crate::retention::{self, Rule};
use crate::tap::Steps;
use crate::upkeep;
use crate::waiters::Waiters;

/// How a replica behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long which history is kept.
    pub retention: Vec<Rule>,
    /// Bytes of history and live objects on disk beyond which the oldest history goes early.
    pub history_bytes_max: u64,
    /// The feature levels that this master knows, tells the others, and raises the cluster to:
    /// [`state::LEVELS`]. With fewer it is an older program.
    pub levels: Levels,
}

/// Why a replica could not be opened.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct OpenError(#[from] crate::restore::RestoreError);

/// What the parts of one replica share.
pub(crate) struct Shared {
    pub(crate) stores: Arc<dyn Stores>,
    pub(crate) moments: Moments,
    pub(crate) feeds: Feeds,
    pub(crate) steps: Steps,
    pub(crate) waiters: Waiters,
    pub(crate) in_flight: InFlight,
    /// The revision up to which the version store holds everything.
    pub(crate) persisted: watch::Sender<u64>,
    /// The last log index that was committed when this master started, once that is known.
    pub(crate) floor: OnceLock<u64>,
    pub(crate) append_lane: Lane,
    pub(crate) forward_lane: Lane,
    pub(crate) options: Options,
    /// Why this replica cannot go on, once it cannot.
    pub(crate) failed: watch::Sender<Option<String>>,
}

impl Shared {
    pub(crate) fn versions(&self) -> Arc<dyn VersionStore> {
        self.stores.versions()
    }

    pub(crate) fn status(&self) -> PeerStatus {
        PeerStatus {
            applied: self.moments.newest().index,
            sync_p99_us: self.stores.sync_p99_ms().map_or(0, |millis| (millis * 1000.0) as u64),
            feature_level_max: self.options.levels.newest(),
        }
    }
}

/// A replica whose disk was read, waiting for its Raft.
pub struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) persister: Persister,
    pub(crate) append_end: LaneEnd,
    forward_end: LaneEnd,
}

/// Reads what is on disk and rebuilds State. Blocks for as long as that takes (seconds).
///
/// # Errors
/// When the store cannot be read or does not hold what was written: the master must not start.
pub fn open(stores: Arc<dyn Stores>, options: Options) -> Result<(Opened, ReplicaMachine), OpenError> {
    let (moment, restored) = restore(&*stores.versions(), options.levels)?;
    let revision = moment.revision();
    let (append_lane, append_end) = lane();
    let (forward_lane, forward_end) = lane();
    let persisted = watch::Sender::new(revision);
    let (queue, persister) = persist::channel(Arc::clone(&stores), persisted.clone());
    let shared = Arc::new(Shared {
        stores,
        moments: Moments::new(moment.clone()),
        feeds: Feeds::new(revision),
        steps: Steps::default(),
        waiters: Waiters::default(),
        in_flight: InFlight::new(),
        persisted,
        floor: OnceLock::new(),
        append_lane,
        forward_lane,
        options,
        failed: watch::Sender::new(None),
    });
    let machine = ReplicaMachine::new(Arc::clone(&shared), queue, moment, restored);
    Ok((Opened { shared, persister, append_end, forward_end }, machine))
}

impl Opened {
    /// What serves the other masters: to be given to Raft's transport.
    pub fn peer_service(&self) -> Arc<dyn PeerService> {
        Arc::new(Service(Arc::clone(&self.shared)))
    }

    /// Starts everything that needs Raft.
    pub fn attach(self, raft: Handle) -> Replica {
        let shared = self.shared;
        let failed = shared.failed.clone();
        let replica = Replica { shared: Arc::clone(&shared), raft: raft.clone() };
        let persisted = self.persister.run(raft.synced());
        start("persister", &failed, async {
            persisted.await.map_err(|error| format!("the version store cannot be written: {error}"))
        });
        let options = shared.options.clone();
        let retained = retention::run(Arc::clone(&shared), options.retention, options.history_bytes_max);
        start("retention", &failed, retained);
        start("appender", &failed, run_appender(shared, raft.clone(), self.append_end).map(Ok));
        start("forwarder", &failed, run_forwarder(raft, self.forward_end).map(Ok));
        start("learning of the floor", &failed, replica.clone().learn_floor().map(Ok));
        start("upkeep", &failed, upkeep::run(replica.clone()));
        replica
    }
}

/// Starts a part that a replica cannot live without: the replica has failed when it fails or panics.
fn start(
    part: &'static str,
    failed: &watch::Sender<Option<String>>,
    body: impl Future<Output = Result<(), String>> + Send + 'static,
) {
    let (task, failed) = (env::spawn(body), failed.clone());
    env::spawn(async move {
        let reason = match task.await {
            Ok(Ok(())) => return,
            Ok(Err(reason)) => reason,
            Err(ended) => format!("the {part} ended: {ended}"),
        };
        fail(&failed, reason);
    });
}

/// Notes why a replica cannot go on; what comes after the first reason follows from it.
pub(crate) fn fail(failed: &watch::Sender<Option<String>>, reason: String) {
    failed.send_if_modified(|first| {
        let is_first = first.is_none();
        first.get_or_insert(reason);
        is_first
    });
}

/// One master's replica. Cheap to clone.
#[derive(Clone)]
pub struct Replica {
    shared: Arc<Shared>,
    raft: Handle,
}

impl Replica {
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn shared_arc(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// The Raft below.
    pub fn raft(&self) -> &Handle {
        &self.raft
    }

    /// Reads changes under `prefix` (a collection, a namespace in one, or one object's key) after
    /// `revision`.
    ///
    /// # Errors
    /// [`WatchEnd::Gone`] when history no longer reaches back that far.
    pub fn watch(&self, prefix: &str, revision: u64) -> Result<Watch, WatchEnd> {
        Watch::start(Arc::clone(&self.shared), prefix, revision)
    }

    /// What was under `prefix` at `revision`; inside a transaction, at that transaction's end.
    ///
    /// # Errors
    /// [`ViewError::Gone`] when history no longer reaches back that far, [`ViewError::Unwritten`] when it
    /// does not hold the revision in time.
    pub async fn exact(&self, prefix: &str, revision: u64) -> Result<View, ViewError> {
        self.shared.exact(prefix, revision).await
    }

    /// How another master, or this one, is; `None` when it does not answer.
    pub async fn peer_status(&self, node: NodeId) -> Option<PeerStatus> {
        if node == self.raft.node() {
            return Some(self.shared.status());
        }
        let reply = self.raft.call(node, peer::STATUS, bytes::Bytes::new(), FORWARD_TIMEOUT).await;
        peer::decode_status(reply.ok()?)
    }

    /// Another master's hash at `index`; `None` when it does not know it or does not answer.
    pub async fn peer_hash(&self, node: NodeId, index: u64) -> Option<u128> {
        if node == self.raft.node() {
            return self.hash_at(index).await;
        }
        let request = bytes::Bytes::copy_from_slice(&index.to_be_bytes());
        let reply = self.raft.call(node, peer::HASH, request, FORWARD_TIMEOUT).await;
        peer::decode_hash(reply.ok()?)
    }

    /// The revision up to which the version store holds everything.
    pub fn persisted_revision(&self) -> u64 {
        *self.shared.persisted.borrow()
    }

    /// Resolves when this replica cannot go on, with the reason.
    pub async fn failed(&self) -> String {
        let mut failed = self.shared.failed.subscribe();
        match failed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_part_that_fails_or_panics_is_a_failure_of_the_replica() {
        env::simulate(1, async {
            let failed = watch::Sender::new(None);
            start("part", &failed, async { Ok(()) });
            env::sleep(Duration::from_millis(1)).await;
            assert_eq!(*failed.borrow(), None);
            start("part", &failed, async { Err("no space".to_owned()) });
            env::sleep(Duration::from_millis(1)).await;
            assert_eq!(failed.borrow().as_deref(), Some("no space"));
            let failed = watch::Sender::new(None);
            start("part", &failed, async { panic!("while writing") });
            env::sleep(Duration::from_millis(1)).await;
            assert!(failed.borrow().as_ref().is_some_and(|reason| reason.contains("while writing")));
        });
    }
}
