//! Bit flips and cuts in every file of a closed data directory: what is found afterwards is the same data
//! or an error that names a file and the way out, never other data and never a panic.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use common::fast_directory;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use storage::rocks::{RocksOptions, RocksStores};
use storage::snapshot::Stores;
use storage::{Image, LogRecord, LogState, Result, Retention, StorageError, Version, VersionBatch};

/// Bits flipped per file: spread over it, each in a copy of its own.
const FLIPS_PER_FILE: u64 = 7;

/// Cuts per file.
const CUTS_PER_FILE: u64 = 3;

/// Everything that can be asked of a data directory.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    state: LogState,
    records: Vec<LogRecord>,
    vote: Option<Bytes>,
    committed: Option<Bytes>,
    image: Option<Image>,
    newest: Vec<Version>,
    sides: Vec<(Vec<u8>, Bytes)>,
    all: Vec<Version>,
    floor: u64,
    size_bytes: u64,
    snapshot: Vec<Vec<u8>>,
}

/// Small memtables, so that a small directory has every kind of file.
fn open(directory: &Path) -> Result<RocksStores> {
    let options = RocksOptions {
        cache_bytes: 1 << 20,
        log_memtable_bytes_max: 64 << 10,
        versions_memtable_bytes_max: 64 << 10,
    };
    RocksStores::open(directory, options)
}

fn read(directory: &Path) -> Result<Content> {
    let stores = open(directory)?;
    let (log, versions) = (stores.log(), stores.versions());
    let (mut newest, mut sides) = (Vec::new(), Vec::new());
    versions.newest(&mut |version| newest.push(version))?;
    versions.sides(&mut |key, value| sides.push((key.to_vec(), value)))?;
    Ok(Content {
        state: log.state()?,
        records: log.read(0, u64::MAX, usize::MAX)?,
        vote: log.vote()?,
        committed: log.committed()?,
        image: versions.image()?,
        newest,
        sides,
        all: versions.since("", versions.floor("")?, usize::MAX)?.0,
        floor: versions.floor("")?,
        size_bytes: versions.size_bytes(),
        snapshot: snapshot_content(&stores)?,
    })
}

fn snapshot_content(stores: &RocksStores) -> Result<Vec<Vec<u8>>> {
    let Some(snapshot) = stores.current_snapshot()? else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for (number, file) in snapshot.manifest().files.iter().enumerate() {
        let mut bytes = Vec::new();
        loop {
            let part = snapshot.read(number, bytes.len() as u64, 1 << 20)?;
            if part.is_empty() {
                break;
            }
            bytes.extend_from_slice(&part);
        }
        // As the receiver does.
        if (bytes.len() as u64, crc32c::crc32c(&bytes)) != (file.size_bytes, file.crc32c) {
            let directory = snapshot.directory().expect("a snapshot on disk");
            let what = "the receiver refuses it".to_owned();
            return Err(StorageError::Corrupt {
                file: directory.join(&file.name),
                what,
                remedy: "send it again",
            });
        }
        files.push(bytes);
    }
    Ok(files)
}

/// Fills a directory so that it has journals, tables, purged and truncated records, compacted versions
/// and a snapshot.
fn fill(directory: &Path) {
    let stores = open(directory).expect("an empty directory opens");
    let (log, versions) = (stores.log(), stores.versions());
    let mut random = SmallRng::seed_from_u64(7);
    let mut noise = |size: usize| Bytes::from((0..size).map(|_| random.random()).collect::<Vec<u8>>());
    log.save_vote(b"term 3").expect("vote");
    for round in 0..6_u64 {
        let from = round * 40 + 1;
        let records: Vec<LogRecord> =
            (from..from + 40).map(|index| LogRecord { index, bytes: noise(1000) }).collect();
        log.append(&records).expect("append");
        log.sync().expect("sync");
        let write = |revision: u64| Version {
            key: format!("k/{:02}", revision % 50),
            revision,
            previous: revision.saturating_sub(50),
            deleted: revision.is_multiple_of(7),
            value: noise(300),
        };
        let written = (from..from + 40).map(write).collect();
        let image = Image { index: from + 39, revision: from + 39, head: noise(20) };
        let sides = vec![(vec![round as u8], Some(noise(30)))];
        let batch = VersionBatch { versions: written, sides, image: Some(image) };
        versions.write(&batch).expect("write");
        versions.flush().expect("flush");
        if round == 3 {
            log.purge(&LogRecord { index: 70, bytes: noise(8) }).expect("purge");
            log.save_committed(Some(b"120")).expect("committed");
            let rule = Retention { prefix: "k/".to_owned(), floor: 60 };
            while versions.compact(&rule, 30).expect("compact").scanned > 0 {}
            stores.take_snapshot().expect("snapshot");
        }
    }
    log.truncate_after(230).expect("truncate");
    log.sync().expect("sync");
    versions.flush().expect("flush");
}

