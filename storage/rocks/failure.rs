//! What RocksDB's errors mean to us.

use std::path::{Path, PathBuf};

use rocksdb::ErrorKind;

use crate::error::StorageError;

/// Turns an error of RocksDB into one of ours.
///
/// Missing files and unknown formats are damage as much as a wrong checksum: nothing but RocksDB and
/// this crate writes there.
pub(super) fn classify(operation: &'static str, directory: &Path, error: rocksdb::Error) -> StorageError {
    let message = error.to_string();
    let is_missing_file = message.contains("No such file or directory");
    match error.kind() {
        ErrorKind::Corruption | ErrorKind::NotSupported | ErrorKind::InvalidArgument => {
            StorageError::corrupt(&named_file(directory, &message), message)
        }
        ErrorKind::IOError if is_missing_file => {
            StorageError::corrupt(&named_file(directory, &message), message)
        }
        // RocksDB's words for a lock that another process holds.
        ErrorKind::IOError if message.contains("While lock file") => {
            StorageError::InUse { directory: directory.to_owned() }
        }
        ErrorKind::IOError if message.contains("No space left on device") => {
            StorageError::OutOfSpace { operation, directory: directory.to_owned() }
        }
        _ => StorageError::Failed { operation, directory: directory.to_owned(), source: Box::new(error) },
    }
}

/// The file that a message speaks of; the directory when it names none.
fn named_file(directory: &Path, message: &str) -> PathBuf {
    let in_directory = directory.to_string_lossy();
    let is_file = |word: &&str| word.starts_with(in_directory.as_ref()) && word.len() > in_directory.len();
    let mut words = message.split(|c: char| c.is_whitespace() || c == ',' || c == ';');
    if let Some(word) = words.find(is_file) {
        return PathBuf::from(word.trim_end_matches([':', '.']));
    }
    match journal_number(message) {
        Some(number) => directory.join(format!("{number:06}.log")),
        None => directory.to_owned(),
    }
}

/// Messages about the journal as a whole give its file's number only.
fn journal_number(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once("log number: ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_damaged_file_is_named() {
        let check = |message: &str, expect: &str| {
            assert_eq!(named_file(Path::new("/data/log"), message), Path::new(expect), "{message}");
        };
        check(
            "Corruption: block checksum mismatch: in /data/log/000012.sst offset 5",
            "/data/log/000012.sst",
        );
        check("IO error: While open a file: /data/log/MANIFEST-000004: x", "/data/log/MANIFEST-000004");
        check("Corruption: Missing WAL with log number: 10.", "/data/log/000010.log");
        check("Corruption: something else", "/data/log");
    }
}
