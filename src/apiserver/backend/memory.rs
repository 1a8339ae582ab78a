//! The twin in memory: one State, applied at once. Fails on demand.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use base::env;
use parking_lot::Mutex;
use replica::limits::{REVISION_TIMEOUT, WATCH_BATCH_MAX};
use replica::{
    AtLeastError, Behind, Committed, Event, Gone, Moment, ProposeError, Unavailable, View, ViewError,
    WatchEnd,
};
use state::{Batch, Entry, State, Txn};
use tokio::sync::watch;

use super::{Backend, Changes};

/// A cluster of one, in memory.
#[derive(Clone)]
pub(crate) struct Memory {
    moments: watch::Sender<Arc<Moment>>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    events: VecDeque<Arc<Event>>,
    moments: Vec<Arc<Moment>>,
    /// Reads and watches before this revision are refused.
    floor: u64,
    /// Snapshots installed: a watch lives under one.
    snapshots: u64,
    /// What [`Backend::moment`] shows instead of the newest.
    stale: Option<Arc<Moment>>,
    /// Whether the next proposal ends that.
    catches_up: bool,
    without_quorum: bool,
    /// What the next proposal answers instead of being applied.
    propose_error: Option<ProposeError>,
    /// Transactions that somebody else gets in before the next proposal.
    intruders: VecDeque<Txn>,
    /// How often somebody proposed, whatever came of it.
    proposals: usize,
    /// What it lacks since its start.
    behind: Option<Behind>,
}

impl Shared {
    /// What happens to a proposal: who gets in before it.
    fn proposed(&mut self) -> Result<Option<Txn>, ProposeError> {
        self.proposals += 1;
        if std::mem::take(&mut self.catches_up) {
            self.stale = None;
        }
        if let Some(error) = self.propose_error.take() {
            return Err(error);
        }
        if self.without_quorum {
            return Err(ProposeError::Unavailable { reason: "no master leads".into() });
        }
        Ok(self.intruders.pop_front())
    }
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self::of(State::default())
    }

    /// One that begins with a State, and without its history.
    pub(crate) fn of(state: State) -> Self {
        let index = state.index();
        let first = Arc::new(Moment { state, index, term: 1 });
        Self { moments: watch::Sender::new(first), shared: Arc::default() }
    }

    /// Shows readers of what is local an old moment, until somebody waits for a newer one.
    pub(crate) fn lag(&self, moment: Arc<Moment>) {
        self.shared.lock().stale = Some(moment);
    }

    /// The same until the next proposal: what it answers shows the newest.
    pub(crate) fn lag_once(&self, moment: Arc<Moment>) {
        let mut shared = self.shared.lock();
        shared.stale = Some(moment);
        shared.catches_up = true;
    }

    /// Lets it have started a moment ago, and lack something.
    pub(crate) fn fall_behind(&self, behind: Behind) {
        self.shared.lock().behind = Some(behind);
    }

    pub(crate) fn lose_quorum(&self) {
        self.shared.lock().without_quorum = true;
    }

    pub(crate) fn fail_next(&self, error: ProposeError) {
        self.shared.lock().propose_error = Some(error);
    }

    /// Lets `txn` in just before the next proposal.
    pub(crate) fn intrude(&self, txn: Txn) {
        self.shared.lock().intruders.push_back(txn);
    }

    /// How often somebody proposed so far.
    pub(crate) fn proposals(&self) -> usize {
        self.shared.lock().proposals
    }

    /// Every State after a revision, and what led to it from the one before.
    pub(crate) fn steps(&self, revision: u64) -> Vec<(State, Vec<state::Change>)> {
        let shared = self.shared.lock();
        let mut before = revision;
        let moments = shared.moments.iter().filter(|moment| moment.revision() > revision);
        let steps = moments.map(|moment| {
            let (from, to) = (before, moment.revision());
            before = to;
            let is_within = |change: &&state::Change| change.revision > from && change.revision <= to;
            let changes = shared.events.iter().map(|event| &event.change).filter(is_within).cloned();
            (moment.state.clone(), changes.collect())
        });
        steps.collect()
    }

    /// Forgets history up to now.
    pub(crate) fn compact(&self) {
        let revision = self.newest().revision();
        let mut shared = self.shared.lock();
        shared.floor = revision;
        shared.events.clear();
        shared.moments.retain(|moment| moment.revision() >= revision);
    }

    /// Ends every watch, as a snapshot does that brings its history along.
    pub(crate) fn install_snapshot(&self) {
        self.shared.lock().snapshots += 1;
        self.moments.send_modify(|_| ());
    }

    fn newest(&self) -> Arc<Moment> {
        Arc::clone(&self.moments.borrow())
    }

    pub(crate) fn apply(&self, txn: Txn) -> Committed {
        let before = self.newest();
        let index = before.index + 1;
        let batch = Batch { time_ms: env::wall_ms().max(before.state.time_ms()), txns: vec![txn] };
        let applied = state::apply(&before.state, &Entry { index, term: 1, batch: &batch });
        let mut shared = self.shared.lock();
        let events =
            applied.changes.into_iter().map(|change| Arc::new(Event { change, frame: OnceLock::new() }));
        shared.events.extend(events);
        let moment = Arc::new(Moment { state: applied.state, index, term: 1 });
        shared.moments.push(Arc::clone(&moment));
        drop(shared);
        self.moments.send_replace(Arc::clone(&moment));
        let (_, outcome) = applied.outcomes.into_iter().next().expect("one transaction, one outcome");
        Committed { outcome, moment }
    }
}

