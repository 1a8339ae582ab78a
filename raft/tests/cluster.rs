//! A cluster on virtual time: elections, partitions, snapshots, members.

mod common;

use std::time::Duration;

use base::env;
use bytes::Bytes;
use common::cluster::{Cluster, eventually, member, simulated};
use raft::limits::{HEARTBEAT, READS_WAITING_MAX};
use raft::transport::simulated::Conditions;
use raft::{AppendError, CallError, ChangeError, Options, ReadError, Role, TransferError};
use storage::memory::MemoryStores;

const ALL: [u64; 3] = [1, 2, 3];

fn defaults(_: &mut Options) {}

/// Snapshots after a few kilobytes, and a short tail.
fn small_log(options: &mut Options) {
    (options.snapshot_after_bytes, options.log_kept_bytes) = (20_000, 4_000);
}

#[test]
fn what_the_leader_takes_is_applied_everywhere_in_order() {
    simulated(1, || async {
        let cluster = Cluster::of(3, defaults).await;
        for number in 0..50 {
            cluster.append(&ALL, &format!("{number}")).await;
        }
        cluster.converge(&ALL).await;
        let expected: Vec<Bytes> = (0..50).map(|number| format!("{number}").into()).collect();
        for node in ALL {
            assert_eq!(cluster.nodes[&node].probe.payloads(), expected, "master {node}");
        }
    });
}

#[test]
fn an_append_elsewhere_or_for_another_term_is_certainly_not_appended() {
    simulated(2, || async {
        let cluster = Cluster::of(3, defaults).await;
        let term = cluster.handle(1).leadership().borrow().term;
        let refused = Err(AppendError::NotAppended { leader: Some(1) });
        assert_eq!(cluster.handle(2).append(term, "follower".into()).await, refused);
        assert_eq!(cluster.handle(1).append(term - 1, "old term".into()).await, refused);
        assert_eq!(cluster.handle(1).append(term + 1, "term to come".into()).await, refused);
        let large = Bytes::from(vec![0; raft::limits::PAYLOAD_BYTES_MAX + 1]);
        assert!(matches!(cluster.handle(1).append(term, large).await, Err(AppendError::TooLarge { .. })));
        cluster.append(&ALL, "last").await;
        cluster.converge(&ALL).await;
        assert_eq!(cluster.nodes[&3].probe.payloads(), ["last"]);
    });
}

#[test]
fn a_read_index_covers_every_acknowledged_write_on_every_master() {
    simulated(3, || async {
        let cluster = Cluster::of(3, defaults).await;
        for round in 0..20 {
            let leader = cluster.append(&ALL, &format!("{round}")).await;
            let before = cluster.nodes[&leader].probe.content().count;
            eventually("applied on the leader", || {
                cluster.nodes[&leader].probe.content().count > before || before == round + 1
            })
            .await;
            let acknowledged = cluster.nodes[&leader].probe.applied().expect("applied");
            for node in ALL {
                let index = cluster.handle(node).read_index().await.expect("a quorum is there");
                assert!(index >= acknowledged, "master {node} would read at {index} after {acknowledged}");
            }
        }
    });
}

#[test]
fn readers_share_requests_to_the_leader_and_its_rounds() {
    simulated(4, || async {
        let cluster = Cluster::of(3, defaults).await;
        for node in ALL {
            let before = cluster.trace.sum().1;
            let reads = (0..200).map(|_| cluster.handle(node).read_index());
            let answers = futures::future::join_all(reads).await;
            assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            let frames = cluster.trace.sum().1 - before;
            assert!(frames < 60, "{frames} frames for 200 concurrent reads on master {node}");
        }
    });
}

