//! Reads at an exact revision: from a State still in memory, or from the version store.

use std::sync::Arc;

use base::env;
use state::{Change, Object};
use storage::{StorageError, Version, VersionStore};

use crate::history::HistoryReader;
use crate::limits::{REVISION_TIMEOUT, TRANSACTION_STEP_VERSIONS};
use crate::moment::Moment;
use crate::replica::Shared;

/// History does not reach back that far.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {revision} ({floor})")]
pub struct Gone {
    /// What was asked for.
    pub revision: u64,
    /// The oldest that could be answered.
    pub floor: u64,
}

/// The cluster as it was at one revision.
#[derive(Clone)]
pub enum View {
    /// Held in memory.
    Memory(Arc<Moment>),
    /// Read from the version store, as it was at this revision.
    History {
        /// Where it is read from.
        history: HistoryReader,
        /// The end of the transaction that the asked revision belongs to.
        revision: u64,
    },
}

/// Why a view could not be had, or be read.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// History does not reach back that far.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// It is applied, but not in memory any more and not in history yet, also after [`REVISION_TIMEOUT`].
    #[error(
        "history is written up to revision {written} only, and {revision} was asked for: the disk of this master is slow or full; try again, or ask another master"
    )]
    Unwritten {
        /// What was asked for.
        revision: u64,
        /// What history holds.
        written: u64,
    },
    /// The version store could not be read.
    #[error("history cannot be read: {0}")]
    History(#[source] StorageError),
}

/// A failed read at `revision`. A compaction may overtake a read: that is [`Gone`], not damage.
fn failed_at(revision: u64) -> impl Fn(StorageError) -> ViewError {
    move |error| match error {
        StorageError::Compacted { floor } => ViewError::Gone(Gone { revision, floor }),
        error => ViewError::History(error),
    }
}

impl View {
    /// The revision the view is of.
    pub fn revision(&self) -> u64 {
        match self {
            Self::Memory(moment) => moment.revision(),
            Self::History { revision, .. } => *revision,
        }
    }

    /// Objects under `prefix` whose key is above `after` (empty: from the start), at most `limit`; from
    /// history also fewer, when they are large. Only an empty page is the end.
    ///
    /// # Errors
    /// When the version store cannot be read.
    pub async fn page(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<Arc<Object>>, ViewError> {
        match self {
            Self::Memory(moment) => {
                Ok(moment.state.range_from(prefix, after).take(limit).map(Arc::clone).collect())
            }
            Self::History { history, revision } => {
                let from = if after.is_empty() { prefix.to_owned() } else { format!("{after}\0") };
                let (revision, to) = (*revision, end_of(prefix));
                let read = move |versions: &dyn VersionStore| {
                    let found = versions.range_at(&from, &to, revision, limit);
                    let found = found.map_err(failed_at(revision))?.into_iter();
                    found.map(|version| Ok(Arc::new(decoded(version)?))).collect()
                };
                history.ask(read).await
            }
        }
    }
}

impl Shared {
    /// What is under `prefix` at `revision`; inside a transaction, at that transaction's end. The same on
    /// every master, whatever entries each of them applied together.
    pub(crate) async fn exact(&self, prefix: &str, revision: u64) -> Result<View, ViewError> {
        if let Some(moment) = self.moments.at(revision) {
            return Ok(View::Memory(moment));
        }
        self.written(revision).await?;
        exact(self.history(), prefix, revision).await
    }

