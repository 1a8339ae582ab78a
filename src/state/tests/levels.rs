//! Programs that know different feature levels, side by side on one log.

mod common;

use bytes::Bytes;
use common::*;
use state::apply::apply_knowing;
use state::codec::{DecodeError, decode_batch_knowing, encode_batch};
use state::image::{Restore, RestoreError};
use state::{Entry, LEVELS, Levels, State, Txn};

/// A log as bytes: two transactions, a raise to level 2, two more.
fn log(raise_to: Option<u32>) -> Vec<Bytes> {
    let object = |number: u32| put(&format!("core/configmaps/ns/{number}"));
    let mut txns: Vec<Txn> =
        (0..5).map(|number| txn(u128::from(number), vec![], vec![object(number)])).collect();
    if let Some(level) = raise_to {
        txns[2].writes.push(raise(level));
    }
    txns.into_iter().map(|txn| encode_batch(&batch(vec![txn])).expect("within the limits")).collect()
}

/// A program that knows `levels`: the hash after each entry, up to where it stops.
fn run(levels: Levels, log: &[Bytes]) -> (Vec<u128>, Option<DecodeError>) {
    let (mut state, mut hashes) = (State::default(), Vec::new());
    for (record, index) in log.iter().zip(1..) {
        let batch = match decode_batch_knowing(levels, record) {
            Ok(batch) => batch,
            Err(error) => return (hashes, Some(error)),
        };
        state = apply_knowing(levels, &state, &Entry { index, term: 1, batch: &batch }).state;
        hashes.push(state.hash());
    }
    (hashes, None)
}

#[test]
fn a_log_of_a_lower_level_replays_to_the_same_hashes() {
    let log = log(None);
    assert_eq!(run(LEVELS.up_to(1), &log), run(LEVELS, &log));
}

/// What level 1 computes is frozen: these values came from the first program that knew it.
#[test]
fn hashes_of_level_one_are_golden() {
    let (hashes, _) = run(LEVELS, &log(None));
    assert_eq!(format!("{:032x}", hashes[4]), "f8d722a319a330c59b5537623b795df8");
}

/// And so is what level 2 computes.
#[test]
fn hashes_of_level_two_are_golden() {
    let (hashes, _) = run(LEVELS, &log(Some(2)));
    assert_eq!(format!("{:032x}", hashes[4]), "a2105aec4df1c59f2f91a664b3c37c2b");
}

#[test]
fn an_older_program_agrees_up_to_the_raise_and_stops_there() {
    let log = log(Some(2));
    let (old, stopped) = run(LEVELS.up_to(1), &log);
    let (new, finished) = run(LEVELS, &log);
    assert_eq!((old.len(), new.len()), (2, 5));
    assert_eq!(old, new[..2]);
    let error = stopped.unwrap();
    assert_eq!(error, DecodeError::UnknownFeatureLevel { level: 2, known: 1 });
    assert!(error.is_newer());
    assert_eq!(finished, None);
}

#[test]
fn an_older_program_refuses_a_newer_image() {
    let state = state_of(vec![vec![raise(2)]]);
    let refused = Restore::knowing(LEVELS.up_to(1), &state.head()).err();
    assert_eq!(refused, Some(RestoreError::UnknownFeatureLevel { level: 2, known: 1 }));
    assert!(Restore::new(&state.head()).is_ok());
}

/// Level 1: two histories with the same end look alike. Level 2: they do not, and neither do two
/// positions in the log.
#[test]
fn level_two_remembers_what_was_overwritten() {
    let detour = |level: u32, value: &str| {
        let first = state_of(vec![vec![raise(level)], vec![charging("a/b/c", &[(value, 1)])]]);
        step(&first, vec![], vec![put("a/b/c")]).0.state
    };
    assert_eq!(detour(1, "x").hash(), detour(1, "y").hash());
    assert_ne!(detour(2, "x").hash(), detour(2, "y").hash());
    assert_ne!(detour(2, "x").advance(9, 1).hash(), detour(2, "x").hash());
    assert_ne!(detour(2, "x").advance(9, 1).hash(), detour(2, "x").advance(9, 2).hash());
}