#[test]
fn reads_beyond_the_limit_are_refused_at_once() {
    simulated(31, || async {
        let cluster = Cluster::of(3, defaults).await;
        cluster.network.isolate(2, &[1, 3]);
        let began = env::monotonic();
        let reader = |_| async {
            let answer = cluster.handle(2).read_index().await;
            (answer == Err(ReadError::Busy), began.elapsed())
        };
        let answers = futures::future::join_all((0..READS_WAITING_MAX + 100).map(reader)).await;
        let refused: Vec<_> = answers.iter().filter(|(is_busy, _)| *is_busy).collect();
        assert_eq!(refused.len(), 100);
        assert!(refused.iter().all(|(_, after)| after.is_zero()), "{refused:?}");
        cluster.network.heal();
        cluster.wait_for_leader(&ALL).await;
        let read = cluster.handle(2).read_index().await;
        assert!(read.is_ok(), "the places are free again: {read:?}");
    });
}

#[test]
fn a_master_without_a_quorum_reads_and_appends_nothing() {
    simulated(5, || async {
        let cluster = Cluster::of(3, defaults).await;
        let term = cluster.handle(1).leadership().borrow().term;
        cluster.network.isolate(1, &[2, 3]);
        env::sleep(Duration::from_secs(1)).await;
        let read = cluster.handle(1).read_index().await;
        assert!(
            matches!(read, Err(ReadError::NoQuorum(_) | ReadError::NoLeader | ReadError::Leader(_))),
            "{read:?}"
        );
        let leader = cluster.wait_for_leader(&[2, 3]).await;
        let late = cluster.handle(1).append(term, "late".into()).await;
        assert!(matches!(late, Err(AppendError::NotAppended { .. })), "{late:?}");
        cluster.append(&[2, 3], "elsewhere").await;
        assert_ne!(leader, 1);
        cluster.network.heal();
        cluster.converge(&ALL).await;
        assert_eq!(cluster.nodes[&1].probe.payloads(), ["elsewhere"]);
    });
}

#[test]
fn a_paused_leader_is_replaced_and_comes_back_as_a_follower() {
    simulated(6, || async {
        let cluster = Cluster::of(3, defaults).await;
        cluster.append(&ALL, "before").await;
        cluster.converge(&ALL).await;
        cluster.network.pause(1);
        let began = env::monotonic();
        cluster.wait_for_leader(&[2, 3]).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        cluster.append(&[2, 3], "meanwhile").await;
        cluster.network.resume(1);
        cluster.converge(&ALL).await;
        assert!(!cluster.leads(1) || cluster.agreed_leader(&ALL) == Some(1));
        assert_eq!(cluster.nodes[&1].probe.payloads(), ["before", "meanwhile"]);
    });
}

/// The leader's heartbeats arrive but no answer comes back: followers are kept from campaigning by a
/// leader that can commit nothing, unless it notices.
#[test]
fn a_leader_that_hears_nobody_gives_way() {
    simulated(7, || async {
        let cluster = Cluster::of(3, defaults).await;
        cluster.network.cut(2, 1);
        cluster.network.cut(3, 1);
        cluster.wait_for_leader(&[2, 3]).await;
        cluster.append(&[2, 3], "on").await;
        cluster.network.heal();
        cluster.converge(&ALL).await;
        assert_eq!(cluster.nodes[&1].probe.payloads(), ["on"]);
    });
}

#[test]
fn a_leader_that_nobody_hears_is_replaced() {
    simulated(8, || async {
        let cluster = Cluster::of(3, defaults).await;
        cluster.network.cut(1, 2);
        cluster.network.cut(1, 3);
        cluster.wait_for_leader(&[2, 3]).await;
        cluster.append(&[2, 3], "on").await;
        cluster.network.heal();
        cluster.converge(&ALL).await;
    });
}

#[test]
fn a_follower_that_was_cut_off_does_not_depose_the_leader() {
    simulated(9, || async {
        let cluster = Cluster::of(3, defaults).await;
        let term = cluster.handle(1).leadership().borrow().term;
        cluster.network.isolate(3, &[1, 2]);
        env::sleep(Duration::from_secs(20)).await;
        cluster.network.heal();
        cluster.append(&ALL, "on").await;
        cluster.converge(&ALL).await;
        assert_eq!(cluster.handle(1).leadership().borrow().term, term, "pre-vote keeps the term");
    });
}

