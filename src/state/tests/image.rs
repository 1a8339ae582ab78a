//! The durable image: what is missing, too much or changed is noticed.

mod common;
#[path = "../fuzz/store.rs"]
mod store;

use bytes::Bytes;
use common::*;
use state::image::RestoreError;
use state::{Entry, Guard, State, apply};
use store::Store;

const A: &str = "core/configmaps/a/x";
const B: &str = "core/configmaps/b/x";

/// A State with something of everything, its store, and the store before its last entry.
fn given() -> (State, Store, Store) {
    let (mut state, mut store, mut before) = (State::default(), Store::default(), Store::default());
    let entries = [
        vec![txn(1, vec![], vec![charging(A, &[("pods", 2)]), put(B), limit("pods", 3), limit("cpu", 1)])],
        vec![txn(2, vec![], vec![delete(B)]), txn(3, vec![], vec![delete(B)])],
        vec![txn(4, vec![Guard::Absent { key: key(A) }], vec![]), txn(5, vec![], vec![limit("cpu", None)])],
        vec![txn(6, vec![], vec![charging(A, &[("pods", 3)])])],
    ];
    for (txns, index) in entries.into_iter().zip(1..) {
        let applied = apply(&state, &Entry { index, term: 1, batch: &batch(txns) });
        before = store.clone();
        store.write(&applied);
        state = applied.state;
    }
    (state, store, before)
}

#[test]
fn what_is_restored_is_what_was() {
    let (state, store, _) = given();
    assert_eq!(store.restore(&state.head()), Ok(state.clone()));
    let empty = State::default();
    assert_eq!(Store::default().restore(&empty.head()), Ok(empty));
    // The deleted object's namespace is remembered by a record of its own.
    let restored = store.restore(&state.head()).unwrap();
    assert_eq!((restored.count("core/configmaps/b/"), restored.last_written("core/configmaps/b/")), (0, 3));
}

/// Each case damages the store in one way.
#[test]
fn damage_is_noticed() {
    let (state, store, before) = given();
    let other = step(&state, vec![], vec![put("a/b/c"), limit("new", 1)]).0;
    let mut after = store.clone();
    after.write(&other);
    let side = |tag: u8| store.sides.keys().find(|key| key[0] == tag).unwrap().clone();
    type Break<'a> = Box<dyn Fn(&mut Store) + 'a>;
    let cases: Vec<(&str, Break<'_>)> = vec![
        ("the store is an entry behind", Box::new(|store| *store = before.clone())),
        ("the store is an entry ahead", Box::new(|store| *store = after.clone())),
        ("an object is missing", Box::new(|store| drop(store.versions.remove(A)))),
        (
            "an old version",
            Box::new(|store| drop(store.versions.insert(A.into(), before.versions[A].clone()))),
        ),
        (
            "an object moved",
            Box::new(|store| {
                let version = store.versions.remove(A).unwrap();
                store.versions.insert(B.into(), version);
            }),
        ),
        ("another revision", Box::new(|store| store.versions.get_mut(A).unwrap().0 += 1)),
        ("another history", Box::new(|store| store.versions.get_mut(A).unwrap().1 = 0)),
        ("a limit is missing", Box::new(|store| drop(store.sides.remove(&side(b'l'))))),
        ("an outcome is missing", Box::new(|store| drop(store.sides.remove(&side(b'o'))))),
        ("a prefix is missing", Box::new(|store| drop(store.sides.remove(&b"pcore/configmaps/b/"[..])))),
        (
            "a side record of another kind",
            Box::new(|store| {
                store.sides.insert(b"lx".to_vec(), store.sides[&side(b'o')].clone());
            }),
        ),
        (
            "an outcome in another slot",
            Box::new(|store| {
                let record = store.sides.remove(&side(b'o')).unwrap();
                store.sides.insert(b"o\x00\x7f".to_vec(), record);
            }),
        ),
        ("a side record of no kind", Box::new(|store| drop(store.sides.insert(b"?".to_vec(), Bytes::new())))),
        ("an empty side key", Box::new(|store| drop(store.sides.insert(vec![], Bytes::new())))),
        (
            "a flipped bit",
            Box::new(|store| {
                let record = &mut store.versions.get_mut(A).unwrap().2;
                let mut flipped = record.to_vec();
                flipped[40] ^= 1;
                *record = flipped.into();
            }),
        ),
    ];
    for (what, damage) in cases {
        let mut damaged = store.clone();
        damage(&mut damaged);
        assert!(damaged.restore(&state.head()).is_err(), "{what}");
    }
}

#[test]
fn a_hash_that_does_not_match_says_so() {
    let (state, _, before) = given();
    let Err(RestoreError::Damaged { what }) = before.restore(&state.advance(9, 9).head()) else {
        panic!("the outcomes are too few");
    };
    assert_eq!(what, "remembered outcomes are missing");
    let (_, mut store, _) = given();
    store.sides.remove(&b"lpods"[..]);
    let error = store.restore(&state.head()).unwrap_err().to_string();
    assert!(error.contains("the restart image is damaged: its hash is"), "{error}");
}
