//! From options to a running Raft.

use std::sync::Arc;

use base::env;
use base::telemetry::Metrics;
use openraft::{Config, SnapshotPolicy};
use parking_lot::Mutex;
use storage::snapshot::Stores;
use tokio::sync::{Semaphore, watch};

use super::observe::{Gauges, Outlets, observe};
use super::{Handle, Heard, Inner, Leadership, Options, Reads, StartError, Timing, pace, trim};
use crate::adapter::Adapter;
use crate::failure::Failure;
use crate::limits::{
    APPEND_ENTRIES_MAX, CAUGHT_UP_ENTRIES, IN_FLIGHT_BYTES_MAX, PURGE_BATCH_ENTRIES, RAFT_THREADS_MAX,
    SNAPSHOT_CHUNK_BYTES, SNAPSHOT_TRANSFER,
};
use crate::log::Log;
use crate::machine::Machine;
use crate::network::Network;
use crate::peer::{Door, Peer};
use crate::snapshots::receive::Receiver;
use crate::transport::{PeerService, Transport};
use crate::types::Raft;
use crate::watchdog::Watchdog;

/// Where Raft runs: on a runtime of its own, so that whatever loads the rest of the process cannot
/// delay its ticks; on the caller's in a simulation.
pub(super) struct RaftRuntime {
    handle: tokio::runtime::Handle,
    owned: Mutex<Option<tokio::runtime::Runtime>>,
}

impl RaftRuntime {
    fn new() -> std::io::Result<Self> {
        if env::is_simulated() {
            return Ok(Self { handle: tokio::runtime::Handle::current(), owned: Mutex::new(None) });
        }
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        // What becomes ready together is written together.
        builder.disable_lifo_slot();
        let threads = env::workers(RAFT_THREADS_MAX);
        let runtime = builder.worker_threads(threads).thread_name("raft").enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), owned: Mutex::new(Some(runtime)) })
    }

    pub(super) fn handle(&self) -> tokio::runtime::Handle {
        self.handle.clone()
    }

    /// Stops every task at its next await, without waiting for them.
    pub(super) fn end(&self) {
        if let Some(runtime) = self.owned.lock().take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for RaftRuntime {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts Raft on what `stores` hold. The machine is asked where it stands and gets every committed
/// entry from there on.
///
/// # Errors
/// See [`StartError`].
pub async fn start(
    options: Options,
    stores: Arc<dyn Stores>,
    machine: impl Machine,
    transport: Arc<dyn Transport>,
    service: Arc<dyn PeerService>,
    metrics: Metrics,
) -> Result<Handle, StartError> {
    let runtime = RaftRuntime::new().map_err(StartError::Thread)?;
    let outside = tokio::runtime::Handle::current();
    let on = runtime.handle();
    let failure = Failure::new();
    let adapter = Adapter::new(machine, failure.clone());
    let parts = Parts { options, stores, transport, service, metrics, failure, runtime, outside };
    match on.spawn(parts.assemble(adapter)).await {
        Ok(started) => started,
        Err(failed) => Err(StartError::Storage(format!("starting Raft ended early: {failed}"))),
    }
}

/// What a handle is made of.
struct Parts {
    options: Options,
    stores: Arc<dyn Stores>,
    transport: Arc<dyn Transport>,
    service: Arc<dyn PeerService>,
    metrics: Metrics,
    failure: Failure,
    runtime: RaftRuntime,
    outside: tokio::runtime::Handle,
}

impl Parts {
    /// Runs on Raft's runtime, because openraft spawns where it is started.
    async fn assemble(self, adapter: Adapter) -> Result<Handle, StartError> {
        let config = config(&self.options)?;
        let store = self.stores.log();
        let failure = self.failure.clone();
        let opened = env::blocking(move || Log::open(store, failure));
        let log = opened.await.map_err(|error| StartError::Storage(error.to_string()))?;
        let network = Network {
            me: self.options.node,
            transport: Arc::clone(&self.transport),
            append_deadline: self.options.timing.append_deadline,
            failure: self.failure.clone(),
        };
        let started = Raft::new(self.options.node, Arc::new(config), network, log.clone(), adapter).await;
        let raft = started.map_err(|fatal| StartError::Storage(fatal.to_string()))?;

        let watchdog = Watchdog::start(self.stores.under_way(), self.failure.clone());
        let watchdog = watchdog.map_err(StartError::Thread)?;
        let receiver = Arc::new(Receiver::new(self.stores));
        env::spawn(Arc::clone(&receiver).drop_idle());
        let heard = Arc::new(Heard::nobody());
        let peer = Peer {
            raft: raft.clone(),
            heard: Arc::clone(&heard),
            door: Door {
                #[cfg(test)]
                open: self.options.open_door.clone(),
                ..Door::default()
            },
            service: self.service,
            space_is_low: Arc::clone(&self.options.space_is_low),
            receiver,
            outside: self.outside.clone(),
        };
        let (published, leadership) = watch::channel(Leadership::default());
        let outlets = Outlets {
            leadership: published,
            gauges: Gauges::register(&self.metrics),
            failure: self.failure.clone(),
        };
        env::spawn(observe(raft.clone(), log.clone(), outlets));
        let (reads, queue) = Reads::new();
        let inner = Arc::new(Inner {
            options: self.options,
            raft,
            log,
            transport: self.transport,
            frames: Arc::new(peer),
            leadership,
            failure: self.failure,
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT_BYTES_MAX)),
            reads,
            runtime: self.runtime,
            watchdog,
        });
        // Beside the readers: it gathers those of them that their thread has not come to yet.
        self.outside.spawn(Handle::serve_reads(Arc::downgrade(&inner), queue));
        env::spawn(trim::keep_bounds(Arc::downgrade(&inner)));
        env::spawn(pace::pace(Arc::downgrade(&inner), heard));
        Ok(Handle(inner))
    }
}

fn config(options: &Options) -> Result<Config, StartError> {
    let Timing { heartbeat, election_min, election_max, quorum_loss_probe, .. } = options.timing;
    let config = Config {
        cluster_name: options.cluster.to_string(),
        heartbeat_interval: heartbeat.as_millis() as u64,
        election_timeout_min: election_min.as_millis() as u64,
        election_timeout_max: election_max.as_millis() as u64,
        quorum_loss_probe_interval: Some(quorum_loss_probe.as_millis() as u64),
        // A master that comes back after a partition must not depose a leader that is fine.
        enable_pre_vote: Some(true),
        // Unsafe with an apply that is not durable: a restarted leader stands for election like anyone.
        enable_leader_restore: Some(false),
        max_payload_entries: APPEND_ENTRIES_MAX,
        replication_lag_threshold: CAUGHT_UP_ENTRIES,
        install_snapshot_timeout: SNAPSHOT_TRANSFER.as_millis() as u64,
        snapshot_max_chunk_size: SNAPSHOT_CHUNK_BYTES as u64,
        // Both are decided by bytes, in `trim`.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        purge_batch_size: PURGE_BATCH_ENTRIES,
        ..Config::default()
    };
    config.validate().map_err(|error| StartError::Timing(error.to_string()))
}
