//! The truth table of every guard, and that one that fails lets nothing happen.

mod common;

use common::*;
use state::state::EMPTIED_PREFIXES_MAX;
use state::{Entry, Guard, Meta, Outcome, Refusal, State, Write, apply};

const A: &str = "core/configmaps/ns/a";
const DELETING: &str = "core/configmaps/ns/deleting";
const GONE: &str = "core/configmaps/gone/x";
const ABSENT: &str = "core/configmaps/ns/absent";

/// Revisions: 1 and 2 write A, 3 DELETING, 4 and 5 put and delete GONE. Limits: pods 5 (3 used),
/// full 2 (2 used).
fn given() -> State {
    let meta =
        |uid: &str, generation, deleting| Meta { uid: uid.into(), generation, deleting, ..Meta::default() };
    let charges = vec![("pods".to_owned(), 3), ("full".to_owned(), 2), ("free".to_owned(), 9)];
    state_of(vec![
        vec![put(A)],
        vec![put_meta(A, Meta { charges, ..meta("u", 7, false) })],
        vec![put_meta(DELETING, meta("d", 1, true))],
        vec![put(GONE), delete(GONE)],
        vec![limit("pods", 5), limit("full", 2)],
    ])
}

/// `None`: holds. `Some`: fails, with this revision.
fn check(guard: Guard, writes: Vec<Write>, expect: Option<u64>) {
    let before = given();
    // A guard that always holds stands before it: the refusal names the second.
    let guards = vec![Guard::LeaderTerm { term: 1 }, guard.clone()];
    let (applied, outcome) = step(&before, guards, writes);
    match expect {
        None => assert!(matches!(outcome, Outcome::Committed { .. }), "{guard:?}: {outcome:?}"),
        Some(revision) => {
            assert_eq!(outcome, Outcome::Refused(Refusal { guard: 1, revision }), "{guard:?}");
            assert_nothing_written(&before, &applied);
        }
    }
}

#[test]
fn at_revision() {
    let cases = [
        (A, 2, None),
        (A, 1, Some(2)),
        (A, 3, Some(2)),
        (ABSENT, 0, Some(0)),
        (ABSENT, 2, Some(0)),
        (GONE, 5, Some(0)),
    ];
    for (object, revision, expect) in cases {
        check(Guard::AtRevision { key: key(object), revision }, vec![put("a/b/c")], expect);
    }
}

#[test]
fn absent() {
    for (object, expect) in [(A, Some(2)), (ABSENT, None), (GONE, None), (DELETING, Some(3))] {
        check(Guard::Absent { key: key(object) }, vec![put("a/b/c")], expect);
    }
}

#[test]
fn live() {
    let cases = [
        (A, "u", None),
        (A, "", None),
        (A, "other", Some(2)),
        (DELETING, "d", Some(3)),
        (DELETING, "", Some(3)),
        (ABSENT, "", Some(0)),
        (GONE, "", Some(0)),
    ];
    for (object, uid, expect) in cases {
        check(Guard::Live { key: key(object), uid: uid.to_owned() }, vec![put("a/b/c")], expect);
    }
}

#[test]
fn at_generation() {
    for (object, generation, expect) in
        [(A, 7, None), (A, 6, Some(2)), (ABSENT, 0, Some(0)), (DELETING, 1, None)]
    {
        check(Guard::AtGeneration { key: key(object), generation }, vec![put("a/b/c")], expect);
    }
}

#[test]
fn unwritten() {
    let cases = [
        ("core/configmaps/", 5, None),
        ("core/configmaps/", 4, Some(5)),
        ("core/configmaps/ns/", 3, None),
        ("core/configmaps/ns/", 2, Some(3)),
        ("core/configmaps/gone/", 5, None),
        ("core/configmaps/gone/", 4, Some(5)),
        ("core/configmaps/never/", 0, None),
        ("core/secrets/", 0, None),
    ];
    for (prefix, since, expect) in cases {
        check(Guard::Unwritten { prefix: prefix.to_owned(), since }, vec![put(A)], expect);
    }
}

#[test]
fn within_limit() {
    let cases = [
        ("pods", charging("a/b/c", &[("pods", 2)]), None),
        ("pods", charging("a/b/c", &[("pods", 3)]), Some(0)),
        ("pods", charging(A, &[("pods", 5)]), None),
        ("pods", charging(A, &[("pods", 6)]), Some(0)),
        ("full", charging("a/b/c", &[]), None),
        ("full", charging("a/b/c", &[("full", 1)]), Some(0)),
        ("full", delete(A), None),
        ("full", limit("full", 1), Some(0)),
        ("full", limit("full", None), None),
        ("free", charging("a/b/c", &[("free", 1000)]), None),
        ("unknown", put("a/b/c"), None),
    ];
    for (counter, write, expect) in cases {
        check(Guard::WithinLimit { counter: counter.to_owned() }, vec![write], expect);
    }
}

#[test]
fn leader_term() {
    for (term, expect) in [(1, None), (0, Some(0)), (2, Some(0))] {
        check(Guard::LeaderTerm { term }, vec![put("a/b/c")], expect);
    }
}

#[test]
fn the_first_that_fails_is_named_and_counters_come_last() {
    let (over, absent) = (Guard::WithinLimit { counter: "full".into() }, Guard::Absent { key: key(A) });
    let writes = || vec![charging("a/b/c", &[("full", 1)])];
    let cases = [
        (vec![over.clone(), absent.clone()], Refusal { guard: 1, revision: 2 }),
        (vec![absent.clone(), Guard::LeaderTerm { term: 9 }], Refusal { guard: 0, revision: 2 }),
        (vec![over.clone(), over], Refusal { guard: 0, revision: 0 }),
    ];
    for (guards, expect) in cases {
        assert_eq!(step(&given(), guards, writes()).1, Outcome::Refused(expect));
    }
    // Guards come before the writes' sense.
    let (_, outcome) = step(&given(), vec![absent], vec![delete(ABSENT)]);
    assert_eq!(outcome, Outcome::Refused(Refusal { guard: 0, revision: 2 }));
}

/// A reader that is older than what was forgotten is refused, a younger one is not.
#[test]
fn a_guard_on_a_forgotten_prefix_is_careful() {
    let object = |number: usize| format!("core/configmaps/ns{number}/x");
    let emptied = |number: usize| {
        txn(1 << 100 | number as u128, vec![], vec![put(&object(number)), delete(&object(number))])
    };
    let batch = batch((0..=EMPTIED_PREFIXES_MAX).map(emptied).collect());
    let state = apply(&State::default(), &Entry { index: 1, term: 1, batch: &batch }).state;
    // The collection is one of those remembered: two namespaces are forgotten.
    let unwritten = |number: usize, since| {
        let prefix = format!("core/configmaps/ns{number}/");
        step(&state, vec![Guard::Unwritten { prefix, since }], vec![]).1
    };
    let refused = |revision| Outcome::Refused(Refusal { guard: 0, revision });
    let committed = Outcome::Committed { revision: state.revision() };
    assert_eq!(unwritten(0, 2), refused(4), "written at 2, but forgotten together with a write at 4");
    assert_eq!(unwritten(0, 4), committed);
    assert_eq!(unwritten(1 << 20, 3), refused(4), "never written, which nobody knows any more");
    assert_eq!((unwritten(2, 5), unwritten(2, 6)), (refused(6), committed));
}