#[async_trait::async_trait]
impl Backend for Memory {
    fn moment(&self) -> Arc<Moment> {
        let stale = self.shared.lock().stale.clone();
        stale.unwrap_or_else(|| self.newest())
    }

    async fn linearizable(&self) -> Result<Arc<Moment>, Unavailable> {
        if self.shared.lock().without_quorum {
            let reason = "no quorum of masters answered in time".into();
            return Err(Unavailable::Unconfirmed { reason });
        }
        Ok(self.newest())
    }

    async fn at_least(&self, revision: u64) -> Result<Arc<Moment>, AtLeastError> {
        let mut moments = self.moments.subscribe();
        let reached = moments.wait_for(|moment| moment.revision() >= revision);
        match env::timeout(REVISION_TIMEOUT, reached).await {
            Ok(Ok(moment)) => {
                self.shared.lock().stale.take_if(|stale| stale.revision() < revision);
                Ok(Arc::clone(&moment))
            }
            _ => Err(AtLeastError::TooLarge { revision, current: self.newest().revision() }),
        }
    }

    async fn exact(&self, _: &str, revision: u64) -> Result<View, ViewError> {
        let shared = self.shared.lock();
        let found = shared.moments.iter().find(|moment| moment.revision() >= revision).cloned();
        match found.filter(|_| revision >= shared.floor) {
            Some(moment) => Ok(View::Memory(moment)),
            None => Err(Gone { revision, floor: shared.floor }.into()),
        }
    }

    async fn propose(&self, txn: Txn) -> Result<Committed, ProposeError> {
        let intruder = self.shared.lock().proposed()?;
        if let Some(intruder) = intruder {
            self.apply(intruder);
        }
        Ok(self.apply(txn))
    }

    fn watch(&self, prefix: &str, revision: u64) -> Result<Box<dyn Changes>, WatchEnd> {
        let (floor, snapshots) = {
            let shared = self.shared.lock();
            (shared.floor, shared.snapshots)
        };
        if revision < floor {
            return Err(Gone { revision, floor }.into());
        }
        let changes = MemoryChanges {
            memory: self.clone(),
            snapshots,
            moments: self.moments.subscribe(),
            prefix: prefix.to_owned(),
            cursor: revision,
        };
        Ok(Box::new(changes))
    }

    fn caught_up(&self) -> Result<(), Behind> {
        self.shared.lock().behind.clone().map_or(Ok(()), Err)
    }

    fn leading_term(&self) -> Option<u64> {
        Some(1)
    }
}

struct MemoryChanges {
    memory: Memory,
    snapshots: u64,
    moments: watch::Receiver<Arc<Moment>>,
    prefix: String,
    cursor: u64,
}

impl MemoryChanges {
    /// The events after the cursor.
    fn waiting(&self) -> Result<Vec<Arc<Event>>, WatchEnd> {
        let shared = self.memory.shared.lock();
        if shared.snapshots != self.snapshots {
            return Err(WatchEnd::Reset);
        }
        let (revision, floor) = (self.cursor, shared.floor);
        if revision < floor {
            return Err(Gone { revision, floor }.into());
        }
        let is_wanted = |event: &&Arc<Event>| {
            event.change.revision > revision && event.change.object.key.as_str().starts_with(&self.prefix)
        };
        Ok(shared.events.iter().filter(is_wanted).take(WATCH_BATCH_MAX).cloned().collect())
    }
}

#[async_trait::async_trait]
impl Changes for MemoryChanges {
    async fn next(&mut self) -> Result<Vec<Arc<Event>>, WatchEnd> {
        loop {
            self.moments.borrow_and_update();
            let events = self.waiting()?;
            if let Some(last) = events.last() {
                self.cursor = last.change.revision;
                return Ok(events);
            }
            self.moments.changed().await.map_err(|_| WatchEnd::Reset)?;
        }
    }

    fn progress(&mut self) -> u64 {
        self.cursor.max(self.memory.newest().revision())
    }
}

/// The twin as the suite sees it.
struct Twin(Memory);

#[async_trait::async_trait]
impl super::conformance::Subject for Twin {
    fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(self.0.clone())
    }

    async fn forget(&mut self) {
        self.0.compact();
    }
}

#[test]
fn the_twin_keeps_what_is_expected_of_a_backend() {
    for seed in 1..=3 {
        let verdict =
            env::simulate(seed, async { super::conformance::suite(&mut Twin(Memory::new()), 1).await });
        assert_eq!(verdict, Ok(()), "seed {seed}");
    }
}
