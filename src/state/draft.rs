//! What a transaction's writes would do, decided before any of them is done.
//!
//! A draft that exists can be carried out: nothing in it fails halfway, so nothing is ever undone.

use std::collections::{BTreeMap, BTreeSet};

use crate::level::Levels;
use crate::object::{Meta, can_splice};
use crate::state::State;
use crate::txn::{Guard, Txn, Write};

/// The effects of a transaction's writes beside the objects themselves.
pub(crate) struct Draft<'a> {
    /// The objects written, as they would be; `None`: deleted.
    objects: BTreeMap<&'a str, Option<&'a Meta>>,
    /// The change of each counter.
    counters: BTreeMap<&'a str, i128>,
    limits: BTreeMap<&'a str, Option<i64>>,
    level: u32,
    revision: u64,
}

/// What makes a transaction invalid, for humans.
type Reason = String;

impl<'a> Draft<'a> {
    /// Decides what `txn` would do to `state`.
    pub fn of(txn: &'a Txn, state: &'a State, levels: Levels) -> Result<Self, Reason> {
        let mut draft = Self {
            objects: BTreeMap::new(),
            counters: BTreeMap::new(),
            limits: BTreeMap::new(),
            level: state.feature_level(),
            revision: state.revision(),
        };
        for write in &txn.writes {
            draft.add(write, state, levels)?;
        }
        for (counter, change) in &draft.counters {
            if state.counters.after(counter, *change).is_none() {
                return Err(format!("counter {counter} would overflow"));
            }
        }
        Ok(draft)
    }

    fn add(&mut self, write: &'a Write, state: &'a State, levels: Levels) -> Result<(), Reason> {
        match write {
            Write::Put { key, body, splice, meta } => {
                if splice.is_some_and(|at| !can_splice(body, at)) {
                    return Err(format!("{key}: the place for its revision is not in front of a member"));
                }
                check_charges(meta).map_err(|counter| format!("{key} charges {counter} twice"))?;
                self.replace(key.as_str(), Some(meta), state)?;
            }
            Write::Delete { key } => {
                if self.replace(key.as_str(), None, state)?.is_none() {
                    return Err(format!("{key} cannot be deleted: it does not exist"));
                }
            }
            Write::Limit { counter, limit } => {
                self.limits.insert(counter, *limit);
            }
            Write::FeatureLevel { level } => {
                if !(self.level..=levels.newest()).contains(level) {
                    return Err(format!("feature level {level} does not follow {}", self.level));
                }
                self.level = *level;
            }
        }
        Ok(())
    }

    /// Puts or deletes an object; returns what was there.
    fn replace(
        &mut self,
        key: &'a str,
        meta: Option<&'a Meta>,
        state: &'a State,
    ) -> Result<Option<&'a Meta>, Reason> {
        self.revision = self.revision.checked_add(1).ok_or("the revisions are used up")?;
        let before = match self.objects.insert(key, meta) {
            Some(drafted) => drafted,
            None => state.get(key).map(|object| &object.meta),
        };
        self.charge(before, -1);
        self.charge(meta, 1);
        Ok(before)
    }

    fn charge(&mut self, meta: Option<&'a Meta>, sign: i128) {
        for (counter, amount) in meta.map_or(&[][..], |meta| &meta.charges) {
            *self.counters.entry(counter).or_insert(0) += sign * i128::from(*amount);
        }
    }

    /// A counter after the writes.
    pub fn counter(&self, state: &State, counter: &str) -> i64 {
        let change = self.counters.get(counter).copied().unwrap_or(0);
        state.counters.after(counter, change).expect("overflow was refused when the draft was made")
    }

    /// A counter's limit after the writes.
    pub fn limit(&self, state: &State, counter: &str) -> Option<i64> {
        self.limits.get(counter).copied().unwrap_or_else(|| state.limit(counter))
    }

    /// The counters after the writes, of those that change. Owned: the draft borrows the State that
    /// they are then set in.
    pub fn into_counters(self, state: &State) -> Vec<(String, i64)> {
        self.counters.keys().map(|counter| ((*counter).to_owned(), self.counter(state, counter))).collect()
    }
}

/// Returns the counter that is charged twice.
fn check_charges(meta: &Meta) -> Result<(), &str> {
    let mut seen = BTreeSet::new();
    meta.charges
        .iter()
        .map(|(counter, _)| counter.as_str())
        .try_for_each(|counter| if seen.insert(counter) { Ok(()) } else { Err(counter) })
}

/// Whether everything about the transaction that does not depend on State makes sense.
pub(crate) fn check_form(txn: &Txn) -> Result<(), Reason> {
    crate::limits::check(txn).map_err(|oversize| oversize.to_string())?;
    for guard in &txn.guards {
        if let Guard::Unwritten { prefix, .. } = guard
            && !api::key::is_prefix(prefix)
        {
            return Err(format!("{prefix:?} is neither a collection nor a namespace of one"));
        }
    }
    Ok(())
}
