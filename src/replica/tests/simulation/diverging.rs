//! A master that computes something else than the others: they tell each other, and it stops.

use std::sync::Arc;

use base::env;
use futures::FutureExt;
use futures::future::BoxFuture;
use raft::machine::{Prepared, Taken};
use raft::{Entry, Machine, MachineError, Payload, Restored};
use replica::ReplicaMachine;
use replica::limits::UPKEEP_INTERVAL;
use state::FEATURE_LEVEL_MAX;
use state::codec::{decode_batch, encode_batch};
use storage::SnapshotReader;

use crate::cluster::{Cluster, GLANCE, Master, USUAL, boot_with, create, is_committed};

/// A machine that sees every entry a moment later than the others.
struct Late(ReplicaMachine);

#[async_trait::async_trait]
impl Machine for Late {
    fn restored(&self) -> Restored {
        self.0.restored()
    }

    async fn apply(&mut self, mut entries: Vec<Entry>) -> Result<(), MachineError> {
        for entry in &mut entries {
            if let Payload::Normal(payload) = &mut entry.payload {
                let mut batch = decode_batch(payload).expect("was encoded");
                batch.time_ms += 1;
                *payload = encode_batch(&batch).expect("as large as before");
            }
        }
        self.0.apply(entries).await
    }

    fn snapshot(&mut self) -> BoxFuture<'static, Result<Taken, MachineError>> {
        self.0.snapshot()
    }

    fn current_snapshot(&self) -> Result<Option<Taken>, MachineError> {
        self.0.current_snapshot()
    }

    fn prepare(
        &self,
        snapshot: Arc<dyn SnapshotReader>,
    ) -> BoxFuture<'static, Result<Box<dyn Prepared>, MachineError>> {
        self.0.prepare(snapshot)
    }

    async fn install(&mut self, prepared: Box<dyn Prepared>) -> Result<(), MachineError> {
        self.0.install(prepared).await
    }
}

fn has_failed(master: &Master) -> Option<String> {
    master.replica.failed().now_or_never()
}

#[test]
fn a_master_that_two_others_contradict_fails_and_they_go_on() {
    env::simulate(15, async {
        let mut cluster = Cluster::of_three().await;
        let raised = || {
            let mut masters = cluster.masters.iter();
            masters.all(|master| master.replica.moment().state.feature_level() == FEATURE_LEVEL_MAX)
        };
        // Nobody but the test shall write anything from here on.
        assert!(env::wait_until(3 * UPKEEP_INTERVAL, GLANCE, raised).await, "the level does not rise");
        let leader = cluster.leader().await.node;
        let position = cluster.masters.iter().position(|master| master.node != leader).expect("two follow");
        let gone = cluster.masters.remove(position);
        cluster.network.detach(gone.node);
        gone.replica.raft().shutdown().await;
        let absent = cluster.masters.iter().find(|master| master.node != leader).expect("one is left").node;
        cluster.network.isolate(absent, &[1, 2, 3]);
        let wrong = boot_with(&cluster.network, gone.node, gone.stores.reopen(), USUAL, Late).await;

        let sound = cluster.leader().await;
        assert!(is_committed(&sound.replica.propose(create("one")).await));
        let index = sound.replica.moment().index;
        let (right, other) = (sound.replica.hash_at(index).await, wrong.replica.hash_at(index).await);
        assert!(right.is_some() && other.is_some() && right != other, "{right:?}, {other:?}");
        assert_eq!(sound.replica.peer_hash(wrong.node, index).await, other);
        assert_eq!(wrong.replica.peer_hash(sound.node, index).await, right);
        env::sleep(3 * UPKEEP_INTERVAL).await;
        assert_eq!((has_failed(sound), has_failed(&wrong)), (None, None), "nobody knows who is wrong");

        // What was undecided is compared again, also where no entry comes after it.
        cluster.network.heal();
        let failed = env::timeout(3 * UPKEEP_INTERVAL, wrong.replica.failed()).await;
        let reason = failed.expect("the third tells who is wrong");
        for words in ["differs from the majority's", storage::error::REPLACE_MASTER] {
            assert!(reason.contains(words), "{words:?} is missing in {reason}");
        }
        assert_eq!(sound.replica.moment().index, index);
        cluster.network.detach(wrong.node);
        wrong.replica.raft().shutdown().await;

        for master in &cluster.masters {
            let name = format!("after-{}", master.node);
            assert!(is_committed(&master.replica.propose(create(&name)).await), "{name}");
        }
        let seen = cluster.settle().await;
        assert!(seen.iter().all(|master| *master == seen[0]), "{seen:?}");
        env::sleep(3 * UPKEEP_INTERVAL).await;
        assert!(cluster.masters.iter().all(|master| has_failed(master).is_none()));
    });
}
