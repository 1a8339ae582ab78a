//! What plans see.

use std::sync::Arc;

use api::Key;
use serde::de::DeserializeOwned;
use state::{Change, State};

use crate::cache::Cache;
use crate::definitions::{DEFINITIONS, Definitions};
use crate::labels::ByLabel;
use crate::nodes::{LEASES, NODES, Nodes};
use crate::office::Office;
use crate::owners::Owners;
use crate::pods::{PODS, Pods};
use crate::selectors::Selectors;

/// What the keys of ReplicaSets begin with.
const REPLICA_SETS: &str = "apps/replicasets/";

/// One State, and indexes of exactly that State. Persistent like it: a clone is O(1), so what-if is a World held in
/// hand and folded on.
#[derive(Clone, Default)]
pub struct World {
    /// Every object.
    pub state: State,
    /// Pods by label and node.
    pub pods: Pods,
    /// Nodes and what is left of them.
    pub nodes: Nodes,
    /// Owner references from both ends.
    pub owners: Owners,
    /// Who selects pods.
    pub selectors: Selectors,
    /// ReplicaSets by label: those that nobody owns are looked for among them.
    pub replica_sets: ByLabel,
    /// What CustomResourceDefinitions make.
    pub definitions: Definitions,
    /// What the leader alone knows.
    pub office: Office,
    typed: Arc<Cache>,
}

impl World {
    /// Of a State: folds every object that there is.
    pub fn of(state: State) -> Self {
        let mut world = Self::default();
        for object in state.range("") {
            let change = Change {
                revision: object.revision,
                object: Arc::clone(object),
                previous: None,
                deleted: false,
            };
            world.index(&change);
        }
        world.definitions = Definitions::of(&state);
        world.state = state;
        world
    }

    /// Moves on to a State that these changes, in order, lead to.
    pub fn fold(&mut self, state: State, changes: &[Change]) {
        for change in changes {
            self.index(change);
        }
        if changes.iter().any(|change| change.object.key.collection() == DEFINITIONS) {
            self.definitions = Definitions::of(&state);
        }
        self.state = state;
    }

    fn index(&mut self, change: &Change) {
        let key = &change.object.key;
        if key.is_internal() {
            return;
        }
        self.owners.fold(change);
        match key.collection() {
            PODS => {
                let (before, after) = self.pods.fold(change);
                self.nodes.fold_pod(before.as_deref(), after.as_deref());
            }
            NODES => {
                self.nodes.fold(change);
                if change.deleted {
                    self.office.forget(key.name());
                } else if change.previous.is_none() {
                    self.office.hear(key.name());
                }
            }
            _ if key.as_str().starts_with(LEASES) => self.office.hear(key.name()),
            collection => {
                if collection == REPLICA_SETS {
                    let after = (!change.deleted).then_some(&*change.object);
                    self.replica_sets.fold(change.previous.as_deref(), after);
                }
                self.selectors.fold(change);
            }
        }
    }

    /// An object as a type of Kubernetes; `None`: there is none, or it is none of that type.
    pub fn read<T: DeserializeOwned + Send + Sync + 'static>(&self, key: &Key) -> Option<Arc<T>> {
        let object = self.state.get(key.as_str())?;
        self.typed.get(key, object.revision, || serde_json::from_slice(&object.bytes.to_bytes()).ok())
    }
}
