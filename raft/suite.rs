//! openraft's own storage suite, over our log and adapter.

use std::path::Path;
use std::sync::Arc;

use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{AsyncRuntime, StorageError};
use storage::memory::MemoryStores;
use storage::rocks::{RocksOptions, RocksStores};
use storage::snapshot::Stores;

use crate::adapter::Adapter;
use crate::common::machine::{CountingMachine, Probe};
use crate::failure::Failure;
use crate::log::Log;
use crate::runtime::Runtime;
use crate::types::TypeConfig;

fn built(stores: Arc<dyn Stores>) -> (Log, Adapter) {
    let failure = Failure::new();
    let log = Log::open(stores.log(), failure.clone()).expect("an empty log");
    let machine = CountingMachine::open(stores, Probe::default(), None).allowing_gaps();
    (log, Adapter::new(machine, failure))
}

struct Memory;

impl StoreBuilder<TypeConfig, Log, Adapter, ()> for Memory {
    async fn build(&self) -> Result<((), Log, Adapter), StorageError<TypeConfig>> {
        let (log, adapter) = built(Arc::new(MemoryStores::new()));
        Ok(((), log, adapter))
    }
}

struct Rocks;

impl StoreBuilder<TypeConfig, Log, Adapter, tempfile::TempDir> for Rocks {
    async fn build(&self) -> Result<(tempfile::TempDir, Log, Adapter), StorageError<TypeConfig>> {
        let directory = tempfile::tempdir().expect("a directory");
        let path: &Path = directory.path();
        let stores = RocksStores::open(path, RocksOptions::default()).expect("an empty directory");
        let (log, adapter) = built(Arc::new(stores));
        Ok((directory, log, adapter))
    }
}

#[test]
fn the_upstream_suite_passes_on_memory() {
    Runtime::run(async { Suite::test_all(Memory).await.expect("the suite passes") });
}

#[test]
fn the_upstream_suite_passes_on_rocksdb() {
    Runtime::run(async { Suite::test_all(Rocks).await.expect("the suite passes") });
}
