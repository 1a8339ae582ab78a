//! The memory twin: the same contracts on a disk that a test can cut the power of, fill, break and hold.
//!
//! Writes are volatile until a sync or flush. [`MemoryStores::crash`] leaves what was synced and a
//! seeded prefix of the rest, as the contract of [`crate::LogStore`] allows.

mod content;
mod faults;
mod journal;
mod log;
mod snapshot;
mod versions;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

pub use self::faults::{Faults, Gate, Mutant, Point};

use self::content::VersionContent;
use self::journal::Journal;
use self::log::{LogContent, MemoryLog};
use self::snapshot::{MemorySnapshot, MemorySnapshotWriter};
use self::versions::MemoryVersions;
use crate::error::{Result, StorageError};
use crate::health::Health;
use crate::snapshot::{Manifest, SnapshotReader, SnapshotWriter, Stores};
use crate::space::SpaceState;
use crate::under_way::{SYNC_LIMIT, UnderWay, WRITE_LIMIT};
use crate::{LogStore, VersionStore};

/// Free bytes reported while space is not low.
const ROOMY_BYTES: u64 = 1 << 40;

/// A master's disk in memory, opened. Clones are the same opening of the same disk.
#[derive(Clone)]
pub struct MemoryStores {
    disk: Arc<Disk>,
    opening: Arc<Opening>,
}

/// What survives a restart.
struct Disk {
    log: Mutex<Journal<LogContent>>,
    current: Mutex<Current>,
    faults: Faults,
    /// Counts restarts: handles of an earlier opening reach nothing any more.
    restarts: AtomicU64,
}

/// What the pointer file names on a real disk: replaced in one step, durable at once.
struct Current {
    versions: Arc<Mutex<Journal<VersionContent>>>,
    snapshot: Option<Arc<MemorySnapshot>>,
}

/// One run of a master over the disk.
struct Opening {
    restart: u64,
    health: Health,
    /// Stores opened from received snapshots, with the snapshot, waiting for [`Stores::adopt`].
    received: Mutex<Vec<(Weak<MemoryVersions>, Arc<MemorySnapshot>)>>,
}

impl Default for MemoryStores {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStores {
    /// An empty disk, opened.
    pub fn new() -> Self {
        let current = Current { versions: Arc::default(), snapshot: None };
        let disk = Disk {
            log: Mutex::default(),
            current: Mutex::new(current),
            faults: Faults::default(),
            restarts: AtomicU64::new(0),
        };
        Self { disk: Arc::new(disk), opening: Arc::new(Opening::new(0)) }
    }

    /// Ends this run as SIGKILL does and opens the disk again: what was written is there, synced or not.
    /// Earlier handles fail from now on.
    #[must_use = "the disk is reached through the returned handle only"]
    pub fn reopen(&self) -> Self {
        let restart = self.disk.restarts.fetch_add(1, Ordering::SeqCst) + 1;
        Self { disk: Arc::clone(&self.disk), opening: Arc::new(Opening::new(restart)) }
    }

    /// Cuts the power and opens the disk again: what was synced is there, and of the rest a prefix
    /// whose length is drawn from `seed`. Earlier handles fail from now on.
    #[must_use = "the disk is reached through the returned handle only"]
    pub fn crash(&self, seed: u64) -> Self {
        let reopened = self.reopen();
        let mut random = SmallRng::seed_from_u64(seed);
        let mut survivors = |pending: usize| random.random_range(0..=pending);
        let scattered = self.disk.faults.has(Mutant::CrashDropsTheFirst);
        self.disk.log.lock().crash(&mut survivors, scattered);
        self.disk.current.lock().versions.lock().crash(&mut survivors, scattered);
        reopened
    }

    /// What can go wrong with this disk, settable at any time, across restarts.
    pub fn faults(&self) -> &Faults {
        &self.disk.faults
    }
}

impl Opening {
    fn new(restart: u64) -> Self {
        Self { restart, health: Health::default(), received: Mutex::default() }
    }
}

/// A handle's way to the disk, cut by the next restart.
#[derive(Clone)]
struct Line {
    disk: Arc<Disk>,
    opening: Arc<Opening>,
}

impl Line {
    /// Lets a read pass.
    fn check(&self) -> Result<()> {
        if self.disk.restarts.load(Ordering::SeqCst) == self.opening.restart {
            return Ok(());
        }
        Err(faults::refused("reaching the disk of a master that was restarted"))
    }

