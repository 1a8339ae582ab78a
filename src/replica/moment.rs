//! What has been applied here, moment by moment.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use base::env;
use parking_lot::Mutex;
use state::State;
use tokio::sync::watch;

use crate::limits::{HASHES_MAX, RECENT_STATES_MAX, REVISION_TIMEOUT};

/// State after one applied log entry. Holding it keeps it readable, unchanged, for free.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Everything there was.
    pub state: State,
    /// The entry applied last.
    pub index: u64,
    /// That entry's term.
    pub term: u64,
}

impl Moment {
    /// State's revision.
    pub fn revision(&self) -> u64 {
        self.state.revision()
    }
}

/// The newest moment, those just before it, and the hash at each recent index.
pub(crate) struct Moments {
    newest: watch::Sender<Arc<Moment>>,
    recent: Mutex<VecDeque<Arc<Moment>>>,
    hashes: Mutex<VecDeque<(u64, u128)>>,
}

impl Moments {
    pub(crate) fn new(first: Moment) -> Self {
        let first = Arc::new(first);
        Self {
            recent: Mutex::new(VecDeque::from([Arc::clone(&first)])),
            hashes: Mutex::new(VecDeque::from([(first.index, first.state.hash())])),
            newest: watch::Sender::new(first),
        }
    }

    pub(crate) fn newest(&self) -> Arc<Moment> {
        Arc::clone(&self.newest.borrow())
    }

    /// Records the hash after every entry; readers see only published moments.
    pub(crate) fn record_hash(&self, index: u64, hash: u128) {
        let mut hashes = self.hashes.lock();
        hashes.push_back((index, hash));
        if hashes.len() > HASHES_MAX {
            hashes.pop_front();
        }
    }

    pub(crate) fn publish(&self, moment: Moment) -> Arc<Moment> {
        let moment = Arc::new(moment);
        let mut recent = self.recent.lock();
        if recent.back().is_none_or(|last| last.revision() < moment.revision()) {
            recent.push_back(Arc::clone(&moment));
            if recent.len() > RECENT_STATES_MAX {
                recent.pop_front();
            }
        }
        drop(recent);
        self.newest.send_replace(Arc::clone(&moment));
        moment
    }

    /// Forgets everything before `moment`: a snapshot was installed.
    pub(crate) fn reset(&self, moment: Moment) {
        self.recent.lock().clear();
        *self.hashes.lock() = VecDeque::from([(moment.index, moment.state.hash())]);
        self.publish(moment);
    }

    /// The moment whose State was current at `revision`, while it is kept in memory.
    pub(crate) fn at(&self, revision: u64) -> Option<Arc<Moment>> {
        let recent = self.recent.lock();
        let position = recent.partition_point(|moment| moment.revision() < revision);
        let moment = recent.get(position)?;
        // The first one kept also answers for revisions before it, wrongly: it needs a neighbour.
        (position > 0 || moment.revision() == revision).then(|| Arc::clone(moment))
    }

    /// State's hash after the entry at `index`, waited for; `None` when it is not remembered here, or was
    /// not applied within [`REVISION_TIMEOUT`].
    pub(crate) async fn wait_for_hash(&self, index: u64) -> Option<u128> {
        self.wait_for(REVISION_TIMEOUT, |moment| moment.index >= index).await?;
        self.hash_at(index)
    }

    fn hash_at(&self, index: u64) -> Option<u128> {
        let hashes = self.hashes.lock();
        let position = hashes.binary_search_by_key(&index, |(at, _)| *at).ok()?;
        Some(hashes[position].1)
    }

    /// Waits for a moment that satisfies `condition`; `None` when `limit` passed first. Cancel-safe.
    pub(crate) async fn wait_for(
        &self,
        limit: Duration,
        mut condition: impl FnMut(&Moment) -> bool,
    ) -> Option<Arc<Moment>> {
        let mut newest = self.newest.subscribe();
        let found = env::timeout(limit, newest.wait_for(|moment| condition(moment))).await;
        found.ok()?.ok().map(|moment| Arc::clone(&moment))
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Moment>> {
        self.newest.subscribe()
    }
}
