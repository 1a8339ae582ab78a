//! What changed of late on a master that does not lead.

use std::collections::VecDeque;

use state::Change;

use crate::limits::{RECENT_BYTES_MAX, RECENT_CHANGES_MAX};

/// The newest changes, the oldest first; bounded by number and by what their objects hold.
#[derive(Default)]
pub(crate) struct Recent {
    changes: VecDeque<Change>,
    bytes: usize,
}

impl Recent {
    /// Adds changes; the oldest make room for them.
    pub(crate) fn add(&mut self, changes: Vec<Change>) {
        self.bytes += changes.iter().map(size_bytes).sum::<usize>();
        self.changes.extend(changes);
        while self.changes.len() > RECENT_CHANGES_MAX || self.bytes > RECENT_BYTES_MAX {
            let Some(oldest) = self.changes.pop_front() else { break };
            self.bytes -= size_bytes(&oldest);
        }
    }

    /// Gives them away, and forgets them.
    pub(crate) fn take(&mut self) -> VecDeque<Change> {
        self.bytes = 0;
        std::mem::take(&mut self.changes)
    }
}

fn size_bytes(change: &Change) -> usize {
    let previous = change.previous.as_ref().map_or(0, |previous| previous.size_bytes());
    change.object.size_bytes() + previous
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::testing::{put, world};

    fn named(number: usize, bytes: usize) -> Change {
        let mut world = world([]);
        let key = put(
            &mut world,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c{number}")},
                "data": {"text": "x".repeat(bytes)}}),
        );
        let object = Arc::clone(world.state.get(key.as_str()).expect("it was put"));
        Change { revision: object.revision, object, previous: None, deleted: false }
    }

    fn names(recent: &mut Recent) -> Vec<String> {
        recent.take().iter().map(|change| change.object.key.name().to_owned()).collect()
    }

    #[test]
    fn changes_of_late_are_bounded_by_number_and_by_what_they_hold() {
        let mut recent = Recent::default();
        recent.add((0..RECENT_CHANGES_MAX + 2).map(|number| named(number, 0)).collect());
        let kept = names(&mut recent);
        assert_eq!((kept.len(), &*kept[0]), (RECENT_CHANGES_MAX, "c2"));
        // What they are besides takes more than nothing: one fewer has room than by their text alone.
        const MANY: usize = 20;
        for _ in 0..2 {
            (0..=MANY).for_each(|number| recent.add(vec![named(number, RECENT_BYTES_MAX / MANY)]));
            let kept = names(&mut recent);
            assert_eq!((kept.len(), &*kept[0]), (MANY - 1, "c2"), "what was given away no longer counts");
        }
    }
}
