//! The write-behind: what was applied goes to the version store, never past the synced log.

use std::sync::Arc;

use base::env;
use bytes::Bytes;
use raft::Restored;
use state::Change;
use storage::snapshot::Stores;
use storage::{Image, StorageError, Version, VersionBatch, VersionStore};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::limits::{
    APPLIED_OVERHEAD_BYTES, CHANGE_OVERHEAD_BYTES, PERSIST_BATCH_VERSIONS_MAX, PERSIST_LAG_BYTES_MAX,
    PERSIST_PACE, SPACE_RETRY,
};
use crate::moment::Moment;
use crate::restore::encode_head;

/// The effects of consecutive log entries.
pub(crate) struct Applied {
    pub(crate) changes: Vec<Change>,
    pub(crate) sides: Vec<(Vec<u8>, Option<Bytes>)>,
    /// State after them.
    pub(crate) moment: Arc<Moment>,
    /// Raft's position and membership after them.
    pub(crate) restored: Restored,
}

enum Job {
    Write(Box<Write>),
    Adopt(Arc<dyn VersionStore>, oneshot::Sender<Result<(), StorageError>>),
}

struct Write {
    applied: Applied,
    /// The store it was meant for: void once a snapshot replaced that.
    generation: u64,
    _permit: OwnedSemaphorePermit,
}

/// Takes work for the persister; bounded in bytes.
pub(crate) struct Queue {
    jobs: mpsc::UnboundedSender<Job>,
    lag: Arc<Semaphore>,
    /// Rises when a snapshot replaces the store.
    generation: watch::Sender<u64>,
}

/// The other end: writes until told to stop.
pub(crate) struct Persister {
    jobs: mpsc::UnboundedReceiver<Job>,
    stores: Arc<dyn Stores>,
    generation: watch::Receiver<u64>,
    persisted: watch::Sender<u64>,
}

/// A queue and its persister. `persisted` follows the revision that the version store holds.
pub(crate) fn channel(stores: Arc<dyn Stores>, persisted: watch::Sender<u64>) -> (Queue, Persister) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (generation, generation_seen) = watch::channel(0);
    let lag = Arc::new(Semaphore::new(PERSIST_LAG_BYTES_MAX));
    let queue = Queue { jobs: sender, lag, generation };
    (queue, Persister { jobs: receiver, stores, generation: generation_seen, persisted })
}

impl Queue {
    /// Hands over applied effects; waits while too many bytes are on their way.
    pub(crate) async fn write(&self, applied: Applied) {
        let permits = size_of(&applied).min(PERSIST_LAG_BYTES_MAX) as u32;
        let acquired = Arc::clone(&self.lag).acquire_many_owned(permits).await;
        let permit = acquired.expect("the semaphore is never closed");
        let write = Write { applied, generation: *self.generation.borrow(), _permit: permit };
        // A persister that is gone has failed or was stopped: the process is on its way out.
        let _ = self.jobs.send(Job::Write(Box::new(write)));
    }

    /// Makes `opened` the current version store. Everything queued before it is void.
    pub(crate) async fn adopt(&self, opened: Arc<dyn VersionStore>) -> Result<(), StorageError> {
        let (done, adopted) = oneshot::channel();
        self.generation.send_modify(|generation| *generation += 1);
        let _ = self.jobs.send(Job::Adopt(opened, done));
        adopted.await.unwrap_or_else(|_| Err(StorageError::Misuse("the persister has stopped".to_owned())))
    }
}

/// What effects keep in memory. Entries that change nothing, refused ones, keep a State all the same.
fn size_of(applied: &Applied) -> usize {
    let changes = applied.changes.iter().map(|change| change.object.bytes.len() + CHANGE_OVERHEAD_BYTES);
    let sides = applied.sides.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Bytes::len));
    APPLIED_OVERHEAD_BYTES + changes.sum::<usize>() + sides.sum::<usize>()
}

impl Persister {
    /// Writes until the queue is dropped.
    ///
    /// # Errors
    /// A store that cannot be written: the master must stop.
    pub(crate) async fn run(mut self, mut synced: watch::Receiver<u64>) -> Result<(), StorageError> {
        while let Some(job) = self.jobs.recv().await {
            match job {
                Job::Write(write) => {
                    self.write(*write, &mut synced).await?;
                    env::sleep(PERSIST_PACE).await;
                }
                Job::Adopt(opened, done) => self.adopt(opened, done).await,
            }
        }
        Ok(())
    }

    /// Writes one item, and what else waits behind it, in one batch.
    async fn write(&mut self, first: Write, synced: &mut watch::Receiver<u64>) -> Result<(), StorageError> {
        let generation = first.generation;
        let mut count = first.applied.changes.len();
        let mut writes = vec![first];
        let mut adopt = None;
        while count < PERSIST_BATCH_VERSIONS_MAX {
            match self.jobs.try_recv() {
                Ok(Job::Write(write)) => {
                    count += write.applied.changes.len();
                    writes.push(*write);
                }
                Ok(Job::Adopt(opened, done)) => {
                    adopt = Some((opened, done));
                    break;
                }
                Err(_) => break,
            }
        }
        let last_index = writes.last().map_or(0, |write| write.applied.moment.index);
        if self.reached(synced, last_index, generation).await {
            self.write_batch(writes).await?;
        }
        if let Some((opened, done)) = adopt {
            self.adopt(opened, done).await;
        }
        Ok(())
    }

