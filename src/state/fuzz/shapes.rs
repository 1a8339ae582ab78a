//! Logs made from bytes: each byte decides one thing, so that fuzzers and shrinking work on them.
//!
//! The keys, counters and uids are few, so that transactions meet; wherever State offers the right
//! value of something, one choice is that value and the others are beside it.

use api::Key;
use bytes::Bytes;
use state::{Batch, Guard, Meta, Stamp, State, Txn, Write};

/// The bytes that decide.
pub struct Dice<'a>(&'a [u8]);

impl<'a> Dice<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_used_up(&self) -> bool {
        self.0.is_empty()
    }

    /// A number below `sides`; 0 once the bytes are used up.
    pub fn below(&mut self, sides: u64) -> u64 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        u64::from(*first) % sides
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }

    /// `right`, or something else.
    fn near(&mut self, right: u64) -> u64 {
        match self.below(6) {
            0 => right.wrapping_sub(1),
            1 => right.wrapping_add(1),
            2 => 0,
            _ => right,
        }
    }
}

/// The next entry's batch and its term.
pub fn entry(dice: &mut Dice<'_>, state: &State) -> (u64, Batch) {
    let term = state.term() + u64::from(dice.below(16) == 15);
    let time_ms = (state.time_ms() + dice.below(4)).saturating_sub(1);
    let txns = (0..=dice.below(3)).map(|_| txn(dice, state, term)).collect();
    (term, Batch { time_ms, txns })
}

fn txn(dice: &mut Dice<'_>, state: &State, term: u64) -> Txn {
    // Now and then an id that was used before.
    let request = match dice.below(8) {
        0 => u128::from(dice.below(32)),
        _ => {
            u128::from(state.revision()) << 64 | u128::from(state.index()) << 16 | u128::from(dice.below(255))
        }
    };
    let actor = dice.pick(&["system:admin", "alice", ""]).to_owned();
    let guards = (0..dice.below(3)).map(|_| guard(dice, state, term)).collect();
    let writes = (0..dice.below(5)).map(|_| write(dice, state)).collect();
    Txn { stamp: Stamp { request, actor }, guards, writes }
}

fn key(dice: &mut Dice<'_>) -> Key {
    let name = dice.pick(&["a", "b", "c-d", "e.f"]);
    match dice.below(8) {
        0 => Key::internal("members", name),
        1 => Key::object("", "namespaces", "", name),
        2 => Key::object("apps", "deployments", "default", name),
        3 => Key::object("", "configmaps", "a-b", name),
        4 => Key::object("", "configmaps", "a.b", name),
        _ => Key::object("", "configmaps", "a", name),
    }
}

fn guard(dice: &mut Dice<'_>, state: &State, term: u64) -> Guard {
    let key = key(dice);
    let object = state.get(key.as_str());
    match dice.below(7) {
        0 => Guard::AtRevision { revision: dice.near(object.map_or(0, |found| found.revision)), key },
        1 => Guard::Absent { key },
        2 => Guard::Live { uid: dice.pick(&["u1", "u2", ""]).to_owned(), key },
        3 => Guard::AtGeneration { generation: dice.below(3).cast_signed(), key },
        4 => {
            let prefix = dice.pick(&[key.collection(), key.parent(), "core/never/", "no prefix"]).to_owned();
            Guard::Unwritten { since: dice.near(state.last_written(&prefix)), prefix }
        }
        5 => Guard::WithinLimit { counter: counter(dice) },
        _ => Guard::LeaderTerm { term: dice.near(term) },
    }
}

fn write(dice: &mut Dice<'_>, state: &State) -> Write {
    match dice.below(10) {
        0..2 => Write::Delete { key: key(dice) },
        2 => Write::Limit {
            counter: counter(dice),
            limit: dice.pick(&[None, Some(0), Some(5), Some(i64::MIN)]),
        },
        3 => match dice.below(8) {
            0 => Write::FeatureLevel { level: dice.near(u64::from(state.feature_level())) as u32 },
            _ => Write::Delete { key: key(dice) },
        },
        _ => put(dice),
    }
}

fn counter(dice: &mut Dice<'_>) -> String {
    dice.pick(&["pods", "cpu", "memory"]).to_owned()
}

fn put(dice: &mut Dice<'_>) -> Write {
    let key = key(dice);
    let filler = "x".repeat(dice.below(40) as usize);
    let body = format!(r#"{{"metadata":{{"name":"{}","labels":{{"l":"{filler}"}}}}}}"#, key.name());
    let splice = match dice.below(8) {
        0 => None,
        1 => Some(dice.below(64) as u32),
        _ => Some(13),
    };
    let meta = Meta {
        uid: dice.pick(&["u1", "u2", ""]).to_owned(),
        generation: dice.below(3).cast_signed(),
        deleting: dice.below(4) == 0,
        finalizers: dice.below(4) == 0,
        charges: (0..dice.below(3)).map(|_| charge(dice)).collect(),
    };
    Write::Put { key, body: Bytes::from(body), splice, meta }
}

fn charge(dice: &mut Dice<'_>) -> (String, i64) {
    let counter = counter(dice);
    (counter, dice.pick(&[0, 1, 2, 3, -4, 100, i64::MAX, i64::MIN]))
}
