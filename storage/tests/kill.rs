//! SIGKILL at random moments: nothing acknowledged is lost, nothing half done is there.
//!
//! The test starts its own executable again as a child that works on a data directory and prints what
//! was acknowledged to it; the parent kills it, opens the directory and compares.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use bytes::Bytes;
use common::fast_directory;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use storage::rocks::{RocksOptions, RocksStores};
use storage::snapshot::Stores;
use storage::{Image, LogRecord, Retention, Version, VersionBatch};

/// Names the data directory to the child.
const CHILD: &str = "KEELSON_STORAGE_CHILD";

/// Children killed.
const ROUNDS: u64 = 60;

/// A child lives at most this long after its first word.
const LIFE_MS_MAX: u64 = 120;

/// How long a process keeps another one waiting: long enough for that to have been refused.
const HELD: Duration = Duration::from_millis(500);

/// Keys that every batch of versions writes, all with the batch's number.
const KEYS: u64 = 8;

/// Kills within which a mutant must be caught. Almost every one catches it: it must only come after something
/// was acknowledged.
#[cfg(feature = "mutants")]
const MUTANT_ROUNDS_MAX: u64 = 20;

/// Small memtables, so that flushes and compactions are killed as well.
fn open(directory: &Path) -> storage::Result<RocksStores> {
    let options = RocksOptions {
        cache_bytes: 1 << 20,
        log_memtable_bytes_max: 128 << 10,
        versions_memtable_bytes_max: 128 << 10,
    };
    RocksStores::open(directory, options)
}

/// What the child tells the parent, one line each.
#[derive(Clone, Copy, Debug, Default)]
struct Acknowledged {
    /// The lowest last index that may be found.
    last_index: u64,
    vote: u64,
    image_index: u64,
    snapshot_index: u64,
}

impl Acknowledged {
    fn hear(&mut self, line: &str) {
        let Some((word, number)) = line.split_once(' ') else { return };
        let Ok(number) = number.parse::<u64>() else { return };
        match word {
            "synced" => self.last_index = number,
            // Said before it is done: from now on both may be found.
            "truncating" => self.last_index = self.last_index.min(number),
            "voted" => self.vote = number,
            "flushed" => self.image_index = number,
            "snapshot" => self.snapshot_index = number,
            _ => {}
        }
    }
}

/// A record's content follows from its index and the run that wrote it.
fn record(index: u64, run: u64) -> LogRecord {
    let size = 20 + (index * 37 + run) % 900;
    let mut bytes = run.to_le_bytes().to_vec();
    bytes.extend((0..size).map(|at| (index + run + at) as u8));
    LogRecord { index, bytes: bytes.into() }
}

fn run_of(record: &LogRecord) -> u64 {
    u64::from_le_bytes(record.bytes[..8].try_into().expect("eight bytes"))
}

/// The batch that brings the store to image `index`.
fn batch(index: u64) -> VersionBatch {
    let first = (index - 1) * KEYS + 1;
    let version = |key: u64| Version {
        key: format!("key/{key}"),
        revision: first + key,
        previous: if index == 1 { 0 } else { first + key - KEYS },
        deleted: false,
        value: Bytes::from(index.to_string().repeat(40)),
    };
    let revision = first + KEYS - 1;
    let number = Bytes::from(index.to_string());
    let image = Some(Image { index, revision, head: number.clone() });
    VersionBatch { versions: (0..KEYS).map(version).collect(), sides: vec![(vec![0], Some(number))], image }
}

