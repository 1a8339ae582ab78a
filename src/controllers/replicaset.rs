//! ReplicaSets and ReplicationControllers: so many pods of one template. Two kinds on the wire, one plan.

mod plan;
mod rank;
#[cfg(test)]
mod tests;

use api::Key;
use projection::pods::PODS;
use projection::{Controller, LastOutcomes, Plan, Wakes, World};
use state::Change;

use crate::shared::{owned, stored};

/// One of the two kinds.
pub(crate) struct Kind {
    pub(crate) collection: &'static str,
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    /// Whether its status counts pods that are going.
    pub(crate) counts_terminating: bool,
}

const REPLICA_SETS: Kind = Kind {
    collection: "apps/replicasets/",
    api_version: "apps/v1",
    kind: "ReplicaSet",
    counts_terminating: true,
};

const REPLICATION_CONTROLLERS: Kind = Kind {
    collection: "core/replicationcontrollers/",
    api_version: "v1",
    kind: "ReplicationController",
    counts_terminating: false,
};

/// The row of ReplicaSets.
pub const REPLICA_SET: Controller = Controller {
    name: "replicaset",
    actor: "system:serviceaccount:kube-system:replicaset-controller",
    component: "replicaset-controller",
    wakes: |world, change, wakes| REPLICA_SETS.wakes(world, change, wakes),
    keys: |world, wakes| stored::keys(world, REPLICA_SETS.collection, wakes),
    plan: |world, key, last, now_ms| REPLICA_SETS.plan(world, key, last, now_ms),
};

/// The row of ReplicationControllers.
pub const REPLICATION_CONTROLLER: Controller = Controller {
    name: "replicationcontroller",
    actor: "system:serviceaccount:kube-system:replication-controller",
    component: "replication-controller",
    wakes: |world, change, wakes| REPLICATION_CONTROLLERS.wakes(world, change, wakes),
    keys: |world, wakes| stored::keys(world, REPLICATION_CONTROLLERS.collection, wakes),
    plan: |world, key, last, now_ms| REPLICATION_CONTROLLERS.plan(world, key, last, now_ms),
};

impl Kind {
    fn wakes(&self, world: &World, change: &Change, wakes: &mut Wakes) {
        match change.object.key.collection() {
            PODS => owned::wake(world, change, self.kind, self.collection, wakes),
            collection if collection == self.collection => wakes.add(&change.object.key),
            _ => {}
        }
    }

    fn plan(&self, world: &World, key: &Key, last: &LastOutcomes, now_ms: u64) -> Plan {
        plan::plan(self, world, key, last, now_ms)
    }
}
