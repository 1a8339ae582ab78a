//! Damage in the version store, met while a master runs: it fails, with the file and the way out.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::Key;
use base::env;
use base::ids::{ClusterId, NodeId};
use base::telemetry::Metrics;
use raft::transport::simulated::{SimulatedNetwork, Trace};
use raft::{InitializeError, Member};
use replica::limits::RETENTION_INTERVAL;
use replica::retention::Rule;
use replica::{Options, Replica, ViewError, WatchEnd};
use state::{Meta, Stamp, Txn, Write};
use storage::error::REPLACE_MASTER;
use storage::rocks::{RocksOptions, RocksStores};
use storage::snapshot::Stores;

const NODE: NodeId = 1;
const CONFIG_MAPS: &str = "core/configmaps/";

/// Versions written before the damage: more than one, so that there is history.
const WRITES: u64 = 20;

/// How long the replica may take to fail: retention looks at history once in its interval.
const LIMIT: Duration = Duration::from_secs(2 * RETENTION_INTERVAL.as_secs());

/// How long it is waited for at a time: in less than 256 of these, no byte has its value again.
const GLANCE: Duration = Duration::from_secs(1);

/// The only master of a cluster, leading.
async fn lone_master(stores: Arc<dyn Stores>, retention: Vec<Rule>) -> Replica {
    let options = Options { retention, history_bytes_max: u64::MAX, levels: state::LEVELS };
    let (opened, machine) = replica::open(Arc::clone(&stores), options).expect("the store opens");
    let network = SimulatedNetwork::new(Trace::default());
    let options = raft::Options::new(ClusterId(1), NODE, Member::default());
    let (transport, service) = (network.transport(NODE), opened.peer_service());
    let started = raft::start(options, stores, machine, transport, service, Metrics::new()).await;
    let raft = started.expect("Raft starts");
    match raft.initialize().await {
        Ok(()) | Err(InitializeError::NotPristine(_)) => {}
        Err(error) => panic!("{error}"),
    }
    let replica = opened.attach(raft);
    replica.linearizable().await.expect("it is a quorum");
    replica
}

/// Writes one object once more.
fn write(request: u64) -> Txn {
    let put = Write::Put {
        key: Key::object("", "configmaps", "default", "a"),
        body: format!(r#"{{"request":{request},"ballast":"{}"}}"#, "x".repeat(1_000)).into(),
        splice: None,
        meta: Meta::default(),
    };
    let stamp = Stamp { request: request.into(), actor: "tester".to_owned() };
    Txn { stamp, guards: Vec::new(), writes: vec![put] }
}

/// Changes a byte here and there in all tables of the version store, each time to another value.
fn damage(directory: &Path) {
    let files = fs::read_dir(directory.join("state-1")).expect("the store's directory");
    let paths = files.map(|file| file.expect("listed").path());
    for table in paths.filter(|path| path.extension().is_some_and(|kind| kind == "sst")) {
        // One that is gone by now was replaced by a background compaction.
        let Ok(mut content) = fs::read(&table) else { continue };
        content.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(1));
        fs::write(&table, content).expect("written");
    }
}

/// Does damage and `read` until the replica fails; returns what was read last, and why it failed. A background
/// compaction may have saved the bytes from the first try.
fn failure_after<T>(retention: Vec<Rule>, read: impl AsyncFn(&Replica) -> T) -> (T, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let stores = RocksStores::open(directory.path(), RocksOptions::default());
    let stores: Arc<dyn Stores> = Arc::new(stores.expect("an empty directory"));
    env::simulate(1, async {
        let before = lone_master(Arc::clone(&stores), Vec::new()).await;
        for request in 1..=WRITES {
            before.propose(write(request)).await.expect("committed");
        }
        // Nothing is left to be written later: a write could meet the damage first.
        let raised = || before.moment().state.feature_level() == state::FEATURE_LEVEL_MAX;
        let done = || before.persisted_revision() == WRITES && raised();
        assert!(env::wait_until(LIMIT, GLANCE, done).await, "history is written");
        stores.versions().flush().expect("flushed");
        before.raft().shutdown().await;
        // One that was started again has nothing but the newest versions in memory.
        let replica = lone_master(Arc::clone(&stores), retention).await;
        let image = || stores.versions().image().expect("readable").map_or(0, |image| image.index);
        let written = || image() == replica.moment().index;
        assert!(env::wait_until(LIMIT, GLANCE, written).await, "its start is written");
        let began = env::monotonic();
        loop {
            damage(directory.path());
            let found = read(&replica).await;
            if let Ok(reason) = env::timeout(GLANCE, replica.failed()).await {
                return (found, reason);
            }
            assert!(began.elapsed() < LIMIT, "the replica does not fail");
        }
    })
}

fn check(reason: &str, beginning: &str) {
    assert!(reason.starts_with(beginning), "{reason}");
    for words in ["state-1/", ".sst", REPLACE_MASTER] {
        assert!(reason.contains(words), "{words:?} is missing in {reason}");
    }
}

#[test]
fn damage_met_by_an_old_read_is_a_failure_that_names_the_file_and_the_way_out() {
    let (found, reason) = failure_after(Vec::new(), async |replica| {
        replica.exact(CONFIG_MAPS, 1).await?.page(CONFIG_MAPS, "", 10).await.map(|found| found.len())
    });
    assert!(matches!(&found, Err(ViewError::History(error)) if error.is_corrupt()), "{found:?}");
    check(&reason, "history cannot be read: ");
}

#[test]
fn damage_met_by_a_watch_is_a_failure_that_names_the_file_and_the_way_out() {
    let (found, reason) = failure_after(Vec::new(), async |replica| {
        let mut watch = replica.watch(CONFIG_MAPS, 0).expect("history reaches back that far");
        watch.next().await.map(|found| found.len())
    });
    assert!(matches!(found, Err(WatchEnd::History(_))), "{found:?}");
    check(&reason, "history cannot be read: ");
}

#[test]
fn damage_met_by_retention_is_a_failure_that_names_the_file_and_the_way_out() {
    let rule = Rule { prefix: String::new(), age: Duration::ZERO };
    let ((), reason) = failure_after(vec![rule], async |_| {});
    check(&reason, "history cannot be compacted: ");
}
