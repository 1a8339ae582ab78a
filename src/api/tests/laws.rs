//! The laws of everything that a client may send, on the committed corpus of the fuzzers.

#[path = "../fuzz/laws.rs"]
mod laws;

use std::path::Path;

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
