//! What plans see.

use std::sync::Arc;

use api::Key;
use serde::de::DeserializeOwned;
use state::{Change, State};

use crate::ages::Ages;
use crate::cache::Cache;
use crate::definitions::{DEFINITIONS, Definitions};
use crate::labels::ByLabel;
use crate::nodes::{LEASES, NODES, Nodes};
use crate::office::{MASTERS, Office};
use crate::owners::Owners;
use crate::pods::{PODS, Pods};
use crate::rules::Rules;
use crate::selectors::Selectors;

/// What the keys of Events begin with.
const EVENTS: &str = "core/events/";

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
    /// Events by age.
    pub events: Ages,
    /// What CustomResourceDefinitions make.
    pub definitions: Definitions,
    /// What the leader alone knows.
    pub office: Office,
    /// What the command line says.
    pub rules: Arc<Rules>,
    typed: Arc<Cache>,
}

impl World {
    /// An empty one, in which these rules hold.
    pub fn under(rules: Rules) -> Self {
        Self { rules: Arc::new(rules), ..Self::default() }
    }

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

    /// Goes on with another State; what does not come from there stays.
    pub fn reset(&mut self, state: State) {
        let (office, rules) = (std::mem::take(&mut self.office), Arc::clone(&self.rules));
        *self = Self { office, rules, ..Self::of(state) };
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
                } else if change.previous.is_none() || is_own_word(change) {
                    self.office.hear(key.name());
                }
            }
            _ if key.as_str().starts_with(LEASES) => self.office.hear(key.name()),
            _ if key.as_str().starts_with(MASTERS) => self.office.hear(key.as_str()),
            EVENTS => self.events.fold(change),
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

/// Whether it was the node itself that wrote its Node.
fn is_own_word(change: &Change) -> bool {
    change.object.actor.strip_prefix("system:node:") == Some(change.object.key.name())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{NOW_MS, put, remove, world};

    #[test]
    fn each_event_stands_once_until_it_goes() {
        let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"},
            "involvedObject": {"kind": "Pod", "name": "a", "namespace": "default"}});
        let mut world = world([event.clone()]);
        let key = put(&mut world, event);
        assert_eq!(world.events.iter().collect::<Vec<_>>(), [(NOW_MS, &key)]);
        remove(&mut world, &key);
        assert_eq!(world.events.iter().count(), 0);
    }

    #[test]
    fn a_node_that_went_is_remembered_until_it_comes_back() {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
        let mut world = world([node.clone()]);
        assert_eq!(world.nodes.gone_ms("n"), None);
        remove(&mut world, &api::Key::object("", "nodes", "", "n"));
        assert_eq!(world.nodes.gone_ms("n"), Some(NOW_MS));
        put(&mut world, node);
        assert_eq!(world.nodes.gone_ms("n"), None);
    }

    #[test]
    fn pods_that_ended_stand_by_age() {
        let pod = |name: &str, hour: u8, phase: &str| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default",
                "creationTimestamp": format!("2026-01-01T{hour:02}:00:00Z")},
                "spec": {"containers": [{"name": "c", "image": "i"}]}, "status": {"phase": phase}})
        };
        let mut world = world([pod("a", 3, "Failed"), pod("b", 1, "Succeeded"), pod("c", 2, "Running")]);
        let names =
            |world: &crate::World| world.pods.finished().map(|key| key.name().to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&world), ["b", "a"]);
        put(&mut world, pod("c", 2, "Failed"));
        remove(&mut world, &api::Key::object("", "pods", "default", "b"));
        assert_eq!(names(&world), ["c", "a"]);
    }

    #[test]
    fn replica_sets_are_found_by_their_labels() {
        let set = |team: &str| {
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web", "namespace": "default",
                "labels": {"team": team}}, "spec": {"selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}}})
        };
        let mut world = world([set("a")]);
        put(&mut world, set("b"));
        let count = |team: &str| {
            let selector = api::selector::Selector::parse(&format!("team={team}")).expect("a selector");
            world.replica_sets.candidates("default", &selector).map(|keys| keys.count())
        };
        assert_eq!((count("a"), count("b")), (Some(0), Some(1)));
    }
}
