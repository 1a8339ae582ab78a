//! One log entry's step from State to State.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use api::Key;
use bytes::Bytes;

use crate::change::Change;
use crate::draft::{Draft, check_form};
use crate::guard::{first_exceeded, first_failed};
use crate::hash;
use crate::image;
use crate::level::{LEVELS, Levels};
use crate::object::{Meta, Object, body_of};
use crate::outcomes::Recorded;
use crate::prefixes::Record;
use crate::shared;
use crate::state::State;
use crate::txn::{Batch, Outcome, Txn, Write};

/// A committed log entry that holds a batch.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its index in the log.
    pub index: u64,
    /// The term of the leader that proposed it.
    pub term: u64,
    /// Its payload, decoded.
    pub batch: &'a Batch,
}

/// What an entry did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// State after it.
    pub state: State,
    /// Every write, in order of revision.
    pub changes: Vec<Change>,
    /// What came of each transaction, by request id, in their order.
    pub outcomes: Vec<(u128, Outcome)>,
    /// Side records of the durable image that change, by key; `None` removes. See [`crate::image`].
    pub sides: Vec<(Vec<u8>, Option<Bytes>)>,
}

/// Applies one entry. Pure and total: the same State and entry give the same result on every master,
/// and whatever the batch holds, each of its transactions gets an outcome.
pub fn apply(state: &State, entry: &Entry<'_>) -> Applied {
    apply_knowing(LEVELS, state, entry)
}

/// [`apply`], by a program that knows these feature levels.
pub fn apply_knowing(levels: Levels, state: &State, entry: &Entry<'_>) -> Applied {
    let mut step = Step {
        state: state.clone(),
        term: entry.term,
        levels,
        changes: Vec::with_capacity(entry.batch.txns.len()),
        sides: BTreeMap::new(),
    };
    // The leader never lets its clock run backwards; should one do so, the log's does not.
    step.state.head.time_ms = step.state.head.time_ms.max(entry.batch.time_ms);
    let txns = &entry.batch.txns;
    let outcomes = txns.iter().map(|txn| (txn.stamp.request, step.txn(txn))).collect();
    let level = levels.of(step.state.feature_level());
    step.state.stand_at(entry.index, entry.term, level);
    step.state.check_in_debug();
    let sides = step.sides.into_iter().collect();
    Applied { state: step.state, changes: step.changes, outcomes, sides }
}

/// An entry being applied.
struct Step {
    state: State,
    term: u64,
    levels: Levels,
    changes: Vec<Change>,
    /// A map, because most entries write the same prefixes again and again.
    sides: BTreeMap<Vec<u8>, Option<Bytes>>,
}

impl Step {
    fn txn(&mut self, txn: &Txn) -> Outcome {
        let request = txn.stamp.request;
        if let Some(known) = self.state.outcome(request) {
            return known;
        }
        let outcome = self.decide_and_do(txn);
        let recorded = Recorded { request, outcome: outcome.clone() };
        let (key, value) = image::outcome_side(self.state.outcomes.next(), &recorded);
        self.sides.insert(key, Some(value));
        self.state.outcomes.remember(recorded);
        outcome
    }

    fn decide_and_do(&mut self, txn: &Txn) -> Outcome {
        if let Err(reason) = check_form(txn) {
            return Outcome::Invalid { reason };
        }
        if let Some(refusal) = first_failed(&txn.guards, &self.state, self.term) {
            return Outcome::Refused(refusal);
        }
        let draft = match Draft::of(txn, &self.state, self.levels) {
            Ok(draft) => draft,
            Err(reason) => return Outcome::Invalid { reason },
        };
        if let Some(refusal) = first_exceeded(&txn.guards, &self.state, &draft) {
            return Outcome::Refused(refusal);
        }
        for (counter, sum) in draft.into_counters(&self.state) {
            self.state.counters.set(&counter, sum);
        }
        let actor = shared::text(&txn.stamp.actor);
        for write in &txn.writes {
            self.write(write, txn, &actor);
        }
        Outcome::Committed { revision: self.state.revision() }
    }

    fn write(&mut self, write: &Write, txn: &Txn, actor: &Arc<str>) {
        match write {
            Write::Put { key, body, splice, meta } => {
                self.put(key, body, *splice, meta, txn.stamp.request, actor);
            }
            Write::Delete { key } => self.delete(key, txn.stamp.request, actor),
            Write::Limit { counter, limit } => {
                self.state.set_limit(counter, *limit);
                let (key, value) = image::limit_side(counter, *limit);
                self.sides.insert(key, value);
            }
            Write::FeatureLevel { level } => self.state.head.feature_level = *level,
        }
    }

    fn put(&mut self, key: &Key, body: &[u8], at: Option<u32>, meta: &Meta, request: u128, actor: &Arc<str>) {
        let revision = self.next_revision();
        let previous = self.state.get(key.as_str()).cloned();
        let object = Arc::new(Object {
            // An update shares what it can with the version before it.
            key: previous.as_ref().map_or_else(|| key.clone(), |before| before.key.clone()),
            bytes: body_of(body, at, revision),
            meta: meta.clone(),
            revision,
            created: previous.as_ref().map_or(revision, |before| before.created),
            previous: previous.as_ref().map_or(0, |before| before.revision),
            time_ms: self.state.time_ms(),
            actor: Arc::clone(actor),
            request,
            splice: at,
            labels: OnceLock::new(),
        });
        self.state.prefixes.put(key, revision, previous.is_none());
        self.account(previous.as_deref(), Some(&object));
        self.state.objects.insert(object.key.clone(), Arc::clone(&object));
        self.changes.push(Change { revision, object, previous, deleted: false });
    }

    fn delete(&mut self, key: &Key, request: u128, actor: &Arc<str>) {
        let revision = self.next_revision();
        let removed = self.state.objects.remove(key.as_str());
        let previous = removed.expect("deleting an absent object was refused when the draft was made");
        let object = Arc::new(Object {
            key: previous.key.clone(),
            bytes: body_of(&previous.body(), previous.splice, revision),
            meta: previous.meta.clone(),
            revision,
            created: previous.created,
            previous: previous.revision,
            time_ms: self.state.time_ms(),
            actor: Arc::clone(actor),
            request,
            splice: previous.splice,
            labels: OnceLock::new(),
        });
        let mut records: Vec<Record> = Vec::new();
        self.state.prefixes.delete(key, revision, &mut records);
        for (prefix, last_delete) in records {
            let (key, value) = image::prefix_side(&prefix, last_delete);
            self.sides.insert(key, value);
        }
        self.account(Some(&previous), None);
        self.changes.push(Change { revision, object, previous: Some(previous), deleted: true });
    }

    fn next_revision(&mut self) -> u64 {
        // The draft has made sure that there is a next one.
        self.state.head.revision += 1;
        self.state.head.revision
    }

    /// Keeps the sum of the objects' digests.
    fn account(&mut self, before: Option<&Object>, after: Option<&Object>) {
        let sum = &mut self.state.objects_sum;
        *sum = sum.wrapping_sub(before.map_or(0, hash::object)).wrapping_add(after.map_or(0, hash::object));
    }
}
