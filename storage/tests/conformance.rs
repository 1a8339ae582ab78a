//! Both implementations pass the suite, and a broken one does not.

mod common;

use std::cell::Cell;
use std::sync::Arc;

use common::fast_directory;
use storage::conformance::{Effort, Subject, Verdict, log_suite, stores_suite, versions_suite};
use storage::memory::{MemoryStores, Mutant};
use storage::rocks::{RocksOptions, RocksStores};
use storage::snapshot::Stores;
use tempfile::TempDir;

/// Restarts by cutting the power, with another seed each time.
struct Memory {
    stores: MemoryStores,
    cuts: u64,
}

impl Memory {
    fn with(mutant: Option<Mutant>, seed: u64) -> Box<dyn Subject> {
        let stores = MemoryStores::new();
        mutant.into_iter().for_each(|mutant| stores.faults().mutate(mutant));
        Box::new(Self { stores, cuts: seed })
    }
}

impl Subject for Memory {
    fn restart(&mut self) -> storage::Result<Arc<dyn Stores>> {
        self.cuts += 1;
        self.stores = self.stores.crash(self.cuts);
        Ok(Arc::new(self.stores.clone()))
    }
}

/// Restarts by closing and opening.
struct Rocks {
    directory: TempDir,
}

impl Rocks {
    fn empty() -> Box<dyn Subject> {
        Box::new(Self { directory: fast_directory() })
    }
}

impl Subject for Rocks {
    fn restart(&mut self) -> storage::Result<Arc<dyn Stores>> {
        Ok(Arc::new(RocksStores::open(self.directory.path(), RocksOptions::default())?))
    }
}

const IN_MEMORY: Effort = Effort { sequences: 60, operations: 120 };
const ON_DISK: Effort = Effort { sequences: 5, operations: 120 };

fn passes(verdict: Verdict) {
    verdict.unwrap_or_else(|problem| panic!("{problem}"));
}

#[test]
fn the_memory_twin_keeps_the_contract() {
    let seed = Cell::new(0);
    let new = || {
        seed.set(seed.get() + 1000);
        Memory::with(None, seed.get())
    };
    passes(log_suite(&new, IN_MEMORY));
    passes(versions_suite(&new, IN_MEMORY));
    passes(stores_suite(&new));
}

#[test]
fn rocksdb_keeps_the_contract_for_the_log() {
    passes(log_suite(&Rocks::empty, ON_DISK));
}

#[test]
fn rocksdb_keeps_the_contract_for_versions() {
    passes(versions_suite(&Rocks::empty, ON_DISK));
}

#[test]
fn rocksdb_keeps_the_contract_for_snapshots() {
    passes(stores_suite(&Rocks::empty));
}

#[test]
fn a_store_that_pretends_to_sync_fails_the_suite() {
    let caught = |mutant, suite: fn(&dyn Fn() -> Box<dyn Subject>, Effort) -> Verdict| {
        let verdict = suite(&|| Memory::with(Some(mutant), 1), IN_MEMORY);
        assert!(verdict.is_err(), "{mutant:?} went unnoticed");
    };
    caught(Mutant::SyncDoesNothing, log_suite);
    caught(Mutant::CrashDropsTheFirst, log_suite);
    caught(Mutant::FlushDoesNothing, versions_suite);
    caught(Mutant::CrashDropsTheFirst, versions_suite);
}
