//! Masters that come back: with what their disk holds, with a snapshot, with another binary.

use base::env;
use base::ids::RequestId;
use replica::WatchEnd;
use replica::limits::UPKEEP_INTERVAL;
use state::{FEATURE_LEVEL_MAX, Guard, Stamp, Txn, Write};
use storage::snapshot::Stores;

use crate::cluster::{Cluster, GLANCE, Master, PATIENCE, Setup, USUAL, boot, create, is_committed, put};

#[test]
fn a_restarted_master_resumes_from_its_disk_and_serves_older_watches_from_history() {
    env::simulate(6, async {
        let mut cluster = Cluster::of_three().await;
        for number in 0..10 {
            cluster.masters[0].replica.propose(create(&format!("n{number}"))).await.expect("is applied");
        }
        let before = cluster.settle().await;
        let newest = cluster.masters[0].replica.moment().revision();
        let follower =
            cluster.masters.iter().position(|master| !master.replica.raft().leadership().borrow().am_leader);
        let position = follower.expect("two of three follow");
        let gone = cluster.masters.remove(position);
        let durable = env::wait_until(PATIENCE, GLANCE, || gone.replica.persisted_revision() == newest).await;
        assert!(durable, "the version store never caught up");
        cluster.network.detach(gone.node);
        gone.replica.raft().shutdown().await;
        let back = boot(&cluster.network, gone.node, gone.stores.reopen(), USUAL).await;
        cluster.masters.push(back);
        let after = cluster.settle().await;
        assert!(after.iter().all(|seen| seen.1 == after[0].1 && seen.0 >= before[0].0));
        let replica = &cluster.masters.last().expect("just pushed").replica;
        let mut watch = replica.watch("core/configmaps/", newest - 10).expect("history reaches back");
        let events = watch.next().await.expect("goes on");
        assert_eq!(events.first().map(|event| event.change.revision), Some(newest - 9));
    });
}

/// Snapshots and purges after a few writes.
const SMALL_LOG: Setup =
    Setup { log: |options| (options.snapshot_after_bytes, options.log_kept_bytes) = (8_000, 2_000), ..USUAL };

/// What a master tells of `revision`.
async fn told(master: &Master, revision: u64) -> Vec<(String, u64, bytes::Bytes)> {
    let view = master.replica.exact("core/configmaps/", revision).await.expect("history reaches back");
    let objects = view.page("core/configmaps/", "", usize::MAX).await.expect("history can be read");
    objects
        .iter()
        .map(|object| (object.key.as_str().to_owned(), object.revision, object.bytes.to_bytes()))
        .collect()
}

/// The revisions of every change after `start`, as a new watch tells them.
async fn revisions_after(master: &Master, start: u64, newest: u64) -> Vec<u64> {
    let mut watch = master.replica.watch("core/configmaps/", start).expect("history reaches back");
    let mut revisions = Vec::new();
    while revisions.last().is_none_or(|last| *last < newest) {
        let events = watch.next().await.expect("goes on");
        revisions.extend(events.iter().map(|event| event.change.revision));
    }
    revisions
}

#[test]
fn a_follower_that_installs_a_snapshot_gets_its_history_and_ends_its_watches() {
    env::simulate(9, async {
        let mut cluster = Cluster::of([SMALL_LOG; 3]).await;
        let leader = cluster.leader().await;
        let write = async |number: usize| {
            let txn = put(&format!("n{}", number % 20), &format!("{number}"), vec![]);
            assert!(is_committed(&leader.replica.propose(txn).await), "write {number}");
        };
        for number in 0..20 {
            write(number).await;
        }
        cluster.settle().await;
        let late = cluster.masters.iter().find(|master| master.node != leader.node).expect("three");
        let (seen, index) = (late.replica.moment().revision(), late.replica.moment().index);
        let mut open = late.replica.watch("core/configmaps/", seen).expect("from now on");
        let mut behind = late.replica.watch("core/configmaps/", seen - 20).expect("history reaches back");
        cluster.network.isolate(late.node, &[1, 2, 3]);
        let ended = env::spawn(async move { open.next().await.map(|events| events.len()) });
        for number in 20..200 {
            write(number).await;
        }
        let log = leader.stores.log();
        let purged = || log.state().expect("readable").purged.is_some_and(|marker| marker.index > index + 1);
        assert!(env::wait_until(PATIENCE, GLANCE, purged).await, "the log is not purged");
        cluster.network.heal();
        let hashes = cluster.settle().await;
        assert!(hashes.iter().all(|seen| *seen == hashes[0]), "{hashes:?}");

        assert_eq!(ended.await.expect("no panic"), Err(WatchEnd::Reset));
        assert_eq!(behind.next().await.map(|events| events.len()), Err(WatchEnd::Reset));
        let newest = late.replica.moment().revision();
        for start in [seen - 20, seen, newest - 1] {
            assert_eq!(revisions_after(late, start, newest).await, (start + 1..=newest).collect::<Vec<_>>());
        }
        for revision in [seen - 5, seen, seen + 90, newest] {
            assert_eq!(told(late, revision).await, told(leader, revision).await, "at {revision}");
        }

        // It goes on from there, on its new store too.
        write(200).await;
        cluster.settle().await;
        let last = newest + 1;
        let durable = || late.replica.persisted_revision() == last;
        assert!(env::wait_until(PATIENCE, GLANCE, durable).await, "the version store never caught up");
        let position = cluster.masters.iter().position(|master| master.node == late.node).expect("is there");
        let gone = cluster.masters.remove(position);
        cluster.network.detach(gone.node);
        gone.replica.raft().shutdown().await;
        cluster.masters.push(boot(&cluster.network, gone.node, gone.stores.reopen(), SMALL_LOG).await);
        let hashes = cluster.settle().await;
        assert!(hashes.iter().all(|seen| *seen == hashes[0]), "{hashes:?}");
        let back = cluster.masters.last().expect("just pushed");
        assert_eq!(revisions_after(back, seen, last).await, (seen + 1..=last).collect::<Vec<_>>());
    });
}

