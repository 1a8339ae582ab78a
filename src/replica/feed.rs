//! Change feeds: one per collection, read by any number of watches, each at its own pace.
//!
//! A watch holds a cursor, not a queue: a reader that never reads costs nothing but its cursor, and one
//! that falls out of the memory window goes on from the version store. Many readers of one collection are
//! told in larger pieces, so that telling them costs less.
//!
//! # Guarantees
//! - A watch sees every change under its prefix after its start, once, in order of revision.
//! - [`Watch::progress`] is a revision up to which nothing is missing.
//! - After an installed snapshot every watch ends with [`WatchEnd::Reset`].

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::Key;
use base::env;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use state::Change;
use tokio::sync::watch;

use crate::exact::{Gone, ViewError, changes_since};
use crate::limits::{
    WATCH_BATCH_BYTES_MAX, WATCH_BATCH_MAX, WATCH_PACE, WATCH_PACE_MAX, WINDOW_BYTES_MAX, WINDOW_EVENTS_MAX,
};
use crate::replica::Shared;

/// A change on its way to watches, with what they share.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub change: Change,
    /// The encoded frame that most watches send, made by the first that needs it.
    pub frame: OnceLock<Bytes>,
}

impl Event {
    pub(crate) fn new(change: Change) -> Arc<Self> {
        Arc::new(Self { change, frame: OnceLock::new() })
    }

    fn size_bytes(&self) -> usize {
        self.change.object.bytes.len()
    }
}

/// Recent events of one collection.
struct Feed {
    window: RwLock<Window>,
    /// The revision of the last event; closed when the feed is reset.
    tip: watch::Sender<u64>,
}

struct Window {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Everything after this revision is in `events`.
    floor: u64,
}

impl Window {
    /// Drops the oldest events beyond the bounds, but none that the version store does not hold yet.
    fn trim(&mut self, persisted: u64) {
        while self.events.len() > WINDOW_EVENTS_MAX || self.bytes > WINDOW_BYTES_MAX {
            match self.events.front() {
                Some(oldest) if oldest.change.revision <= persisted => {
                    self.floor = oldest.change.revision;
                    self.bytes -= oldest.size_bytes();
                    self.events.pop_front();
                }
                _ => return,
            }
        }
    }
}

/// All feeds of a master.
pub(crate) struct Feeds {
    by_collection: Mutex<BTreeMap<String, Arc<Feed>>>,
    /// The revision before the first change that was published: the floor of a feed made later.
    started_at: Mutex<u64>,
}

impl Feeds {
    pub(crate) fn new(revision: u64) -> Self {
        Self { by_collection: Mutex::default(), started_at: Mutex::new(revision) }
    }

    fn of(&self, collection: &str) -> Arc<Feed> {
        let mut feeds = self.by_collection.lock();
        if let Some(feed) = feeds.get(collection) {
            return Arc::clone(feed);
        }
        // A feed appears with its first change or first watch: before that, there was nothing.
        let floor = *self.started_at.lock();
        let window = Window { events: VecDeque::new(), bytes: 0, floor };
        let feed = Arc::new(Feed { window: RwLock::new(window), tip: watch::Sender::new(floor) });
        feeds.insert(collection.to_owned(), Arc::clone(&feed));
        feed
    }

    /// Adds changes, in order of revision. `persisted` is what the version store holds.
    pub(crate) fn publish(&self, changes: Vec<Change>, persisted: u64) {
        let mut by_collection: BTreeMap<String, Vec<Change>> = BTreeMap::new();
        for change in changes {
            let collection = change.object.key.collection();
            match by_collection.get_mut(collection) {
                Some(waiting) => waiting.push(change),
                None => drop(by_collection.insert(collection.to_owned(), vec![change])),
            }
        }
        for (collection, changes) in by_collection {
            let feed = self.of(&collection);
            let mut window = feed.window.write();
            let mut tip = window.floor;
            for change in changes {
                tip = change.revision;
                let event = Event::new(change);
                window.bytes += event.size_bytes();
                window.events.push_back(event);
            }
            window.trim(persisted);
            drop(window);
            feed.tip.send_replace(tip);
        }
    }

    /// Ends every watch and starts anew after `revision`.
    pub(crate) fn reset(&self, revision: u64) {
        let mut feeds = self.by_collection.lock();
        *self.started_at.lock() = revision;
        // Dropping the last sender wakes the watches; those in the middle of a read hold the feed, so
        // its tip is marked as well.
        for feed in std::mem::take(&mut *feeds).into_values() {
            feed.tip.send_replace(RESET);
        }
    }
}

