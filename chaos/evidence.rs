//! What was seen of a cluster from outside, for the checks to judge. Plain data.

use std::collections::BTreeMap;

use crate::watch::{Event, EventKind};

/// What a writer did to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Made it.
    Create,
    /// Replaced it, guarded by the revision it had.
    Update,
    /// Removed it.
    Delete,
}

impl Operation {
    /// The value that the object has after it.
    pub fn value(self) -> Option<&'static str> {
        match self {
            Self::Create => Some("created"),
            Self::Update => Some("updated"),
            Self::Delete => None,
        }
    }

    /// How a watch shows it.
    pub fn event(self) -> EventKind {
        match self {
            Self::Create => EventKind::Added,
            Self::Update => EventKind::Modified,
            Self::Delete => EventKind::Deleted,
        }
    }
}

/// What the writer knows about a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, at this revision when the answer told it (a delete's does not).
    Acknowledged(Option<u64>),
    /// Certainly not done. The reason is empty when nothing was sent.
    Refused(String),
    /// Done, not done, or done later.
    Open,
}

/// One write. Every object has one writer, which leaves it alone after an outcome it does not know.
#[derive(Clone, Debug)]
pub struct Write {
    /// The object's name.
    pub name: String,
    /// What was done to it.
    pub operation: Operation,
    /// What came of it.
    pub outcome: Outcome,
    /// Microseconds since the traffic's start at which it was sent.
    pub started_us: u64,
    /// Microseconds since the traffic's start at which its fate was known.
    pub ended_us: u64,
}

/// One read that asked for fresh data.
#[derive(Clone, Debug)]
pub struct Read {
    /// Who answered.
    pub master: String,
    /// The revision of the answer.
    pub revision: u64,
    /// As in [`Write`].
    pub started_us: u64,
}

/// Everything one master holds at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Who answered.
    pub master: String,
    /// Each object's value and revision.
    pub objects: BTreeMap<String, (String, u64)>,
}

/// Everything one watcher saw, over all the masters it went to.
#[derive(Clone, Debug, Default)]
pub struct WatchLog {
    /// The revision it began after.
    pub from: u64,
    /// In the order seen, bookmarks included.
    pub events: Vec<Event>,
    /// Each master it watched, in order.
    pub masters: Vec<String>,
    /// What ended it before the last event, such as a 410.
    pub failure: Option<String>,
}

/// Everything seen between the start and the end of one traffic.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// All writes, in the order in which their fates became known.
    pub writes: Vec<Write>,
    /// All reads.
    pub reads: Vec<Read>,
    /// The end state, as each master gives it.
    pub listings: Vec<Listing>,
    /// All watches.
    pub watches: Vec<WatchLog>,
    /// What `kctl cluster verify` said against the cluster; `None` when it found the masters equal.
    pub verify_failure: Option<String>,
}

impl Evidence {
    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.writes.iter().filter(|write| matches!(write.outcome, Outcome::Acknowledged(_))).count()
    }

    /// How many writes have an unknown outcome.
    pub fn open(&self) -> usize {
        self.writes.iter().filter(|write| write.outcome == Outcome::Open).count()
    }

    /// The longest time without an acknowledgement, in milliseconds.
    pub fn longest_silence_ms(&self) -> u64 {
        let acknowledged =
            self.writes.iter().filter(|write| matches!(write.outcome, Outcome::Acknowledged(_)));
        let times: Vec<u64> = acknowledged.map(|write| write.ended_us).collect();
        times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]) / 1000).max().unwrap_or(0)
    }
}
