//! Short names for what the tests build.
#![allow(dead_code, reason = "each test file uses some of these")]

use api::Key;
use bytes::Bytes;
use state::{Applied, Batch, Entry, Guard, Meta, Outcome, Stamp, State, Txn, Write, apply};

/// Where the revision goes in [`body`].
pub const SPLICE: u32 = 13;

pub fn key(text: &str) -> Key {
    Key::parse(text).expect("tests write sound keys")
}

pub fn body(name: &str) -> Bytes {
    Bytes::from(format!(r#"{{"metadata":{{"name":"{name}"}}}}"#))
}

pub fn put_meta(text: &str, meta: Meta) -> Write {
    let key = key(text);
    Write::Put { body: body(key.name()), key, splice: Some(SPLICE), meta }
}

pub fn put(text: &str) -> Write {
    put_meta(text, Meta::default())
}

/// Puts an object that charges counters.
pub fn charging(text: &str, charges: &[(&str, i64)]) -> Write {
    let charges = charges.iter().map(|(counter, amount)| ((*counter).to_owned(), *amount)).collect();
    put_meta(text, Meta { charges, ..Meta::default() })
}

pub fn delete(text: &str) -> Write {
    Write::Delete { key: key(text) }
}

pub fn limit(counter: &str, limit: impl Into<Option<i64>>) -> Write {
    Write::Limit { counter: counter.to_owned(), limit: limit.into() }
}

pub fn raise(level: u32) -> Write {
    Write::FeatureLevel { level }
}

pub fn txn(request: u128, guards: Vec<Guard>, writes: Vec<Write>) -> Txn {
    Txn { stamp: Stamp { request, actor: "alice".to_owned() }, guards, writes }
}

pub fn batch(txns: Vec<Txn>) -> Batch {
    Batch { time_ms: 1000, txns }
}

/// The request ids of [`step`] are above this, so that they meet no other.
pub const STEP: u128 = 1 << 64;

/// Applies one transaction as the next entry, in term 1, with a request id of its own.
pub fn step(state: &State, guards: Vec<Guard>, writes: Vec<Write>) -> (Applied, Outcome) {
    let index = state.index() + 1;
    let batch = batch(vec![txn(STEP + u128::from(index), guards, writes)]);
    let applied = apply(state, &Entry { index, term: 1, batch: &batch });
    assert_eq!(applied.state.validate(), Ok(()));
    let outcome = applied.outcomes[0].1.clone();
    (applied, outcome)
}

/// The State after these transactions, each of which commits.
pub fn state_of(txns: Vec<Vec<Write>>) -> State {
    txns.into_iter().fold(State::default(), |state, writes| {
        let (applied, outcome) = step(&state, vec![], writes);
        assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
        applied.state
    })
}

/// Everything but the position and the outcomes is as it was.
pub fn assert_nothing_written(before: &State, applied: &Applied) {
    let after = &applied.state;
    assert_eq!(after.revision(), before.revision());
    assert_eq!(after.feature_level(), before.feature_level());
    assert!(after.range("").eq(before.range("")));
    assert!(after.counters().eq(before.counters()));
    assert!(applied.changes.is_empty());
    assert!(applied.sides.iter().all(|(key, _)| key[0] == b'o'), "only outcomes are recorded");
}