/// Whether RocksDB only writes the file and never reads it.
fn is_diary(name: &Path) -> bool {
    let name = name.file_name().and_then(|name| name.to_str()).expect("a name");
    name.starts_with("LOG") || name.starts_with("OPTIONS") || matches!(name, "IDENTITY" | "LOCK")
}

fn is_manifest(name: &Path) -> bool {
    name.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("MANIFEST-"))
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    for path in files_below(from) {
        let target = to.join(path.strip_prefix(from).expect("below"));
        fs::create_dir_all(target.parent().expect("a parent")).expect("created");
        fs::copy(&path, &target).expect("copied");
    }
}

struct Damaged {
    original: tempfile::TempDir,
    expected: Content,
    names: Vec<PathBuf>,
    refused: usize,
    unharmed: usize,
}

impl Damaged {
    fn new() -> Self {
        let original = fast_directory();
        fill(original.path());
        let twin = fast_directory();
        copy(original.path(), twin.path());
        let expected = read(twin.path()).expect("the undamaged directory is read");
        assert_eq!(expected.records.len(), 160);
        assert!(!expected.snapshot.is_empty());
        let names = files_below(original.path());
        let below = |path: &PathBuf| path.strip_prefix(original.path()).expect("below").to_owned();
        let names = names.iter().map(below).collect();
        Self { original, expected, names, refused: 0, unharmed: 0 }
    }