#[test]
fn a_lossy_network_slows_but_does_not_stop() {
    simulated(10, || async {
        let cluster = Cluster::of(3, defaults).await;
        let lossy =
            Conditions { loss_permille: 50, latency_max: Duration::from_millis(5), ..Conditions::default() };
        cluster.network.set_conditions(lossy);
        cluster.append_many(&ALL, "lossy", 100, 10).await;
        cluster.network.set_conditions(Conditions::default());
        cluster.converge(&ALL).await;
        let payloads = cluster.nodes[&1].probe.payloads();
        for node in ALL {
            assert_eq!(cluster.nodes[&node].probe.payloads(), payloads, "master {node}");
        }
    });
}

#[test]
fn a_follower_that_lacks_purged_entries_gets_a_snapshot() {
    simulated(11, || async {
        let cluster = Cluster::of(3, small_log).await;
        cluster.network.isolate(3, &[1, 2]);
        let installed = || cluster.nodes[&3].probe.installs.load(std::sync::atomic::Ordering::SeqCst);
        cluster.append_many(&[1, 2], "long", 300, 200).await;
        env::sleep(Duration::from_secs(5)).await;
        assert_eq!(installed(), 0);
        cluster.network.heal();
        cluster.converge(&ALL).await;
        assert!(installed() >= 1);
        assert_eq!(cluster.nodes[&3].probe.content().count, 300);
    });
}

#[test]
fn the_log_is_kept_within_its_bounds() {
    simulated(12, || async {
        let cluster = Cluster::of(3, small_log).await;
        cluster.append_many(&ALL, "long", 500, 200).await;
        cluster.converge(&ALL).await;
        env::sleep(Duration::from_secs(3)).await;
        for node in ALL {
            let size_bytes = storage::snapshot::Stores::log(&cluster.nodes[&node].stores).size_bytes();
            // What came since the last snapshot, and the tail behind it.
            assert!(size_bytes < 20_000 + 4_000 + 2_000, "master {node} holds {size_bytes} bytes of log");
            assert!(size_bytes > 3_000, "master {node} holds {size_bytes} bytes of log");
        }
    });
}

#[test]
fn members_come_are_replaced_and_go() {
    simulated(13, || async {
        let mut cluster = Cluster::of(3, defaults).await;
        cluster.append_many(&ALL, "old", 20, 10).await;
        assert!(matches!(
            cluster.handle(2).add(9, member(9)).await,
            Err(ChangeError::NotLeader { leader: Some(1) })
        ));
        let dead = cluster.stop(3).await;
        drop(dead);
        cluster.start(4, MemoryStores::new()).await;
        cluster.handle(1).add(4, member(4)).await.expect("joins with two of three");
        cluster.handle(1).remove(3).await.expect("leaves");
        let now = [1, 2, 4];
        cluster.append(&now, "new").await;
        cluster.converge(&now).await;
        let membership = cluster.handle(4).membership();
        assert_eq!(membership.voters.iter().copied().collect::<Vec<_>>(), now);
        assert_eq!(membership.members.keys().copied().collect::<Vec<_>>(), now);
        assert_eq!(cluster.nodes[&4].probe.content().count, 21);
        cluster.handle(1).add(4, member(4)).await.expect("adding a voter again changes nothing");
        let refused = cluster.handle(1).add(5, Default::default()).await;
        assert!(matches!(refused, Err(ChangeError::Refused(_))), "{refused:?}");
    });
}

#[test]
fn a_learner_that_is_not_there_is_reported_and_may_come_later() {
    simulated(14, || async {
        let mut cluster = Cluster::of(3, defaults).await;
        let absent = cluster.handle(1).add(4, member(4)).await;
        assert!(matches!(absent, Err(ChangeError::NotCaughtUp { node: 4, .. })), "{absent:?}");
        let learner = cluster.handle(1).status().into_iter().find(|status| status.node == 4).expect("known");
        assert_eq!((learner.role, learner.matched), (Role::Learner, None));
        cluster.start(4, MemoryStores::new()).await;
        cluster.handle(1).add(4, member(4)).await.expect("continues");
        assert!(cluster.handle(1).membership().voters.contains(&4));
    });
}