#[test]
fn the_feature_level_rises_once_every_master_knows_it() {
    env::simulate(9, async {
        let mut cluster = Cluster::of([USUAL, USUAL, Setup { level: 1, ..USUAL }]).await;
        let levels = |cluster: &Cluster| -> Vec<u32> {
            cluster.masters.iter().map(|master| master.replica.moment().state.feature_level()).collect()
        };
        // Each of them has looked.
        env::sleep(3 * UPKEEP_INTERVAL).await;
        assert_eq!(levels(&cluster), [1; 3], "one of them does not know more");
        let capped = cluster.masters.pop().expect("three");
        cluster.network.detach(capped.node);
        capped.replica.raft().shutdown().await;
        env::sleep(3 * UPKEEP_INTERVAL).await;
        assert_eq!(levels(&cluster), [1; 2], "one of them does not answer");
        let stores = capped.stores.reopen();
        cluster.masters.push(boot(&cluster.network, capped.node, stores, USUAL).await);
        let raised = env::wait_until(3 * UPKEEP_INTERVAL, GLANCE, || {
            levels(&cluster).iter().all(|level| *level == FEATURE_LEVEL_MAX)
        });
        assert!(raised.await, "all know more: {:?}", levels(&cluster));
        let seen = cluster.settle().await;
        assert!(seen.iter().all(|master| *master == seen[0]), "the masters' states differ: {seen:?}");
    });
}

/// A master that runs the program before the one under test.
const OLDER: Setup = Setup { level: FEATURE_LEVEL_MAX - 1, ..USUAL };

/// Raises the level as a leader does that was told by nobody of an older program.
async fn raise(leader: &Master) {
    let term = leader.replica.raft().leadership().borrow().term;
    let txn = Txn {
        stamp: Stamp { request: RequestId::fresh().0, actor: "tester".to_owned() },
        guards: vec![Guard::LeaderTerm { term }],
        writes: vec![Write::FeatureLevel { level: FEATURE_LEVEL_MAX }],
    };
    assert!(is_committed(&leader.replica.propose(txn).await));
}

#[test]
fn an_older_program_agrees_with_newer_ones_up_to_a_raise_past_it_and_stops_there() {
    env::simulate(12, async {
        let mut cluster = Cluster::of([USUAL, USUAL, OLDER]).await;
        let write_through_all = async |cluster: &Cluster, round: usize| {
            for master in &cluster.masters {
                for number in 0..5 {
                    let name = format!("n{}-{round}-{number}", master.node);
                    assert!(is_committed(&master.replica.propose(create(&name)).await), "{name}");
                }
            }
            let seen = cluster.settle().await;
            assert!(seen.iter().all(|master| *master == seen[0]), "round {round}: {seen:?}");
        };
        write_through_all(&cluster, 1).await;

        let older = cluster.masters.pop().expect("three");
        raise(cluster.leader().await).await;
        let reason = env::timeout(PATIENCE, older.replica.raft().failed()).await.expect("it stops");
        let raised = format!("raises the feature level to {FEATURE_LEVEL_MAX}");
        let known = format!("knows up to {}", FEATURE_LEVEL_MAX - 1);
        for words in [raised.as_str(), &known, "upgrade this master"] {
            assert!(reason.contains(words), "{words:?} is missing in {reason}");
        }
        cluster.network.detach(older.node);
        older.replica.raft().shutdown().await;
        write_through_all(&cluster, 2).await;

        // What it says helps: the newer program goes on from its disk.
        let stores = older.stores.reopen();
        cluster.masters.push(boot(&cluster.network, older.node, stores, USUAL).await);
        write_through_all(&cluster, 3).await;
    });
}
