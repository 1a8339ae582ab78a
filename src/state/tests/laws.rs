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

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;
use state::codec::decode_batch_knowing;
use state::{Batch, Entry, FEATURE_LEVEL_MAX, Guard, LEVELS, Outcome, State, apply};

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

/// Applies an entry and notes what it came upon.
fn step(state: &State, term: u64, batch: &Batch, seen: &mut BTreeSet<&'static str>) -> State {
    for txn in batch.txns.iter().filter(|txn| state.outcome(txn.stamp.request).is_some()) {
        seen.insert(if txn.writes.is_empty() { "repeated, empty" } else { "repeated" });
    }
    let applied = apply(state, &Entry { index: state.index() + 1, term, batch });
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
    if applied.state.feature_level() == FEATURE_LEVEL_MAX {
        seen.insert("raised");
    }
    applied.state
}

/// Everything that a log can come upon.
const EVERYTHING: &[&str] = &[
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

fn kind_of(reason: &str) -> &'static str {
    let kinds = ["cannot be deleted", "would overflow", "place for its revision", "twice", "does not follow"];
    kinds.into_iter().find(|kind| reason.contains(kind)).unwrap_or("a prefix that is none")
}

fn random_bytes(logs: usize) -> Vec<Vec<u8>> {
    let mut byte = 1_u32;
    let mut next = || {
        byte = byte.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (byte >> 24) as u8
    };
    (0..logs).map(|_| std::iter::repeat_with(&mut next).take(1500).collect()).collect()
}

#[test]
fn random_logs_reach_everything() {
    let mut found = BTreeSet::new();
    for bytes in random_bytes(40) {
        let mut dice = shapes::Dice::new(&bytes);
        let mut state = State::default();
        while !dice.is_used_up() {
            let (term, batch) = shapes::entry(&mut dice, &state);
            state = step(&state, term, &batch, &mut found);
        }
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), EVERYTHING);
}

/// Logs as they were written once, by a program that knew levels 1 and 2: what came of them then comes of
/// them for ever, down to the texts of refusals. Each entry is its length and its term in front of its record;
/// a length of 0 ends a log.
const FROZEN: &[u8] = include_bytes!("frozen.logs");

/// The hash that each ended with.
const FROZEN_HASHES: &[&str] = &[
    "ecec9705a16c4e07100570e988abbe47",
    "938be5adf95d2069bda299f00860587d",
    "6facddbf6611e7cee69aa7f6e66d1650",
    "e1cc66cb14e5b42a98464643229402bc",
];

#[test]
fn frozen_logs_that_reach_everything_end_with_the_hashes_they_always_had() {
    let (mut rest, mut found, mut hashes) = (FROZEN, BTreeSet::new(), Vec::new());
    while !rest.is_empty() {
        let mut state = State::default();
        loop {
            let length = u32::from_le_bytes(*take(&mut rest)) as usize;
            if length == 0 {
                break;
            }
            let term = u64::from_le_bytes(*take(&mut rest));
            let (record, behind) = rest.split_at(length);
            rest = behind;
            let batch =
                decode_batch_knowing(LEVELS, &Bytes::from_static(record)).expect("it was written once");
            state = step(&state, term, &batch, &mut found);
        }
        hashes.push(format!("{:032x}", state.hash()));
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), EVERYTHING);
    assert_eq!(hashes, FROZEN_HASHES);
}

fn take<const N: usize>(rest: &mut &'static [u8]) -> &'static [u8; N] {
    let (taken, behind) = rest.split_first_chunk().expect("the file is whole");
    *rest = behind;
    taken
}
