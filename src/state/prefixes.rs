//! For every collection and namespace of one: how many objects it holds, and its last write.

use std::sync::Arc;

use api::Key;
use imbl::OrdMap;

use crate::hash;

/// How many prefixes without objects are remembered. A guard on one that was forgotten fails only if
/// its reader is older than the last forgotten write, so this bounds how much may be emptied during
/// one read-modify-write: some hundred namespaces.
pub const EMPTIED_PREFIXES_MAX: usize = 8192;

/// What is known of one prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    /// Objects under it.
    pub count: u64,
    /// The revision of the last write or delete under it.
    pub last_written: u64,
}

/// A prefix whose record in the durable image changes: what it is now, `None` when it is dropped.
///
/// Only deletes leave records: for a prefix with objects, the last write follows from theirs.
pub(crate) type Record = (Arc<str>, Option<u64>);

/// All prefixes with objects, and the last [`EMPTIED_PREFIXES_MAX`] without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefixes {
    known: OrdMap<Arc<str>, Prefix>,
    /// Those without objects, in the order in which they are forgotten.
    emptied: OrdMap<(u64, Arc<str>), ()>,
    /// The highest last write among those forgotten.
    floor: u64,
    /// Sum of the digests of `known`.
    sum: u128,
}

/// The collection of a key, and its namespace's part when it has one.
pub(crate) fn prefixes_of(key: &Key) -> impl Iterator<Item = &str> {
    let (collection, parent) = (key.collection(), key.parent());
    std::iter::once(collection).chain((parent != collection).then_some(parent))
}

impl Prefixes {
    /// Prefixes as they were: those in `known` without objects are the emptied ones.
    pub fn restored(known: impl IntoIterator<Item = (Arc<str>, Prefix)>, floor: u64) -> Self {
        let mut prefixes = Self { floor, ..Self::default() };
        for (name, prefix) in known {
            prefixes.sum = prefixes.sum.wrapping_add(hash::prefix(&name, prefix.last_written));
            if prefix.count == 0 {
                prefixes.emptied.insert((prefix.last_written, Arc::clone(&name)), ());
            }
            prefixes.known.insert(name, prefix);
        }
        prefixes
    }

    /// What is known of `prefix`.
    pub fn get(&self, prefix: &str) -> Option<Prefix> {
        self.known.get(prefix).copied()
    }

    /// The last write under `prefix`; when it is not known, a revision that it cannot be above.
    pub fn last_written(&self, prefix: &str) -> u64 {
        self.get(prefix).map_or(self.floor, |known| known.last_written)
    }

    pub fn floor(&self) -> u64 {
        self.floor
    }

    pub fn sum(&self) -> u128 {
        self.sum
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Prefix)> {
        self.known.iter()
    }

    /// How many are remembered without having objects.
    pub fn emptied(&self) -> usize {
        self.emptied.len()
    }

    /// An object was put at `revision`; `created`: it was not there before.
    pub fn put(&mut self, key: &Key, revision: u64, created: bool) {
        for prefix in prefixes_of(key) {
            self.change(prefix, revision, |count| count + u64::from(created));
        }
    }

    /// An object was deleted at `revision`.
    pub fn delete(&mut self, key: &Key, revision: u64, records: &mut Vec<Record>) {
        for prefix in prefixes_of(key) {
            let name = self.change(prefix, revision, |count| count.saturating_sub(1));
            records.push((name, Some(revision)));
        }
        while self.emptied.len() > EMPTIED_PREFIXES_MAX {
            let Some(((last_written, name), ())) = self.emptied.get_min().cloned() else { break };
            self.emptied.remove(&(last_written, Arc::clone(&name)));
            self.known.remove(&name);
            self.sum = self.sum.wrapping_sub(hash::prefix(&name, last_written));
            self.floor = self.floor.max(last_written);
            records.push((name, None));
        }
    }

    /// Records a write; returns the prefix's name, shared with the maps.
    fn change(&mut self, prefix: &str, revision: u64, count: impl FnOnce(u64) -> u64) -> Arc<str> {
        let (name, before) = match self.known.get_key_value(prefix) {
            Some((name, before)) => (Arc::clone(name), Some(*before)),
            None => (Arc::from(prefix), None),
        };
        if let Some(before) = before {
            self.sum = self.sum.wrapping_sub(hash::prefix(prefix, before.last_written));
            if before.count == 0 {
                self.emptied.remove(&(before.last_written, Arc::clone(&name)));
            }
        }
        let count = count(before.map_or(0, |before| before.count));
        self.sum = self.sum.wrapping_add(hash::prefix(prefix, revision));
        if count == 0 {
            self.emptied.insert((revision, Arc::clone(&name)), ());
        }
        self.known.insert(Arc::clone(&name), Prefix { count, last_written: revision });
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(namespace: &str, name: &str) -> Key {
        Key::object("", "configmaps", namespace, name)
    }

    #[test]
    fn counts_and_last_writes() {
        let mut prefixes = Prefixes::default();
        prefixes.put(&key("a", "x"), 1, true);
        prefixes.put(&key("b", "x"), 2, true);
        prefixes.put(&key("a", "x"), 3, false);
        prefixes.delete(&key("b", "x"), 4, &mut Vec::new());
        let cases = [
            ("core/configmaps/", Some((1, 4)), 4),
            ("core/configmaps/a/", Some((1, 3)), 3),
            ("core/configmaps/b/", Some((0, 4)), 4),
            ("core/configmaps/c/", None, 0),
        ];
        for (prefix, known, last_written) in cases {
            let found = prefixes.get(prefix).map(|found| (found.count, found.last_written));
            assert_eq!((found, prefixes.last_written(prefix)), (known, last_written), "{prefix}");
        }
    }

    #[test]
    fn the_oldest_emptied_prefixes_are_forgotten() {
        let mut prefixes = Prefixes::default();
        let mut records = Vec::new();
        for number in 0..EMPTIED_PREFIXES_MAX as u64 + 3 {
            let key = key(&format!("ns{number}"), "x");
            prefixes.put(&key, 2 * number + 1, true);
            prefixes.delete(&key, 2 * number + 2, &mut records);
        }
        // The collection itself is emptied too, always by the latest delete: four are forgotten.
        assert_eq!((prefixes.emptied(), prefixes.floor()), (EMPTIED_PREFIXES_MAX, 8));
        assert_eq!(prefixes.get("core/configmaps/ns3/"), None);
        assert_eq!(prefixes.last_written("core/configmaps/ns3/"), 8);
        assert_eq!(prefixes.last_written("core/configmaps/ns4/"), 10);
        let dropped: Vec<&str> =
            records.iter().filter(|(_, record)| record.is_none()).map(|(name, _)| &**name).collect();
        assert_eq!(dropped, ["ns0", "ns1", "ns2", "ns3"].map(|ns| format!("core/configmaps/{ns}/")));
        prefixes.put(&key("ns5", "y"), 1 << 20, true);
        assert_eq!(
            prefixes.emptied(),
            EMPTIED_PREFIXES_MAX - 2,
            "the namespace and the collection live again"
        );
    }

    #[test]
    fn what_is_restored_is_what_was() {
        let mut prefixes = Prefixes::default();
        prefixes.put(&key("a", "x"), 1, true);
        prefixes.put(&key("b", "x"), 2, true);
        prefixes.delete(&key("b", "x"), 3, &mut Vec::new());
        let known = prefixes.iter().map(|(name, prefix)| (Arc::clone(name), *prefix)).collect::<Vec<_>>();
        assert_eq!(Prefixes::restored(known, prefixes.floor()), prefixes);
    }
}
