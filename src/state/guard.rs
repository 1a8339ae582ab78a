//! Whether a guard holds.

use crate::draft::Draft;
use crate::object::Object;
use crate::state::State;
use crate::txn::{Guard, Refusal};

/// The first guard on objects, prefixes or the term that fails.
pub(crate) fn first_failed(guards: &[Guard], state: &State, entry_term: u64) -> Option<Refusal> {
    first(guards, |guard| against_state(guard, state, entry_term))
}

/// The first guard on a counter that fails once the draft's writes are made.
pub(crate) fn first_exceeded(guards: &[Guard], state: &State, draft: &Draft<'_>) -> Option<Refusal> {
    first(guards, |guard| match guard {
        Guard::WithinLimit { counter } => {
            let limit = draft.limit(state, counter);
            limit.is_some_and(|limit| draft.counter(state, counter) > limit).then_some(0)
        }
        _ => None,
    })
}

fn first(guards: &[Guard], failed: impl Fn(&Guard) -> Option<u64>) -> Option<Refusal> {
    let found = guards.iter().zip(0..).find_map(|(guard, index)| Some((index, failed(guard)?)));
    found.map(|(guard, revision)| Refusal { guard, revision })
}

/// `None` when the guard holds, else the revision that stands in its way.
fn against_state(guard: &Guard, state: &State, entry_term: u64) -> Option<u64> {
    let object = |key: &api::Key| state.get(key.as_str()).map(|object| &**object);
    match guard {
        Guard::AtRevision { key, revision } => unless(object(key), |found| found.revision == *revision),
        Guard::Absent { key } => object(key).map(|found| found.revision),
        Guard::Live { key, uid } => {
            unless(object(key), |found| !found.meta.deleting && (uid.is_empty() || *uid == found.meta.uid))
        }
        Guard::AtGeneration { key, generation } => {
            unless(object(key), |found| found.meta.generation == *generation)
        }
        Guard::Unwritten { prefix, since } => {
            let last_written = state.last_written(prefix);
            (last_written > *since).then_some(last_written)
        }
        Guard::LeaderTerm { term } => (*term != entry_term).then_some(0),
        // Checked against the draft.
        Guard::WithinLimit { .. } => None,
    }
}

/// The revision of an object that is not as it should be; 0 when there is none.
fn unless(object: Option<&Object>, holds: impl Fn(&Object) -> bool) -> Option<u64> {
    match object {
        Some(found) if holds(found) => None,
        Some(found) => Some(found.revision),
        None => Some(0),
    }
}
