//! [`raft::Machine`] over [`state::apply()`]: what every master does with every committed entry.

use std::any::Any;
use std::sync::Arc;

use base::env;
use bytes::Bytes;
use futures::future::BoxFuture;
use raft::machine::{Prepared, Taken};
use raft::{Entry, Machine, MachineError, Payload, Restored};
use state::apply::apply_knowing;
use state::codec::decode_batch_knowing;
use state::{Change, Outcome};
use storage::{SnapshotReader, VersionStore};

use crate::limits::SPACE_RETRY;
use crate::moment::Moment;
use crate::persist::{Applied, Queue};
use crate::replica::Shared;
use crate::restore::{decode_head, restore};

/// The machine of one master. All that readers need lives in [`Shared`]; this is the one writer.
pub struct ReplicaMachine {
    shared: Arc<Shared>,
    persist: Queue,
    restored: Restored,
    moment: Moment,
}

/// What consecutive entries did, until it is published.
#[derive(Default)]
struct Effects {
    changes: Vec<Change>,
    outcomes: Vec<(u128, Outcome)>,
    sides: Vec<(Vec<u8>, Option<Bytes>)>,
}

impl ReplicaMachine {
    pub(crate) fn new(shared: Arc<Shared>, persist: Queue, moment: Moment, restored: Restored) -> Self {
        Self { shared, persist, restored, moment }
    }

    /// Applies one entry to the moment, collecting its effects.
    fn apply_entry(&mut self, entry: Entry, effects: &mut Effects) -> Result<(), MachineError> {
        let (index, term) = (entry.position.index, entry.position.term);
        match entry.payload {
            Payload::Blank => self.moment.state = self.moment.state.advance(index, term),
            Payload::Membership(members) => {
                self.restored.membership = Some((entry.position, members));
                self.moment.state = self.moment.state.advance(index, term);
            }
            Payload::Normal(payload) => {
                let levels = self.shared.options.levels;
                let mut batch = decode_batch_knowing(levels, &payload)
                    .map_err(|error| MachineError(format!("log entry {index} cannot be read: {error}")))?;
                assert!(!storage::mutant::panics(), "apply panics on purpose");
                if storage::mutant::diverges() {
                    batch.time_ms += 1;
                }
                let entry = state::Entry { index, term, batch: &batch };
                let applied = apply_knowing(levels, &self.moment.state, &entry);
                self.moment.state = applied.state;
                self.shared.in_flight.applied(&applied.outcomes);
                effects.changes.extend(applied.changes);
                effects.outcomes.extend(applied.outcomes);
                effects.sides.extend(applied.sides);
            }
        }
        self.moment.index = index;
        self.moment.term = term;
        self.restored.applied = Some(entry.position);
        self.shared.moments.record_hash(index, self.moment.state.hash());
        Ok(())
    }

    /// Shows effects to the world: feeds first, so that a bookmark never runs ahead of its events;
    /// then readers; then those who wait for an outcome; the disk last, behind.
    async fn publish(&mut self, effects: Effects) {
        let persisted = *self.shared.persisted.borrow();
        self.shared.feeds.publish(effects.changes.clone(), persisted);
        let moment = self.shared.moments.publish(self.moment.clone(), &effects.changes);
        self.shared.steps.publish(&moment, &effects.changes);
        self.shared.waiters.tell(effects.outcomes, &moment);
        let (changes, sides, restored) = (effects.changes, effects.sides, self.restored.clone());
        self.persist.write(Applied { changes, sides, moment, restored }).await;
    }
}

#[async_trait::async_trait]
impl Machine for ReplicaMachine {
    fn restored(&self) -> Restored {
        self.restored.clone()
    }

    async fn apply(&mut self, entries: Vec<Entry>) -> Result<(), MachineError> {
        let mut effects = Effects::default();
        for entry in entries {
            self.apply_entry(entry, &mut effects)?;
        }
        self.publish(effects).await;
        Ok(())
    }

