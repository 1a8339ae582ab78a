//! A second opinion: the meaning of a transaction, written down as plainly as possible. It copies
//! everything before each transaction and throws the copy away when something does not fit.

use std::collections::BTreeMap;

use state::{FEATURE_LEVEL_MAX, Guard, Meta, Outcome, Refusal, Txn, Write, check};

/// What the laws compare [`state::State`] with.
#[derive(Clone, Debug, Default)]
pub struct Naive {
    /// Revision and meta of each object.
    pub objects: BTreeMap<String, (u64, Meta)>,
    limits: BTreeMap<String, i64>,
    /// The key of every write ever; the first has revision 1.
    written: Vec<String>,
    outcomes: BTreeMap<u128, Outcome>,
    level: u32,
}

/// Reasons are for humans, so the two opinions need not agree on them.
pub fn without_reason(outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Invalid { .. } => Outcome::Invalid { reason: String::new() },
        other => other.clone(),
    }
}

impl Naive {
    pub fn new() -> Self {
        Self { level: 1, ..Self::default() }
    }

    pub fn apply(&mut self, txn: &Txn, term: u64) -> Outcome {
        if let Some(known) = self.outcomes.get(&txn.stamp.request) {
            return known.clone();
        }
        let outcome = self.attempt(txn, term).unwrap_or_else(|failure| failure);
        self.outcomes.insert(txn.stamp.request, outcome.clone());
        outcome
    }

    fn attempt(&mut self, txn: &Txn, term: u64) -> Result<Outcome, Outcome> {
        let invalid = || Outcome::Invalid { reason: String::new() };
        let bad_prefix =
            |guard: &Guard| matches!(guard, Guard::Unwritten { prefix, .. } if !api::key::is_prefix(prefix));
        if check(txn).is_err() || txn.guards.iter().any(bad_prefix) {
            return Err(invalid());
        }
        self.all_hold(&txn.guards, |guard| self.failed(guard, term))?;
        let mut next = self.clone();
        for write in &txn.writes {
            next.write(write).ok_or_else(invalid)?;
        }
        let total = |counter: &str| next.total(counter);
        let charged = [&self.objects, &next.objects];
        let mut counters =
            charged.iter().flat_map(|objects| objects.values()).flat_map(|(_, meta)| &meta.charges);
        if counters.any(|(counter, _)| i64::try_from(total(counter)).is_err()) {
            return Err(invalid());
        }
        next.all_hold(&txn.guards, |guard| match guard {
            Guard::WithinLimit { counter } => {
                next.limits.get(counter).is_some_and(|limit| total(counter) > i128::from(*limit)).then_some(0)
            }
            _ => None,
        })?;
        *self = next;
        Ok(Outcome::Committed { revision: self.written.len() as u64 })
    }

    fn all_hold(&self, guards: &[Guard], failed: impl Fn(&Guard) -> Option<u64>) -> Result<(), Outcome> {
        for (index, guard) in guards.iter().enumerate() {
            if let Some(revision) = failed(guard) {
                return Err(Outcome::Refused(Refusal { guard: index as u32, revision }));
            }
        }
        Ok(())
    }

    fn failed(&self, guard: &Guard, term: u64) -> Option<u64> {
        let object = |key: &api::Key| self.objects.get(key.as_str());
        let revision = |key: &api::Key| object(key).map_or(0, |(revision, _)| *revision);
        let (holds, revision) = match guard {
            Guard::AtRevision { key, revision: expected } => {
                (object(key).is_some_and(|(found, _)| found == expected), revision(key))
            }
            Guard::Absent { key } => (object(key).is_none(), revision(key)),
            Guard::Live { key, uid } => {
                let live = |meta: &Meta| !meta.deleting && (uid.is_empty() || meta.uid == *uid);
                (object(key).is_some_and(|(_, meta)| live(meta)), revision(key))
            }
            Guard::AtGeneration { key, generation } => {
                (object(key).is_some_and(|(_, meta)| meta.generation == *generation), revision(key))
            }
            Guard::Unwritten { prefix, since } => {
                let last = self
                    .written
                    .iter()
                    .rposition(|key| key.starts_with(prefix))
                    .map_or(0, |at| at as u64 + 1);
                (last <= *since, last)
            }
            Guard::LeaderTerm { term: expected } => (*expected == term, 0),
            Guard::WithinLimit { .. } => (true, 0),
        };
        (!holds).then_some(revision)
    }

    fn write(&mut self, write: &Write) -> Option<()> {
        match write {
            Write::Put { key, body, splice, meta } => {
                if let Some(at) = *splice {
                    let before = *body.get((at as usize).checked_sub(1)?)?;
                    let after = *body.get(at as usize)?;
                    if !b"{,".contains(&before) || after != b'"' {
                        return None;
                    }
                }
                let mut names: Vec<&String> = meta.charges.iter().map(|(counter, _)| counter).collect();
                names.sort();
                names.dedup();
                if names.len() < meta.charges.len() {
                    return None;
                }
                self.written.push(key.to_string());
                self.objects.insert(key.to_string(), (self.written.len() as u64, meta.clone()));
            }
            Write::Delete { key } => {
                self.objects.remove(key.as_str())?;
                self.written.push(key.to_string());
            }
            Write::Limit { counter, limit: Some(limit) } => {
                self.limits.insert(counter.clone(), *limit);
            }
            Write::Limit { counter, limit: None } => {
                self.limits.remove(counter);
            }
            Write::FeatureLevel { level } => {
                if *level < self.level || *level > FEATURE_LEVEL_MAX {
                    return None;
                }
                self.level = *level;
            }
        }
        Some(())
    }

    /// The sum of what the objects charge to a counter.
    pub fn total(&self, counter: &str) -> i128 {
        let charges = self.objects.values().flat_map(|(_, meta)| &meta.charges);
        charges.filter(|(name, _)| name == counter).map(|(_, amount)| i128::from(*amount)).sum()
    }
}