    /// Waits until history holds `revision`: it is written behind what is applied.
    async fn written(&self, revision: u64) -> Result<(), ViewError> {
        let mut persisted = self.persisted.subscribe();
        let reached = persisted.wait_for(|persisted| *persisted >= revision);
        match env::timeout(REVISION_TIMEOUT, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(ViewError::Unwritten { revision, written: *self.persisted.borrow() }),
        }
    }
}

/// What was under `prefix` at `revision`, from history.
async fn exact(history: HistoryReader, prefix: &str, revision: u64) -> Result<View, ViewError> {
    let prefix = prefix.to_owned();
    let found = history.ask(move |versions| {
        let floor = versions.floor(&prefix).map_err(failed_at(revision))?;
        if revision < floor {
            return Err(ViewError::Gone(Gone { revision, floor }));
        }
        end_of_transaction(versions, revision)
    });
    Ok(View::History { revision: found.await?, history })
}

/// The last revision that the transaction that wrote `revision` wrote and that is still held; `revision`
/// itself when that is not: nobody can tell then whose it was.
fn end_of_transaction(versions: &dyn VersionStore, revision: u64) -> Result<u64, ViewError> {
    let Some(mut before) = revision.checked_sub(1) else { return Ok(0) };
    let mut end = revision;
    let mut request = None;
    loop {
        let step = versions.following(before, TRANSACTION_STEP_VERSIONS).map_err(failed_at(revision))?;
        if step.is_empty() {
            return Ok(end);
        }
        for version in step {
            before = version.revision;
            let wrote = decoded(version)?.request;
            match request {
                None if before == revision => request = Some(wrote),
                Some(request) if request == wrote => end = before,
                _ => return Ok(end),
            }
        }
    }
}

/// Changes under `prefix` after `revision`, at most `limit`, and up to where the answer is complete.
pub(crate) fn changes_since(
    versions: &dyn VersionStore,
    prefix: &str,
    revision: u64,
    limit: usize,
) -> Result<(Vec<Change>, u64), ViewError> {
    let floor = versions.floor(prefix).map_err(failed_at(revision))?;
    if revision < floor {
        return Err(ViewError::Gone(Gone { revision, floor }));
    }
    let (found, complete_to) = versions.since(prefix, revision, limit).map_err(failed_at(revision))?;
    let changes: Result<Vec<Change>, ViewError> =
        found.into_iter().map(|version| change_of(versions, version)).collect();
    Ok((changes?, complete_to))
}

fn change_of(versions: &dyn VersionStore, version: Version) -> Result<Change, ViewError> {
    let previous = match version.previous {
        0 => None,
        // Asked for by the moment before the write: its own revision may lie below the floor.
        _ => {
            let before = version.revision - 1;
            let found = versions.at(&version.key, before).map_err(failed_at(before))?;
            found.map(decoded).transpose()?.map(Arc::new)
        }
    };
    let (revision, deleted) = (version.revision, version.deleted);
    Ok(Change { revision, object: Arc::new(decoded(version)?), previous, deleted })
}

fn decoded(version: Version) -> Result<Object, ViewError> {
    object_of(version).map_err(ViewError::History)
}

/// Decodes a stored version; damage is the store's error.
pub(crate) fn object_of(version: Version) -> Result<Object, StorageError> {
    let decoded = state::image::decode_version(
        &version.key,
        version.revision,
        version.previous,
        version.deleted,
        version.value,
    );
    decoded.map_err(|error| StorageError::Corrupt {
        file: version.key.into(),
        what: error.to_string(),
        remedy: storage::error::REPLACE_MASTER,
    })
}

/// The first string above every string that begins with `prefix` (which ends in an ASCII `/`, or is
/// empty: then above every key).
fn end_of(prefix: &str) -> String {
    match prefix.strip_suffix('/') {
        Some(stem) => format!("{stem}0"),
        None => format!("{prefix}\u{10ffff}"),
    }
}

#[cfg(test)]
mod tests {
    use storage::versions::Retention;

    use std::time::Duration;

    use super::*;
    use crate::limits::RECENT_STATES_MAX;
    use crate::testing::{Alone, History, txn};

    fn compact(versions: &dyn VersionStore, prefix: &str, floor: u64) {
        let rule = Retention { prefix: prefix.to_owned(), floor };
        while versions.compact(&rule, 100).expect("compacted").scanned > 0 {}
    }

