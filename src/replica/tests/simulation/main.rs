//! Three masters in one thread on virtual time: the whole replica, from proposal to version store, over
//! a simulated network and disks.

mod cluster;
mod diverging;
mod members;
mod rejoining;

use std::time::Duration;

use base::env;
use raft::limits::READS_WAITING_MAX;
use raft::transport::simulated::Conditions;
use replica::limits::{FORWARD_TIMEOUT, FORWARDS_IN_FLIGHT_MAX};
use replica::{Entrance, EntranceError, Unavailable};
use state::txn::{OBJECT_BYTES_MAX, TXN_BYTES_MAX};
use state::{Txn, Write};

use cluster::{Cluster, GLANCE, create, is_committed, key, leads, member, put};

/// Writes through every master while the leader is cut off and comes back; returns what two runs with
/// one seed must agree on.
async fn eventful_run() -> ((u64, u64), Vec<(u64, u128)>) {
    let cluster = Cluster::of_three().await;
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        let isolated = (round % 3 == 1).then(|| cluster.masters[round % 3].node);
        if let Some(node) = isolated {
            cluster.network.isolate(node, &[1, 2, 3]);
        }
        let writes = cluster.masters.iter().flat_map(|master| {
            (0..5).map(move |number| {
                let name = format!("r{round}-m{}-{number}", master.node);
                async move { (is_committed(&master.replica.propose(create(&name)).await), name) }
            })
        });
        for (committed, name) in futures::future::join_all(writes).await {
            if committed {
                acknowledged.push(name);
            }
        }
        cluster.network.heal();
    }
    assert!(acknowledged.len() >= 60, "only {} of 90 writes were acknowledged", acknowledged.len());
    let hashes = cluster.settle().await;
    for master in &cluster.masters {
        let moment = master.replica.moment();
        for name in &acknowledged {
            assert!(moment.state.get(key(name).as_str()).is_some(), "{name} is lost on {}", master.node);
        }
    }
    (cluster.trace.sum(), hashes)
}

#[test]
fn one_seed_gives_one_run_and_all_masters_agree() {
    let first = env::simulate(11, eventful_run());
    let second = env::simulate(11, eventful_run());
    assert_eq!(first, second, "the same seed ran differently");
    assert!(first.1.iter().all(|seen| *seen == first.1[0]), "the masters' states differ: {:?}", first.1);
    let other = env::simulate(12, eventful_run());
    assert_ne!(first.0, other.0, "the trace does not depend on the seed");
}

#[test]
fn a_write_through_any_master_is_readable_there_at_once_and_linearizably_everywhere() {
    env::simulate(1, async {
        let cluster = Cluster::of_three().await;
        for master in &cluster.masters {
            let name = format!("via-{}", master.node);
            let committed = master.replica.propose(create(&name)).await.expect("is applied");
            assert!(committed.moment.state.get(key(&name).as_str()).is_some());
            for reader in &cluster.masters {
                let moment = reader.replica.linearizable().await.expect("a quorum answers");
                assert!(
                    moment.state.get(key(&name).as_str()).is_some(),
                    "{name} not seen by {}",
                    reader.node
                );
            }
        }
    });
}

#[test]
fn a_retried_request_is_applied_once() {
    env::simulate(2, async {
        let cluster = Cluster::of_three().await;
        let txn = put("twice", "x", vec![]);
        let first = cluster.masters[0].replica.propose(txn.clone()).await.expect("is applied");
        let second = cluster.masters[1].replica.propose(txn).await.expect("is applied");
        assert_eq!(first.outcome, second.outcome);
    });
}

/// A transaction that is as large as one may be.
fn largest() -> Txn {
    let mut txn = put("large", "", vec![]);
    let overhead = size_of(&txn);
    txn.writes.clear();
    let mut room = TXN_BYTES_MAX;
    while room > 0 {
        let size = room.min(OBJECT_BYTES_MAX);
        let name = format!("{:05}", txn.writes.len());
        txn.writes.extend(put(&name, &"x".repeat(size - overhead), vec![]).writes);
        room -= size;
    }
    txn
}

fn size_of(txn: &Txn) -> usize {
    let size_of_write = |write: &Write| match write {
        Write::Put { key, body, meta, .. } => key.as_str().len() + body.len() + meta.uid.len(),
        _ => 0,
    };
    txn.writes.iter().map(size_of_write).sum()
}

#[test]
fn the_largest_transaction_is_applied_from_any_master() {
    env::simulate(8, async {
        let cluster = Cluster::of_three().await;
        for master in &cluster.masters {
            let txn = largest();
            assert_eq!(size_of(&txn), TXN_BYTES_MAX);
            let written = master.replica.propose(txn).await;
            assert!(is_committed(&written), "through {}: {:?}", master.node, written.err());
        }
    });
}

#[test]
fn lost_messages_lose_no_write() {
    env::simulate(3, async {
        let cluster = Cluster::of_three().await;
        let bad = Conditions { loss_permille: 50, ..Conditions::default() };
        cluster.network.set_conditions(bad);
        let writes = (0..60).map(|number| {
            let master = &cluster.masters[number % 3];
            async move {
                let name = format!("n{number}");
                (is_committed(&master.replica.propose(create(&name)).await), name)
            }
        });
        let written = futures::future::join_all(writes).await;
        cluster.network.set_conditions(Conditions::default());
        cluster.settle().await;
        let state = cluster.masters[0].replica.linearizable().await.expect("a quorum answers").state.clone();
        for (committed, name) in written {
            assert!(!committed || state.get(key(&name).as_str()).is_some(), "{name} is lost");
        }
    });
}

