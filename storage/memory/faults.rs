//! What a test can do to the memory disk.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::{Result, StorageError};

/// The directory that errors of the memory disk name.
const DIRECTORY: &str = "(memory)";

/// Where a caller can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// Before a received version store becomes the current one.
    Adopt,
    /// Before log records are appended.
    Append,
    /// Before the log is purged.
    Purge,
    /// Before log records are read, as apply and replication do.
    Read,
    /// Before the committed marker is saved.
    SaveCommitted,
    /// After a snapshot was taken, before its taker learns of it.
    SnapshotTaken,
    /// Before the log is synced.
    Sync,
    /// Before the version store is flushed.
    VersionsFlush,
    /// Before a batch is written to the version store.
    VersionsWrite,
}

/// How many [`Point`]s there are.
const POINTS: usize = Point::VersionsWrite as usize + 1;

/// A deliberately broken store, to prove that a test would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// A power cut loses the first unsynced write but keeps later ones.
    CrashDropsTheFirst,
    /// The version store's flush returns without flushing.
    FlushDoesNothing,
    /// The log's sync returns without syncing.
    SyncDoesNothing,
}

/// The faults of one disk; all off at first.
#[derive(Debug, Default)]
pub struct Faults {
    /// Writes until the one that fails; 0: none will.
    fail_write_in: AtomicU64,
    fail_syncs: AtomicBool,
    low: AtomicBool,
    full: AtomicBool,
    mutants: Mutex<BTreeSet<Mutant>>,
    gates: [Gate; POINTS],
}

impl Faults {
    /// Makes the `nth` write from now fail (1: the next one).
    pub fn fail_nth_write(&self, nth: u64) {
        self.fail_write_in.store(nth, Ordering::SeqCst);
    }

    /// Makes every sync and flush fail, or succeed again.
    pub fn fail_syncs(&self, fail: bool) {
        self.fail_syncs.store(fail, Ordering::SeqCst);
    }

    /// Reports low space, or enough; writes still succeed.
    pub fn set_low_space(&self, is_low: bool) {
        self.low.store(is_low, Ordering::SeqCst);
    }

    /// Refuses appends, batches and flushes for lack of space, or lets them pass again.
    pub fn set_out_of_space(&self, is_full: bool) {
        self.full.store(is_full, Ordering::SeqCst);
    }

    /// Breaks the store in one way, for good.
    pub fn mutate(&self, mutant: Mutant) {
        self.mutants.lock().insert(mutant);
    }

    /// The gate at `point`.
    pub fn gate(&self, point: Point) -> &Gate {
        &self.gates[point as usize]
    }

    pub(super) fn has(&self, mutant: Mutant) -> bool {
        self.mutants.lock().contains(&mutant)
    }

    pub(super) fn is_low(&self) -> bool {
        self.low.load(Ordering::SeqCst) || self.full.load(Ordering::SeqCst)
    }

    pub(super) fn admit(&self, operation: &'static str) -> Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StorageError::OutOfSpace { operation, directory: Path::new(DIRECTORY).to_owned() });
        }
        Ok(())
    }

    pub(super) fn before_write(&self, operation: &'static str) -> Result<()> {
        let count_down = |left: u64| left.checked_sub(1);
        match self.fail_write_in.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count_down) {
            Ok(1) => Err(refused(operation)),
            _ => Ok(()),
        }
    }

    pub(super) fn before_sync(&self, operation: &'static str) -> Result<()> {
        if self.fail_syncs.load(Ordering::SeqCst) { Err(refused(operation)) } else { Ok(()) }
    }
}

/// The error of an injected failure.
pub(super) fn refused(operation: &'static str) -> StorageError {
    let directory = Path::new(DIRECTORY).to_owned();
    StorageError::Failed { operation, directory, source: "injected input/output error".into() }
}

/// Holds callers at one [`Point`] while it is closed. Clones are the same gate.
///
/// Blocks the calling thread: not for simulations that run in one.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    shared: Arc<(Mutex<GateState>, Condvar)>,
}

#[derive(Debug, Default)]
struct GateState {
    closed: bool,
    held: usize,
    visits: usize,
}

impl Gate {
    /// Holds every caller that arrives from now on.
    pub fn close(&self) {
        self.shared.0.lock().closed = true;
    }

    /// Lets all callers go, those held and those to come.
    pub fn open(&self) {
        let (state, changed) = &*self.shared;
        state.lock().closed = false;
        changed.notify_all();
    }

    /// Waits until at least `count` callers are held; `false` when `limit` passed first.
    pub fn wait_until_held(&self, count: usize, limit: Duration) -> bool {
        let (state, changed) = &*self.shared;
        let mut state = state.lock();
        let timed_out = changed.wait_while_for(&mut state, |state| state.held < count, limit).timed_out();
        !timed_out
    }

    /// How many callers have come to it, held or not.
    pub fn visits(&self) -> usize {
        self.shared.0.lock().visits
    }

    /// Whether callers are held.
    pub fn is_closed(&self) -> bool {
        self.shared.0.lock().closed
    }

    /// Comes to the gate, and returns once it is open: for what a test holds besides the disk.
    pub fn pass(&self) {
        let (state, changed) = &*self.shared;
        let mut state = state.lock();
        state.visits += 1;
        if !state.closed {
            return;
        }
        state.held += 1;
        changed.notify_all();
        changed.wait_while(&mut state, |state| state.closed);
        state.held -= 1;
    }
}
