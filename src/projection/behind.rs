//! What was applied on a master that does not lead, and is not folded yet.

use std::collections::BTreeMap;

use api::Key;
use base::env::Instant;
use state::{Change, State};

use crate::limits::{BEHIND_CHANGES_MAX, BEHIND_MAX};

/// Changes that World has not seen. Several of one object became one: who does not lead has time to wait for the last.
#[derive(Default)]
pub(crate) struct Behind {
    /// Where all of `changes` led to.
    state: Option<State>,
    changes: Vec<Change>,
    /// Where in `changes` an object's is.
    places: BTreeMap<Key, usize>,
    /// When World was up to date last.
    folded_at: Option<Instant>,
}

impl Behind {
    /// Adds changes that led to this State.
    pub(crate) fn add(&mut self, state: State, changes: &[Change]) {
        self.state = Some(state);
        for change in changes {
            let place = *self.places.entry(change.object.key.clone()).or_insert(self.changes.len());
            match self.changes.get_mut(place) {
                Some(known) => {
                    let previous = known.previous.take();
                    *known = Change { previous, ..change.clone() };
                }
                None => self.changes.push(change.clone()),
            }
        }
    }

    /// When they are to be folded; `None`: there are none.
    pub(crate) fn due_at(&self, now: Instant) -> Option<Instant> {
        self.state.as_ref()?;
        let is_full = self.changes.len() >= BEHIND_CHANGES_MAX;
        Some(self.folded_at.filter(|_| !is_full).map_or(now, |at| at + BEHIND_MAX))
    }

    /// Gives all away, to be folded now.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(State, Vec<Change>)> {
        let state = self.state.take()?;
        self.places.clear();
        self.folded_at = Some(now);
        Some((state, std::mem::take(&mut self.changes)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base::env;
    use serde_json::json;

    use super::*;
    use crate::World;
    use crate::testing::{put, world};

    fn written(world: &mut World, name: &str, text: &str) -> Change {
        let key = Key::object("", "configmaps", "default", name);
        let previous = world.state.get(key.as_str()).cloned();
        put(
            world,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"},
                "data": {"text": text}}),
        );
        let object = Arc::clone(world.state.get(key.as_str()).expect("it was put"));
        Change { revision: object.revision, object, previous, deleted: false }
    }

    #[test]
    fn changes_of_one_object_become_one() {
        let mut world = world([]);
        let first = written(&mut world, "a", "1");
        let changes =
            [written(&mut world, "a", "2"), written(&mut world, "b", "1"), written(&mut world, "a", "3")];
        let (mut behind, now) = (Behind::default(), env::monotonic());
        assert_eq!(behind.due_at(now), None);
        for change in &changes {
            behind.add(world.state.clone(), std::slice::from_ref(change));
        }
        let (state, folded) = behind.take(now).expect("changes");
        assert_eq!(state.revision(), world.state.revision());
        let told =
            |change: &Change| (change.revision, change.previous.as_ref().map(|object| object.revision));
        let expect = [(changes[2].revision, Some(first.revision)), (changes[1].revision, None)];
        assert_eq!(folded.iter().map(told).collect::<Vec<_>>(), expect);
        assert!(behind.take(now).is_none() && behind.due_at(now).is_none());
    }

    #[test]
    fn what_comes_alone_is_folded_at_once_and_what_comes_often_now_and_then() {
        let mut world = world([]);
        let (mut behind, now) = (Behind::default(), env::monotonic());
        let one = written(&mut world, "a", "1");
        behind.add(world.state.clone(), &[one]);
        assert_eq!(behind.due_at(now), Some(now));
        assert!(behind.take(now).is_some());
        behind.add(world.state.clone(), &[]);
        assert_eq!(behind.due_at(now), Some(now + BEHIND_MAX));
        let many: Vec<_> =
            (0..BEHIND_CHANGES_MAX).map(|n| written(&mut world, &format!("c{n}"), "")).collect();
        behind.add(world.state.clone(), &many);
        assert_eq!(behind.due_at(now), Some(now));
    }
}