#[test]
fn leadership_goes_where_it_is_sent() {
    simulated(15, || async {
        let cluster = Cluster::of(3, defaults).await;
        cluster.append(&ALL, "one").await;
        assert_eq!(cluster.handle(1).transfer(Some(3)).await, Ok(3));
        assert_eq!(cluster.wait_for_leader(&ALL).await, 3);
        let refused = cluster.handle(1).transfer(None).await;
        assert_eq!(refused, Err(TransferError::NotLeader { leader: Some(3) }));
        assert_eq!(cluster.handle(3).transfer(Some(9)).await, Err(TransferError::NoTarget));
        let to = cluster.handle(3).transfer(None).await.expect("somebody takes over");
        assert_eq!(cluster.wait_for_leader(&ALL).await, to);
        cluster.append(&ALL, "two").await;
        cluster.converge(&ALL).await;
    });
}

#[test]
fn leadership_goes_to_a_master_that_answers() {
    simulated(31, || async {
        let mut cluster = Cluster::of(3, defaults).await;
        cluster.append(&ALL, "one").await;
        cluster.converge(&ALL).await;
        cluster.stop(2).await;
        env::sleep(raft::limits::ELECTION_MAX * 2).await;
        assert_eq!(cluster.handle(1).transfer(None).await, Ok(3));
    });
}

#[test]
fn a_leader_that_shuts_down_is_followed_at_once() {
    simulated(16, || async {
        let mut cluster = Cluster::of(3, defaults).await;
        cluster.append(&ALL, "before").await;
        let began = env::monotonic();
        let disk = cluster.stop(1).await;
        assert!(cluster.agreed_leader(&[2, 3]).is_some(), "another leads when shutdown returns");
        assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
        cluster.append(&[2, 3], "meanwhile").await;
        cluster.start(1, disk).await;
        cluster.append(&ALL, "after").await;
        cluster.converge(&ALL).await;
        assert_eq!(cluster.nodes[&1].probe.payloads(), ["before", "meanwhile", "after"]);
    });
}

#[test]
fn a_power_cut_on_all_masters_loses_nothing_that_was_committed() {
    for seed in 20..26 {
        simulated(seed, || async move {
            let mut cluster = Cluster::of(3, small_log).await;
            cluster.append_many(&ALL, "old", 150, 200).await;
            cluster.converge(&ALL).await;
            let committed = cluster.nodes[&1].probe.content().count;
            assert_eq!(committed, 150);
            // Still on their way: the cut may take them or leave them.
            cluster.append_many(&ALL, "cut", 50, 200).await;
            let mut disks = Vec::new();
            for node in ALL {
                let cut = cluster.nodes[&node].stores.crash(seed * 10 + node);
                cluster.nodes.remove(&node).expect("runs").handle.shutdown().await;
                disks.push((node, cut));
            }
            for (node, disk) in disks {
                cluster.start(node, disk).await;
            }
            cluster.append(&ALL, "new").await;
            cluster.converge(&ALL).await;
            let count = cluster.nodes[&1].probe.content().count;
            assert!(count > committed, "{committed} before, {count} after");
        });
    }
}

#[test]
fn a_full_disk_refuses_entries_and_nothing_else() {
    simulated(17, || async {
        let cluster = Cluster::of(3, defaults).await;
        let term = cluster.handle(1).leadership().borrow().term;
        cluster.nodes[&1].stores.faults().set_low_space(true);
        assert_eq!(
            cluster.handle(1).append(term, "leader is full".into()).await,
            Err(AppendError::OutOfSpace)
        );
        cluster.handle(2).read_index().await.expect("reads go on");
        cluster.nodes[&1].stores.faults().set_low_space(false);
        cluster.nodes[&3].stores.faults().set_low_space(true);
        cluster.append(&ALL, "follower is full").await;
        cluster.converge(&[1, 2]).await;
        env::sleep(Duration::from_secs(5)).await;
        assert_eq!(cluster.nodes[&3].probe.content().count, 0);
        assert_eq!(cluster.agreed_leader(&ALL), Some(1), "heartbeats still pass");
        cluster.nodes[&3].stores.faults().set_low_space(false);
        cluster.converge(&ALL).await;
    });
}

