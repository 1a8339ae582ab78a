//! Group commit: one flusher syncs for everything that was appended while it synced before.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use base::env;
use openraft::storage::IOFlushed;
use parking_lot::Mutex;
use storage::LogStore;
use tokio::sync::{mpsc, watch};

use crate::failure::{Failure, chain};
use crate::limits::SIMULATED_SYNC_MAX_US;
use crate::types::TypeConfig;

/// A build made to misbehave syncs after one group of this many, on average.
const MUTANT_GROUPS: u64 = 16;

/// An append whose durability somebody waits for.
pub(super) struct Append {
    pub(super) callback: IOFlushed<TypeConfig>,
    /// Its last index, and the generation of [`Synced`] that it belongs to.
    pub(super) last: Option<(u64, u64)>,
}

/// The highest log index known to be on disk. What a truncation removed does not count, even when its
/// sync returns later: each truncation begins a generation.
pub(super) struct Synced {
    generation: Mutex<u64>,
    index: watch::Sender<u64>,
}

impl Synced {
    pub(super) fn new(index: u64) -> Self {
        Self { generation: Mutex::new(0), index: watch::Sender::new(index) }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.index.subscribe()
    }

    pub(super) fn generation(&self) -> u64 {
        *self.generation.lock()
    }

    /// Entries from `next` on are gone.
    pub(super) fn truncate(&self, next: u64) {
        let mut generation = self.generation.lock();
        *generation += 1;
        self.index.send_if_modified(|index| lower(index, next.saturating_sub(1)));
    }

    /// Everything up to `index` is durable elsewhere: in a snapshot.
    pub(super) fn raise(&self, to: u64) {
        self.index.send_if_modified(|index| raise(index, to));
    }

    /// What was appended as the ends say, index and generation, is durable.
    fn publish(&self, ends: &[(u64, u64)]) {
        let generation = self.generation.lock();
        let last = ends.iter().filter(|(_, of)| *of == *generation).map(|(last, _)| *last).max();
        if let Some(last) = last {
            self.index.send_if_modified(|index| raise(index, last));
        }
    }
}

fn raise(index: &mut u64, to: u64) -> bool {
    let moves = *index < to;
    *index = to.max(*index);
    moves
}

fn lower(index: &mut u64, to: u64) -> bool {
    let moves = *index > to;
    *index = to.min(*index);
    moves
}

/// What the flusher works with.
pub(super) struct Flusher {
    pub(super) store: Arc<dyn LogStore>,
    pub(super) synced: Arc<Synced>,
    pub(super) failure: Failure,
}

/// The way to a flusher. It ends when this is dropped, and with a thread of its own is waited for: the
/// store must not be closed behind the back of a process that is ending.
pub(super) struct Flushing {
    /// `None` only while this is dropped.
    appends: Option<mpsc::UnboundedSender<Append>>,
    thread: Option<JoinHandle<()>>,
}

impl Flushing {
    /// Queues an append. Its callback is completed in any case.
    ///
    /// # Errors
    /// When the flusher ended, which it does early only by a panic: the append is handed back.
    pub(super) fn push(&self, append: Append) -> Result<(), Append> {
        match &self.appends {
            Some(appends) => appends.send(append).map_err(|refused| refused.0),
            None => Err(append),
        }
    }
}

