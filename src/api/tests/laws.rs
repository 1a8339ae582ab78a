//! The laws of everything that a client may send, on the committed corpus of the fuzzers (`fuzz/`, run by `make fuzz`),
//! so that what they found stays found with a stable compiler too.

#[path = "../fuzz/custom.rs"]
mod custom;
#[path = "../fuzz/laws.rs"]
mod laws;
#[path = "../fuzz/owners.rs"]
mod owners;
#[path = "../fuzz/schemas.rs"]
mod schemas;
#[path = "../fuzz/shapes.rs"]
mod shapes;

use std::path::Path;

use shapes::Dice;

/// Runs `check` on every file of a fuzz target's corpus.
fn replay(target: &str, check: fn(&[u8])) {
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
fn the_corpus_of_objects_reads_back_or_is_refused() {
    replay("objects", laws::check_objects);
}

#[test]
fn the_corpus_of_patches_conforms_or_is_refused() {
    replay("patches", laws::check_patches);
}

#[test]
fn the_corpus_of_words_has_one_form_or_is_refused() {
    replay("words", laws::check_words);
}

#[test]
fn the_corpus_of_applies_is_merged_once_or_refused() {
    replay("apply", owners::check_apply);
}

#[test]
fn the_corpus_of_sets_obeys_the_laws_of_sets() {
    replay("sets", owners::check_sets);
}

#[test]
fn the_corpus_of_definitions_makes_resources_or_is_refused() {
    replay("definitions", custom::check_definitions);
}

#[test]
fn the_corpus_of_schemas_prunes_and_fills_in_once() {
    replay("custom", custom::check_custom);
}

/// How many random inputs each law that makes something of bytes is tried on; fuzzing tries more.
const ROUNDS: u64 = 300;

/// Runs `check` on random bytes, `KEELSON_LAWS_ROUNDS` times if that is given.
fn throw(check: fn(&[u8])) {
    let rounds = std::env::var("KEELSON_LAWS_ROUNDS").ok().and_then(|text| text.parse().ok());
    for seed in 0..rounds.unwrap_or(ROUNDS) {
        let mut dice = Dice::new(seed);
        let bytes: Vec<u8> = (0..dice.below(1200)).map(|_| dice.below(256) as u8).collect();
        let outcome = std::panic::catch_unwind(|| check(&bytes));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

#[test]
fn random_applies_are_merged_once_or_refused() {
    throw(owners::check_apply);
}

#[test]
fn random_schemas_prune_and_fill_in_once() {
    throw(custom::check_custom);
}
