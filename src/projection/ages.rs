//! Objects by when they were last written: what goes after some time is found without looking at what stays.

use api::Key;
use imbl::OrdSet;
use state::Change;

/// The objects of one collection by age. Persistent; the write of an object makes it young again.
#[derive(Clone, Debug, Default)]
pub struct Ages(OrdSet<(u64, Key)>);

impl Ages {
    /// Takes in one change of an object of the collection.
    pub fn fold(&mut self, change: &Change) {
        if let Some(before) = &change.previous {
            self.0.remove(&(before.time_ms, before.key.clone()));
        }
        if !change.deleted {
            self.0.insert((change.object.time_ms, change.object.key.clone()));
        }
    }

    /// When each was last written (milliseconds since the epoch), and its key; the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Key)> {
        self.0.iter().map(|(at, key)| (*at, key))
    }
}
