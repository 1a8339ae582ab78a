//! The laws of apply and of decoding, on random logs and on the committed corpus of the fuzzers
//! (`fuzz/`, run by `make fuzz`), so that what they found stays found with a stable compiler too.

#[path = "../fuzz/damage.rs"]
mod damage;
#[path = "../fuzz/laws.rs"]
mod laws;
#[path = "../fuzz/naive.rs"]
mod naive;
#[path = "../fuzz/shapes.rs"]
mod shapes;
#[path = "../fuzz/store.rs"]
mod store;

use std::path::Path;

use proptest::prelude::*;
use state::{Entry, FEATURE_LEVEL_MAX, Guard, Outcome, State, apply};

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_log_obeys_the_laws(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        laws::check_log(&bytes);
    }

    #[test]
    fn every_record_decodes_or_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        damage::check_decode(&bytes);
    }
}

/// Runs `check` on every file of a fuzz target's corpus.
fn replay(target: &str, check: fn(&[u8])) {
    // Asked for at run time: checkouts share compiled tests.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
    let folder = Path::new(&package).join("fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).expect("the corpus is committed");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("the folder is readable").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no corpus", folder.display());
    for file in files {
        check(&std::fs::read(&file).expect("the file is readable"));
    }
}

#[test]
fn the_corpus_of_apply_obeys_the_laws() {
    replay("apply", laws::check_log);
}

#[test]
fn the_corpus_of_decode_is_decoded_or_refused() {
    replay("decode", damage::check_decode);
}

/// What a log came upon.
fn seen(bytes: &[u8]) -> std::collections::BTreeSet<&'static str> {
    let mut dice = shapes::Dice::new(bytes);
    let mut state = State::default();
    let mut seen = std::collections::BTreeSet::new();
    while !dice.is_used_up() {
        let (term, batch) = shapes::entry(&mut dice, &state);
        for txn in batch.txns.iter().filter(|txn| state.outcome(txn.stamp.request).is_some()) {
            seen.insert(if txn.writes.is_empty() { "repeated, empty" } else { "repeated" });
        }
        let applied = apply(&state, &Entry { index: state.index() + 1, term, batch: &batch });
        for (txn, (_, outcome)) in batch.txns.iter().zip(&applied.outcomes) {
            seen.insert(match outcome {
                Outcome::Committed { .. } if txn.guards.is_empty() => "committed",
                Outcome::Committed { .. } => "committed, guarded",
                Outcome::Invalid { reason } => reason.split_once(' ').map_or("", |(_, rest)| kind_of(rest)),
                Outcome::Refused(refusal) => match txn.guards.get(refusal.guard as usize) {
                    Some(Guard::AtRevision { .. }) => "at revision",
                    Some(Guard::Absent { .. }) => "absent",
                    Some(Guard::Live { .. }) => "live",
                    Some(Guard::AtGeneration { .. }) => "at generation",
                    Some(Guard::Unwritten { .. }) => "unwritten",
                    Some(Guard::WithinLimit { .. }) => "within limit",
                    Some(Guard::LeaderTerm { .. }) => "leader term",
                    // The recorded outcome of another transaction with this id.
                    None => "repeated",
                },
            });
        }
        state = applied.state;
    }
    if state.feature_level() == FEATURE_LEVEL_MAX {
        seen.insert("raised");
    }
    seen
}

fn kind_of(reason: &str) -> &'static str {
    let kinds = ["cannot be deleted", "would overflow", "place for its revision", "twice", "does not follow"];
    kinds.into_iter().find(|kind| reason.contains(kind)).unwrap_or("a prefix that is none")
}

#[test]
fn random_logs_reach_everything() {
    let mut found = std::collections::BTreeSet::new();
    let mut byte = 1_u32;
    for _ in 0..40 {
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            byte = byte.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (byte >> 24) as u8
        })
        .take(1500)
        .collect();
        found.extend(seen(&bytes));
    }
    let expect = [
        "a prefix that is none",
        "absent",
        "at generation",
        "at revision",
        "cannot be deleted",
        "committed",
        "committed, guarded",
        "does not follow",
        "leader term",
        "live",
        "place for its revision",
        "raised",
        "repeated",
        "repeated, empty",
        "twice",
        "unwritten",
        "within limit",
        "would overflow",
    ];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expect);
}