impl Drop for Flushing {
    fn drop(&mut self) {
        self.appends = None;
        // Completing a callback may drop the last handle to the log, in the flusher itself.
        let here = std::thread::current().id();
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != here) {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Flusher {
    /// Starts it: a thread of its own, because a sync blocks; a task in a simulation.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub(super) fn start(self) -> io::Result<Flushing> {
        let (sender, appends) = mpsc::unbounded_channel();
        let thread = if env::is_simulated() {
            env::spawn(self.run_simulated(appends));
            None
        } else {
            Some(env::thread("raft-flusher", || self.run(appends))?)
        };
        Ok(Flushing { appends: Some(sender), thread })
    }

    /// Ends when the log is dropped.
    fn run(self, mut appends: mpsc::UnboundedReceiver<Append>) {
        while let Some(first) = appends.blocking_recv() {
            self.flush_from(first, &mut appends);
        }
    }

    async fn run_simulated(self, mut appends: mpsc::UnboundedReceiver<Append>) {
        while let Some(first) = appends.recv().await {
            let delay_us = env::random_u64() % SIMULATED_SYNC_MAX_US;
            env::sleep(Duration::from_micros(delay_us)).await;
            self.flush_from(first, &mut appends);
        }
    }

    /// Syncs for `first` and everything that arrived meanwhile; completes in order of arrival.
    fn flush_from(&self, first: Append, appends: &mut mpsc::UnboundedReceiver<Append>) {
        let mut group = vec![first];
        while let Ok(next) = appends.try_recv() {
            group.push(next);
        }
        if storage::mutant::acknowledges_early() {
            self.complete(std::mem::take(&mut group), Ok(()));
            if !env::random_u64().is_multiple_of(MUTANT_GROUPS) {
                return;
            }
        }
        let flushed = self.store.sync();
        self.complete(
            group,
            flushed.map_err(|error| format!("syncing the Raft log failed: {}", chain(&error))),
        );
    }

    fn complete(&self, group: Vec<Append>, flushed: Result<(), String>) {
        let ends: Vec<_> = group.iter().filter_map(|append| append.last).collect();
        if let Err(reason) = &flushed {
            self.failure.report(&**reason);
        }
        for append in group {
            append.callback.io_completed(flushed.clone().map_err(io::Error::other));
        }
        // Raft first, for which a write waits; nobody waits for what follows the sync.
        if flushed.is_ok() {
            self.synced.publish(&ends);
        }
    }
}

#[cfg(test)]
mod tests {
    use openraft::type_config::TypeConfigExt;
    use storage::memory::{MemoryStores, Point};
    use storage::snapshot::Stores;

    use super::*;

    /// How long a flusher may take to begin a sync.
    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn nothing_is_acknowledged_before_its_sync_and_one_sync_serves_all_that_wait() {
        let stores = MemoryStores::new();
        let gate = stores.faults().gate(Point::Sync).clone();
        let synced = Arc::new(Synced::new(0));
        let published = synced.subscribe();
        let generation = synced.generation();
        let flusher = Flusher { store: stores.log(), synced, failure: Failure::new() };
        let flushing = flusher.start().expect("a thread");
        let append = |last: u64| {
            let (sender, told) = TypeConfig::oneshot();
            let append = Append { callback: IOFlushed::signal(sender), last: Some((last, generation)) };
            assert!(flushing.push(append).is_ok(), "it runs");
            told
        };
        gate.close();
        let first = append(1);
        assert!(gate.wait_until_held(1, LIMIT), "no sync began");
        let mut told: Vec<_> = std::iter::once(first).chain((2..=9).map(append)).collect();
        for waiting in &mut told {
            assert!(futures::poll!(waiting).is_pending(), "acknowledged before its sync");
        }
        assert_eq!(*published.borrow(), 0);
        gate.open();
        for waiting in told {
            waiting.await.expect("an answer").expect("synced");
        }
        assert_eq!(gate.visits(), 2, "syncs: the one that was held, and one for all that waited");
        drop(flushing);
        assert_eq!(*published.borrow(), 9);
    }

    #[test]
    fn a_sync_of_truncated_entries_publishes_nothing() {
        let synced = Synced::new(3);
        let index = synced.subscribe();
        let before = (9, synced.generation());
        synced.truncate(3);
        assert_eq!(*index.borrow(), 2);
        synced.publish(&[before]);
        assert_eq!(*index.borrow(), 2);
        synced.publish(&[(4, synced.generation())]);
        assert_eq!(*index.borrow(), 4);
        synced.raise(3);
        assert_eq!(*index.borrow(), 4);
    }
}
