//! Numbers for the documentation, printed and never judged: `cargo test -p storage --test measure --
//! --ignored --nocapture`.

use std::path::Path;
use std::time::Duration;

use base::env::monotonic;
use bytes::Bytes;
use storage::rocks::{RocksOptions, RocksStores};
use storage::snapshot::Stores;
use storage::{Image, LogRecord, Version, VersionBatch};

fn open(directory: &Path) -> RocksStores {
    RocksStores::open(directory, RocksOptions::default()).expect("opened")
}

/// Bytes this process caused to be written to disk so far.
fn written_bytes() -> u64 {
    let counters = std::fs::read_to_string("/proc/self/io").expect("counters");
    let line = counters.lines().find_map(|line| line.strip_prefix("write_bytes: ")).expect("the counter");
    line.parse().expect("a number")
}

/// Bytes that look like a Kubernetes object: neither constant nor noise.
fn object(number: u64, size: usize) -> Bytes {
    let mut text = String::new();
    while text.len() < size {
        let digest = crc32c::crc32c(&(number + text.len() as u64).to_le_bytes());
        text.push_str(&format!("{{\"name\":\"object-{number}\",\"uid\":\"{digest:08x}\"}},"));
    }
    text.truncate(size);
    Bytes::from(text)
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let started = monotonic();
    let result = work();
    println!("{what}: {:?}", monotonic().saturating_duration_since(started));
    result
}

#[test]
#[ignore = "prints measurements"]
fn measure_the_log() {
    let directory = tempfile::tempdir().expect("a directory");
    timed("open an empty directory", || drop(open(directory.path())));
    let stores = timed("open it again", || open(directory.path()));
    let log = stores.log();
    let mut took: Vec<Duration> = Vec::new();
    let (mut index, mut appended_bytes) = (0, 0);
    let before = written_bytes();
    for _ in 0..1500 {
        let records: Vec<LogRecord> =
            (index + 1..=index + 32).map(|index| LogRecord { index, bytes: object(index, 2048) }).collect();
        index += 32;
        appended_bytes += records.iter().map(|record| record.bytes.len() as u64).sum::<u64>();
        log.append(&records).expect("append");
        let started = monotonic();
        log.sync().expect("sync");
        took.push(monotonic().saturating_duration_since(started));
        if index.is_multiple_of(3200) && index > 16_000 {
            log.purge(&LogRecord { index: index - 16_000, bytes: Bytes::new() }).expect("purge");
        }
    }
    let written = written_bytes() - before;
    took.sort();
    println!("sync of 64 KiB: p50 {:?} p99 {:?} of {}", took[750], took[1485], took.len());
    println!("p99 as reported: {:?} ms", stores.sync_p99_ms());
    println!(
        "log: {appended_bytes} appended, {written} written: {:.2}",
        written as f64 / appended_bytes as f64
    );
    let mut small: Vec<Duration> = Vec::new();
    for _ in 0..500 {
        index += 1;
        log.append(&[LogRecord { index, bytes: object(index, 2048) }]).expect("append");
        let started = monotonic();
        log.sync().expect("sync");
        small.push(monotonic().saturating_duration_since(started));
    }
    small.sort();
    println!("sync of 2 KiB: p50 {:?} p99 {:?}", small[250], small[495]);
    drop(log);
    drop(stores);
    timed("open with 16,000 records of 2 KiB", || open(directory.path()));
}

#[test]
#[ignore = "prints measurements"]
fn measure_versions() {
    const OBJECTS: u64 = 300_000;
    let directory = tempfile::tempdir().expect("a directory");
    let stores = open(directory.path());
    let versions = stores.versions();
    let before = written_bytes();
    let mut bytes = 0;
    for first in (1..=OBJECTS).step_by(500) {
        let version = |revision: u64| Version {
            key: format!("configmaps/namespace-{}/object-{revision}", revision % 97),
            revision,
            previous: 0,
            deleted: false,
            value: object(revision, 1024),
        };
        let image = Some(Image { index: first, revision: first + 499, head: Bytes::from(vec![0; 2000]) });
        let batch =
            VersionBatch { versions: (first..first + 500).map(version).collect(), sides: vec![], image };
        bytes += batch.versions.iter().map(|version| version.value.len() as u64).sum::<u64>();
        versions.write(&batch).expect("write");
        if first % 10_000 == 1 {
            versions.flush().expect("flush");
        }
    }
    timed("last flush", || versions.flush().expect("flush"));
    let written = written_bytes() - before;
    println!("versions: {bytes} written, {written} to disk: {:.2}", written as f64 / bytes as f64);
    timed("snapshot", || stores.take_snapshot().expect("snapshot"));
    timed("next snapshot", || stores.take_snapshot().expect("snapshot"));
    drop(versions);
    drop(stores);
    let stores = timed("open", || open(directory.path()));
    let mut count = 0;
    timed("load newest", || stores.versions().newest(&mut |_| count += 1).expect("newest"));
    assert_eq!(count, OBJECTS);
}
