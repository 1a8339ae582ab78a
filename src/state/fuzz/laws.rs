//! What holds for every log, whatever is in it. Fuzzing, property tests and the committed corpus run
//! the same checks.

use std::collections::BTreeMap;
use std::sync::Arc;

use state::{Applied, Batch, Change, Entry, Object, Outcome, State, apply, codec};

use crate::naive::{Naive, without_reason};
use crate::shapes::{Dice, entry};
use crate::store::Store;

/// A State as it was, and what it showed then.
struct Held {
    state: State,
    hash: u128,
    objects: Vec<Arc<Object>>,
}

impl Held {
    fn of(state: &State) -> Self {
        Self { state: state.clone(), hash: state.hash(), objects: state.range("").cloned().collect() }
    }

    /// It shows the same still; with the changes since, it shows what `last` does.
    fn check(&self, changes: &[Change], last: &State) {
        assert_eq!(self.state.hash(), self.hash);
        assert_eq!(self.state.validate(), Ok(()));
        assert!(self.state.range("").eq(&self.objects), "a State held in hand changed");
        let mut view: BTreeMap<&str, &Arc<Object>> =
            self.objects.iter().map(|object| (object.key.as_str(), object)).collect();
        for change in changes.iter().filter(|change| change.revision > self.state.revision()) {
            let key = change.object.key.as_str();
            let before = if change.deleted { view.remove(key) } else { view.insert(key, &change.object) };
            assert_eq!(before, change.previous.as_ref(), "{key} before revision {}", change.revision);
        }
        assert!(view.into_values().eq(last.range("")), "the changes do not lead to what is there");
    }
}

/// Runs the log that `bytes` make, and checks every law on it.
pub fn check_log(bytes: &[u8]) {
    let mut dice = Dice::new(bytes);
    let (mut state, mut naive, mut store) = (State::default(), Naive::new(), Store::default());
    let (mut log, mut changes, mut held, mut images) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    while !dice.is_used_up() {
        let (term, batch) = entry(&mut dice, &state);
        if dice.below(8) == 7 {
            state = state.advance(state.index() + 1, term);
            log.push((term, None));
            continue;
        }
        let applied = apply(&state, &Entry { index: state.index() + 1, term, batch: &batch });
        check_entry(&state, term, &batch, &applied);
        check_outcomes(&mut naive, term, &batch, &applied);
        store.write(&applied);
        held.push(Held::of(&state));
        state = applied.state;
        changes.extend(applied.changes);
        log.push((term, Some(batch)));
        if held.len().is_power_of_two() {
            images.push((state.head(), store.clone()));
        }
    }
    held.iter().for_each(|held| held.check(&changes, &state));
    assert_eq!(store.restore(&state.head()).as_ref(), Ok(&state), "the image is the state");
    assert_eq!(replay(State::default(), &log), state, "a replay is the state");
    for (head, image) in images {
        let restored = image.restore(&head).expect("the image is whole");
        assert_eq!(replay(restored, &log), state, "an image and its tail are the state");
    }
}

/// Applies what of the log `state` has not seen.
fn replay(mut state: State, log: &[(u64, Option<Batch>)]) -> State {
    for (term, batch) in &log[state.index() as usize..] {
        let index = state.index() + 1;
        state = match batch {
            Some(batch) => apply(&state, &Entry { index, term: *term, batch }).state,
            None => state.advance(index, *term),
        };
    }
    state
}

fn check_entry(before: &State, term: u64, batch: &Batch, applied: &Applied) {
    let after = &applied.state;
    let entry = Entry { index: before.index() + 1, term, batch };
    assert_eq!(apply(before, &entry), *applied, "apply is deterministic");
    assert_eq!(after.validate(), Ok(()));
    assert!(after.time_ms() >= before.time_ms() && after.time_ms() >= batch.time_ms);
    let revisions: Vec<u64> = applied.changes.iter().map(|change| change.revision).collect();
    assert_eq!(revisions, (before.revision() + 1..=after.revision()).collect::<Vec<_>>());
    if !applied.outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Committed { .. })) {
        assert_eq!((after.revision(), after.feature_level()), (before.revision(), before.feature_level()));
        assert!(applied.sides.iter().all(|(key, _)| key[0] == b'o'), "only outcomes are recorded");
        assert!(before.range("").eq(after.range("")));
    }
    // The same transactions once more: the same outcomes, and nothing else.
    let again = apply(after, &Entry { index: entry.index + 1, term: term + 1, batch });
    assert_eq!(again.outcomes, applied.outcomes);
    assert_eq!((again.changes.len(), again.sides.len()), (0, 0));
    if let Ok(record) = codec::encode_batch(batch) {
        match codec::decode_batch(&record) {
            Ok(decoded) => assert_eq!(decoded, *batch),
            Err(error) => assert!(error.is_newer(), "{error}"),
        }
    }
}

fn check_outcomes(naive: &mut Naive, term: u64, batch: &Batch, applied: &Applied) {
    for (txn, (request, outcome)) in batch.txns.iter().zip(&applied.outcomes) {
        assert_eq!(txn.stamp.request, *request);
        assert_eq!(without_reason(outcome), without_reason(&naive.apply(txn, term)), "{txn:#?}");
        assert_eq!(applied.state.outcome(*request).as_ref(), Some(outcome));
    }
    let state = &applied.state;
    let found = state.range("").map(|object| (object.key.as_str(), (object.revision, &object.meta)));
    assert!(found.eq(naive.objects.iter().map(|(key, (revision, meta))| (key.as_str(), (*revision, meta)))));
    for prefix in ["core/configmaps/", "core/configmaps/a/", "core/namespaces/", "~members/", "core/never/"] {
        let keys = || naive.objects.keys().filter(|key| key.starts_with(prefix));
        assert_eq!(state.count(prefix), keys().count() as u64, "{prefix}");
        assert!(state.range(prefix).map(|object| object.key.as_str()).eq(keys()));
        for after in ["", "core/configmaps/a/b", "core/configmaps/a/c", "core/namespaces/", "~"] {
            let page = state.range_from(prefix, after).map(|object| object.key.as_str());
            assert!(page.eq(keys().filter(|key| key.as_str() > after)), "{prefix} after {after}");
        }
    }
    for counter in ["pods", "cpu", "memory"] {
        assert_eq!(i128::from(state.counter(counter)), naive.total(counter), "{counter}");
    }
}