    #[test]
    fn a_transaction_ends_where_it_did_whatever_other_prefixes_dropped() {
        let mut history = History::new();
        history.write(1, &[("configmaps", "a"), ("secrets", "b"), ("configmaps", "c")]);
        history.write(2, &[("configmaps", "a"), ("secrets", "b")]);
        history.write(3, &[("secrets", "b")]);
        let versions = &*history.versions;
        let ends = || -> Vec<u64> {
            let end = |revision| end_of_transaction(versions, revision).expect("is no question of floors");
            (0..=7).map(end).collect()
        };
        assert_eq!(ends(), [0, 3, 3, 3, 5, 5, 6, 7]);
        // Drops 2 and 5, which configmaps do not miss.
        compact(versions, "core/secrets/", 6);
        assert_eq!(ends(), [0, 3, 2, 3, 4, 5, 6, 7]);
        // Drops 1, and 4 stays: the prefix is exact at its own floor.
        compact(versions, "core/configmaps/", 4);
        assert_eq!(ends(), [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_prefix_is_exact_at_its_own_floor() {
        let mut history = History::new();
        for _ in 0..4 {
            history.write(1, &[("configmaps", "a"), ("secrets", "b")]);
        }
        compact(&*history.versions, "core/configmaps/", 4);
        compact(&*history.versions, "core/secrets/", 8);
        let reader = history.reader();
        let found = env::simulate(1, async {
            exact(reader, "core/configmaps/", 4).await?.page("core/configmaps/", "", 10).await
        });
        assert_eq!(found.expect("not gone").iter().map(|object| object.revision).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_transaction_ends_where_it_did_however_long_it_is() {
        let mut history = History::new();
        let names: Vec<String> = (0..3 * TRANSACTION_STEP_VERSIONS).map(|name| name.to_string()).collect();
        let objects: Vec<(&str, &str)> = names.iter().map(|name| ("configmaps", name.as_str())).collect();
        let end = history.write(1, &objects);
        let next = history.write(2, &objects[..1]);
        for revision in 1..=end {
            let found = end_of_transaction(&*history.versions, revision).expect("is no question of floors");
            assert_eq!(found, end, "of {revision}");
        }
        assert_eq!(end_of_transaction(&*history.versions, next).expect("the last one"), next);
    }

    /// The objects of a collection at `revision`, and the revision that the answer says.
    async fn read(alone: &Alone, revision: u64) -> Result<(u64, Vec<u64>), ViewError> {
        let view = alone.shared.exact("core/configmaps/", revision).await?;
        let found = view.page("core/configmaps/", "", 10).await?;
        Ok((view.revision(), found.iter().map(|object| object.revision).collect()))
    }

    #[test]
    fn an_old_read_waits_for_history_that_is_not_written_yet() {
        env::simulate(1, async {
            let mut alone = Alone::new();
            alone.write(&[("configmaps", "a"), ("configmaps", "b")]).await;
            for _ in 0..RECENT_STATES_MAX {
                alone.write(&[("configmaps", "a")]).await;
            }
            let begun = env::monotonic();
            let refused = read(&alone, 2).await;
            assert!(matches!(refused, Err(ViewError::Unwritten { revision: 2, written: 0 })), "{refused:?}");
            assert_eq!(begun.elapsed().as_secs(), REVISION_TIMEOUT.as_secs());
            alone.persist(0);
            let disk = async {
                env::sleep(Duration::from_secs(1)).await;
                alone.synced.send_replace(u64::MAX);
            };
            let (found, ()) = tokio::join!(read(&alone, 2), disk);
            assert_eq!(found.expect("is written meanwhile"), (2, vec![1, 2]));
        });
    }

    #[test]
    fn a_revision_means_the_same_however_entries_were_applied_together() {
        env::simulate(1, async {
            let (mut one_by_one, mut at_a_time) = (Alone::new(), Alone::new());
            let both = [("configmaps", "a"), ("configmaps", "b")];
            let entries = || (1..=4).map(|request| vec![txn(request, &both, 0)]);
            for alone in [&mut one_by_one, &mut at_a_time] {
                alone.persist(u64::MAX);
            }
            for entry in entries() {
                one_by_one.apply(vec![entry]).await;
            }
            at_a_time.apply(entries().collect()).await;
            for revision in 1..=8_u64 {
                let end = revision.next_multiple_of(2);
                for alone in [&one_by_one, &at_a_time] {
                    let found = read(alone, revision).await.expect("is held");
                    assert_eq!(found, (end, vec![end - 1, end]), "at {revision}");
                }
            }
        });
    }
}