#[test]
fn the_layer_above_is_called_on_other_masters_and_on_itself() {
    simulated(18, || async {
        let cluster = Cluster::of(3, defaults).await;
        let limit = Duration::from_secs(1);
        let call = |from: u64, to: u64| cluster.handle(from).call(to, 5, "body".into(), limit);
        assert_eq!(call(1, 3).await, Ok("3<1:5:4".into()));
        assert_eq!(call(3, 2).await, Ok("2<3:5:4".into()));
        assert_eq!(call(2, 2).await, Ok("2<2:5:4".into()));
        assert_eq!(call(1, 9).await, Err(CallError::NotMember(9)));
        cluster.network.isolate(3, &[1, 2]);
        assert!(matches!(call(1, 3).await, Err(CallError::Transport(_))));
    });
}

#[test]
fn a_failed_sync_or_a_panic_is_reported() {
    simulated(19, || async {
        let cluster = Cluster::of(3, defaults).await;
        cluster.nodes[&2].stores.faults().fail_syncs(true);
        cluster.append(&ALL, "one").await;
        let reason = cluster.handle(2).failed().await;
        assert!(reason.contains("syncing the Raft log failed"), "{reason}");
        cluster.nodes[&1].probe.panic();
        let term = cluster.handle(1).leadership().borrow().term;
        let _ = cluster.handle(1).append(term, "two".into()).await;
        assert_eq!(cluster.handle(1).failed().await, "the state machine panicked");
    });
}

#[test]
fn an_idle_leader_beats_and_nobody_does_anything_else() {
    simulated(25, || async {
        let cluster = Cluster::of(3, defaults).await;
        cluster.append(&ALL, "one").await;
        cluster.converge(&ALL).await;
        let (led, frames) = (*cluster.handle(1).leadership().borrow(), cluster.trace.sum().1);
        env::sleep(HEARTBEAT * 100).await;
        assert_eq!(*cluster.handle(1).leadership().borrow(), led);
        let frames = cluster.trace.sum().1 - frames;
        assert!(
            (4 * 99..=4 * 101).contains(&frames),
            "{frames} frames for a hundred beats to two, with answers"
        );
    });
}

#[test]
fn a_pristine_master_is_initialized_once() {
    simulated(20, || async {
        let cluster = Cluster::of(2, defaults).await;
        for node in [1, 2] {
            let again = cluster.handle(node).initialize().await;
            assert!(matches!(again, Err(raft::InitializeError::NotPristine(_))), "{again:?}");
        }
    });
}

/// Everything at once; the trace holds every frame delivered and every entry applied.
async fn eventful() -> (u64, u64) {
    let mut cluster = Cluster::of(3, small_log).await;
    // What is in the leader's log is not yet on its way: without the waits it would all be lost with the leader.
    cluster.append_many(&ALL, "a", 60, 200).await;
    cluster.converge(&ALL).await;
    cluster.network.isolate(3, &[1, 2]);
    cluster.append_many(&[1, 2], "b", 200, 200).await;
    cluster.converge(&[1, 2]).await;
    cluster.network.heal();
    let leader = cluster.append(&ALL, "c").await;
    cluster.converge(&ALL).await;
    cluster.network.pause(leader);
    let rest: Vec<u64> = ALL.into_iter().filter(|node| *node != leader).collect();
    cluster.append_many(&rest, "d", 20, 200).await;
    cluster.network.resume(leader);
    cluster.converge(&ALL).await;
    let disk = cluster.stop(2).await;
    cluster.start(2, disk).await;
    cluster.append_many(&ALL, "e", 21, 200).await;
    cluster.converge(&ALL).await;
    assert_eq!(cluster.nodes[&1].probe.content().count, 60 + 200 + 1 + 20 + 21);
    cluster.trace.sum()
}

#[test]
fn a_seed_decides_every_frame_and_every_apply() {
    let run = |seed| env::simulate(seed, eventful());
    let first = run(77);
    // Three masters apply 302 entries each; the rest are the frames that carry them, elections and heartbeats.
    assert!(first.1 > 3 * 302 + 100, "{first:?}");
    assert_eq!(run(77), first);
    assert_ne!(run(78).0, first.0);
}
