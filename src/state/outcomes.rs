//! What came of the last transactions, by request: so that a retry never applies twice.

use imbl::OrdMap;

use crate::hash;
use crate::txn::Outcome;

/// How many outcomes are remembered. A retry comes within seconds; at 20,000 transactions a second
/// these are three of them, and a proposal is retried only after its fate is known.
pub const OUTCOMES_KEPT: u64 = 65_536;

/// A remembered outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub request: u128,
    pub outcome: Outcome,
}

/// The last [`OUTCOMES_KEPT`] outcomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcomes {
    by_request: OrdMap<u128, u64>,
    by_sequence: OrdMap<u64, Recorded>,
    /// The number of the next one, counted since the beginning.
    next: u64,
    /// Sum of the digests.
    sum: u128,
}

impl Outcomes {
    /// Outcomes as they were. Returns what is wrong when they are not the last before `next`.
    pub fn restored(
        recorded: impl IntoIterator<Item = (u64, Recorded)>,
        next: u64,
    ) -> Result<Self, &'static str> {
        let mut outcomes = Self { next, ..Self::default() };
        for (sequence, recorded) in recorded {
            if sequence >= next || next - sequence > OUTCOMES_KEPT {
                return Err("a remembered outcome is not among the last");
            }
            outcomes.insert(sequence, recorded);
        }
        if outcomes.by_request.len() as u64 != next.min(OUTCOMES_KEPT) {
            return Err("remembered outcomes are missing");
        }
        Ok(outcomes)
    }

    pub fn get(&self, request: u128) -> Option<&Outcome> {
        let sequence = self.by_request.get(&request)?;
        self.by_sequence.get(sequence).map(|recorded| &recorded.outcome)
    }

    pub fn next(&self) -> u64 {
        self.next
    }

    pub fn sum(&self) -> u128 {
        self.sum
    }

    pub fn len(&self) -> usize {
        self.by_sequence.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, &Recorded)> {
        self.by_sequence.iter().map(|(sequence, recorded)| (*sequence, recorded))
    }

    /// Remembers the outcome of a request that is not known, and forgets the oldest in its place.
    /// Returns its number.
    pub fn remember(&mut self, recorded: Recorded) -> u64 {
        let sequence = self.next;
        self.next += 1;
        self.insert(sequence, recorded);
        if let Some(old) = sequence.checked_sub(OUTCOMES_KEPT)
            && let Some(forgotten) = self.by_sequence.remove(&old)
        {
            self.by_request.remove(&forgotten.request);
            let digest = hash::outcome(old, forgotten.request, &forgotten.outcome);
            self.sum = self.sum.wrapping_sub(digest);
        }
        sequence
    }

    fn insert(&mut self, sequence: u64, recorded: Recorded) {
        let digest = hash::outcome(sequence, recorded.request, &recorded.outcome);
        self.sum = self.sum.wrapping_add(digest);
        self.by_request.insert(recorded.request, sequence);
        self.by_sequence.insert(sequence, recorded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut outcomes = Outcomes::default();
        for request in 0..OUTCOMES_KEPT + 10 {
            let outcome = Outcome::Committed { revision: request };
            assert_eq!(outcomes.remember(Recorded { request: u128::from(request), outcome }), request);
        }
        assert_eq!((outcomes.len() as u64, outcomes.next()), (OUTCOMES_KEPT, OUTCOMES_KEPT + 10));
        assert_eq!(outcomes.get(9), None);
        assert_eq!(outcomes.get(10), Some(&Outcome::Committed { revision: 10 }));
        let kept: Vec<_> = outcomes.iter().map(|(sequence, recorded)| (sequence, recorded.clone())).collect();
        assert_eq!(Outcomes::restored(kept.clone(), outcomes.next()), Ok(outcomes.clone()));
        assert!(Outcomes::restored(kept[1..].to_vec(), outcomes.next()).is_err());
        assert!(Outcomes::restored(kept, outcomes.next() + 1).is_err());
    }
}