    /// Damages one file of a copy and looks at what is found.
    fn check(&mut self, name: &Path, what: &str, damage: impl FnOnce(&mut Vec<u8>)) {
        let copied = fast_directory();
        copy(self.original.path(), copied.path());
        let path = copied.path().join(name);
        let mut content = fs::read(&path).expect("read");
        damage(&mut content);
        fs::write(&path, content).expect("written");
        match read(copied.path()) {
            Ok(found) => {
                assert!(found == self.expected, "{}: {what}: other data was found", name.display());
                self.unharmed += 1;
            }
            Err(StorageError::Corrupt { file, what: found, remedy }) => {
                let named = file.strip_prefix(copied.path()).expect("a file of the data directory");
                let is_known = self.names.iter().any(|known| known.starts_with(named));
                // A manifest that lost its last edit asks for tables that were merged since, if that edit came
                // from a merge after the last flush: they are what is missing.
                let is_asked_for = is_manifest(name)
                    && file.extension().is_some_and(|extension| extension == "sst")
                    && !file.exists();
                assert!(
                    is_known || is_asked_for,
                    "{}: {what}: {} was not there before",
                    name.display(),
                    named.display()
                );
                assert!(!found.is_empty() && !remedy.is_empty());
                self.refused += 1;
                // Opening the log repairs its journal: the evidence must not be gone at the next try.
                if name.starts_with("log") {
                    let again = read(copied.path()).expect_err("damage does not go away");
                    assert!(again.is_corrupt(), "{}: {what}: {again:?}", name.display());
                }
            }
            Err(error) => panic!("{}: {what}: {error:?} is no word about damage", name.display()),
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_harmless_or_named() {
    let mut damaged = Damaged::new();
    for name in damaged.names.clone() {
        let size_bytes = fs::metadata(damaged.original.path().join(&name)).expect("there").len();
        let mut random = SmallRng::seed_from_u64(size_bytes);
        let flips = if is_diary(&name) { 1 } else { FLIPS_PER_FILE };
        for part in 0..flips.min(size_bytes) {
            // One in each part of the file, so that headers, middles and ends are met.
            let (from, to) = (part * size_bytes / flips, (part + 1) * size_bytes / flips);
            let at = if from < to { random.random_range(from..to) } else { from };
            let bit = random.random_range(0..8);
            damaged
                .check(&name, &format!("bit {bit} of byte {at}"), |content| content[at as usize] ^= 1 << bit);
        }
    }
    assert!(damaged.refused > damaged.names.len(), "only {} flips were found", damaged.refused);
    assert!(damaged.unharmed > 0);
}

#[test]
fn a_cut_or_emptied_file_is_harmless_or_named() {
    let mut damaged = Damaged::new();
    for name in damaged.names.clone() {
        let size_bytes = fs::metadata(damaged.original.path().join(&name)).expect("there").len();
        for part in 0..if is_diary(&name) { 1 } else { CUTS_PER_FILE } {
            let left = (part * size_bytes / CUTS_PER_FILE) as usize;
            damaged.check(&name, &format!("cut to {left}"), |content| content.truncate(left));
        }
        let left = size_bytes.saturating_sub(1) as usize;
        damaged.check(&name, "the last byte cut", |content| content.truncate(left));
    }
    assert!(damaged.refused > damaged.names.len(), "only {} cuts were found", damaged.refused);
}

/// The largest table of the version store in `directory`.
fn largest_table(directory: &Path) -> PathBuf {
    let is_table = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "sst")
            && !path.starts_with(directory.join("log"))
    };
    let tables = files_below(directory).into_iter().filter(is_table);
    tables.max_by_key(|path| fs::metadata(path).expect("there").len()).expect("a table")
}

#[test]
fn a_snapshot_of_damage_and_a_snapshot_that_was_damaged_are_found_when_verified() {
    let flip = |path: &Path| {
        let mut content = fs::read(path).expect("read");
        // In the first block of values.
        content[1000] ^= 1;
        // In place: tables are links, and the damage is in all of them.
        fs::write(path, content).expect("written");
    };
    let directory = fast_directory();
    fill(directory.path());
    let stores = open(directory.path()).expect("opens");
    let snapshot = stores.current_snapshot().expect("read").expect("was taken");
    snapshot.verify().expect("as it was taken");
    let names = files_below(snapshot.directory().expect("a directory"));
    snapshot.verify().expect("verified again");
    assert_eq!(files_below(snapshot.directory().expect("a directory")), names, "nothing is left there");

    let table = largest_table(snapshot.directory().expect("a directory"));
    flip(&table);
    let changed = snapshot.verify().expect_err("it was damaged");
    assert!(changed.is_corrupt() && changed.to_string().contains(".sst"), "{changed}");

    let directory = fast_directory();
    let stores = open(directory.path()).expect("opens");
    let mut random = SmallRng::seed_from_u64(7);
    let mut write = |revision: u64| {
        let value = (0..300).map(|_| random.random()).collect::<Vec<u8>>().into();
        Version { key: format!("k/{revision}"), revision, previous: 0, deleted: false, value }
    };
    let versions = (1..=40).map(&mut write).collect();
    let image = Some(Image { index: 40, revision: 40, head: Bytes::new() });
    stores.versions().write(&VersionBatch { versions, sides: Vec::new(), image }).expect("write");
    stores.versions().flush().expect("flush");
    flip(&largest_table(directory.path()));
    let snapshot = stores.take_snapshot().expect("its checksums are of what is there");
    let damaged = snapshot.verify().expect_err("it was damaged before");
    assert!(damaged.is_corrupt() && damaged.to_string().contains(".sst"), "{damaged}");
}

#[test]
fn a_missing_file_is_harmless_or_named() {
    let mut damaged = Damaged::new();
    for name in damaged.names.clone() {
        let copied = fast_directory();
        copy(damaged.original.path(), copied.path());
        fs::remove_file(copied.path().join(&name)).expect("removed");
        match read(copied.path()) {
            Ok(found) => assert!(found == damaged.expected, "{}: other data was found", name.display()),
            Err(error) => {
                assert!(error.is_corrupt(), "{}: {error:?}", name.display());
                damaged.refused += 1;
            }
        }
    }
    assert!(damaged.refused > 5, "only {} losses were found", damaged.refused);
}

/// What is left of a data directory when only these entries are.
fn remains(from: &Path, entries: &[&str]) -> tempfile::TempDir {
    let directory = fast_directory();
    for entry in entries {
        let (source, target) = (from.join(entry), directory.path().join(entry));
        if source.is_dir() {
            copy(&source, &target);
        } else {
            fs::copy(source, target).expect("copied");
        }
    }
    directory
}

#[test]
fn a_log_that_is_gone_is_missed_by_what_is_left() {
    let whole = fast_directory();
    fill(whole.path());
    let store = ["state-1", "state-1.synced"];
    for left in [&["current", "state-1", "state-1.synced", "snapshots"][..], &store, &["current"]] {
        let directory = remains(whole.path(), left);
        // Twice: the evidence must not be gone at the next try.
        for attempt in 1..=2 {
            match open(directory.path()).err() {
                Some(StorageError::Corrupt { file, remedy, .. }) => {
                    assert_eq!(file, directory.path().join("log"), "{left:?}, attempt {attempt}");
                    assert!(!remedy.is_empty());
                }
                other => panic!("{left:?}, attempt {attempt}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_first_start_that_was_cut_off_anywhere_is_begun_again() {
    let begun = fast_directory();
    drop(open(begun.path()).expect("an empty directory opens"));
    // In the order in which they are made.
    let made = ["log.synced", "log", "current", "state-1.synced", "state-1"];
    for count in 0..=made.len() {
        let directory = remains(begun.path(), &made[..count]);
        let opened = open(directory.path());
        assert!(opened.is_ok(), "only {:?}: {:?}", &made[..count], opened.err());
    }
    // Nor does what a crash leaves of the files themselves count for more.
    for name in ["log.synced.tmp", "current.tmp"] {
        let directory = fast_directory();
        fs::write(directory.path().join(name), b"").expect("written");
        assert!(open(directory.path()).is_ok(), "only {name}");
    }
}

#[test]
fn a_torn_tail_that_was_never_synced_is_dropped() {
    let directory = fast_directory();
    let record = |index: u64| LogRecord { index, bytes: Bytes::from(vec![index as u8; 500]) };
    let stores = open(directory.path()).expect("opened");
    let log = stores.log();
    log.append(&[record(1), record(2)]).expect("append");
    log.sync().expect("sync");
    let synced_bytes = journal_bytes(directory.path()).1.len();
    let side_file = fs::read(directory.path().join("log.synced")).expect("read");
    log.append(&[record(3), record(4)]).expect("append");
    log.sync().expect("sync");
    drop(log);
    drop(stores);

    let (journal, content) = journal_bytes(directory.path());
    for cut in [synced_bytes, synced_bytes + 1, synced_bytes + 300, synced_bytes + 700, content.len() - 1] {
        let copied = fast_directory();
        copy(directory.path(), copied.path());
        let path = copied.path().join(journal.strip_prefix(directory.path()).expect("below"));
        fs::write(path, &content[..cut]).expect("written");
        assert!(open(copied.path()).is_err_and(|error| error.is_corrupt()), "acknowledged, cut at {cut}");
        // The same cut where the second sync never returned.
        let copied = fast_directory();
        copy(directory.path(), copied.path());
        let path = copied.path().join(journal.strip_prefix(directory.path()).expect("below"));
        fs::write(path, &content[..cut]).expect("written");
        fs::write(copied.path().join("log.synced"), &side_file).expect("written");
        let stores = open(copied.path()).expect("a torn tail opens");
        let found = stores.log().read(0, 10, usize::MAX).expect("read");
        assert_eq!(found, vec![record(1), record(2)], "cut at {cut}");
        stores.log().append(&[record(3)]).expect("the log goes on");
    }
}

/// The manifest of an instance.
fn manifest(instance: &Path) -> PathBuf {
    let current = fs::read_to_string(instance.join("CURRENT")).expect("read");
    instance.join(current.trim_end())
}

#[test]
fn a_torn_end_of_a_manifest_that_was_never_synced_is_dropped() {
    let directory = fast_directory();
    fill(directory.path());
    let twin = fast_directory();
    copy(directory.path(), twin.path());
    let expected = read(twin.path()).expect("the undamaged directory is read");
    // A fragment of 3,000 bytes of which its first page did not reach the disk, or only that; and nothing but
    // the length, with a later page.
    let header = [&[1, 2, 3, 4][..], &3_000_u16.to_le_bytes(), &[1]].concat();
    let ends = [
        [&header[..], &[7; 1_000], &[0; 2_000]].concat(),
        [&[0; 2_000][..], &[7; 1_000]].concat(),
        vec![0; 3_000],
        header[..3].to_vec(),
    ];
    for instance in ["log", "state-1"] {
        for end in &ends {
            let copied = fast_directory();
            copy(directory.path(), copied.path());
            let path = manifest(&copied.path().join(instance));
            let whole = fs::read(&path).expect("read");
            fs::write(&path, [whole.as_slice(), end].concat()).expect("written");
            match read(copied.path()) {
                Ok(found) => assert!(found == expected, "{instance}: other data was found"),
                Err(error) => panic!("{instance}, {:?}...: {error}", &end[..3]),
            }
        }
    }
}

/// The one journal file of the log, and its content.
fn journal_bytes(directory: &Path) -> (PathBuf, Vec<u8>) {
    let mut files = files_below(&directory.join("log"));
    files.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    assert_eq!(files.len(), 1, "{files:?}");
    let content = fs::read(&files[0]).expect("read");
    (files.remove(0), content)
}