/// The child: works until it is killed.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let mut random = SmallRng::seed_from_u64(u64::from(std::process::id()));
    let stores = open(Path::new(&directory)).expect("the stores open");
    let (log, versions) = (stores.log(), stores.versions());
    let mut out = std::io::stdout();
    let mut say = |word: &str, number: u64| writeln!(out, "{word} {number}").expect("the parent listens");
    let run = u64::from(std::process::id());
    let state = log.state().expect("state");
    let purged = state.purged.map_or(0, |marker| marker.index);
    let mut last = state.last.map_or(purged, |record| record.index);
    let mut image = versions.image().expect("image").map_or(0, |image| image.index);
    say("open", 0);
    loop {
        match random.random_range(0..100) {
            0..50 => {
                let count = random.random_range(1..20);
                let records: Vec<LogRecord> =
                    (last + 1..=last + count).map(|index| record(index, run)).collect();
                log.append(&records).expect("append");
                last += count;
                if random.random_bool(0.6) {
                    log.sync().expect("sync");
                    say("synced", last);
                }
            }
            50..55 => {
                let purged = log.state().expect("state").purged.map_or(0, |marker| marker.index);
                let kept = random.random_range(last.saturating_sub(30).max(purged)..=last);
                say("truncating", kept);
                log.truncate_after(kept).expect("truncate");
                last = kept;
            }
            55..60 if last > 0 => log.purge(&record(last.saturating_sub(200).max(1), run)).expect("purge"),
            60..70 => {
                log.save_vote(&image.to_le_bytes()).expect("vote");
                say("voted", image);
            }
            70..88 => {
                image += 1;
                versions.write(&batch(image)).expect("write");
            }
            88..95 => {
                let durable = versions.flush().expect("flush");
                say("flushed", durable.map_or(0, |image| image.index));
            }
            95..98 => {
                let rule = Retention { prefix: String::new(), floor: (image * KEYS).saturating_sub(100) };
                versions.compact(&rule, 50).expect("compact");
            }
            _ if image > 0 => {
                let taken = stores.take_snapshot().expect("snapshot");
                say("snapshot", taken.manifest().image.index);
            }
            _ => {}
        }
    }
}

/// A child that has the stores in `directory` open, and what it says from then on.
fn start_child(directory: &Path, mutant: &str, acknowledged: &mut Acknowledged) -> (Child, Receiver<String>) {
    let mut child = Command::new(std::env::current_exe().expect("this executable"))
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, directory)
        .env("KEELSON_MUTANT", mutant)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let stdout = child.stdout.take().expect("piped");
    let (send, lines) = channel();
    // Ends with the pipe.
    let reader = base::env::thread("reader", move || {
        BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| drop(send.send(line)));
    });
    drop(reader.expect("a thread"));
    assert!(listen_until(&lines, acknowledged, "open 0", Duration::from_secs(60)), "the child opened");
    (child, lines)
}

/// Starts a child, kills it and returns what it was told was done.
fn run_and_kill(
    directory: &Path,
    mutant: &str,
    mut acknowledged: Acknowledged,
    life: Duration,
) -> Acknowledged {
    let (mut child, lines) = start_child(directory, mutant, &mut acknowledged);
    listen_until(&lines, &mut acknowledged, "never said", life);
    child.kill().expect("killed");
    child.wait().expect("reaped");
    lines.iter().for_each(|line| acknowledged.hear(&line));
    acknowledged
}

#[test]
fn a_process_that_has_not_wholly_ended_is_waited_for() {
    let directory = fast_directory();
    let (mut child, _lines) = start_child(directory.path(), "", &mut Acknowledged::default());
    let (path, (send, opened)) = (directory.path().to_owned(), channel());
    let opening = base::env::thread("opening", move || send.send(open(&path).map(drop)));
    let early = opened.recv_timeout(HELD);
    assert!(matches!(early, Err(RecvTimeoutError::Timeout)), "beside the child: {early:?}");
    child.kill().expect("killed");
    child.wait().expect("reaped");
    opened.recv().expect("no panic").expect("opens");
    opening.expect("a thread").join().expect("no panic").expect("it was heard");
}

/// Takes lines in until `word` is said or `limit` passed.
fn listen_until(lines: &Receiver<String>, heard: &mut Acknowledged, word: &str, limit: Duration) -> bool {
    let deadline = base::env::monotonic() + limit;
    loop {
        let left = deadline.saturating_duration_since(base::env::monotonic());
        match lines.recv_timeout(left) {
            Ok(line) if line == word => return true,
            Ok(line) => heard.hear(&line),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
        }
    }
}

/// Fails with what was lost, or is there in part.
fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