    /// Lets a write pass; injected failures end this run's writing.
    fn write<T>(&self, operation: &'static str, write: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check()?;
        self.opening.health.check()?;
        self.disk.faults.admit(operation)?;
        self.opening.health.guard(operation, WRITE_LIMIT, || self.disk.faults.before_write(operation))?;
        write()
    }

    /// Lets a sync pass; `false` when a mutant pretends to sync.
    fn sync(&self, operation: &'static str, pretends: Mutant) -> Result<bool> {
        self.check()?;
        self.opening.health.guard(operation, SYNC_LIMIT, || self.disk.faults.before_sync(operation))?;
        Ok(!self.disk.faults.has(pretends))
    }

    /// Holds the caller while a test keeps this point closed.
    fn pass(&self, point: Point) {
        self.disk.faults.gate(point).pass();
    }
}

impl MemoryStores {
    fn line(&self) -> Line {
        Line { disk: Arc::clone(&self.disk), opening: Arc::clone(&self.opening) }
    }

    fn memory_versions(&self) -> MemoryVersions {
        MemoryVersions::new(self.line(), Arc::clone(&self.disk.current.lock().versions))
    }
}

impl Stores for MemoryStores {
    fn log(&self) -> Arc<dyn LogStore> {
        Arc::new(MemoryLog::new(self.line()))
    }

    fn versions(&self) -> Arc<dyn VersionStore> {
        Arc::new(self.memory_versions())
    }

    fn take_snapshot(&self) -> Result<Arc<dyn SnapshotReader>> {
        let versions = self.memory_versions();
        versions.flush()?;
        let taken = Arc::new(versions.take()?);
        self.disk.current.lock().snapshot = Some(Arc::clone(&taken));
        self.line().pass(Point::SnapshotTaken);
        Ok(taken)
    }

    fn current_snapshot(&self) -> Result<Option<Arc<dyn SnapshotReader>>> {
        self.line().check()?;
        let current = self.disk.current.lock().snapshot.clone();
        Ok(current.map(|snapshot| snapshot as Arc<dyn SnapshotReader>))
    }

    fn receive(&self, manifest: &Manifest) -> Result<Box<dyn SnapshotWriter>> {
        self.line().check()?;
        Ok(Box::new(MemorySnapshotWriter::new(manifest.clone())))
    }

    fn open_received(&self, snapshot: &dyn SnapshotReader) -> Result<Arc<dyn VersionStore>> {
        self.line().check()?;
        let copied = Arc::new(MemorySnapshot::copy_of(snapshot)?);
        let content = Journal::from(copied.decode()?);
        let opened = Arc::new(MemoryVersions::new(self.line(), Arc::new(Mutex::new(content))));
        let mut received = self.opening.received.lock();
        received.retain(|(store, _)| store.strong_count() > 0);
        received.push((Arc::downgrade(&opened), copied));
        Ok(opened)
    }

    fn adopt(&self, opened: Arc<dyn VersionStore>) -> Result<()> {
        let line = self.line();
        line.pass(Point::Adopt);
        line.write("adopting a received version store", || {
            let mut received = self.opening.received.lock();
            let found = received.iter().enumerate().find_map(|(position, (store, _))| {
                let store = store.upgrade()?;
                std::ptr::addr_eq(Arc::as_ptr(&store), Arc::as_ptr(&opened)).then_some((position, store))
            });
            let Some((position, store)) = found else {
                return Err(StorageError::Misuse(
                    "only a store opened from a snapshot can be adopted".into(),
                ));
            };
            let (_, snapshot) = received.swap_remove(position);
            *self.disk.current.lock() = Current { versions: store.content(), snapshot: Some(snapshot) };
            Ok(())
        })
    }

    fn space(&self) -> SpaceState {
        let is_low = self.disk.faults.is_low();
        SpaceState { free_bytes: if is_low { 0 } else { ROOMY_BYTES }, is_low }
    }

    fn under_way(&self) -> Arc<UnderWay> {
        Arc::clone(&self.opening.health.under_way)
    }

    fn sync_p99_ms(&self) -> Option<f64> {
        None
    }

    fn written_bytes(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}
