//! State checks itself: everything that follows from the objects is computed again and compared.

use std::collections::BTreeMap;

use crate::hash;
use crate::prefixes::EMPTIED_PREFIXES_MAX;
use crate::state::{OUTCOMES_KEPT, State};

/// A State that contradicts itself: a mistake in apply, or damaged memory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("state contradicts itself: {0}")]
pub struct Damage(pub(crate) String);

impl State {
    /// Computes counters, prefixes and digests again from the objects, and compares. O(n).
    ///
    /// # Errors
    /// Names the first contradiction.
    pub fn validate(&self) -> Result<(), Damage> {
        self.check_bounds()?;
        self.check_objects()?;
        self.check_counters()?;
        self.check_prefixes()?;
        let sum = |digests: &mut dyn Iterator<Item = u128>| digests.fold(0, u128::wrapping_add);
        let digests = [
            ("objects", self.objects_sum, sum(&mut self.objects.values().map(|object| hash::object(object)))),
            (
                "limits",
                self.limits_sum,
                sum(&mut self.limits.iter().map(|(name, limit)| hash::limit(name, *limit))),
            ),
            (
                "prefixes",
                self.prefixes.sum(),
                sum(&mut self.prefixes.iter().map(|(name, prefix)| hash::prefix(name, prefix.last_written))),
            ),
            (
                "outcomes",
                self.outcomes.sum(),
                sum(&mut self
                    .outcomes
                    .iter()
                    .map(|(at, recorded)| hash::outcome(at, recorded.request, &recorded.outcome))),
            ),
        ];
        for (what, kept, computed) in digests {
            ensure(kept == computed, || {
                format!("the digest of the {what} is {kept:032x}, computed {computed:032x}")
            })?;
        }
        Ok(())
    }

    /// What is cheap enough to look at after every entry.
    fn check_bounds(&self) -> Result<(), Damage> {
        let outcomes = self.outcomes.len() as u64;
        ensure(outcomes == self.outcomes.next().min(OUTCOMES_KEPT), || {
            format!("{outcomes} outcomes are kept")
        })?;
        let emptied = self.prefixes.emptied();
        ensure(emptied <= EMPTIED_PREFIXES_MAX, || format!("{emptied} emptied prefixes are kept"))?;
        ensure(self.objects.len() as u64 <= self.revision(), || "more objects than writes".to_owned())
    }

    fn check_objects(&self) -> Result<(), Damage> {
        for (key, object) in &self.objects {
            let rises = object.previous < object.revision
                && object.created <= object.revision
                && object.revision <= self.revision();
            ensure(*key == object.key && rises, || {
                format!("{key} does not fit revision {}", object.revision)
            })?;
        }
        Ok(())
    }

    fn check_counters(&self) -> Result<(), Damage> {
        let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
        for object in self.objects.values() {
            for (counter, amount) in &object.meta.charges {
                *sums.entry(counter).or_insert(0) += i128::from(*amount);
            }
        }
        sums.retain(|_, sum| *sum != 0);
        let kept: BTreeMap<&str, i128> =
            self.counters.iter().map(|(counter, sum)| (counter, i128::from(sum))).collect();
        ensure(kept == sums, || format!("counters are {kept:?}, their charges sum to {sums:?}"))
    }

    fn check_prefixes(&self) -> Result<(), Damage> {
        let mut found: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for object in self.objects.values() {
            for prefix in crate::prefixes::prefixes_of(&object.key) {
                let (count, last) = found.entry(prefix).or_insert((0, 0));
                *count += 1;
                *last = object.revision.max(*last);
            }
        }
        for (name, prefix) in self.prefixes.iter() {
            let (count, last) = found.remove(&**name).unwrap_or((0, 0));
            ensure(prefix.count == count && prefix.last_written >= last, || {
                format!("{name} is known as {prefix:?}, but has {count} objects up to revision {last}")
            })?;
        }
        ensure(found.is_empty(), || format!("prefixes are missing: {found:?}"))
    }

    /// In debug builds: cheap checks after every entry, all of them when the index is a power of two,
    /// so that a test of n entries pays O(n) and not O(n^2).
    pub(crate) fn check_in_debug(&self) {
        if cfg!(debug_assertions) {
            let found = if self.index().is_power_of_two() { self.validate() } else { self.check_bounds() };
            assert_eq!(found, Ok(()), "after entry {}", self.index());
        }
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Damage> {
    if holds { Ok(()) } else { Err(Damage(otherwise())) }
}