/// Compares what is there with what was acknowledged; the error says what is missing, or that the stores
/// themselves miss something.
fn check(directory: &Path, acknowledged: Acknowledged) -> Result<Acknowledged, String> {
    let stores = open(directory).map_err(|error| format!("the stores do not open: {error}"))?;
    let (log, versions) = (stores.log(), stores.versions());
    let state = log.state().expect("state");
    let purged = state.purged.map_or(0, |marker| marker.index);
    let last = state.last.map_or(purged, |record| record.index);
    ensure(last >= acknowledged.last_index, || format!("the log ends at {last}: {acknowledged:?}"))?;
    for found in log.read(0, u64::MAX, usize::MAX).expect("the log is read") {
        let whole = record(found.index, run_of(&found));
        ensure(found == whole, || format!("{found:?} is not {whole:?}"))?;
    }
    let vote = log
        .vote()
        .expect("vote")
        .map_or(0, |vote| u64::from_le_bytes(vote.as_ref().try_into().expect("eight bytes")));
    ensure(vote >= acknowledged.vote, || format!("the vote is {vote}: {acknowledged:?}"))?;

    let image = versions.image().expect("image").map_or(0, |image| image.index);
    ensure(image >= acknowledged.image_index, || format!("the image is {image}: {acknowledged:?}"))?;
    let mut values = Vec::new();
    versions.newest(&mut |version| values.push(version)).expect("newest");
    let expected = if image == 0 { Vec::new() } else { batch(image).versions };
    ensure(values == expected, || format!("batches are not whole: {values:?} is not {expected:?}"))?;
    let mut sides = Vec::new();
    versions.sides(&mut |_, value| sides.push(value)).expect("sides");
    let are_of_image = sides.iter().all(|side| *side == image.to_string());
    ensure(are_of_image, || format!("{sides:?} beside image {image}"))?;
    let snapshot = stores.current_snapshot().expect("the snapshot opens");
    let snapshot = snapshot.map_or(0, |snapshot| snapshot.manifest().image.index);
    ensure(snapshot >= acknowledged.snapshot_index, || {
        format!("the snapshot is at {snapshot}: {acknowledged:?}")
    })?;
    // Everything found now is durable: the next round must not lose it either.
    Ok(Acknowledged { last_index: last, vote, image_index: image, snapshot_index: snapshot })
}

/// Kills children until something acknowledged is missing, `rounds` of them at most.
fn kill_again_and_again(rounds: u64, mutant: &str) -> Result<Acknowledged, String> {
    let directory = fast_directory();
    let mut random = SmallRng::seed_from_u64(20);
    let mut acknowledged = Acknowledged::default();
    for _ in 0..rounds {
        let life = Duration::from_millis(random.random_range(0..LIFE_MS_MAX));
        acknowledged = run_and_kill(directory.path(), mutant, acknowledged, life);
        acknowledged = check(directory.path(), acknowledged)?;
    }
    Ok(acknowledged)
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_half_done() {
    let acknowledged = kill_again_and_again(ROUNDS, "").unwrap_or_else(|problem| panic!("{problem}"));
    assert!(acknowledged.last_index > ROUNDS, "the children got something done: {acknowledged:?}");
    assert!(acknowledged.image_index > ROUNDS, "the children got something done: {acknowledged:?}");
}

/// The kills must find a store that acknowledges what only the memory of its process holds.
#[cfg(feature = "mutants")]
fn check_mutant(mutant: &str, expected: &[&str]) {
    let lost = kill_again_and_again(MUTANT_ROUNDS_MAX, mutant).expect_err("the mutant is caught");
    assert!(expected.iter().any(|words| lost.contains(words)), "{mutant}: {lost}");
}

#[test]
#[cfg(feature = "mutants")]
fn kills_catch_a_log_that_stays_in_memory() {
    check_mutant("no-write", &["the log ends at", "the vote is"]);
}

#[test]
#[cfg(feature = "mutants")]
fn kills_catch_versions_that_stay_in_memory() {
    check_mutant("no-flush", &["the image is"]);
}