    fn snapshot(&mut self) -> BoxFuture<'static, Result<Taken, MachineError>> {
        let stores = Arc::clone(&self.shared.stores);
        Box::pin(async move {
            let files = loop {
                let stores = Arc::clone(&stores);
                match env::blocking(move || stores.take_snapshot()).await {
                    // Nothing but the length of the log depends on it.
                    Err(error) if error.is_out_of_space() => env::sleep(SPACE_RETRY).await,
                    taken => break taken,
                }
            };
            taken(files.map_err(broken("a snapshot could not be taken"))?)
        })
    }

    fn current_snapshot(&self) -> Result<Option<Taken>, MachineError> {
        let files = self.shared.stores.current_snapshot();
        files.map_err(broken("the current snapshot could not be read"))?.map(taken).transpose()
    }

    fn prepare(
        &self,
        snapshot: Arc<dyn SnapshotReader>,
    ) -> BoxFuture<'static, Result<Box<dyn Prepared>, MachineError>> {
        let (stores, levels) = (Arc::clone(&self.shared.stores), self.shared.options.levels);
        Box::pin(env::blocking(move || {
            let versions = stores
                .open_received(&*snapshot)
                .map_err(broken("a received snapshot could not be opened"))?;
            let (moment, restored) =
                restore(&*versions, levels).map_err(broken("a received snapshot could not be restored"))?;
            let prepared = PreparedReplica { versions, moment, restored, files: snapshot };
            Ok(Box::new(prepared) as Box<dyn Prepared>)
        }))
    }

    async fn install(&mut self, prepared: Box<dyn Prepared>) -> Result<(), MachineError> {
        let prepared: Box<dyn Any> = prepared;
        let prepared = prepared.downcast::<PreparedReplica>().map_err(|_| {
            MachineError("a snapshot prepared by another machine cannot be installed".to_owned())
        })?;
        let adopted = self.persist.adopt(Arc::clone(&prepared.versions)).await;
        adopted.map_err(broken("a received snapshot could not be adopted"))?;
        self.restored = prepared.restored;
        self.moment = prepared.moment;
        let revision = self.moment.revision();
        self.shared.persisted.send_replace(revision);
        // Feeds first, as in `publish`: a watch of before must not take this moment for progress of its own.
        self.shared.feeds.reset(revision);
        self.shared.moments.reset(self.moment.clone());
        self.shared.steps.reset();
        self.shared.waiters.tell_from(&self.shared.moments.newest());
        Ok(())
    }
}

/// A received snapshot, opened and rebuilt, waiting to take over.
struct PreparedReplica {
    versions: Arc<dyn VersionStore>,
    moment: Moment,
    restored: Restored,
    files: Arc<dyn SnapshotReader>,
}

impl Prepared for PreparedReplica {
    fn restored(&self) -> Restored {
        self.restored.clone()
    }

    fn files(&self) -> Arc<dyn SnapshotReader> {
        Arc::clone(&self.files)
    }
}

/// A snapshot with the position its image stands for.
fn taken(files: Arc<dyn SnapshotReader>) -> Result<Taken, MachineError> {
    let (restored, _) = decode_head(files.manifest().image.head.clone())
        .map_err(broken("a snapshot's head record could not be read"))?;
    Ok(Taken { restored, files })
}

fn broken<E: std::fmt::Display>(operation: &'static str) -> impl Fn(E) -> MachineError {
    move |error| MachineError(format!("{operation}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::Alone;

    #[test]
    fn a_snapshot_waits_for_space_and_ends_nothing() {
        env::simulate(1, async {
            let mut alone = Alone::new();
            alone.persist(u64::MAX);
            alone.write(&[("configmaps", "a")]).await;
            alone.is_written(1).await;
            alone.stores.faults().set_out_of_space(true);
            let mut snapshot = alone.machine.snapshot();
            let waits = env::timeout(Duration::from_secs(60), &mut snapshot).await;
            assert!(waits.is_err(), "{:?}", waits.map(|taken| taken.map(|taken| taken.restored)));
            alone.stores.faults().set_out_of_space(false);
            let taken = snapshot.await.expect("there is space again");
            assert_eq!(taken.restored.applied.map(|at| at.index), Some(1));
        });
    }
}
