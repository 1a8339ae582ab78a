//! Everything the masters agree on, at one moment.

use std::ops::Bound;
use std::sync::Arc;

use api::Key;
use imbl::OrdMap;

use crate::counters::Counters;
use crate::hash::{self, Fields};
use crate::level::{FEATURE_LEVEL_FIRST, Level};
use crate::object::Object;
use crate::outcomes::Outcomes;
use crate::prefixes::Prefixes;
use crate::txn::Outcome;

/// The replicated state. Persistent: a clone is O(1) and never changes while the original moves on, so
/// a consistent list, a page of one, or a fork for "what if" is a `State` held in hand.
///
/// The default is the empty State that every log begins from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub(crate) objects: OrdMap<Key, Arc<Object>>,
    pub(crate) prefixes: Prefixes,
    pub(crate) counters: Counters,
    pub(crate) limits: OrdMap<Arc<str>, i64>,
    pub(crate) outcomes: Outcomes,
    pub(crate) head: Head,
    /// Sum of the digests of `objects`.
    pub(crate) objects_sum: u128,
    /// Sum of the digests of `limits`.
    pub(crate) limits_sum: u128,
}

/// What there is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub revision: u64,
    pub index: u64,
    pub term: u64,
    pub time_ms: u64,
    pub feature_level: u32,
    /// Digest of every entry since the level that folds history; 0 before.
    pub history: u128,
}

impl Default for State {
    fn default() -> Self {
        Self {
            objects: OrdMap::new(),
            prefixes: Prefixes::default(),
            counters: Counters::default(),
            limits: OrdMap::new(),
            outcomes: Outcomes::default(),
            head: Head {
                revision: 0,
                index: 0,
                term: 0,
                time_ms: 0,
                feature_level: FEATURE_LEVEL_FIRST,
                history: 0,
            },
            objects_sum: 0,
            limits_sum: 0,
        }
    }
}

impl State {
    /// The revision of the last write: one for each object written or deleted, from 1.
    pub fn revision(&self) -> u64 {
        self.head.revision
    }

    /// The index of the last log entry applied.
    pub fn index(&self) -> u64 {
        self.head.index
    }

    /// The term of the last log entry applied.
    pub fn term(&self) -> u64 {
        self.head.term
    }

    /// The log's clock: milliseconds since the epoch, never running backwards.
    pub fn time_ms(&self) -> u64 {
        self.head.time_ms
    }

    /// The behaviour in force (see [`crate::level`]).
    pub fn feature_level(&self) -> u32 {
        self.head.feature_level
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The object with this key.
    pub fn get(&self, key: &str) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    /// The objects whose keys begin with `prefix`, in key order. Empty: all.
    pub fn range(&self, prefix: &str) -> Range<'_> {
        self.between(Bound::Included(prefix), prefix)
    }

    /// The objects whose keys begin with `prefix` and are above `after_key`, in key order: the next
    /// page of a list.
    pub fn range_from(&self, prefix: &str, after_key: &str) -> Range<'_> {
        let start = if after_key < prefix { Bound::Included(prefix) } else { Bound::Excluded(after_key) };
        self.between(start, prefix)
    }

    fn between(&self, start: Bound<&str>, prefix: &str) -> Range<'_> {
        let end = successor(prefix);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        if let (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to)) = (start, end)
            && from >= to
        {
            return Range::empty();
        }
        Range::over(self.objects.range::<_, str>((start, end)))
    }

    /// How many objects are under a collection or a namespace of one ([`Key::collection`],
    /// [`Key::parent`]), in O(log n). Other prefixes are not counted: 0.
    pub fn count(&self, prefix: &str) -> u64 {
        self.prefixes.get(prefix).map_or(0, |known| known.count)
    }

    /// The revision of the last write or delete under a collection or a namespace of one. When nothing
    /// is known of it: a revision that it cannot be above.
    pub fn last_written(&self, prefix: &str) -> u64 {
        self.prefixes.last_written(prefix)
    }

    /// The sum of what the existing objects charge to this counter.
    pub fn counter(&self, name: &str) -> i64 {
        self.counters.get(name)
    }

    /// Every counter that is not zero, by name.
    pub fn counters(&self) -> impl Iterator<Item = (&str, i64)> {
        self.counters.iter()
    }

    /// A counter's limit.
    pub fn limit(&self, name: &str) -> Option<i64> {
        self.limits.get(name).copied()
    }

    /// What came of a request, if it is among the last [`crate::state::OUTCOMES_KEPT`].
    pub fn outcome(&self, request: u128) -> Option<Outcome> {
        self.outcomes.get(request).cloned()
    }

    /// How many requests have had an outcome since the beginning: the last
    /// [`crate::state::OUTCOMES_KEPT`] of them are remembered.
    pub fn outcomes_recorded(&self) -> u64 {
        self.outcomes.next()
    }

    /// The digest of all of it: equal on all masters at equal indexes. Takes no time: apply keeps its
    /// parts.
    pub fn hash(&self) -> u128 {
        Fields::of(b'S')
            .number(self.head.revision)
            .number(self.head.time_ms)
            .number(u64::from(self.head.feature_level))
            .number(self.prefixes.floor())
            .number(self.outcomes.next())
            .wide(self.objects_sum)
            .wide(self.limits_sum)
            .wide(self.prefixes.sum())
            .wide(self.outcomes.sum())
            .wide(self.head.history)
            .digest()
    }

    /// This State after an entry that holds no batch (a new leader's first entry, a change of members).
    #[must_use]
    pub fn advance(&self, index: u64, term: u64) -> Self {
        let mut next = self.clone();
        next.stand_at(index, term, crate::level::LEVELS.of(self.feature_level()));
        next
    }

    /// Moves to an entry whose writes are made.
    pub(crate) fn stand_at(&mut self, index: u64, term: u64, level: &Level) {
        self.head.index = index;
        self.head.term = term;
        if level.folds_history {
            self.head.history = Fields::of(b'h').wide(self.hash()).number(index).number(term).digest();
        }
    }

    pub(crate) fn set_limit(&mut self, counter: &str, limit: Option<i64>) {
        let before = match limit {
            Some(limit) => {
                self.limits_sum = self.limits_sum.wrapping_add(hash::limit(counter, limit));
                self.limits.insert(Arc::from(counter), limit)
            }
            None => self.limits.remove(counter),
        };
        if let Some(before) = before {
            self.limits_sum = self.limits_sum.wrapping_sub(hash::limit(counter, before));
        }
    }
}

pub use crate::outcomes::OUTCOMES_KEPT;
pub use crate::prefixes::EMPTIED_PREFIXES_MAX;
pub use crate::range::Range;

/// The first string above every string that begins with `prefix`; `None` when there is none.
fn successor(prefix: &str) -> Option<String> {
    let mut stem = prefix.to_owned();
    while let Some(last) = stem.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            stem.push(next);
            return Some(stem);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successors() {
        let cases = [
            ("", None),
            ("a/", Some("a0")),
            ("a\u{10ffff}", Some("b")),
            ("\u{d7ff}", Some("\u{e000}")),
            ("\u{10ffff}", None),
        ];
        for (prefix, expect) in cases {
            assert_eq!(successor(prefix).as_deref(), expect, "{prefix:?}");
        }
    }
}
