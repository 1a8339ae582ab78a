//! The faults that the memory twin can be told to have.

use std::time::Duration;

use bytes::Bytes;
use storage::memory::{MemoryStores, Point};
use storage::snapshot::Stores;
use storage::{Image, LogRecord, StorageError, Version, VersionBatch};

fn record(index: u64) -> LogRecord {
    LogRecord { index, bytes: Bytes::from(index.to_string()) }
}

fn batch(revision: u64) -> VersionBatch {
    let version =
        Version { key: "k".into(), revision, previous: revision - 1, deleted: false, value: Bytes::new() };
    let image = Some(Image { index: revision, revision, head: Bytes::new() });
    VersionBatch { versions: vec![version], sides: Vec::new(), image }
}

#[test]
fn a_power_cut_keeps_what_was_synced_and_a_prefix_of_the_rest() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let stores = MemoryStores::new();
        let log = stores.log();
        log.append(&[record(1), record(2)]).expect("append");
        log.sync().expect("sync");
        (3..8).for_each(|index| log.append(&[record(index)]).expect("append"));
        let stores = stores.crash(seed);
        assert!(log.state().is_err(), "a handle from before the cut reaches nothing");
        let found = stores.log().read(0, 100, usize::MAX).expect("read");
        assert_eq!(found, (1..=found.len() as u64).map(record).collect::<Vec<_>>());
        lengths.insert(found.len());
    }
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), vec![2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_kill_keeps_everything_written() {
    let stores = MemoryStores::new();
    stores.log().append(&[record(1)]).expect("append");
    stores.versions().write(&batch(1)).expect("write");
    let stores = stores.reopen();
    assert_eq!(stores.log().state().expect("state").last, Some(record(1)));
    assert_eq!(stores.versions().image().expect("image").map(|image| image.index), Some(1));
}

#[test]
fn the_nth_write_fails_and_no_later_one_succeeds_until_a_restart() {
    let stores = MemoryStores::new();
    stores.faults().fail_nth_write(2);
    let log = stores.log();
    log.append(&[record(1)]).expect("the first write");
    assert!(matches!(log.append(&[record(2)]), Err(StorageError::Failed { .. })));
    assert!(matches!(log.append(&[record(2)]), Err(StorageError::Poisoned { .. })));
    assert!(matches!(log.save_vote(b"v"), Err(StorageError::Poisoned { .. })));
    assert!(matches!(log.sync(), Err(StorageError::Poisoned { .. })));
    assert!(matches!(stores.versions().write(&batch(1)), Err(StorageError::Poisoned { .. })));
    assert_eq!(log.read(0, 9, 100).expect("reads go on"), vec![record(1)]);
    let stores = stores.reopen();
    stores.log().append(&[record(2)]).expect("a restart forgets");
}

#[test]
fn a_failed_sync_is_never_repaired_by_a_later_one() {
    let stores = MemoryStores::new();
    stores.faults().fail_syncs(true);
    stores.log().append(&[record(1)]).expect("append");
    assert!(stores.log().sync().is_err());
    stores.faults().fail_syncs(false);
    assert!(matches!(stores.log().sync(), Err(StorageError::Poisoned { .. })));
}

#[test]
fn a_full_disk_refuses_without_poison_and_leaves_votes_and_purges() {
    let stores = MemoryStores::new();
    let (log, versions) = (stores.log(), stores.versions());
    log.append(&[record(1), record(2)]).expect("append");
    stores.faults().set_out_of_space(true);
    assert!(stores.space().is_low);
    assert!(log.append(&[record(3)]).is_err_and(|error| error.is_out_of_space()));
    assert!(versions.write(&batch(1)).is_err_and(|error| error.is_out_of_space()));
    assert!(versions.flush().is_err_and(|error| error.is_out_of_space()));
    log.save_vote(b"vote").expect("votes fit");
    log.purge(&record(1)).expect("purges fit");
    stores.faults().set_out_of_space(false);
    assert!(!stores.space().is_low);
    log.append(&[record(3)]).expect("space freed, writes go on");
    versions.write(&batch(1)).expect("space freed, writes go on");
}

#[test]
fn a_closed_gate_holds_its_callers_and_no_others() {
    const LIMIT: Duration = Duration::from_secs(60);
    let stores = MemoryStores::new();
    let log = stores.log();
    log.append(&[record(1), record(2)]).expect("append");
    let gate = stores.faults().gate(Point::Purge).clone();
    gate.close();
    let purging = std::sync::Arc::clone(&log);
    let held = base::env::thread("purge", move || purging.purge(&record(1))).expect("a thread");
    assert!(gate.wait_until_held(1, LIMIT), "the purge is held");
    assert_eq!(log.read(0, 9, 100).expect("read"), vec![record(1), record(2)]);
    gate.open();
    held.join().expect("joined").expect("purged");
    assert_eq!(log.read(0, 9, 100).expect("read"), vec![record(2)]);
}