/// The tip of a feed whose watches must end.
const RESET: u64 = u64::MAX;

/// Why a watch ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchEnd {
    /// History no longer reaches back to where it stands.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// This master's State was replaced by a snapshot: resume.
    #[error("this master installed a snapshot")]
    Reset,
    /// The version store could not be read.
    #[error("history cannot be read: {0}")]
    History(String),
}

impl From<ViewError> for WatchEnd {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Gone(gone) => Self::Gone(gone),
            error => Self::History(error.to_string()),
        }
    }
}

/// One reader of one collection.
pub struct Watch {
    shared: Arc<Shared>,
    feed: Arc<Feed>,
    tip: watch::Receiver<u64>,
    /// Only keys that begin with this.
    prefix: String,
    /// Everything up to this revision was handed out.
    cursor: u64,
}

impl Watch {
    /// Reads changes under `prefix` (a collection, a namespace in one, or one object's key) after
    /// `revision`.
    ///
    /// # Errors
    /// [`Gone`] when history no longer reaches back that far.
    pub(crate) fn start(shared: Arc<Shared>, prefix: &str, revision: u64) -> Result<Self, WatchEnd> {
        let collection = collection_of(prefix);
        let feed = shared.feeds.of(collection);
        let tip = feed.tip.subscribe();
        if revision < feed.window.read().floor {
            let versions = shared.versions();
            let floor = versions.floor(collection).map_err(|error| WatchEnd::History(error.to_string()))?;
            if revision < floor {
                return Err(Gone { revision, floor }.into());
            }
        }
        Ok(Self { shared, feed, tip, prefix: prefix.to_owned(), cursor: revision })
    }

    /// Waits for the next changes: at least one, in order, at most [`WATCH_BATCH_MAX`] and no more once
    /// they hold [`WATCH_BATCH_BYTES_MAX`]; from history, [`storage::versions::ANSWER_BYTES_MAX`]. Cancel-safe.
    ///
    /// # Errors
    /// [`WatchEnd`]; the watch is then over.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, WatchEnd> {
        loop {
            if *self.tip.borrow_and_update() == RESET {
                return Err(WatchEnd::Reset);
            }
            let (events, in_memory) = match self.window_events() {
                Some(events) => (events, true),
                None => (self.history_events().await?, false),
            };
            if !events.is_empty() {
                return Ok(events);
            }
            // A page of history without a match: on to the next, until the window is reached.
            if !in_memory {
                continue;
            }
            let looked_at = env::monotonic();
            // Nothing is lost between the look and the wait: the tip was marked as seen before it.
            if self.tip.changed().await.is_err() {
                return Err(WatchEnd::Reset);
            }
            // Also when nothing was found: looking in vain is what most watches of a busy collection do.
            env::sleep_until(looked_at + self.pace()).await;
        }
    }

    /// How long after a look that found nothing more the next is, at the soonest.
    fn pace(&self) -> Duration {
        let watches = u32::try_from(self.feed.tip.receiver_count()).unwrap_or(u32::MAX);
        WATCH_PACE.saturating_mul(watches).min(WATCH_PACE_MAX)
    }

    /// A revision up to which every change under the prefix was handed out: what a bookmark says.
    pub fn progress(&mut self) -> u64 {
        // Changes are published to feeds before their moment is, so whatever this moment holds is in
        // the window already.
        let revision = self.shared.moments.newest().revision();
        // Feeds are reset before moments are: past this, the moment is none of after the reset.
        if *self.tip.borrow() == RESET {
            return self.cursor;
        }
        let window = self.feed.window.read();
        let waiting = window.events.partition_point(|event| event.change.revision <= self.cursor);
        let behind = window.events.range(waiting..).any(|event| self.matches(&event.change.object.key));
        if !behind && self.cursor >= window.floor {
            drop(window);
            self.cursor = self.cursor.max(revision);
        }
        self.cursor
    }

    /// The next events in memory, perhaps none; `None` when the cursor lies before the window.
    fn window_events(&mut self) -> Option<Vec<Arc<Event>>> {
        let window = self.feed.window.read();
        if self.cursor < window.floor {
            return None;
        }
        let start = window.events.partition_point(|event| event.change.revision <= self.cursor);
        let (mut events, mut size_bytes) = (Vec::new(), 0);
        let mut cursor = self.cursor;
        for event in window.events.range((Bound::Included(start), Bound::Unbounded)) {
            cursor = event.change.revision;
            if self.matches(&event.change.object.key) {
                events.push(Arc::clone(event));
                size_bytes += event.size_bytes();
                if events.len() == WATCH_BATCH_MAX || size_bytes >= WATCH_BATCH_BYTES_MAX {
                    break;
                }
            }
        }
        drop(window);
        self.cursor = cursor;
        Some(events)
    }

    /// The next events from the version store.
    async fn history_events(&mut self) -> Result<Vec<Arc<Event>>, WatchEnd> {
        let (prefix, cursor) = (self.prefix.clone(), self.cursor);
        let history = self.shared.history();
        let read = history.ask(move |versions| changes_since(versions, &prefix, cursor, WATCH_BATCH_MAX));
        let (changes, complete_to) = read.await?;
        self.cursor = complete_to.max(self.cursor);
        Ok(changes.into_iter().map(Event::new).collect())
    }

    fn matches(&self, key: &Key) -> bool {
        key.as_str().starts_with(&self.prefix)
    }
}