#[test]
fn a_master_without_a_quorum_refuses_within_its_timeout() {
    env::simulate(4, async {
        let cluster = Cluster::of_three().await;
        cluster.settle().await;
        let lonely = &cluster.masters[2];
        cluster.network.isolate(lonely.node, &[1, 2, 3]);
        let begun = env::monotonic();
        assert!(lonely.replica.linearizable().await.is_err(), "a stale read was served as fresh");
        // Timers count milliseconds.
        assert!(begun.elapsed() <= replica::limits::READ_TIMEOUT + Duration::from_millis(1));
        let begun = env::monotonic();
        assert!(lonely.replica.propose(create("alone")).await.is_err());
        assert!(begun.elapsed() <= replica::limits::PROPOSE_TIMEOUT + Duration::from_secs(1));
    });
}

#[test]
fn calls_to_a_leader_that_went_silent_do_not_hold_up_those_to_the_next() {
    env::simulate(16, async {
        let cluster = Cluster::of_three().await;
        let silent = cluster.leader().await.node;
        cluster.network.isolate(silent, &[1, 2, 3]);
        let cut = env::monotonic();
        let others = cluster.masters.iter().filter(|master| master.node != silent);
        // One after another, so that each is a group of its own; and one of the two will still forward.
        let writes = others.flat_map(|master| {
            (0..2 * FORWARDS_IN_FLIGHT_MAX).map(move |number| async move {
                env::sleep(GLANCE * number as u32).await;
                master.replica.propose(create(&format!("m{}-{number}", master.node))).await
            })
        });
        let written = futures::future::join_all(writes).await;
        assert!(written.iter().all(is_committed), "{written:?}");
        assert!(cut.elapsed() < FORWARD_TIMEOUT, "{:?}", cut.elapsed());
    });
}

#[test]
fn a_read_that_finds_too_many_waiting_is_refused_at_once() {
    env::simulate(15, async {
        let cluster = Cluster::of_three().await;
        let follower = cluster.masters.iter().find(|master| !leads(master)).expect("two of them");
        let others: Vec<_> = (1..=3).filter(|node| *node != follower.node).collect();
        cluster.network.isolate(follower.node, &others);
        let waiting =
            futures::future::join_all((0..READS_WAITING_MAX).map(|_| follower.replica.linearizable()));
        let mut waiting = std::pin::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        let began = env::monotonic();
        let refused = follower.replica.linearizable().await;
        assert!(matches!(refused, Err(Unavailable::Busy { .. })), "{refused:?}");
        assert!(began.elapsed().is_zero());
    });
}

#[test]
fn a_watch_from_any_revision_gives_the_suffix_of_history() {
    env::simulate(5, async {
        let cluster = Cluster::of_three().await;
        let replica = &cluster.masters[1].replica;
        for number in 0..20 {
            replica.propose(create(&format!("n{number}"))).await.expect("is applied");
        }
        let newest = replica.moment().revision();
        let floor = newest - 20;
        for start in floor..newest {
            let mut watch = replica.watch("core/configmaps/", start).expect("history reaches back");
            let mut revisions = Vec::new();
            while revisions.last() != Some(&newest) {
                let events = watch.next().await.expect("goes on");
                revisions.extend(events.iter().map(|event| event.change.revision));
            }
            assert_eq!(revisions, (start + 1..=newest).collect::<Vec<_>>(), "from {start}");
            assert_eq!(watch.progress(), newest);
        }
    });
}

#[test]
fn a_proposal_through_the_entrance_is_applied_when_it_is_answered() {
    env::simulate(1, async {
        let cluster = Cluster::of_three().await;
        let leader = cluster.leader().await;
        let term = leader.replica.raft().leadership().borrow().term;
        let follower = cluster.masters.iter().find(|master| master.node != leader.node).expect("three");
        let open = |term| {
            let transport = cluster.network.transport(follower.node);
            Entrance::new(transport, leader.node, term, member(leader.node))
        };
        open(term).propose(&create("raw")).await.expect("is applied");
        assert!(leader.replica.moment().state.get(key("raw").as_str()).is_some());
        let refused = open(term - 1).propose(&create("late")).await;
        assert!(matches!(refused, Err(EntranceError::NotApplied)), "{refused:?}");
    });
}

/// Opens that many watches on one master, and returns how long after the first event the second one,
/// written while one of them waits for it, reaches that one.
async fn gap_between_events(watches: usize) -> Duration {
    let cluster = Cluster::of_three().await;
    let replica = &cluster.masters[0].replica;
    let start = replica.moment().revision();
    let mut open: Vec<_> =
        (0..watches).map(|_| replica.watch("core/configmaps/", start).expect("from now on")).collect();
    replica.propose(create("first")).await.expect("is applied");
    assert_eq!(open[0].next().await.expect("goes on").len(), 1);
    let told_at = env::monotonic();
    let (written, told) = tokio::join!(replica.propose(create("second")), open[0].next());
    assert!(is_committed(&written));
    assert_eq!(told.expect("goes on").len(), 1);
    told_at.elapsed()
}

#[test]
fn many_watches_are_told_in_larger_pieces_and_a_few_at_once() {
    let alone = env::simulate(1, gap_between_events(1));
    let many = env::simulate(1, gap_between_events(400));
    // What separates two writes of the simulation: syncs of at most 2 ms, and the network.
    assert!(alone < Duration::from_millis(20), "{alone:?}");
    assert!((Duration::from_millis(40)..Duration::from_millis(45)).contains(&many), "{many:?}");
}
