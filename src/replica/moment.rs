//! What has been applied here, moment by moment.
//!
//! A moment is published for what Raft hands over at a time, which differs from master to master: what is
//! asked for by revision is answered from memory only by the moment of exactly that revision, and otherwise
//! from history.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use base::env;
use parking_lot::Mutex;
use state::{Change, State};
use tokio::sync::watch;

use crate::limits::{
    HASHES_MAX, RECENT_CHANGE_BYTES, RECENT_STATES_BYTES_MAX, RECENT_STATES_MAX, REVISION_TIMEOUT,
};

/// State after an applied log entry. Holding it keeps it readable, unchanged, for free.
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
    recent: Mutex<Recent>,
    hashes: Mutex<VecDeque<(u64, u128)>>,
}

/// Moments of rising revisions, bounded by their number and by what they hold beside the newest.
#[derive(Default)]
struct Recent {
    /// Each with the bytes that the moment before it holds and it does not.
    moments: VecDeque<(Arc<Moment>, usize)>,
    /// The sum of these bytes.
    bytes: usize,
}

impl Recent {
    fn push(&mut self, moment: Arc<Moment>, replaced_bytes: usize) {
        match self.moments.back() {
            Some((last, _)) if last.revision() >= moment.revision() => return,
            Some(_) => {
                self.moments.push_back((moment, replaced_bytes));
                self.bytes += replaced_bytes;
            }
            None => self.moments.push_back((moment, 0)),
        }
        while self.moments.len() > RECENT_STATES_MAX
            || (self.moments.len() > 1 && self.bytes > RECENT_STATES_BYTES_MAX)
        {
            self.moments.pop_front();
            if let Some((_, replaced_bytes)) = self.moments.front_mut() {
                self.bytes -= std::mem::take(replaced_bytes);
            }
        }
    }

    fn at(&self, revision: u64) -> Option<Arc<Moment>> {
        let found = self.moments.binary_search_by_key(&revision, |(moment, _)| moment.revision());
        Some(Arc::clone(&self.moments[found.ok()?].0))
    }
}

/// What the State before `changes` holds and the one after does not; an estimate.
fn replaced_bytes(changes: &[Change]) -> usize {
    let replaced = changes.iter().filter_map(|change| change.previous.as_ref());
    replaced.map(|object| object.bytes.len() + RECENT_CHANGE_BYTES).sum()
}

impl Moments {
    pub(crate) fn new(first: Moment) -> Self {
        let first = Arc::new(first);
        let mut recent = Recent::default();
        recent.push(Arc::clone(&first), 0);
        Self {
            recent: Mutex::new(recent),
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

    /// Shows `moment`, which `changes` led to.
    pub(crate) fn publish(&self, moment: Moment, changes: &[Change]) -> Arc<Moment> {
        let moment = Arc::new(moment);
        self.recent.lock().push(Arc::clone(&moment), replaced_bytes(changes));
        self.newest.send_replace(Arc::clone(&moment));
        moment
    }

    /// Forgets everything before `moment`: a snapshot was installed.
    pub(crate) fn reset(&self, moment: Moment) {
        *self.recent.lock() = Recent::default();
        *self.hashes.lock() = VecDeque::from([(moment.index, moment.state.hash())]);
        self.publish(moment, &[]);
    }

    /// The moment of `revision`, while it is kept in memory.
    pub(crate) fn at(&self, revision: u64) -> Option<Arc<Moment>> {
        self.recent.lock().at(revision)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RECENT_STATES_MAX;
    use crate::testing::Applied;

    #[test]
    fn recent_states_are_bounded_by_number_and_by_what_they_hold() {
        let mut applied = Applied::default();
        let moments = Moments::new(applied.moment());
        let kept = || moments.recent.lock().moments.len();
        let mut publish = |body_bytes: usize| {
            let changes = applied.write(&[("configmaps", "a")], body_bytes);
            moments.publish(applied.moment(), &changes).revision()
        };
        for _ in 0..2 * RECENT_STATES_MAX {
            publish(10);
        }
        assert_eq!(kept(), RECENT_STATES_MAX);
        // Every moment but the newest holds a large object that no other does.
        const LARGE: usize = 1 << 20;
        let newest = (0..2 * RECENT_STATES_BYTES_MAX / LARGE).map(|_| publish(LARGE)).last();
        assert_eq!(kept(), RECENT_STATES_BYTES_MAX / LARGE);
        assert!(newest.is_some_and(|revision| moments.at(revision).is_some()));
        // What nobody replaced costs nothing.
        let held = moments.recent.lock().bytes;
        for _ in 0..RECENT_STATES_MAX {
            publish(10);
        }
        assert_eq!(kept(), RECENT_STATES_MAX);
        assert!(moments.recent.lock().bytes < held);
    }
}
