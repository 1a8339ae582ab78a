//! What many small flushes leave behind: a store that is restarted or asked for snapshots often stays as
//! quick to open and to copy as another.

mod common;

use bytes::Bytes;
use common::fast_directory;
use storage::rocks::{RocksOptions, RocksStores};
use storage::snapshot::Stores;
use storage::{Image, Version, VersionBatch};

const FLUSHES: u64 = 200;

/// Tables that a snapshot may have then: of records and of their index fewer than are merged, and the few
/// that RocksDB has not merged by itself.
const TABLES_MAX: usize = 50;

#[test]
fn small_tables_are_merged_before_a_snapshot_is_taken() {
    let directory = fast_directory();
    let stores = RocksStores::open(directory.path(), RocksOptions::default()).expect("an empty directory");
    let versions = stores.versions();
    let version = |revision: u64| Version {
        // Rising too: the index is as prone to it as the records.
        key: format!("k/{revision:05}"),
        revision,
        previous: 0,
        deleted: false,
        value: Bytes::from(revision.to_le_bytes().to_vec()),
    };
    let tables = || {
        let snapshot = stores.take_snapshot().expect("taken");
        snapshot.manifest().files.iter().filter(|file| file.name.ends_with(".sst")).count()
    };
    let mut most = 0;
    for revision in 1..=FLUSHES {
        let image = Some(Image { index: revision, revision, head: Bytes::new() });
        let batch = VersionBatch { versions: vec![version(revision)], sides: Vec::new(), image };
        versions.write(&batch).expect("written");
        versions.flush().expect("flushed");
        if revision % 50 == 0 {
            most = most.max(tables());
        }
    }
    assert!(most < TABLES_MAX, "a snapshot of {most} tables after {FLUSHES} flushes");
    drop(versions);
    drop(stores);
    let stores = RocksStores::open(directory.path(), RocksOptions::default()).expect("it opens again");
    let (found, _) = stores.versions().since("k/", 0, usize::MAX).expect("read");
    assert_eq!(found, (1..=FLUSHES).map(version).collect::<Vec<_>>());
}
