//! What writes do, what makes no sense, and what a repeated request gets.

mod common;

use bytes::Bytes;
use common::*;
use state::limits::{CHARGES_MAX, COUNTER_BYTES_MAX, UID_BYTES_MAX};
use state::state::OUTCOMES_KEPT;
use state::txn::{GUARDS_MAX, OBJECT_BYTES_MAX, TXN_BYTES_MAX, WRITES_MAX};
use state::{Batch, Entry, Guard, Meta, Outcome, State, Write, apply};

const A: &str = "core/configmaps/ns/a";
const B: &str = "core/configmaps/ns/b";

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("JSON is text")
}

#[test]
fn a_put_carries_its_revision_and_keeps_where_it_came_from() {
    let state = state_of(vec![vec![put(B)], vec![put(A)], vec![put(A)]]);
    let object = state.get(A).unwrap();
    assert_eq!(text(&object.bytes.to_bytes()), r#"{"metadata":{"resourceVersion":"3","name":"a"}}"#);
    assert_eq!((object.revision, object.created, object.previous, object.time_ms), (3, 2, 2, 1000));
    assert_eq!((&*object.actor, object.request), ("alice", STEP + 3));
    assert_eq!(object.body(), body("a"));
    assert!(object.has_body(&body("a")) && !object.has_body(&body("b")) && !object.has_body(b""));
}

#[test]
fn a_delete_takes_a_revision_and_stores_the_last_object_under_it() {
    let state = state_of((0..9).map(|_| vec![put(A)]).collect());
    let (applied, outcome) = step(&state, vec![], vec![delete(A)]);
    assert_eq!(outcome, Outcome::Committed { revision: 10 });
    let change = &applied.changes[0];
    assert!(change.deleted);
    assert_eq!(text(&change.object.bytes.to_bytes()), r#"{"metadata":{"resourceVersion":"10","name":"a"}}"#);
    assert_eq!((change.object.revision, change.object.created, change.object.previous), (10, 1, 9));
    assert_eq!(change.object.body(), body("a"));
    assert_eq!(change.previous.as_ref(), state.get(A));
    assert!(applied.state.is_empty());
}

#[test]
fn an_internal_record_has_no_revision_in_its_bytes() {
    let write = Write::Put {
        key: key("~members/3"),
        body: Bytes::from_static(b"\0any\xff"),
        splice: None,
        meta: Meta::default(),
    };
    let (applied, _) = step(&State::default(), vec![], vec![write]);
    assert_eq!(applied.state.get("~members/3").unwrap().bytes.to_bytes()[..], b"\0any\xff"[..]);
    let (applied, _) = step(&applied.state, vec![], vec![delete("~members/3")]);
    assert_eq!(applied.changes[0].object.bytes.to_bytes()[..], b"\0any\xff"[..]);
}

#[test]
fn writes_to_one_key_happen_in_order() {
    let (applied, outcome) = step(&State::default(), vec![], vec![put(A), delete(A), put(A), put(B), put(A)]);
    assert_eq!(outcome, Outcome::Committed { revision: 5 });
    let seen: Vec<_> = applied
        .changes
        .iter()
        .map(|change| {
            (change.revision, change.deleted, change.previous.as_ref().map(|object| object.revision))
        })
        .collect();
    assert_eq!(
        seen,
        [(1, false, None), (2, true, Some(1)), (3, false, None), (4, false, None), (5, false, Some(3))]
    );
    assert_eq!(applied.state.get(A).unwrap().created, 3);
}

#[test]
fn what_makes_no_sense_changes_nothing() {
    let state = state_of(vec![vec![raise(2)], vec![charging(B, &[("full", i64::MAX)])]]);
    let splice_at = |at| Write::Put { key: key(A), body: body("a"), splice: Some(at), meta: Meta::default() };
    let sized =
        |size| Write::Put { key: key(A), body: vec![b' '; size].into(), splice: None, meta: Meta::default() };
    let named = |uid: String| put_meta(A, Meta { uid, ..Meta::default() });
    let many: Vec<String> = (0..=CHARGES_MAX).map(|number| number.to_string()).collect();
    let many: Vec<(&str, i64)> = many.iter().map(|name| (name.as_str(), 1)).collect();
    let cases = [
        (vec![delete(A)], "does not exist"),
        (vec![put(A), delete(A), delete(A)], "does not exist"),
        (vec![splice_at(0)], "in front of a member"),
        (vec![splice_at(12)], "in front of a member"),
        (vec![splice_at(14)], "in front of a member"),
        (vec![splice_at(u32::MAX)], "in front of a member"),
        (vec![sized(OBJECT_BYTES_MAX + 1)], "bytes of the object"),
        (vec![sized(OBJECT_BYTES_MAX); TXN_BYTES_MAX / OBJECT_BYTES_MAX + 1], "bytes of the transaction"),
        (vec![put(A); WRITES_MAX + 1], "writes"),
        (vec![named("u".repeat(UID_BYTES_MAX + 1))], "uid"),
        (vec![charging(A, &many)], "counters charged"),
        (vec![limit(&"c".repeat(COUNTER_BYTES_MAX + 1), 1)], "counter's name"),
        (vec![charging(A, &[("x", 1), ("y", 1), ("x", 1)])], "twice"),
        (vec![charging(A, &[("full", 1)])], "overflow"),
        (vec![raise(1)], "does not follow"),
        (vec![raise(3)], "does not follow"),
    ];
    for (writes, expect) in cases {
        // A write that makes sense stands before it.
        let writes = [vec![put("a/b/c"), limit("x", 1)], writes].concat();
        let (applied, outcome) = step(&state, vec![], writes);
        let Outcome::Invalid { reason } = outcome else { panic!("{expect}: {outcome:?}") };
        assert!(reason.contains(expect), "{expect}: {reason}");
        assert_nothing_written(&state, &applied);
        assert_eq!(applied.state.limit("x"), None);
    }
    for (guards, expect) in [
        (vec![Guard::LeaderTerm { term: 1 }; GUARDS_MAX + 1], "guards"),
        (vec![Guard::Unwritten { prefix: "core/".into(), since: 9 }], "neither a collection"),
    ] {
        let (applied, outcome) = step(&state, guards, vec![put(A)]);
        assert!(matches!(&outcome, Outcome::Invalid { reason } if reason.contains(expect)), "{outcome:?}");
        assert_nothing_written(&state, &applied);
    }
}

#[test]
fn what_is_exactly_at_a_limit_is_accepted() {
    let large = Write::Put {
        key: key(A),
        body: vec![b' '; OBJECT_BYTES_MAX].into(),
        splice: None,
        meta: Meta { uid: "u".repeat(UID_BYTES_MAX), ..Meta::default() },
    };
    for writes in [vec![large], vec![put(A); WRITES_MAX]] {
        let (_, outcome) = step(&State::default(), vec![], writes);
        assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    }
}

#[test]
fn a_sum_may_pass_beyond_its_range_while_it_is_made() {
    let state = state_of(vec![vec![charging(A, &[("c", i64::MAX)])]]);
    let (applied, _) = step(&state, vec![], vec![charging(B, &[("c", 1)]), delete(A)]);
    assert_eq!(applied.state.counter("c"), 1);
    let (applied, _) = step(&applied.state, vec![], vec![delete(B)]);
    assert_eq!(applied.state.counters().count(), 0, "a counter without charges is none");
}

#[test]
fn a_repeated_request_gets_its_recorded_outcome() {
    let first = batch(vec![
        txn(1, vec![], vec![put(A)]),
        txn(2, vec![Guard::Absent { key: key(A) }], vec![put(A)]),
        txn(3, vec![], vec![delete(B)]),
        // In the same batch already.
        txn(1, vec![], vec![put(B)]),
    ]);
    let applied = apply(&State::default(), &Entry { index: 1, term: 1, batch: &first });
    assert_eq!(applied.outcomes[0], applied.outcomes[3]);
    assert_eq!(applied.state.revision(), 1);
    // Later, when each of them would fare otherwise.
    let (emptied, _) = step(&applied.state.advance(100, 1), vec![], vec![delete(A), put(B)]);
    let again = apply(&emptied.state, &Entry { index: 102, term: 2, batch: &first });
    assert_eq!(again.outcomes, applied.outcomes);
    assert!(again.changes.is_empty() && again.sides.is_empty());
    assert!(again.state.range("").eq(emptied.state.range("")));
}

#[test]
fn outcomes_are_remembered_for_a_while() {
    let mut state = State::default();
    for index in 1..=OUTCOMES_KEPT / 4096 + 1 {
        let first = u128::from(index - 1) * 4096;
        let batch = batch((first..first + 4096).map(|request| txn(request, vec![], vec![])).collect());
        state = apply(&state, &Entry { index, term: 1, batch: &batch }).state;
    }
    assert_eq!((state.outcome(4095), state.outcome(4096)), (None, Some(Outcome::Committed { revision: 0 })));
}

#[test]
fn time_never_runs_backwards() {
    let mut state = State::default();
    for (time_ms, expect) in [(5, 5), (4, 5), (0, 5), (6, 6)] {
        let batch = Batch { time_ms, txns: vec![txn(u128::from(state.index()), vec![], vec![put(A)])] };
        state = apply(&state, &Entry { index: state.index() + 1, term: 1, batch: &batch }).state;
        assert_eq!((state.time_ms(), state.get(A).unwrap().time_ms), (expect, expect));
    }
}

#[test]
fn entries_without_a_batch_only_move_the_position() {
    let state = state_of(vec![vec![put(A)]]);
    let next = state.advance(9, 4);
    assert_eq!((next.index(), next.term(), next.revision()), (9, 4, 1));
    assert_eq!(next.hash(), state.hash());
}

#[test]
fn labels_are_read_from_the_bytes() {
    let body = r#"{"metadata":{"name":"a","labels":{"app":"web"}},"data":{}}"#;
    let write = Write::Put { key: key(A), body: body.into(), splice: Some(SPLICE), meta: Meta::default() };
    let state = state_of(vec![vec![write]]);
    assert_eq!(state.get(A).unwrap().labels().get("app"), Some("web"));
}
