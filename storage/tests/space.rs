//! A disk that fills up: writes are refused with a reason before RocksDB meets the end of it, reads and
//! votes go on, and once space is freed everything goes on without reopening.
//!
//! Needs root, for a small file system of its own; skips with a message otherwise.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use storage::rocks::{RocksOptions, RocksStores};
use storage::snapshot::Stores;
use storage::{Image, LogRecord, StorageError, Version, VersionBatch};
use tempfile::TempDir;

const MIB: usize = 1 << 20;

/// A file system in memory, unmounted on drop.
struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    fn mount(size_mib: usize) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let options = format!("size={size_mib}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(directory.path())
            .output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self { directory })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Takes space, as another program would.
    fn take(&self, name: &str, size_bytes: usize) -> PathBuf {
        let path = self.path().join(name);
        // As much as there is: a full disk ends the write early.
        let _ = std::fs::write(&path, vec![1; size_bytes]);
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.directory.path()).output();
    }
}

/// Appends, syncs and writes versions as a master does, a step at a time.
struct Load {
    stores: RocksStores,
    random: SmallRng,
    index: u64,
}

impl Load {
    fn record(&mut self, index: u64) -> LogRecord {
        let bytes: Vec<u8> = (0..16 << 10).map(|_| self.random.random()).collect();
        LogRecord { index, bytes: Bytes::from(bytes) }
    }

    fn step(&mut self) -> storage::Result<()> {
        let record = self.record(self.index + 1);
        self.stores.log().append(std::slice::from_ref(&record))?;
        self.index += 1;
        self.stores.log().sync()?;
        let version = Version {
            key: format!("k/{}", self.index % 50),
            revision: self.index,
            previous: self.index.saturating_sub(50),
            deleted: false,
            value: record.bytes,
        };
        let image = Some(Image { index: self.index, revision: self.index, head: Bytes::new() });
        let batch = VersionBatch { versions: vec![version], sides: Vec::new(), image };
        self.stores.versions().write(&batch)?;
        if self.index.is_multiple_of(100) {
            self.stores.versions().flush()?;
        }
        Ok(())
    }

    /// Steps until `stop` says so or a store refuses.
    fn run(&mut self, stop: impl Fn(&RocksStores) -> bool) -> storage::Result<()> {
        while !stop(&self.stores) {
            self.step()?;
        }
        Ok(())
    }
}

/// Waits for the guard to look again.
fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = base::env::monotonic() + Duration::from_secs(30);
    while !condition() {
        assert!(base::env::monotonic() < deadline, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

fn fill_and_free(size_mib: usize) {
    let Some(disk) = SmallDisk::mount(size_mib) else {
        // Past the capture of a test's output: what closes a whole run looks for it.
        let _ =
            std::io::stderr().write_all(b"SKIPPED: a disk that is full (a tmpfs): mounting one needs root\n");
        return;
    };
    let ballast = disk.take("ballast", size_mib * MIB / 4);
    let stores = RocksStores::open(disk.path(), RocksOptions::default()).expect("opened");
    let mut load = Load { stores, random: SmallRng::seed_from_u64(1), index: 0 };

    load.run(|stores| stores.space().is_low).expect("everything works until space is low");
    let low_at = load.index;
    assert!(low_at > 100, "only {low_at} steps fit");
    for _ in 0..20 {
        load.step().expect("what is on its way still fits");
    }
    load.stores.versions().flush().expect("and can be flushed");

    // Somebody who does not listen to the warning is refused before the disk is full.
    let refused = load.run(|_| false);
    assert!(matches!(refused, Err(StorageError::OutOfSpace { .. })), "{refused:?}");
    let log = load.stores.log();
    log.save_vote(b"a vote").expect("votes fit");
    log.sync().expect("syncs go on");
    assert_eq!(log.read(1, load.index + 1, usize::MAX).expect("reads go on").len() as u64, load.index);

    // Another program takes the rest.
    let hog = disk.take("hog", size_mib * MIB);
    let flushed = load.stores.versions().flush();
    assert!(flushed.is_err_and(|error| error.is_out_of_space()));
    std::fs::remove_file(hog).expect("removed");
    std::fs::remove_file(ballast).expect("removed");

    wait_for("space is noticed", || !load.stores.space().is_low);
    // What was refused half-way in a step: the record is there, its version is not.
    load.run(|stores| stores.space().is_low).expect("it goes on without being opened again");
    let durable = load.stores.versions().flush().expect("flush");
    let index = load.index;
    drop(log);
    drop(load);
    let stores = RocksStores::open(disk.path(), RocksOptions::default()).expect("opens again");
    assert_eq!(stores.log().state().expect("state").last.map(|record| record.index), Some(index));
    assert_eq!(stores.versions().image().expect("image"), durable);
    assert_eq!(stores.log().vote().expect("vote").as_deref(), Some(b"a vote".as_slice()));
}

#[test]
fn a_full_disk_of_128_mib_refuses_and_recovers() {
    fill_and_free(128);
}

#[test]
fn a_full_disk_of_256_mib_refuses_and_recovers() {
    fill_and_free(256);
}