/// The collection that a prefix lies in.
fn collection_of(prefix: &str) -> &str {
    let parts = if prefix.starts_with(api::key::INTERNAL) { 1 } else { 2 };
    prefix.match_indices('/').nth(parts - 1).map_or(prefix, |(at, _)| &prefix[..=at])
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Context;

    use super::*;
    use crate::testing::{Alone, txn};

    #[test]
    fn a_bookmark_does_not_run_ahead_of_events_that_a_snapshot_brought() {
        env::simulate(1, async {
            let (mut sender, mut receiver) = (Alone::new(), Alone::new());
            receiver.persist(u64::MAX);
            sender.persist(u64::MAX);
            receiver.write(&[("configmaps", "a")]).await;
            for _ in 0..5 {
                sender.write(&[("configmaps", "a")]).await;
            }
            let mut watch =
                Watch::start(Arc::clone(&receiver.shared), "core/configmaps/", 0).expect("from the start");
            assert_eq!(watch.next().await.expect("goes on").len(), 1);
            assert_eq!(watch.progress(), 1);
            receiver.install_from(&mut sender).await;
            assert_eq!(receiver.shared.moments.newest().revision(), 5);
            assert_eq!(watch.progress(), 1, "2 to 5 were never handed out");
            assert_eq!(watch.next().await.expect_err("is over"), WatchEnd::Reset);
        });
    }

    #[test]
    fn a_watch_that_matches_nothing_keeps_the_pace_too() {
        const WRITES: u32 = 50;
        let polls = Arc::new(AtomicU32::new(0));
        env::simulate(1, async {
            let mut alone = Alone::new();
            let shared = Arc::clone(&alone.shared);
            let start = |prefix| Watch::start(Arc::clone(&shared), prefix, 0).expect("from the start");
            let _many: Vec<Watch> = (0..400).map(|_| start("core/configmaps/")).collect();
            let (mut elsewhere, counted) = (start("core/configmaps/elsewhere/"), Arc::clone(&polls));
            let watching = env::spawn(async move {
                let mut told = pin!(elsewhere.next());
                let poll = |context: &mut Context<'_>| {
                    counted.fetch_add(1, Ordering::Relaxed);
                    told.as_mut().poll(context).map(drop)
                };
                poll_fn(poll).await;
            });
            for _ in 0..WRITES {
                alone.write(&[("configmaps", "a")]).await;
                env::sleep(WATCH_PACE_MAX / WRITES).await;
            }
            assert!(!watching.is_finished(), "there was nothing to tell");
        });
        // Two polls for each piece: one to notice that there is something, one to look at it. Timers count
        // whole milliseconds, so the writes take two paces or three.
        let polls = polls.load(Ordering::Relaxed);
        assert!((2..10).contains(&polls), "{WRITES} writes elsewhere woke the watch {polls} times");
    }

    #[test]
    fn a_watch_takes_large_events_a_few_at_a_time() {
        const BALLAST_BYTES: usize = WATCH_BATCH_BYTES_MAX / 2;
        env::simulate(1, async {
            let mut alone = Alone::new();
            for request in 1..=5 {
                alone.apply(vec![vec![txn(request, &[("configmaps", "a")], BALLAST_BYTES)]]).await;
            }
            let mut watch =
                Watch::start(Arc::clone(&alone.shared), "core/configmaps/", 0).expect("from the start");
            let mut taken = Vec::new();
            while taken.iter().sum::<usize>() < 5 {
                taken.push(watch.next().await.expect("goes on").len());
            }
            assert_eq!(taken, [2, 2, 1]);
        });
    }
}