    /// Waits until the log is synced up to `index`; `false` once the store of `generation` is void.
    async fn reached(&mut self, synced: &mut watch::Receiver<u64>, index: u64, generation: u64) -> bool {
        tokio::select! {
            biased;
            _ = self.generation.wait_for(|newest| *newest > generation) => false,
            reached = synced.wait_for(|synced| *synced >= index) => reached.is_ok(),
        }
    }

    /// Writes one batch. A full disk is waited for: what is applied stays applied, and apply itself
    /// waits once too much is behind.
    async fn write_batch(&self, writes: Vec<Write>) -> Result<(), StorageError> {
        let store = self.stores.versions();
        let revision = writes.last().map_or(0, |write| write.applied.moment.revision());
        let batch = Arc::new(batch_of(writes));
        loop {
            let (store, batch) = (Arc::clone(&store), Arc::clone(&batch));
            match env::blocking(move || store.write(&batch)).await {
                Ok(()) => break,
                Err(error) if error.is_out_of_space() => env::sleep(SPACE_RETRY).await,
                Err(error) => return Err(error),
            }
        }
        self.persisted.send_replace(revision);
        Ok(())
    }

    async fn adopt(&self, opened: Arc<dyn VersionStore>, done: oneshot::Sender<Result<(), StorageError>>) {
        let stores = Arc::clone(&self.stores);
        let result = env::blocking(move || stores.adopt(opened)).await;
        // The machine waits for it unless its task was stopped.
        let _ = done.send(result);
    }
}

fn batch_of(writes: Vec<Write>) -> VersionBatch {
    let mut batch = VersionBatch::default();
    for Write { applied: item, .. } in writes {
        batch.versions.extend(item.changes.iter().map(version_of));
        batch.sides.extend(item.sides);
        batch.image = Some(Image {
            index: item.moment.index,
            revision: item.moment.revision(),
            head: encode_head(&item.moment.state, &item.restored),
        });
    }
    batch
}

pub(crate) fn version_of(change: &Change) -> Version {
    Version {
        key: change.object.key.as_str().to_owned(),
        revision: change.revision,
        previous: change.previous.as_ref().map_or(0, |previous| previous.revision),
        deleted: change.deleted,
        value: state::image::encode_version(change),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;
    use state::State;
    use storage::LogRecord;
    use storage::memory::MemoryStores;

    use super::*;
    use crate::testing::Alone;

    #[test]
    fn what_changes_nothing_is_bounded_too() {
        let moment = Arc::new(Moment { state: State::default(), index: 1, term: 1 });
        let (queue, _persister) = channel(Arc::new(MemoryStores::new()), watch::Sender::new(0));
        let write = || {
            let (moment, restored) = (Arc::clone(&moment), Restored::default());
            queue.write(Applied { changes: vec![], sides: vec![], moment, restored }).now_or_never()
        };
        for _ in 0..PERSIST_LAG_BYTES_MAX / APPLIED_OVERHEAD_BYTES {
            write().expect("there is room");
        }
        assert!(write().is_none(), "apply waits for the disk");
    }

    #[test]
    fn history_is_never_ahead_of_the_synced_log() {
        let synced_log = |seed| async move {
            let mut alone = Alone::new();
            let log = alone.stores.log();
            let record = |index| LogRecord { index, bytes: Bytes::from_static(b"entry") };
            alone.persist(2);
            for index in 1..=5 {
                log.append(&[record(index)]).expect("appended");
                alone.write(&[("configmaps", "a")]).await;
                if index == 2 {
                    log.sync().expect("synced");
                    alone.is_written(2).await;
                }
            }
            // On virtual time, whoever can go on has gone on by then.
            env::sleep(Duration::from_secs(1)).await;
            assert_eq!(alone.image_index(), 2, "3 to 5 wait for their sync");
            alone.stores.versions().flush().expect("flushed");
            let after = alone.stores.crash(seed);
            let last = after.log().state().expect("readable").last.map_or(0, |record| record.index);
            let image = after.versions().image().expect("readable").expect("was flushed");
            assert!(image.index <= last, "history of {} on a log of {last}", image.index);
        };
        for seed in 0..4 {
            env::simulate(seed, synced_log(seed));
        }
    }

    #[test]
    fn history_goes_on_once_the_log_is_synced() {
        env::simulate(1, async {
            let mut alone = Alone::new();
            alone.persist(0);
            for _ in 0..3 {
                alone.write(&[("configmaps", "a")]).await;
            }
            alone.synced.send_replace(3);
            alone.is_written(3).await;
            assert_eq!(*alone.shared.persisted.borrow(), 3);
        });
    }
}
