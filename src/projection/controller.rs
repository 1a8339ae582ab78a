//! What a controller is: when it is woken, and what it plans.

use std::collections::BTreeSet;

use api::{Key, Status};
use state::Change;

use crate::intent::Intent;
use crate::world::World;

/// A controller: a row of a table, with pure functions in it.
#[derive(Clone, Copy)]
pub struct Controller {
    /// `replicaset`: in metrics, logs and what-if.
    pub name: &'static str,
    /// On whose behalf it acts: `system:serviceaccount:kube-system:replicaset-controller`.
    pub actor: &'static str,
    /// What it is called in the Events that it tells: `replicaset-controller`.
    pub component: &'static str,
    /// Which keys a change is about. World has taken the change in; what was there before is in the change.
    pub wakes: fn(&World, &Change, &mut Wakes),
    /// All keys, for the sweep.
    pub keys: fn(&World, &mut Wakes),
    /// What to do about a key. Level-triggered: it looks at all of World, whatever woke it.
    pub plan: fn(&World, &Key, &LastOutcomes, u64) -> Plan,
}

/// Keys to be planned.
#[derive(Debug, Default)]
pub struct Wakes(BTreeSet<Key>);

impl Wakes {
    /// Adds a key.
    pub fn add(&mut self, key: &Key) {
        self.0.insert(key.clone());
    }

    /// Those that were added, once each.
    pub fn take(&mut self) -> BTreeSet<Key> {
        std::mem::take(&mut self.0)
    }
}

/// What came of the intents that the last plan of a key had.
#[derive(Clone, Debug, Default)]
pub struct LastOutcomes {
    /// Those that admission refused.
    pub refused: Vec<Refused>,
    /// How many plans in a row had refused intents.
    pub failures: u32,
}

/// A refused intent.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Its index among the plan's intents.
    pub intent: usize,
    /// What admission said.
    pub status: Status,
}

/// What to do about a key, and why.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What to do. Each intent stands alone: others of the plan may be refused.
    pub intents: Vec<Intent>,
    /// When to look again if nothing happens before, in milliseconds since the epoch.
    pub requeue_ms: Option<u64>,
    /// Why things are as they are; they become Events.
    pub reasons: Vec<Reason>,
}

impl Plan {
    /// Looks again at this time at the latest.
    pub fn requeue_at(&mut self, at_ms: u64) {
        self.requeue_ms = Some(self.requeue_ms.map_or(at_ms, |before| before.min(at_ms)));
    }
}

/// Something worth telling about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The object.
    pub about: Key,
    /// Whether something is wrong.
    pub is_warning: bool,
    /// `FailedScheduling`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}
