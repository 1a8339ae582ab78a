//! Retention is no reason for a write to wait.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use bytes::Bytes;
use common::fast_directory;
use storage::rocks::{RocksOptions, RocksStores};
use storage::snapshot::Stores;
use storage::{Image, Retention, Version, VersionBatch, VersionStore};

/// Versions of one key under the rule: a step over all of them takes long, compared with a write.
const VERSIONS: u64 = 100_000;

/// Writes that begin and end within one step before the test is content: more than slip in before a step has
/// taken whatever it takes.
const WRITES_IN_A_STEP: u64 = 5;

/// Between two writes. Without it a writer that holds nothing up would keep a step from what both need.
const PACE: Duration = Duration::from_millis(1);

/// How long there may be no such step.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the compaction stands: odd while a step runs.
#[derive(Default)]
struct Steps(AtomicU64);

impl Steps {
    fn during<T>(&self, step: impl FnOnce() -> T) -> T {
        self.0.fetch_add(1, Ordering::SeqCst);
        let done = step();
        self.0.fetch_add(1, Ordering::SeqCst);
        done
    }

    /// The step that runs.
    fn running(&self) -> Option<u64> {
        Some(self.0.load(Ordering::SeqCst)).filter(|number| number % 2 == 1)
    }
}

fn write(versions: &dyn VersionStore, key: &str, revisions: std::ops::RangeInclusive<u64>) {
    let revision = *revisions.end();
    let version = |revision: u64| Version {
        key: key.to_owned(),
        revision,
        previous: revision - 1,
        deleted: false,
        value: Bytes::from_static(b"value"),
    };
    let image = Some(Image { index: revision, revision, head: Bytes::new() });
    let batch = VersionBatch { versions: revisions.map(version).collect(), sides: Vec::new(), image };
    versions.write(&batch).expect("written");
}

/// Writes beside a compaction until told to stop; `most` becomes the largest number of writes that began and
/// ended within one step.
fn write_beside(versions: &dyn VersionStore, steps: &Steps, most: &AtomicU64, stop: &Receiver<()>) {
    let (mut of, mut within) = (None, 0);
    let mut revision = VERSIONS;
    while stop.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
        revision += 1;
        let before = steps.running();
        write(versions, "kept/a", revision..=revision);
        if before.is_some() && before == steps.running() {
            within = if of == before { within + 1 } else { 1 };
            of = before;
            most.fetch_max(within, Ordering::SeqCst);
        }
    }
}

#[test]
fn writes_go_on_while_many_versions_are_compacted() {
    let directory = fast_directory();
    let stores = RocksStores::open(directory.path(), RocksOptions::default()).expect("an empty directory");
    let versions = stores.versions();
    write(&*versions, "old/a", 1..=VERSIONS);
    let (steps, most) = (Arc::new(Steps::default()), Arc::new(AtomicU64::new(0)));
    let (stop, stopped) = channel();
    let writer = {
        let (versions, steps) = (Arc::clone(&versions), Arc::clone(&steps));
        let most = Arc::clone(&most);
        base::env::thread("writer", move || write_beside(&*versions, &steps, &most, &stopped))
    };
    let began = base::env::monotonic();
    // The floor lies below most: each pass looks at everything again, and nothing is dropped from under it.
    let rule = Retention { prefix: "old/".to_owned(), floor: 1 };
    while most.load(Ordering::SeqCst) < WRITES_IN_A_STEP && began.elapsed() < PATIENCE {
        let step = steps.during(|| versions.compact(&rule, usize::MAX).expect("compacted"));
        assert!(step.scanned == VERSIONS || step.scanned == 0, "{step:?}");
    }
    drop(stop);
    writer.expect("a thread").join().expect("no write failed");
    let most = most.load(Ordering::SeqCst);
    assert!(most >= WRITES_IN_A_STEP, "at most {most} writes ended while a step ran");

    let rule = Retention { prefix: "old/".to_owned(), floor: VERSIONS };
    assert_eq!(versions.compact(&rule, usize::MAX).expect("compacted").dropped, VERSIONS - 1);
}
