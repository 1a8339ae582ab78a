//! Masters that come, and masters that come back: what they lack at first, and what a leader that died left
//! half done.

use std::collections::BTreeSet;
use std::time::Duration;

use base::env;
use raft::transport::simulated::Conditions;
use replica::Behind;
use replica::limits::UPKEEP_INTERVAL;
use storage::memory::MemoryStores;

use crate::cluster::{Cluster, GLANCE, Master, PATIENCE, USUAL, boot, create, is_committed, leads, member};

/// Waits until `master` has caught up; whenever it says so it holds what was committed up to `index`.
async fn catches_up(master: &Master, index: u64) {
    let holds = || {
        let caught_up = master.replica.caught_up();
        let applied = master.replica.moment().index;
        assert!(caught_up.is_err() || applied >= index, "caught up with {applied} of {index}");
        caught_up.is_ok()
    };
    assert!(
        env::wait_until(PATIENCE, Duration::from_millis(1), holds).await,
        "{:?}",
        master.replica.caught_up()
    );
}

#[test]
fn a_master_has_caught_up_once_it_holds_what_was_committed_when_it_started() {
    env::simulate(14, async {
        let mut cluster = Cluster::of_three().await;
        let leader = cluster.leader().await.node;
        let position = cluster.masters.iter().position(|master| master.node != leader).expect("two follow");
        let gone = cluster.masters.remove(position);
        cluster.network.detach(gone.node);
        gone.replica.raft().shutdown().await;
        let write = async |cluster: &Cluster, name: &str| {
            let leader = cluster.leader().await;
            assert!(is_committed(&leader.replica.propose(create(name)).await), "{name}");
            leader.replica.moment().index
        };
        let mut committed = 0;
        for number in 0..50 {
            committed = write(&cluster, &format!("meanwhile-{number}")).await;
        }

        cluster.network.isolate(gone.node, &[1, 2, 3]);
        let back = boot(&cluster.network, gone.node, gone.stores.reopen(), USUAL).await;
        env::sleep(PATIENCE).await;
        assert_eq!(back.replica.caught_up(), Err(Behind::Untold), "nobody could tell it");
        cluster.network.heal();
        catches_up(&back, committed).await;
        cluster.network.isolate(back.node, &[1, 2, 3]);
        write(&cluster, "later").await;
        env::sleep(PATIENCE).await;
        assert_eq!(back.replica.caught_up(), Ok(()), "that is over");
        cluster.network.heal();

        let joining = boot(&cluster.network, 4, MemoryStores::new(), USUAL).await;
        let committed = write(&cluster, "before-it-joins").await;
        assert_eq!(joining.replica.caught_up(), Err(Behind::Untold), "it is no member yet");
        let leader = cluster.leader().await.replica.raft().clone();
        let adding = env::spawn(async move { leader.add(4, member(4)).await });
        catches_up(&joining, committed).await;
        adding.await.expect("no panic").expect("joins");
    });
}

#[test]
fn a_change_of_members_whose_leader_died_is_finished_by_the_next() {
    env::simulate(15, async {
        let mut cluster = Cluster::of_three().await;
        cluster.masters.push(boot(&cluster.network, 4, MemoryStores::new(), USUAL).await);
        let dead = cluster.leader().await.node;
        // So that there is time between the first step and the second.
        let latency = Duration::from_millis(5);
        cluster.network.set_conditions(Conditions {
            latency_min: latency,
            latency_max: latency,
            ..Conditions::default()
        });
        let raft = cluster.leader().await.replica.raft().clone();
        let adding = env::spawn(async move { raft.add(4, member(4)).await });
        let left: Vec<&Master> = cluster.masters.iter().filter(|master| master.node != dead).collect();
        let is_joint = |master: &&Master| master.replica.raft().membership().is_joint;
        let half = env::wait_until(PATIENCE, Duration::from_millis(1), || left.iter().all(is_joint)).await;
        assert!(half, "the first step never came to all");
        cluster.network.isolate(dead, &[1, 2, 3, 4]);
        let led = env::wait_until(PATIENCE, GLANCE, || left.iter().any(|master| leads(master))).await;
        assert!(led, "nobody leads the others");
        assert!(left.iter().all(is_joint), "the second step was taken by the one that died");

        let is_whole = || {
            let mut memberships = left.iter().map(|master| master.replica.raft().membership());
            memberships.all(|now| !now.is_joint && now.voters == BTreeSet::from([1, 2, 3, 4]))
        };
        assert!(env::wait_until(3 * UPKEEP_INTERVAL, GLANCE, is_whole).await, "the change stays half done");
        adding.abort();
        let write = left[0].replica.propose(create("x")).await;
        assert!(is_committed(&write), "{write:?}");
    });
}
